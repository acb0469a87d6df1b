//! Why a service did not do what it was asked, by whose fault it is.

use std::io;

use crate::control::DeployError;
use crate::log::LogError;
use crate::outside::OutsideError;
use crate::registry::RegistryError;

/// Why a service did not do what it was asked. The message names what, where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The caller's fault: there is no such pipeline.
    #[error("there is no pipeline {0}: `millstream pipelines list` shows those there are")]
    Unknown(String),
    /// The caller's fault: it does not go with what there is.
    #[error("{0}")]
    Conflict(String),
    /// The caller's fault: the pipeline can't run.
    #[error("{0}")]
    Invalid(String),
    /// The caller's fault: a value of the request is none that can be used.
    #[error("{0}")]
    Unfit(String),
    /// What the plugins' registry says.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The caller's fault: there is no such dead letter.
    #[error(
        "there is no dead letter of {pipeline} at {partition}/{offset}: list them to see where they are"
    )]
    NoDeadLetter {
        /// The pipeline.
        pipeline: String,
        /// The partition that was asked for.
        partition: i32,
        /// The offset that was asked for.
        offset: i64,
    },
    /// What becomes of a deploy that is asked for.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// What the log says; it may be away.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The service is about to end.
    #[error("the service is ending: ask again when it is back")]
    Ending,
    /// The environment's fault.
    #[error("the service's data folder: {0}")]
    Disk(#[from] io::Error),
}

impl From<OutsideError> for ServiceError {
    fn from(error: OutsideError) -> Self {
        match error {
            OutsideError::Log(error) => error.into(),
            OutsideError::Running { .. } | OutsideError::Begun(_) => {
                ServiceError::Conflict(error.to_string())
            }
            OutsideError::Offsets(why) => ServiceError::Unfit(why),
        }
    }
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another service has the data folder.
    #[error("{0}: another service uses this data folder: stop it, or give this one its own `data`")]
    Busy(String),
    /// The environment's fault.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// The registry can't be opened.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Two pipelines have one name.
    #[error(
        "{0}: a pipeline of this name was created through the API: delete that one, or give the file another name"
    )]
    Twice(String),
}
