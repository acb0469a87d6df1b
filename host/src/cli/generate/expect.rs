//! `--expect`: what a pipeline must make of the clicks, worked out by the oracle while they are written.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::str::FromStr;

use jiff::SignedDuration;

use crate::cli::{Failure, out};
use crate::generate::{Click, Expected, Oracle};

/// Where the answer goes.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    Stdout,
    File(PathBuf),
}

impl FromStr for Destination {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "-" => Destination::Stdout,
            path => Destination::File(path.into()),
        })
    }
}

impl Destination {
    pub(super) fn is_stdout(&self) -> bool {
        matches!(self, Destination::Stdout)
    }
}

/// An answer in the making.
pub(super) struct Expectation {
    oracle: Oracle,
    /// `None` is standard output.
    file: Option<File>,
}

impl Expectation {
    /// Starts with no clicks. The file is made at once, so that a wrong name is told before anything is written.
    ///
    /// # Errors
    /// If the windows or the disorder can't be used, or the file can't be made.
    pub(super) fn new(
        destination: &Destination,
        window: SignedDuration,
        allowed_disorder: SignedDuration,
        partitions: i32,
    ) -> Result<Self, Failure> {
        let oracle = Oracle::new(window, allowed_disorder, partitions)?;
        let file = match destination {
            Destination::Stdout => None,
            Destination::File(path) => Some(File::create(path).map_err(|error| {
                Failure::Usage(format!(
                    "--expect: cannot write {}: {error}",
                    path.display()
                ))
            })?),
        };
        Ok(Self { oracle, file })
    }

    /// Takes in the next click.
    pub(super) fn observe(&mut self, click: &Click) {
        self.oracle.observe(click);
    }

    /// Writes the answer for the clicks taken in.
    ///
    /// # Errors
    /// What writing returns.
    pub(super) fn write(self) -> Result<(), Failure> {
        let expected = self.oracle.expected();
        match self.file {
            None => out::stdout(|out| write(&expected, out)),
            Some(file) => Ok(write(&expected, &mut BufWriter::new(file))?),
        }
    }
}

fn write(expected: &Expected, to: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, expected)?;
    writeln!(to)?;
    to.flush()
}
