//! The logs that live in folders, shared by the pipelines of a service: such a log is open once in a process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::log::LogError;
use crate::log::embedded::EmbeddedLog;
use crate::log::kafka::KafkaLog;
use crate::pipeline::config::KafkaSettings;

/// Evaluates an expression with the log of a pipeline's configuration; what opening it says is returned with `?`.
macro_rules! on_log {
    ($service:expr, $config:expr, |$log:ident| $do:expr) => {
        match &$config.log.place {
            $crate::pipeline::config::LogPlace::Embedded(folder) => {
                let lease = $service.logs.lease(folder)?;
                let $log = lease.log();
                $do
            }
            $crate::pipeline::config::LogPlace::Kafka(settings) => {
                let kafka = $crate::service::logs::kafka(settings)?;
                let $log = &kafka;
                $do
            }
        }
    };
}
pub(super) use on_log;

/// A client of a Kafka cluster.
///
/// # Errors
/// If the settings are refused.
pub(super) fn kafka(settings: &KafkaSettings) -> Result<KafkaLog, LogError> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    KafkaLog::new(settings.iter().map(owned).collect())
}

/// The logs that are open, and how many pipelines use each.
#[derive(Default)]
pub(super) struct Logs(Mutex<HashMap<PathBuf, (EmbeddedLog, usize)>>);

/// A log while somebody uses it. The folder is closed when the last one lets go, so that other programs may open it.
pub(super) struct Lease {
    log: EmbeddedLog,
    folder: PathBuf,
    logs: Arc<Logs>,
}

impl Lease {
    pub(super) fn log(&self) -> &EmbeddedLog {
        &self.log
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut open = self.logs.open();
        if let Some((_, users)) = open.get_mut(&self.folder) {
            *users -= 1;
            if *users == 0 {
                open.remove(&self.folder);
            }
        }
    }
}

impl Logs {
    /// The log in a folder, opened if nobody has it open.
    ///
    /// # Errors
    /// If another process has it open, or the disk refuses.
    pub(super) fn lease(self: &Arc<Self>, folder: &Path) -> Result<Lease, LogError> {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let mut open = self.open();
        let log = match open.get_mut(&folder) {
            Some((log, users)) => {
                *users += 1;
                log.clone()
            }
            None => {
                let log = EmbeddedLog::open(&folder)?;
                open.insert(folder.clone(), (log.clone(), 1));
                log
            }
        };
        drop(open);
        Ok(Lease {
            log,
            folder,
            logs: Arc::clone(self),
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<PathBuf, (EmbeddedLog, usize)>> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    #[test]
    fn a_folder_is_open_as_long_as_somebody_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Arc::new(Logs::default());
        let one = logs.lease(folder.path()).unwrap();
        let other = logs.lease(folder.path()).unwrap();
        drop(one);
        assert!(EmbeddedLog::open(folder.path()).is_err(), "it is in use");
        drop(other);
        EmbeddedLog::open(folder.path()).unwrap();
    }
}
