//! The embedded log keeps the promises of every log, and some of its own.

#[path = "../suite/log_suite/mod.rs"]
mod log_suite;

mod crash;
mod model;
mod own;

use log_suite::log_suite;
use millstream::log::embedded::EmbeddedLog;

fn with_log(test: impl FnOnce(EmbeddedLog)) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    test(EmbeddedLog::open(folder.path()).expect("a new log"));
}

log_suite!(with_log);

/// The same without a folder.
mod in_memory {
    use crate::log_suite;
    use millstream::log::embedded::EmbeddedLog;

    fn with_log(test: impl FnOnce(EmbeddedLog)) {
        test(EmbeddedLog::in_memory());
    }

    log_suite!(with_log);
}
