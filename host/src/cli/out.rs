//! Writing to the terminal: results to standard output, troubles to standard error.

use std::fmt;
use std::io::{self, Write};

use super::Failure;

/// Writes to standard output through `write`. A reader that has gone away (`| head`) ends the output, and is no failure.
///
/// # Errors
/// What writing returns.
pub(super) fn stdout(
    write: impl FnOnce(&mut io::BufWriter<io::StdoutLock<'static>>) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Tells of a failure on standard error.
pub(super) fn error(failure: &dyn fmt::Display) {
    // If even that can't be written, the exit code still tells.
    let _ = writeln!(io::stderr(), "error: {failure}");
}
