//! Puts a sample's records through a component, each step of it as a pipeline does it.
//!
//! The records are those of one partition, offsets from 0 on, without keys, all of them at 1970-01-01T00:00:00Z: event time is
//! that of the record. Where they are gathered, it is in the minute that begins there.

use std::collections::BTreeMap;
use std::fmt;

use arrow_schema::ArrowError;
use serde_json::Value;

use super::{Outcome, Record, Refusal, Sample};
use crate::decode::{Decoded, Decoder, DecoderError, EventTime, Format};
use crate::log::{Offset, RecordBatch, TopicPartition};
use crate::plugin::{
    AggregateInstance, AppliedWindow, FilterInstance, GuestFailure, Kind, Limits, MapInstance,
    Plugin, PluginEngine, Produced, RowErrors, WindowApplyInstance,
};
use crate::rows::{Field, FieldType, RowJson, Rows};
use crate::time::Timestamp;

/// The name of the field that a keyed result has beside those that the function produces.
const KEY: &str = "key";
/// The window of samples that are gathered in one, in milliseconds.
const WINDOW: (i64, i64) = (0, 60_000);

/// A way in which a sample was run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// All records in one batch.
    AtOnce,
    /// In two batches, the deltas of each merged into a fresh instance: how a window comes about that is recovered or
    /// spread over several machines.
    InHalves,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::AtOnce => "at once",
            Way::InHalves => "in two halves, merged",
        })
    }
}

/// One run of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// How it was run.
    pub way: Way,
    /// What came out.
    pub outcome: Outcome,
}

/// Why a sample can't be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The function failed.
    #[error(transparent)]
    Function(Box<GuestFailure>),
    /// JSON records do not have a field that the function reads.
    #[error("the function does not fit JSON records: {0}")]
    Decoder(#[from] DecoderError),
    /// There is a key and no windows.
    #[error("step.toml: rows have a key where they are gathered in windows; this is a {}", .0.world())]
    NoKey(Kind),
    /// A key of a type that makes no key.
    #[error("step.toml: the key {} is {}: a key is text, int64, timestamp or bool", .0.name, .0.ty)]
    KeyType(Field),
    /// Rows could not be put together: a bug of the host's.
    #[error("a bug in the host: {0}")]
    Bug(String),
}

impl From<GuestFailure> for SampleError {
    fn from(failure: GuestFailure) -> Self {
        SampleError::Function(Box::new(failure))
    }
}

impl From<ArrowError> for SampleError {
    fn from(error: ArrowError) -> Self {
        SampleError::Bug(error.to_string())
    }
}

impl From<serde_json::Error> for SampleError {
    fn from(error: serde_json::Error) -> Self {
        SampleError::Bug(error.to_string())
    }
}

/// Runs a sample on a component in every way that has to give the same.
///
/// # Errors
/// If the function fails or refuses its configuration, or if the sample's key does not fit it.
pub fn run(
    engine: &PluginEngine,
    plugin: &Plugin,
    limits: Limits,
    sample: &Sample,
) -> Result<Vec<Run>, SampleError> {
    let subject = Subject {
        engine,
        plugin,
        limits,
        settings: sample.settings.to_json(),
    };
    let input = Input::decode(plugin, sample)?;
    let at_once = match plugin.kind() {
        Kind::Filter => subject.filter(&input, &sample.input)?,
        Kind::Map => subject.map(&input)?,
        Kind::Aggregate => subject.aggregate(&input)?,
        Kind::WindowApply => subject.window_apply(&input)?,
    };
    let mut runs = vec![Run {
        way: Way::AtOnce,
        outcome: at_once,
    }];
    if plugin.kind() == Kind::Aggregate {
        runs.push(Run {
            way: Way::InHalves,
            outcome: subject.aggregate_in_halves(&input)?,
        });
    }
    Ok(runs)
}

/// The records of a sample as rows.
struct Input {
    decoded: Decoded,
    /// The key of each row; the same for all where there is none.
    keys: Vec<Key>,
}

/// The text by which rows are gathered, and what results show of it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Key {
    text: Vec<u8>,
    shown: Option<Value>,
}

impl Input {
    fn decode(plugin: &Plugin, sample: &Sample) -> Result<Self, SampleError> {
        let mut fields = plugin.reads().to_vec();
        let key = match &sample.key {
            None => None,
            Some(_) if matches!(plugin.kind(), Kind::Filter | Kind::Map) => {
                return Err(SampleError::NoKey(plugin.kind()));
            }
            Some(name) => Some(key_column(&mut fields, name)?),
        };
        let event_time = EventTime::Record;
        let mut decoder = Decoder::new(Format::Json, event_time, fields.clone())?;
        let batch = batch(&sample.input);
        let mut decoded = Decoded::new();
        decoder.decode(&batch, 0..batch.len(), &mut decoded);
        let keys = match key {
            None => vec![Key::default(); decoded.rows.len],
            Some(column) => keys(&fields[column], &decoded.rows, column)?,
        };
        Ok(Self { decoded, keys })
    }

    fn rows(&self) -> &Rows {
        &self.decoded.rows
    }

    /// What came out, with the records refused: those that were not decoded, and those that the function names by row.
    fn outcome(&self, rows: Vec<Value>, errors: RowErrors) -> Outcome {
        let undecoded = self.decoded.failures.iter().map(|failure| Refusal {
            row: failure.row,
            message: failure.reason.clone(),
        });
        let by_function = errors.0.into_iter().map(|(row, message)| Refusal {
            row: self.decoded.source[row as usize],
            message,
        });
        let mut refused: Vec<Refusal> = undecoded.chain(by_function).collect();
        refused.sort_by_key(|refusal| refusal.row);
        Outcome { rows, refused }
    }
}

/// The column of the key among the fields to decode: one that the function reads as well, or one more, of text.
fn key_column(fields: &mut Vec<Field>, name: &str) -> Result<usize, SampleError> {
    let column = match fields.iter().position(|field| field.name == name) {
        Some(at) => at,
        None => {
            fields.push(Field {
                name: name.to_owned(),
                ty: FieldType::Text,
                optional: false,
            });
            fields.len() - 1
        }
    };
    // A record without a key belongs to no window.
    fields[column].optional = false;
    match fields[column].ty {
        FieldType::Text | FieldType::Int64 | FieldType::Timestamp | FieldType::Bool => Ok(column),
        FieldType::Float64 | FieldType::Bytes | FieldType::Json => {
            Err(SampleError::KeyType(fields[column].clone()))
        }
    }
}

fn keys(field: &Field, rows: &Rows, column: usize) -> Result<Vec<Key>, SampleError> {
    let column = Rows::new(rows.len, vec![rows.columns[column].clone()]);
    let objects = objects(std::slice::from_ref(field), &column)?;
    let key = |object: &Value| {
        let shown = object[&field.name].clone();
        let text = shown
            .as_str()
            .map_or_else(|| shown.to_string(), str::to_owned);
        Key {
            text: text.into_bytes(),
            shown: Some(shown),
        }
    };
    Ok(objects.iter().map(key).collect())
}

fn batch(records: &[Record]) -> RecordBatch {
    let mut batch = RecordBatch::new(TopicPartition::new("sample", 0));
    for (offset, record) in (0..).zip(records) {
        let value = record.text.as_bytes();
        batch.push(Offset(offset), Timestamp(WINDOW.0), None, Some(value));
    }
    batch
}

/// Rows as JSON objects, as a pipeline would write them.
fn objects(fields: &[Field], rows: &Rows) -> Result<Vec<Value>, SampleError> {
    let object = |row| {
        let text = serde_json::to_string(&RowJson { fields, rows, row })?;
        Ok(serde_json::from_str(&text)?)
    };
    (0..rows.len).map(object).collect()
}

/// Rows gathered by their keys: groups in the order of the keys' texts, as windows fire.
struct Groups {
    /// The slot of each row. Slots are dealt out in the order of the rows, so that none is skipped in any batch.
    slots: Vec<u32>,
    /// Each key with its slot.
    keys: Vec<(Key, u32)>,
}

impl Groups {
    fn of(keys: &[Key]) -> Self {
        let mut known: BTreeMap<&[u8], (Key, u32)> = BTreeMap::new();
        let slots = keys
            .iter()
            .map(|key| {
                let next = u32::try_from(known.len()).expect("a sample has fewer than 2^32 rows");
                known.entry(&key.text).or_insert((key.clone(), next)).1
            })
            .collect();
        Self {
            slots,
            keys: known.into_values().collect(),
        }
    }

    /// The groups with at least one row that is not in error: a window in which all are has no result.
    fn live(&self, errors: &RowErrors) -> Vec<(Key, u32)> {
        let mut counts = vec![0_usize; self.keys.len()];
        for slot in &self.slots {
            counts[*slot as usize] += 1;
        }
        for (row, _) in &errors.0 {
            counts[self.slots[*row as usize] as usize] -= 1;
        }
        let live = |(_, slot): &&(Key, u32)| counts[*slot as usize] > 0;
        self.keys.iter().filter(live).cloned().collect()
    }
}

/// The function that a sample is run on.
struct Subject<'a> {
    engine: &'a PluginEngine,
    plugin: &'a Plugin,
    limits: Limits,
    settings: String,
}

impl Subject<'_> {
    /// The columns that the function reads stand first.
    fn select(&self) -> Vec<usize> {
        (0..self.plugin.reads().len()).collect()
    }

    fn filter(&self, input: &Input, records: &[Record]) -> Result<Outcome, SampleError> {
        let mut instance =
            FilterInstance::start(self.engine, self.plugin, &self.settings, self.limits)?;
        let selection = instance.filter(input.rows(), &self.select())?;
        let record = |row: &u32| input.decoded.source[*row as usize] as usize;
        let kept = selection.kept.iter().map(record);
        let rows = kept.map(|at| records[at].json.clone()).collect();
        Ok(input.outcome(rows, selection.errors))
    }

    fn map(&self, input: &Input) -> Result<Outcome, SampleError> {
        let mut instance =
            MapInstance::start(self.engine, self.plugin, &self.settings, self.limits)?;
        let (produced, errors) = instance.map(input.rows(), &self.select())?;
        let rows = objects(self.plugin.produces(), &produced.rows)?;
        Ok(input.outcome(rows, errors))
    }

    fn start_aggregate(&self) -> Result<AggregateInstance, GuestFailure> {
        AggregateInstance::start(self.engine, self.plugin, &self.settings, self.limits)
    }

    fn aggregate(&self, input: &Input) -> Result<Outcome, SampleError> {
        let groups = Groups::of(&input.keys);
        let mut instance = self.start_aggregate()?;
        let errors = instance.accumulate(&groups.slots, input.rows(), &self.select())?;
        self.finish(instance, input, &groups, errors)
    }

    fn aggregate_in_halves(&self, input: &Input) -> Result<Outcome, SampleError> {
        let groups = Groups::of(&input.keys);
        let (mut source, mut merged) = (self.start_aggregate()?, self.start_aggregate()?);
        let mut errors = RowErrors::default();
        let half = input.rows().len.div_ceil(2);
        for range in [0..half, half..input.rows().len] {
            let indices = range
                .clone()
                .map(|row| u32::try_from(row).expect("a sample has fewer than 2^32 rows"))
                .collect::<Vec<_>>();
            let rows = input.rows().take(&indices)?;
            let slots = &groups.slots[range];
            let refused = source.accumulate(slots, &rows, &self.select())?;
            let original = |(row, message): (u32, String)| (indices[row as usize], message);
            errors.0.extend(refused.0.into_iter().map(original));

            let mut touched = slots.to_vec();
            touched.sort_unstable();
            touched.dedup();
            let deltas = source.take_deltas(&touched)?;
            merged.merge(&touched, &deltas)?;
        }
        self.finish(merged, input, &groups, errors)
    }

    /// The results of all groups, of rows that an aggregate has taken in.
    fn finish(
        &self,
        mut instance: AggregateInstance,
        input: &Input,
        groups: &Groups,
        errors: RowErrors,
    ) -> Result<Outcome, SampleError> {
        let live = groups.live(&errors);
        let slots: Vec<u32> = live.iter().map(|(_, slot)| *slot).collect();
        let produced = instance.finish(&slots)?;
        Ok(input.outcome(self.results(&produced, &live)?, errors))
    }

    fn window_apply(&self, input: &Input) -> Result<Outcome, SampleError> {
        let groups = Groups::of(&input.keys);
        let (start, end) = WINDOW;
        let (mut windows, mut bounds, mut indices) = (Vec::new(), vec![0], Vec::new());
        for (key, slot) in &groups.keys {
            let of_group = |(_, s): &(u32, &u32)| *s == slot;
            let rows = (0..).zip(&groups.slots).filter(of_group);
            indices.extend(rows.map(|(row, _)| row));
            let end_of_group = u32::try_from(indices.len());
            bounds.push(end_of_group.expect("a sample has fewer than 2^32 rows"));
            let text = || String::from_utf8_lossy(&key.text).into_owned();
            windows.push(AppliedWindow {
                start,
                end,
                key: key.shown.is_some().then(text),
            });
        }
        let read = self.select().len();
        let mut rows = input.rows().take(&indices)?;
        rows.columns.truncate(read);
        let mut instance =
            WindowApplyInstance::start(self.engine, self.plugin, &self.settings, self.limits)?;
        let produced = instance.apply(&windows, &bounds, &rows)?;
        let rows = self.results(&produced, &groups.keys)?;
        Ok(input.outcome(rows, RowErrors::default()))
    }

    /// Results as JSON, with the key of the group that each came from.
    fn results(
        &self,
        produced: &Produced,
        groups: &[(Key, u32)],
    ) -> Result<Vec<Value>, SampleError> {
        let mut rows = objects(self.plugin.produces(), &produced.rows)?;
        for (row, source) in rows.iter_mut().zip(&produced.source) {
            if let Some(shown) = &groups[*source as usize].0.shown {
                row[KEY] = shown.clone();
            }
        }
        Ok(rows)
    }
}
