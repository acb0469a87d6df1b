//! Opening the log that a pipeline names.

use super::config::LogPlace;
use crate::log::LogError;
use crate::log::embedded::EmbeddedLog;
use crate::log::kafka::KafkaLog;

/// A log of either kind.
pub enum AnyLog {
    /// A Kafka cluster.
    Kafka(KafkaLog),
    /// A log in a folder.
    Embedded(EmbeddedLog),
}

/// Opens the log that a pipeline file names. A log in a folder is open once in a process at most.
///
/// # Errors
/// If the log refuses.
pub fn open(place: &LogPlace) -> Result<AnyLog, LogError> {
    Ok(match place {
        LogPlace::Kafka(settings) => {
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            AnyLog::Kafka(KafkaLog::new(settings.iter().map(owned).collect())?)
        }
        LogPlace::Embedded(folder) => AnyLog::Embedded(EmbeddedLog::open(folder)?),
    })
}
