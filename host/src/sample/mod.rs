//! Samples: a few records, and what a function makes of them.
//!
//! A sample is a folder beside a function (`plugins/README.md` describes its files). [`load`] reads it, [`run`] puts its
//! records through the component as a pipeline would, and [`Outcome::differences`] compares what came out with what
//! is expected. [`prove`] does all that with the sample that a component carries.

mod outcome;
mod parse;
mod prove;
mod run;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::pipeline::config::FunctionSettings;

pub use outcome::{Outcome, Refusal};
pub use parse::{SampleMistake, SampleTexts, parse};
pub use prove::{NotProved, prove};
pub use run::{Run, SampleError, Way, run};

/// Some records, how the function is set up, and what it is expected to make of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The records as they would stand in a topic.
    pub input: Vec<Record>,
    /// What should come out.
    pub expected: Outcome,
    /// What the function's `init` is given.
    pub settings: FunctionSettings,
    /// The field by whose value rows are gathered apart.
    pub key: Option<String>,
}

/// A record of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// As it is written.
    pub text: String,
    /// What that says.
    pub json: Value,
}

/// Why a sample can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file can't be read.
    #[error("{}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not as it should be.
    #[error("{}: {mistake}", folder.display())]
    Mistake {
        /// The folder.
        folder: PathBuf,
        /// What is wrong, and in which file.
        mistake: SampleMistake,
    },
}

/// Reads the sample in a folder.
///
/// # Errors
/// If a file that must be there is not, can't be read, or is not as it should be.
pub fn load(folder: &Path) -> Result<Sample, LoadError> {
    let read = |name: &str| {
        let file = folder.join(name);
        std::fs::read_to_string(&file).map_err(|source| LoadError::Unreadable { file, source })
    };
    let read_if_there = |name: &str| match read(name) {
        Err(LoadError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(String::new())
        }
        result => result,
    };
    let texts = SampleTexts {
        input: &read(parse::INPUT)?,
        expected: &read(parse::EXPECTED)?,
        errors: &read_if_there(parse::ERRORS)?,
        config: &read_if_there(parse::CONFIG)?,
        step: &read_if_there(parse::STEP)?,
    };
    parse(texts).map_err(|mistake| LoadError::Mistake {
        folder: folder.to_owned(),
        mistake,
    })
}
