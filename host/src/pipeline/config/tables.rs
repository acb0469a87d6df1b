//! The keys of the file: one struct a table, one field a key, exactly as they are written.
//!
//! A value that a rule over several keys may refuse is `Spanned`, so that the refusal can point at it. The tables hold
//! secrets in the clear and are not `Debug`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use toml::Spanned;

use super::kafka::Setting;
use super::model::{Delivery, OnError, OnExhausted, Start, Updates};
use super::windows::Zone;
use super::written::{
    BatchRows, Count, FieldPath, GuestMemory, LogBytes, PipelineName, PositiveDuration, StepName,
    TopicName, Workers, Written,
};
use crate::decode::{Format, TimeUnit};
use crate::window::Unit;

/// A value written as a string, and where.
pub(super) type At<T> = Spanned<Written<T>>;

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct PipelineTable {
    pub(super) name: Written<PipelineName>,
    pub(super) workers: Option<Workers>,
    pub(super) batch_rows: Option<BatchRows>,
    pub(super) log: Spanned<LogTable>,
    pub(super) source: Spanned<SourceTable>,
    #[serde(default)]
    pub(super) step: Vec<Spanned<StepTable>>,
    pub(super) sink: SinkTable,
    pub(super) dead_letters: DeadLettersTable,
    pub(super) late: Option<Spanned<LateTable>>,
    #[serde(default)]
    pub(super) state: StateTable,
    #[serde(default)]
    pub(super) commit: CommitTable,
}

/// `[log]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct LogTable {
    pub(super) kafka: Option<Spanned<BTreeMap<Spanned<String>, Spanned<Setting>>>>,
    pub(super) embedded: Option<Written<PathBuf>>,
    pub(super) create_topics: Option<bool>,
    pub(super) partitions: Option<Spanned<Count>>,
}

/// `[source]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct SourceTable {
    pub(super) topic: Option<At<TopicName>>,
    pub(super) topics: Option<Spanned<Vec<At<TopicName>>>>,
    pub(super) format: Option<Written<Format>>,
    pub(super) event_time: Option<EventTimeValue>,
    pub(super) allowed_disorder: Option<At<Duration>>,
    pub(super) watermark_field: Option<At<FieldPath>>,
    pub(super) max_future: Option<Written<Duration>>,
    pub(super) idle_after: Option<Written<PositiveDuration>>,
    pub(super) close_idle_after: Option<Written<PositiveDuration>>,
    pub(super) max_drift: Option<Written<PositiveDuration>>,
    pub(super) start: Option<Written<Start>>,
}

/// What `event_time` may be.
const EVENT_TIME: &str = "\"record\" or a table such as { field = \"time\", unit = \"ms\" }";

/// `event_time`: the word `"record"` or a table.
pub(super) enum EventTimeValue {
    /// `"record"`.
    Record,
    /// `{ field = …, unit = … }`.
    Field(EventTimeTable),
}

/// `event_time` as a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct EventTimeTable {
    pub(super) field: Written<FieldPath>,
    pub(super) unit: Written<TimeUnit>,
}

impl<'de> Deserialize<'de> for EventTimeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;

        impl<'de> Visitor<'de> for WordOrTable {
            type Value = EventTimeValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EVENT_TIME)
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<EventTimeValue, E> {
                match word {
                    "record" => Ok(EventTimeValue::Record),
                    _ => Err(E::custom(format_args!("expected {EVENT_TIME}"))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<EventTimeValue, A::Error> {
                EventTimeTable::deserialize(MapAccessDeserializer::new(table))
                    .map(EventTimeValue::Field)
            }
        }

        deserializer.deserialize_any(WordOrTable)
    }
}

/// `[[step]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct StepTable {
    pub(super) filter: Option<At<PathBuf>>,
    pub(super) map: Option<At<PathBuf>>,
    pub(super) aggregate: Option<At<PathBuf>>,
    pub(super) window_apply: Option<At<PathBuf>>,
    pub(super) name: Option<At<StepName>>,
    pub(super) config: Option<Spanned<toml::Table>>,
    #[serde(default)]
    pub(super) limits: LimitsTable,
    pub(super) on_error: Option<At<OnError>>,
    pub(super) on_exhausted: Option<At<OnExhausted>>,
    pub(super) keep: Option<Spanned<Vec<At<FieldPath>>>>,
    pub(super) key: Option<At<FieldPath>>,
    pub(super) window: Option<Spanned<WindowTable>>,
    pub(super) allowed_lateness: Option<At<Duration>>,
    pub(super) updates: Option<At<Updates>>,
    pub(super) emit_every: Option<At<PositiveDuration>>,
    pub(super) emit_on_update: Option<Spanned<bool>>,
}

/// `limits`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct LimitsTable {
    pub(super) memory: Option<Written<GuestMemory>>,
    pub(super) call: Option<Written<PositiveDuration>>,
    pub(super) failures_per_minute: Option<u32>,
    pub(super) table_entries: Option<Count>,
    pub(super) core_instances: Option<Count>,
    pub(super) host_calls: Option<Count>,
    pub(super) log_messages_per_second: Option<Count>,
    pub(super) log_bytes_per_second: Option<Written<LogBytes>>,
    pub(super) output_rows: Option<Count>,
    pub(super) output_bytes: Option<Written<ByteSize>>,
}

/// `window`: one kind, and the keys that go with it.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { tumbling = \"1m\" }"
)]
pub(super) struct WindowTable {
    pub(super) tumbling: Option<Written<PositiveDuration>>,
    pub(super) sliding: Option<Written<PositiveDuration>>,
    pub(super) session: Option<Written<Duration>>,
    pub(super) calendar: Option<Written<Unit>>,
    pub(super) count: Option<Count>,
    pub(super) global: Option<Spanned<TriggerTable>>,
    pub(super) offset: Option<At<Duration>>,
    pub(super) slide: Option<At<PositiveDuration>>,
    pub(super) time_zone: Option<At<Zone>>,
    pub(super) gap_field: Option<At<FieldPath>>,
}

/// `global`.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table: { every = \"1m\" } or { rows = 100 }"
)]
pub(super) struct TriggerTable {
    pub(super) every: Option<Written<PositiveDuration>>,
    pub(super) rows: Option<Count>,
}

/// `[sink]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct SinkTable {
    pub(super) topic: At<TopicName>,
    pub(super) key: Option<At<FieldPath>>,
}

/// `[dead_letters]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct DeadLettersTable {
    pub(super) topic: At<TopicName>,
}

/// `[late]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct LateTable {
    pub(super) topic: At<TopicName>,
}

/// `[state]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct StateTable {
    pub(super) folder: Option<Written<PathBuf>>,
}

/// `[commit]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct CommitTable {
    pub(super) interval: Option<Written<PositiveDuration>>,
    pub(super) max_rows: Option<Count>,
    pub(super) max_bytes: Option<Written<ByteSize>>,
    pub(super) delivery: Option<Written<Delivery>>,
}
