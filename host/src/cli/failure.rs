//! How a command fails: what to tell its user, and with which exit code.

use std::fmt;

use crate::generate;
use crate::log::LogError;
use crate::outside::OutsideError;
use crate::pipeline::PrepareError;
use crate::pipeline::config::ConfigError;
use crate::plugin::AdmissionError;
use crate::sample::{LoadError, SampleError};
use crate::server::ListenError;
use crate::service::{ServiceConfigError, StartError};
use crate::state::StoreError;
use crate::worker::WorkerError;

/// A command failed.
#[derive(Debug)]
pub enum Failure {
    /// Something that is none of the others: exit code 1.
    Other(anyhow::Error),
    /// The command line or the pipeline file is wrong: exit code 2.
    Usage(String),
    /// A plugin was refused or failed: exit code 3.
    Plugin(String),
    /// The log refused or stayed away: exit code 4.
    Log(String),
    /// Another process has taken over: exit code 5.
    Fenced(String),
}

impl Failure {
    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Other(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Plugin(_) => 3,
            Failure::Log(_) => 4,
            Failure::Fenced(_) => 5,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Other(error) => write!(f, "{error:#}"),
            Failure::Usage(text)
            | Failure::Plugin(text)
            | Failure::Log(text)
            | Failure::Fenced(text) => f.write_str(text),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Other(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Other(error.into())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        // The chain: what the system said of an unreadable file stands in the source.
        Failure::Usage(format!("{:#}", anyhow::Error::new(error)))
    }
}

impl From<ServiceConfigError> for Failure {
    fn from(error: ServiceConfigError) -> Self {
        Failure::Usage(error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Twice(_) => Failure::Usage(error.to_string()),
            _ => Failure::Other(error.into()),
        }
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::Tls { .. } => Failure::Usage(error.to_string()),
            _ => Failure::Other(anyhow::anyhow!("{error}")),
        }
    }
}

impl From<generate::ConfigError> for Failure {
    fn from(error: generate::ConfigError) -> Self {
        Failure::Usage(error.to_string())
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Admission { .. }
            | PrepareError::Kind { .. }
            | PrepareError::Function { .. }
            | PrepareError::Sample { .. } => Failure::Plugin(error.to_string()),
            PrepareError::Plan(_) | PrepareError::Decoder(_) => Failure::Usage(error.to_string()),
        }
    }
}

impl From<AdmissionError> for Failure {
    fn from(error: AdmissionError) -> Self {
        Failure::Plugin(error.to_string())
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Failure::Usage(error.to_string())
    }
}

impl From<SampleError> for Failure {
    fn from(error: SampleError) -> Self {
        match error {
            SampleError::Function(_) => Failure::Plugin(error.to_string()),
            SampleError::Decoder(_) | SampleError::NoKey(_) | SampleError::KeyType(_) => {
                Failure::Usage(error.to_string())
            }
            SampleError::Bug(_) => Failure::Other(error.into()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Other(error.into())
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Fenced(_) => Failure::Fenced(error.to_string()),
            _ => Failure::Log(error.to_string()),
        }
    }
}

impl From<OutsideError> for Failure {
    fn from(error: OutsideError) -> Self {
        match error {
            OutsideError::Log(error) => error.into(),
            OutsideError::Running { .. } => Failure::Log(error.to_string()),
            OutsideError::Offsets(_) | OutsideError::Begun(_) => Failure::Usage(error.to_string()),
        }
    }
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        let text = error.to_string();
        match error {
            WorkerError::Plugin { .. }
            | WorkerError::Start { .. }
            | WorkerError::Budget { .. }
            | WorkerError::Row { .. } => Failure::Plugin(text),
            WorkerError::Log(_) | WorkerError::GaveUp { .. } | WorkerError::Commit(_) => {
                Failure::Log(text)
            }
            WorkerError::Shape(_) | WorkerError::Windows(_) => Failure::Usage(text),
            WorkerError::Fenced(_) => Failure::Fenced(text),
            WorkerError::Committed { .. }
            | WorkerError::Store(_)
            | WorkerError::Damaged { .. }
            | WorkerError::Bug(_) => Failure::Other(anyhow::anyhow!(text)),
        }
    }
}
