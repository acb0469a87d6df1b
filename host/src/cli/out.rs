//! Writing to the terminal: results to standard output, troubles to standard error.

use std::fmt;
use std::io::{self, Write};
use std::ops::ControlFlow;

use clap::ValueEnum;

use super::Failure;

/// How results are shown.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For programs: one JSON object a line
    Json,
}

/// Standard output while a command writes to it.
pub(super) type Stdout = io::BufWriter<io::StdoutLock<'static>>;

/// Writes to standard output through `write`. A reader that has gone away (`| head`) ends the output, and is no failure.
///
/// # Errors
/// What writing returns.
pub(super) fn stdout(write: impl FnOnce(&mut Stdout) -> io::Result<()>) -> Result<(), Failure> {
    piece(write).map(|_| ())
}

/// As [`stdout`], for a command that writes piece by piece: breaks if the reader has gone away.
///
/// # Errors
/// What writing returns.
pub(super) fn piece(
    write: impl FnOnce(&mut Stdout) -> io::Result<()>,
) -> Result<ControlFlow<()>, Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error.into()),
    }
}

/// Tells of a failure on standard error.
pub(super) fn error(failure: &dyn fmt::Display) {
    // If even that can't be written, the exit code still tells.
    let _ = writeln!(io::stderr(), "error: {failure}");
}
