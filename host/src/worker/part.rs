//! Some records of one partition on their way through the stages: one call a stage.

use super::WorkerError;
use super::gather::{Destination, Gathered};
use super::judging::{judge, tell_unread};
use super::mill::Mill;
use super::partials::{Made, PARTIALS};
use super::progress::Counts;
use super::steps::{Flow, Rejected, StepError};
use super::task::Task;
use super::write::key_text;
use crate::decode::Decoded;
use crate::log::{Outbox, RecordBatch};
use crate::pipeline::config::OnError;
use crate::pipeline::plan::OutputPlan;
use crate::rows::{FieldType, RowJson};
use crate::state::{ExchangeReader, Exchanged};
use crate::time::Timestamp;
use crate::window::{Horizon, Key, Pane, Window};

/// Some records and what they go through.
pub(super) struct Part<'a> {
    /// The version that has the partition.
    pub(super) mill: &'a mut Mill,
    pub(super) batch: &'a RecordBatch,
    pub(super) decoded: &'a mut Decoded,
    pub(super) outbox: &'a mut Outbox,
    /// How far in the future records may lie, if that is limited.
    pub(super) horizon: Option<Horizon>,
}

/// What came of some records.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) counts: Counts,
    /// Counted windows that are full, each with its key and the event time of its last row.
    pub(super) full: Vec<(Window, Key, Timestamp)>,
}

impl Part<'_> {
    /// Takes the records `start..end` of a source partition through decoding and the steps, into windows or the outbox.
    ///
    /// # Errors
    /// If a function failed; staged work is then of no use.
    pub(super) fn process(
        &mut self,
        task: &mut Task,
        start: usize,
        end: usize,
    ) -> Result<Outcome, StepError> {
        let batch = self.batch;
        let decoded = &mut *self.decoded;
        let mill = &mut *self.mill;
        mill.decoder.decode(batch, start..end, decoded);
        let mut rejected: Vec<Rejected> = decoded
            .failures
            .drain(..)
            .map(|failure| Rejected {
                record: failure.row,
                function: None,
                reason: failure.reason,
            })
            .collect();
        let unread_watermarks = tell_unread(batch, &decoded.unread_watermarks);
        let watermarks = judge(decoded, &mut task.watermark, self.horizon, &mut rejected)?;
        let flow = Flow {
            batch,
            rows: std::mem::take(&mut decoded.rows),
            origin: std::mem::take(&mut decoded.source),
            times: std::mem::take(&mut decoded.event_times),
            watermarks,
        };
        let stepped = mill.steps.run(flow, &mut rejected)?;

        let mut gathered = Gathered::default();
        let mut results = 0;
        match (&mut mill.gatherer, &mut mill.contents) {
            (Some(gatherer), Some(contents)) => {
                let at = &task.at;
                let to = match (&mut task.windows, &mut mill.partials) {
                    (Some(windows), _) => Destination {
                        owner: windows.owner(),
                        source: task.source,
                        at,
                        cold: Some(&windows.cold),
                        sessions: &mut windows.sessions,
                        counters: &mut windows.counters,
                    },
                    (None, Some(partials)) => Destination {
                        owner: PARTIALS,
                        source: task.source,
                        at,
                        cold: None,
                        sessions: &mut partials.sessions,
                        counters: &mut partials.counters,
                    },
                    (None, None) => {
                        let what = format!("rows of {at} have windows, and nobody has those");
                        return Err(WorkerError::Bug(what).into());
                    }
                };
                gathered = gatherer.gather(&stepped.flow, to, contents, &mut rejected)?;
                for row in gathered.held.drain(..) {
                    match (&mut task.windows, &mut mill.partials) {
                        (Some(windows), _) => windows.held.add(task.source, row),
                        (None, Some(partials)) => partials.hold(task.source, row),
                        (None, None) => {}
                    }
                }
                if let Some(windows) = &mut task.windows {
                    windows.watermarks.advance(&task.at, task.watermark.at());
                }
            }
            _ => results = self.write_rows(&stepped.flow, &mut rejected),
        }
        let mut counts = Counts {
            records: end - start,
            filtered: stepped.filtered,
            late: gathered.late.len(),
            behind: gathered.behind,
            unread_watermarks,
            results,
            ..Counts::default()
        };
        for bad in &rejected {
            set_aside(bad, self.mill, batch, self.outbox, &mut counts)?;
        }
        for row in &gathered.late {
            let record = row.record as usize;
            let writing = &self.mill.writing;
            writing.late(self.outbox, batch, record, row.window, row.watermark);
        }
        Ok(Outcome {
            counts,
            full: gathered.full,
        })
    }

    /// Merges the records `start..end` of the repartition topic into the windows of a final task; `None` if one is of a version
    /// that this worker does not have yet.
    ///
    /// # Errors
    /// If the function failed, or a record is not what the first stage writes.
    pub(super) fn merge(
        &mut self,
        task: &mut Task,
        start: usize,
        end: usize,
    ) -> Result<Option<Outcome>, StepError> {
        let (Some(windows), Some(contents)) = (&mut task.windows, &mut self.mill.contents) else {
            let what = format!("partials for {}, which has no windows", task.at);
            return Err(WorkerError::Bug(what).into());
        };
        let is_ahead = |made: &Made| {
            let is_another = made.state_version != self.mill.shape.state_version;
            is_another && made.generation > self.mill.running.version.generation
        };
        let made = |row| self.batch.key(row).and_then(Made::from_key);
        if (start..end).filter_map(made).any(|made| is_ahead(&made)) {
            return Ok(None);
        }
        let mut partials: Vec<(Pane, &[u8], &[u8])> = Vec::new();
        let mut whole: Vec<(Pane, &[u8], Vec<u8>)> = Vec::new();
        let mut told = Vec::new();
        for row in start..end {
            // Of an earlier version of the function's state, if it is.
            let from = made(row).map(|made| made.state_version);
            let from = from.filter(|version| *version != self.mill.shape.state_version);
            let mut migrated = |pane, key, bytes: &[u8]| -> Result<_, StepError> {
                let bytes = match from {
                    Some(from) => contents.migrated(from, &[bytes])?.concat(),
                    None => bytes.to_vec(),
                };
                Ok((pane, key, bytes))
            };
            let offset = self.batch.offset(row);
            let damaged = |error| WorkerError::Committed {
                at: task.at.clone(),
                what: format!(
                    "the record at offset {offset} is not a partial of this release ({error}): something else wrote to the topic; begin anew \
                     with `millstream state reset`"
                ),
            };
            for entry in ExchangeReader::new(self.batch.value(row).unwrap_or_default()) {
                match entry.map_err(damaged)? {
                    Exchanged::Part {
                        pane, key, bytes, ..
                    } if from.is_none() => partials.push((pane, key, bytes)),
                    Exchanged::Part {
                        pane, key, bytes, ..
                    } => whole.push(migrated(pane, key, bytes)?),
                    Exchanged::Piece {
                        pane,
                        key,
                        source,
                        piece,
                    } => {
                        let bytes = task.pieces.add(pane, key, source, piece);
                        if let Some(bytes) = bytes.map_err(damaged)? {
                            whole.push(migrated(pane, key, &bytes)?);
                        }
                    }
                    Exchanged::Held(source, row) => windows.held.add(source, row),
                    Exchanged::Watermark(at, to) => told.push((at, Some(to))),
                    Exchanged::Ended(at) => told.push((at, None)),
                }
            }
        }
        let whole = whole
            .iter()
            .map(|(pane, key, bytes)| (*pane, *key, bytes.as_slice()));
        partials.extend(whole);
        // Before the watermarks: partials of a commit stand before the watermarks that they were made under.
        let refused = windows.merge(&partials, contents)?;
        for (at, to) in told {
            match to {
                Some(to) => windows.watermarks.advance(&at, to),
                None => windows.watermarks.end(&at),
            }
        }
        if refused > 0 {
            tracing::warn!(
                partition = %task.at,
                partials = refused,
                "partials came for windows that have fired: partitions were added to the source, or its offsets set back by hand"
            );
        }
        Ok(Some(Outcome {
            counts: Counts {
                late_partials: refused,
                ..Counts::default()
            },
            full: Vec::new(),
        }))
    }

    /// Stages the rows of a pipeline without windows. Returns how many.
    fn write_rows(&mut self, flow: &Flow<'_>, rejected: &mut Vec<Rejected>) -> usize {
        let mut written = 0;
        let mut key_buffer = Vec::new();
        for row in 0..flow.rows.len {
            let record = flow.origin[row] as usize;
            let mut key_of = |column: Option<usize>, ty: FieldType| {
                column.map(|at| key_text(&flow.rows.columns[at], ty, row, &mut key_buffer))
            };
            let outcome = match &self.mill.pipeline().plan().output {
                OutputPlan::Records { key } => {
                    let ty = key.map_or(FieldType::Text, |at| {
                        self.mill.pipeline().plan().decoded[at].ty
                    });
                    let found = key_of(*key, ty);
                    let key = output_key(self.batch, found, &key_buffer, record);
                    self.mill
                        .writing
                        .record(self.outbox, self.batch, record, key)
                }
                OutputPlan::Rows { fields, key } => {
                    let found = key_of(*key, key.map_or(FieldType::Text, |at| fields[at].ty));
                    let key = output_key(self.batch, found, &key_buffer, record);
                    let json = RowJson {
                        fields,
                        rows: &flow.rows,
                        row,
                    };
                    self.mill
                        .writing
                        .row(self.outbox, json, flow.times[row], key)
                }
                OutputPlan::Windows { .. } => Ok(()),
            };
            match outcome {
                Ok(()) => written += 1,
                Err(reason) => rejected.push(Rejected {
                    record: flow.origin[row],
                    function: None,
                    reason,
                }),
            }
        }
        written
    }
}

/// Deals with a record that could not be processed, as its step says: writes it to the dead letters, or leaves it out.
///
/// # Errors
/// If the step says that the pipeline ends with it.
pub(super) fn set_aside(
    bad: &Rejected,
    mill: &Mill,
    batch: &RecordBatch,
    outbox: &mut Outbox,
    counts: &mut Counts,
) -> Result<(), WorkerError> {
    let functions = mill.pipeline().functions();
    let function = bad.function.map(|at| functions[at].config());
    // What can't be decoded has not come to any step.
    match function.map_or(OnError::DeadLetter, |function| function.on_error) {
        OnError::DeadLetter => {
            mill.writing.dead_letter(outbox, batch, bad);
            counts.dead_letters += 1;
        }
        OnError::Skip => counts.skipped += 1,
        OnError::Fail => {
            return Err(WorkerError::Row {
                step: function.map(|f| f.name.clone()).unwrap_or_default(),
                at: batch.partition().clone(),
                offset: batch.offset(bad.record as usize),
                reason: bad.reason.clone(),
            });
        }
    }
    Ok(())
}

/// The key of an output record: the field's text where a field is the key, else the record's own.
fn output_key<'k>(
    batch: &'k RecordBatch,
    found: Option<bool>,
    text: &'k [u8],
    record: usize,
) -> Option<&'k [u8]> {
    match found {
        None => batch.key(record),
        Some(true) => Some(text),
        Some(false) => None,
    }
}
