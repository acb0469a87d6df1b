//! The Kafka log keeps the promises of every log.

#[path = "suite/log_suite/mod.rs"]
mod log_suite;
mod support;

use log_suite::log_suite;
use millstream::log::kafka::KafkaLog;

fn with_log(test: impl FnOnce(KafkaLog)) {
    if let Some(log) = support::kafka() {
        test(log);
    }
}

log_suite!(with_log);
