//! What holds where the pipeline file says nothing: the one place for it.

use std::time::Duration;

use bytesize::ByteSize;

use super::model::{CommitConfig, Delivery, Limits, OnError, OnExhausted, Start, Updates};
use crate::decode::{EventTime, Format};

/// `workers`.
pub const WORKERS: usize = 1;

/// `batch_rows`: enough to spread the cost of a call, few enough for the cache.
pub const BATCH_ROWS: usize = 1_024;

/// `source.format`.
pub const FORMAT: Format = Format::Json;

/// `source.event_time`.
pub const EVENT_TIME: EventTime = EventTime::Record;

/// `source.allowed_disorder`.
pub const ALLOWED_DISORDER: Duration = Duration::from_secs(5);

/// `source.start`.
pub const START: Start = Start::Earliest;

/// `log.create_topics` on Kafka: a misspelt name must not become a topic of a cluster that others use.
pub const CREATE_TOPICS_ON_KAFKA: bool = false;

/// `log.create_topics` on the embedded log, which starts as an empty folder of the pipeline's own.
pub const CREATE_TOPICS_ON_EMBEDDED: bool = true;

/// `log.partitions`.
pub const PARTITIONS: i32 = 1;

/// `step.limits`.
pub const LIMITS: Limits = Limits {
    memory: ByteSize::mib(64),
    call: Duration::from_secs(1),
    failures_per_minute: 60,
    table_entries: 100_000,
    core_instances: 32,
    host_calls: 100_000,
    log_messages_per_second: 100,
    log_bytes_per_second: ByteSize::kib(64),
    output_rows: 10_000_000,
    output_bytes: ByteSize::mib(128),
};

/// `step.on_error`.
pub const ON_ERROR: OnError = OnError::DeadLetter;

/// `step.on_exhausted`.
pub const ON_EXHAUSTED: OnExhausted = OnExhausted::Stop;

/// `step.window.offset`.
pub const WINDOW_OFFSET: Duration = Duration::ZERO;

/// `step.allowed_lateness`.
pub const ALLOWED_LATENESS: Duration = Duration::ZERO;

/// `step.updates`.
pub const UPDATES: Updates = Updates::Accumulating;

/// `state.folder`.
pub const STATE_FOLDER: &str = ".millstream";

/// `commit`.
pub const COMMIT: CommitConfig = CommitConfig {
    interval: Duration::from_millis(100),
    max_rows: 100_000,
    max_bytes: ByteSize::mib(16),
    delivery: Delivery::ExactlyOnce,
};
