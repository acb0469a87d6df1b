//! Which log a command works on: named by the pipeline file, or by options.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Failure;
use crate::log::embedded::EmbeddedLog;
use crate::log::kafka::KafkaLog;
use crate::pipeline::config::{self, LogPlace};
use crate::pipeline::place;
pub(super) use crate::pipeline::place::AnyLog;

/// Options that name a log.
// Not a group of which one may be given: that would count what the environment says of Kafka.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Place {
    /// A Kafka cluster; one of the other two goes before what the environment says
    #[arg(long, value_name = "HOST:PORT", env = "MILLSTREAM_KAFKA")]
    kafka: Option<String>,
    /// The embedded log in a folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "pipeline")]
    embedded: Option<PathBuf>,
    /// The log of a pipeline file, with its settings
    #[arg(long, value_name = "PIPELINE.toml")]
    pipeline: Option<PathBuf>,
}

impl Place {
    /// Whether any log is named.
    pub(super) fn is_named(&self) -> bool {
        self.kafka.is_some() || self.embedded.is_some() || self.pipeline.is_some()
    }

    /// Opens the log.
    ///
    /// # Errors
    /// If the pipeline file is wrong, or the log refuses.
    pub(super) fn open(&self) -> Result<AnyLog, Failure> {
        match (&self.embedded, &self.pipeline, &self.kafka) {
            (Some(folder), ..) => Ok(AnyLog::Embedded(EmbeddedLog::open(folder)?)),
            (_, Some(file), _) => open(&config::load(file)?.log.place),
            (_, _, Some(servers)) => {
                let settings = [("bootstrap.servers".to_owned(), servers.clone())];
                Ok(AnyLog::Kafka(KafkaLog::new(BTreeMap::from(settings))?))
            }
            (None, None, None) => Err(Failure::Usage(
                "name a log: --kafka, --embedded or --pipeline".to_owned(),
            )),
        }
    }
}

/// Opens the log that a pipeline file names.
///
/// # Errors
/// If the log refuses.
pub(super) fn open(place: &LogPlace) -> Result<AnyLog, Failure> {
    Ok(place::open(place)?)
}
