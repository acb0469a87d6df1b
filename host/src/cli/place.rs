//! Which log a command works on: named by the pipeline file, or by options.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Failure;
use crate::log::embedded::EmbeddedLog;
use crate::log::kafka::KafkaLog;
use crate::pipeline::config::{self, LogPlace};

/// Options that name a log.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Place {
    /// A Kafka cluster
    #[arg(long, value_name = "HOST:PORT", env = "MILLSTREAM_KAFKA")]
    kafka: Option<String>,
    /// The embedded log in a folder
    #[arg(long, value_name = "FOLDER")]
    embedded: Option<PathBuf>,
    /// The log of a pipeline file, with its settings
    #[arg(long, value_name = "PIPELINE.toml")]
    pipeline: Option<PathBuf>,
}

/// A log of either kind.
pub(super) enum AnyLog {
    Kafka(KafkaLog),
    Embedded(EmbeddedLog),
}

impl Place {
    /// Opens the log.
    ///
    /// # Errors
    /// If the pipeline file is wrong, or the log refuses.
    pub(super) fn open(&self) -> Result<AnyLog, Failure> {
        match (&self.kafka, &self.embedded, &self.pipeline) {
            (Some(servers), ..) => {
                let settings = [("bootstrap.servers".to_owned(), servers.clone())];
                Ok(AnyLog::Kafka(KafkaLog::new(BTreeMap::from(settings))?))
            }
            (_, Some(folder), _) => Ok(AnyLog::Embedded(EmbeddedLog::open(folder)?)),
            (_, _, Some(file)) => open(&config::load(file)?.log.place),
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
    Ok(match place {
        LogPlace::Kafka(settings) => {
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            AnyLog::Kafka(KafkaLog::new(settings.iter().map(owned).collect())?)
        }
        LogPlace::Embedded(folder) => AnyLog::Embedded(EmbeddedLog::open(folder)?),
    })
}
