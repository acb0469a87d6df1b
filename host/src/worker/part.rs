//! Some records of one partition on their way through all stages: one call a stage.

use super::WorkerError;
use super::progress::{Progress, add};
use super::steps::{Flow, Rejected, RowSteps, StepError};
use super::task::Task;
use super::windows::{Fired, Late, WindowStep};
use super::write::{Writing, key_text};
use crate::decode::{Decoded, Decoder};
use crate::log::{Offset, Outbox, RecordBatch};
use crate::pipeline::Pipeline;
use crate::pipeline::plan::OutputPlan;
use crate::rows::{FieldType, RowJson};

/// The partitions that a lane owns and what runs on them. Made anew by each recovery.
pub(super) struct Owned {
    pub(super) tasks: Vec<Task>,
    pub(super) steps: RowSteps,
    pub(super) windows: Option<WindowStep>,
}

/// Some records of one partition on their way through the pipeline.
pub(super) struct Part<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) progress: &'a Progress,
    pub(super) writing: &'a Writing,
    pub(super) batch: &'a RecordBatch,
}

impl Part<'_> {
    /// Takes the records `start..end` of the batch through all stages and stages what comes of them.
    ///
    /// # Errors
    /// If a function failed; staged work is then of no use.
    pub(super) fn process(
        &self,
        owned: &mut Owned,
        decoder: &mut Decoder,
        decoded: &mut Decoded,
        outbox: &mut Outbox,
        start: usize,
        end: usize,
    ) -> Result<(), StepError> {
        let batch = self.batch;
        let at = owned
            .tasks
            .iter()
            .position(|task| task.at == *batch.partition())
            .ok_or_else(|| {
                WorkerError::Bug(format!(
                    "records of {}, which is not assigned",
                    batch.partition()
                ))
            })?;
        let task = &mut owned.tasks[at];
        if batch.offset(start) < task.next {
            return Err(StepError::Host(WorkerError::Committed {
                at: task.at.clone(),
                what: format!(
                    "offset {} came after {}: the topic was deleted and created again, or its end was cut off; reset the \
                     group's offsets, or choose another pipeline name",
                    batch.offset(start),
                    task.next
                ),
            }));
        }

        decoder.decode(batch, start..end, decoded);
        let mut rejected: Vec<Rejected> = decoded
            .failures
            .drain(..)
            .map(|failure| Rejected {
                record: failure.row,
                function: None,
                reason: failure.reason,
            })
            .collect();
        let watermarks = decoded
            .event_times
            .iter()
            .map(|time| task.watermark.observe(*time))
            .collect();
        let flow = Flow {
            batch,
            rows: std::mem::take(&mut decoded.rows),
            origin: std::mem::take(&mut decoded.source),
            times: std::mem::take(&mut decoded.event_times),
            watermarks,
        };
        let stepped = owned.steps.run(flow, &mut rejected)?;

        let task = &mut owned.tasks[at];
        let written_to = task.written_to;
        let mut late = Vec::new();
        let mut fired = Fired::default();
        match &mut owned.windows {
            Some(windows) => {
                windows.gather(&stepped.flow, at, written_to, &mut rejected, &mut late)?;
                windows.advance(at, task.watermark.at());
                fired = windows.fire(self.writing, outbox)?;
                self.progress.set_watermark(windows.watermark());
            }
            None => {
                fired.results = self.write_rows(&stepped.flow, written_to, outbox, &mut rejected);
            }
        }
        self.set_aside(outbox, written_to, &rejected, &late);

        task.next = batch.offset(end - 1).next();
        self.progress.set_position(&task.at, task.next);
        let fresh = (start..end)
            .filter(|row| batch.offset(*row) >= written_to)
            .count();
        add(&self.progress.records, fresh);
        if fresh == end - start {
            add(&self.progress.filtered, stepped.filtered);
        }
        add(&self.progress.windows_fired, fired.windows);
        add(&self.progress.results, fired.results);
        Ok(())
    }

    /// Stages the rows of a pipeline without windows. Returns how many.
    fn write_rows(
        &self,
        flow: &Flow<'_>,
        written_to: Offset,
        outbox: &mut Outbox,
        rejected: &mut Vec<Rejected>,
    ) -> usize {
        let mut written = 0;
        let mut key_buffer = Vec::new();
        for row in 0..flow.rows.len {
            let record = flow.origin[row] as usize;
            if self.batch.offset(record) < written_to {
                continue;
            }
            let mut key_of = |column: Option<usize>, ty: FieldType| {
                column.map(|at| key_text(&flow.rows.columns[at], ty, row, &mut key_buffer))
            };
            let outcome = match &self.pipeline.plan().output {
                OutputPlan::Records { key } => {
                    let ty = key.map_or(FieldType::Text, |at| self.pipeline.plan().decoded[at].ty);
                    let found = key_of(*key, ty);
                    let key = self.key(found, &key_buffer, record);
                    self.writing.record(outbox, self.batch, record, key)
                }
                OutputPlan::Rows { fields, key } => {
                    let found = key_of(*key, key.map_or(FieldType::Text, |at| fields[at].ty));
                    let key = self.key(found, &key_buffer, record);
                    let json = RowJson {
                        fields,
                        rows: &flow.rows,
                        row,
                    };
                    self.writing.row(outbox, json, flow.times[row], key)
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

    /// The key of an output record: the field's text where a field is the key, else the record's own.
    fn key<'k>(&'k self, found: Option<bool>, text: &'k [u8], record: usize) -> Option<&'k [u8]> {
        match found {
            None => self.batch.key(record),
            Some(true) => Some(text),
            Some(false) => None,
        }
    }

    /// Stages dead letters and late rows, except those that were written before a restart.
    fn set_aside(
        &self,
        outbox: &mut Outbox,
        written_to: Offset,
        rejected: &[Rejected],
        late: &[Late],
    ) {
        let fresh = |record: u32| self.batch.offset(record as usize) >= written_to;
        let mut dead = 0;
        for bad in rejected.iter().filter(|bad| fresh(bad.record)) {
            self.writing.dead_letter(outbox, self.batch, bad);
            dead += 1;
        }
        let mut too_late = 0;
        for row in late.iter().filter(|row| fresh(row.record)) {
            let record = row.record as usize;
            self.writing
                .late(outbox, self.batch, record, row.window, row.watermark);
            too_late += 1;
        }
        add(&self.progress.dead_letters, dead);
        add(&self.progress.late, too_late);
    }
}
