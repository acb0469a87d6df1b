//! Records are fetched from brokers as they are run in earnest: behind TLS and logins, and from leaders that change.
//!
//! Each test starts brokers of its own: what is shared by all tests is one broker with one open door.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod leaders;
#[path = "../suite/log_suite/support.rs"]
#[allow(dead_code, reason = "the suite of every log uses the rest")]
mod log_support;
mod secured;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream::log::kafka::KafkaLog;

/// A log with these settings.
fn log(settings: &[(&str, &str)]) -> KafkaLog {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    KafkaLog::new(BTreeMap::from_iter(settings)).unwrap()
}

/// A new folder for the brokers of a test, which is kept if it fails.
fn new_folder(name: &str) -> PathBuf {
    let name = format!("brokers-{name}-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
