//! What a pipeline writes, as records: results, copies, dead letters and late rows.
//!
//! A result carries the generation of the version that made it in the header `millstream.generation`; without it, that is what
//! the pipeline's file names, into which nothing has been deployed.
//!
//! A dead letter or late row is the record as it came, key and value untouched, with headers that say where it came from
//! and why it is there:
//!
//! | header | value |
//! |---|---|
//! | `millstream.pipeline` | the pipeline's name |
//! | `millstream.topic`, `millstream.partition`, `millstream.offset` | where the record stands |
//! | `millstream.reason` | why it is here, as text |
//! | `millstream.step` | the step that rejected it, or `decode` |
//! | `millstream.plugin`, `millstream.digest` | the component of that step: `name@version` and SHA-256 |
//! | `millstream.window_start`, `millstream.window_end` | late rows: the window, in milliseconds since 1970 |
//! | `millstream.late_by_ms` | late rows: how far the partition's watermark had passed the window's end |
//! | `millstream.omitted_bytes` | the value was too large for the topic: how many bytes it had |

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::log::{Log, LogError, Offset, Outbox, RecordBatch, RecordParts, TopicPartition};
use crate::pipeline::Pipeline;
use crate::pipeline::config::Output;
use crate::rows::{Field, FieldType, RowJson, Rows};
use crate::state::HeldRow;
use crate::time::Timestamp;
use crate::window::Window;

use super::steps::Rejected;

/// What a record takes in the log beyond its key and value: headers of ours and the format's own.
const OVERHEAD: usize = 4_096;

/// A topic and the largest key and value that it takes.
struct Target {
    topic: Arc<str>,
    most: usize,
}

impl Target {
    fn new<L: Log>(log: &L, topic: &str) -> Result<Self, LogError> {
        Ok(Self {
            topic: topic.into(),
            most: log.max_record_bytes(topic)?.saturating_sub(OVERHEAD),
        })
    }
}

/// Stages records for the topics of a pipeline.
pub(super) struct Writing {
    pipeline: String,
    sink: Target,
    dead: Target,
    late: Option<Target>,
    /// Name, plugin and digest of each function.
    functions: Vec<(String, String, String)>,
    /// The version's generation, as results carry it; `None` where nothing has been deployed.
    generation: Option<String>,
}

/// A record that is set aside as it came.
struct Aside<'a> {
    from: &'a TopicPartition,
    offset: Offset,
    timestamp: Timestamp,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    /// How many bytes the value had, if it has been left out.
    omitted: u64,
}

impl<'a> Aside<'a> {
    fn of(batch: &'a RecordBatch, record: usize) -> Self {
        Self {
            from: batch.partition(),
            offset: batch.offset(record),
            timestamp: batch.timestamp(record),
            key: batch.key(record),
            value: batch.value(record),
            omitted: 0,
        }
    }
}

/// How a window is shown in its results: written once for all its rows.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    bounds: Bounds,
    /// The key of records of a step without key.
    name: String,
    /// The timestamp of the records.
    at: Timestamp,
}

#[derive(Clone, Debug)]
enum Bounds {
    /// A span of time; its bounds as RFC 3339 too.
    Span(Window, String, String),
    /// All up to an instant.
    Until(Timestamp, String),
    /// Rows by their numbers.
    Rows(i64, i64),
}

impl Shown {
    /// A span of time.
    pub(super) fn span(window: Window) -> Self {
        let start = window.start.to_string();
        Self {
            name: start.clone(),
            at: Timestamp(window.end.0 - 1),
            bounds: Bounds::Span(window, start, window.end.to_string()),
        }
    }

    /// All up to an instant.
    pub(super) fn until(end: Timestamp) -> Self {
        Self {
            bounds: Bounds::Until(end, end.to_string()),
            name: "global".to_owned(),
            at: Timestamp(end.0 - 1),
        }
    }

    /// Rows by their numbers, the last of which has this event time.
    pub(super) fn rows(first: i64, last: i64, at: Timestamp) -> Self {
        Self {
            bounds: Bounds::Rows(first, last),
            name: first.to_string(),
            at,
        }
    }
}

/// A row of a window's results.
pub(super) struct ResultRow<'a> {
    pub(super) shown: &'a Shown,
    /// The key and its type; `None` for a step without one.
    pub(super) key: Option<(&'a [u8], FieldType)>,
    pub(super) fields: &'a [Field],
    pub(super) rows: &'a Rows,
    pub(super) row: usize,
    pub(super) revision: u32,
    /// Whether it may not change any more; `None` where that is not written.
    pub(super) is_final: Option<bool>,
    /// It takes an earlier result back.
    pub(super) is_retraction: bool,
}

impl Writing {
    /// For the topics of `pipeline`, which must exist.
    ///
    /// # Errors
    /// If the log does not tell how large a record may be.
    pub(super) fn new<L: Log>(
        pipeline: &Pipeline,
        generation: u64,
        log: &L,
    ) -> Result<Self, LogError> {
        let config = pipeline.config();
        let late = match &config.output {
            Output::Rows { .. } => None,
            Output::Windows(step) => Some(Target::new(log, &step.late_topic)?),
        };
        let functions = pipeline.functions().iter().map(|function| {
            let plugin = function.plugin();
            (
                function.name().to_owned(),
                plugin.who(),
                plugin.digest().to_owned(),
            )
        });
        Ok(Self {
            pipeline: config.name.clone(),
            sink: Target::new(log, &config.sink_topic)?,
            dead: Target::new(log, &config.dead_letter_topic)?,
            late,
            functions: functions.collect(),
            generation: (generation > 0).then(|| generation.to_string()),
        })
    }

    /// Stages a record that could not be processed.
    pub(super) fn dead_letter(&self, outbox: &mut Outbox, batch: &RecordBatch, bad: &Rejected) {
        let decode = ("decode".to_owned(), String::new(), String::new());
        let (step, plugin, digest) = match bad.function {
            Some(function) => &self.functions[function],
            None => &decode,
        };
        let mut headers: Vec<(&'static str, &[u8])> = vec![("millstream.step", step.as_bytes())];
        if bad.function.is_some() {
            headers.push(("millstream.plugin", plugin.as_bytes()));
            headers.push(("millstream.digest", digest.as_bytes()));
        }
        self.set_aside(
            outbox,
            &self.dead,
            &Aside::of(batch, bad.record as usize),
            &bad.reason,
            headers,
        );
    }

    /// Stages a row that came after its window had fired. `watermark` is what it was judged by.
    pub(super) fn late(
        &self,
        outbox: &mut Outbox,
        batch: &RecordBatch,
        record: usize,
        window: Window,
        watermark: Timestamp,
    ) {
        self.set_late(outbox, &Aside::of(batch, record), window, watermark);
    }

    /// Stages a row that was held until it was known to be late.
    pub(super) fn late_row(&self, outbox: &mut Outbox, row: &HeldRow) {
        let aside = Aside {
            from: &row.at,
            offset: row.offset,
            timestamp: row.timestamp,
            key: row.record_key.as_deref(),
            value: row.record_value.as_deref(),
            omitted: row.omitted,
        };
        // As sessions are shown: its end is the last instant at which a row would join.
        let window = Window {
            end: Timestamp(row.span.end.0 - 1),
            ..row.span
        };
        self.set_late(outbox, &aside, window, row.watermark);
    }

    fn set_late(
        &self,
        outbox: &mut Outbox,
        record: &Aside<'_>,
        window: Window,
        watermark: Timestamp,
    ) {
        let Some(late) = &self.late else { return };
        let (start, end) = (window.start.0.to_string(), window.end.0.to_string());
        let late_by = (watermark.0 - window.end.0).to_string();
        let reason =
            format!("its window {window} had fired: the partition's watermark was {watermark}");
        let headers = vec![
            ("millstream.window_start", start.as_bytes()),
            ("millstream.window_end", end.as_bytes()),
            ("millstream.late_by_ms", late_by.as_bytes()),
        ];
        self.set_aside(outbox, late, record, &reason, headers);
    }

    /// Stages a record as it came.
    fn set_aside(
        &self,
        outbox: &mut Outbox,
        target: &Target,
        record: &Aside<'_>,
        reason: &str,
        more: Vec<(&'static str, &[u8])>,
    ) {
        let partition = record.from.partition.to_string();
        let offset = record.offset.to_string();
        let mut headers: Vec<(&'static str, &[u8])> = vec![
            ("millstream.pipeline", self.pipeline.as_bytes()),
            ("millstream.topic", record.from.topic.as_bytes()),
            ("millstream.partition", partition.as_bytes()),
            ("millstream.offset", offset.as_bytes()),
            ("millstream.reason", reason.as_bytes()),
        ];
        headers.extend(more);

        let (mut key, mut value) = (record.key, record.value);
        let size = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let mut omitted = record.omitted;
        if size(key) + size(value) > target.most {
            omitted = size(value) as u64;
            value = None;
            key = key.filter(|key| key.len() <= target.most);
        }
        let omitted_bytes = omitted.to_string();
        if omitted > 0 || (value.is_none() && record.value.is_some()) {
            headers.push(("millstream.omitted_bytes", omitted_bytes.as_bytes()));
        }
        outbox.push(
            &target.topic,
            RecordParts {
                partition: None,
                timestamp: record.timestamp,
                key,
                value,
                headers: &headers,
            },
        );
    }

    /// Stages a copy of a record under `key`.
    ///
    /// # Errors
    /// If the record is larger than the sink takes: why, for its dead letter.
    pub(super) fn record(
        &self,
        outbox: &mut Outbox,
        batch: &RecordBatch,
        record: usize,
        key: Option<&[u8]>,
    ) -> Result<(), String> {
        let value = batch.value(record);
        self.fits(key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len))?;
        let made_by = self.made_by();
        let parts = RecordParts {
            partition: None,
            timestamp: batch.timestamp(record),
            key,
            value,
            headers: made_by.as_slice(),
        };
        outbox.push(&self.sink.topic, parts);
        Ok(())
    }

    /// Stages a row as JSON under `key`.
    ///
    /// # Errors
    /// If the row is larger than the sink takes, or can't be written: why, for its dead letter.
    pub(super) fn row(
        &self,
        outbox: &mut Outbox,
        row: RowJson<'_>,
        at: Timestamp,
        key: Option<&[u8]>,
    ) -> Result<(), String> {
        self.json(outbox, &row, at, key)
    }

    /// Stages a result of a window. Its record's key is the window's key, or, where the step has none, the window's name,
    /// so that the revisions of a window stay in order; its timestamp is the window's last instant.
    ///
    /// # Errors
    /// If the result is larger than the sink takes, or can't be written.
    pub(super) fn result(&self, outbox: &mut Outbox, result: &ResultRow<'_>) -> Result<(), String> {
        let key = match result.key {
            Some((key, _)) => key,
            None => result.shown.name.as_bytes(),
        };
        self.json(outbox, result, result.shown.at, Some(key))
    }

    fn json(
        &self,
        outbox: &mut Outbox,
        value: &impl Serialize,
        timestamp: Timestamp,
        key: Option<&[u8]>,
    ) -> Result<(), String> {
        let mark = outbox.mark();
        let before = outbox.byte_len();
        let made_by = self.made_by();
        let parts = RecordParts {
            partition: None,
            timestamp,
            key,
            value: None,
            headers: made_by.as_slice(),
        };
        outbox
            .push_with(&self.sink.topic, parts, |out| {
                serde_json::to_writer(out, value)
            })
            .map_err(|error| error.to_string())?;
        self.fits(outbox.byte_len() - before)
            .inspect_err(|_| outbox.rewind(mark))
    }

    /// The header that says which version made a result; none where nothing has been deployed.
    fn made_by(&self) -> Option<(&'static str, &[u8])> {
        let generation = self.generation.as_ref()?;
        Some(("millstream.generation", generation.as_bytes()))
    }

    fn fits(&self, bytes: usize) -> Result<(), String> {
        if bytes <= self.sink.most {
            return Ok(());
        }
        let (topic, most) = (&self.sink.topic, self.sink.most);
        Err(format!(
            "a record of {bytes} bytes is larger than topic {topic} takes ({most}): raise its max.message.bytes"
        ))
    }
}

impl Serialize for ResultRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.shown.bounds {
            Bounds::Span(window, start, end) => {
                map.serialize_entry("window_start", start)?;
                map.serialize_entry("window_end", end)?;
                map.serialize_entry("window_start_ms", &window.start.0)?;
                map.serialize_entry("window_end_ms", &window.end.0)?;
            }
            Bounds::Until(end, text) => {
                map.serialize_entry("window_end", text)?;
                map.serialize_entry("window_end_ms", &end.0)?;
            }
            Bounds::Rows(first, last) => {
                map.serialize_entry("first_row", first)?;
                map.serialize_entry("last_row", last)?;
            }
        }
        if let Some((key, ty)) = self.key {
            let text = std::str::from_utf8(key).map_err(serde::ser::Error::custom)?;
            match (ty, text.parse::<i64>(), text.parse::<bool>()) {
                (FieldType::Int64 | FieldType::Timestamp, Ok(number), _) => {
                    map.serialize_entry("key", &number)?;
                }
                (FieldType::Bool, _, Ok(truth)) => map.serialize_entry("key", &truth)?,
                _ => map.serialize_entry("key", text)?,
            }
        }
        let row = RowJson {
            fields: self.fields,
            rows: self.rows,
            row: self.row,
        };
        row.serialize_entries(&mut map)?;
        map.serialize_entry("revision", &self.revision)?;
        if let Some(is_final) = self.is_final {
            map.serialize_entry("final", &is_final)?;
        }
        if self.is_retraction {
            map.serialize_entry("retraction", &true)?;
        }
        map.end()
    }
}

/// Writes the text of a key into `out`: text as it is, numbers in decimal, `true` or `false`. Returns whether there is one;
/// null is none.
pub(super) fn key_text(column: &ArrayRef, ty: FieldType, row: usize, out: &mut Vec<u8>) -> bool {
    use std::io::Write;
    out.clear();
    if column.is_null(row) {
        return false;
    }
    match ty {
        FieldType::Int64 => {
            let value = column.as_primitive::<Int64Type>().value(row);
            write!(out, "{value}").expect("writing to memory does not fail");
        }
        FieldType::Timestamp => {
            let value = column.as_primitive::<TimestampMillisecondType>().value(row);
            write!(out, "{value}").expect("writing to memory does not fail");
        }
        FieldType::Bool => {
            let value = column.as_boolean().value(row);
            write!(out, "{value}").expect("writing to memory does not fail");
        }
        FieldType::Text | FieldType::Json => {
            out.extend_from_slice(column.as_string::<i32>().value(row).as_bytes());
        }
        FieldType::Bytes => out.extend_from_slice(column.as_binary::<i32>().value(row)),
        FieldType::Float64 => return false,
    }
    true
}
