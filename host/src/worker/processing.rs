//! Records on their way from a poll to windows or the outbox, in portions; and what happens when a function fails at some of them, by
//! what `quarantine` finds.

use std::ops::Range;

use super::WorkerError;
use super::lane::{Lane, LaneEnd};
use super::part::{Outcome, Part, set_aside};
use super::progress::{Counts, Status, add};
use super::quarantine::{How, Verdict};
use super::rollout::Report;
use super::steps::{Rejected, StepError};
use super::trial::Tally;
use crate::log::{Fetched, Log, RecordBatch};
use crate::pipeline::config::{OnError, OnExhausted};
use crate::plugin::GuestFailure;
use crate::state::{Stage, Store};
use crate::time::Clock;
use crate::window::{Horizon, Silence};

/// What came of some rows.
enum Tried {
    Done(Outcome),
    /// A function failed: its number, and how. What is staged and at hand is of no use.
    Failed(usize, Box<GuestFailure>),
    /// They are partials of a version that this worker does not have yet.
    Ahead,
}

impl<L: Log, C: Clock, S: Store> Lane<'_, L, C, S> {
    /// Takes all records that were fetched through the pipeline.
    pub(super) fn process(&mut self) -> Result<(), LaneEnd> {
        let fetched = std::mem::take(&mut self.fetched);
        if !fetched.is_empty() {
            self.around.progress.set_status(Status::Running);
        }
        let done = self.process_batches(&fetched);
        // Its buffers serve the next poll.
        self.fetched = fetched;
        self.show_watermarks();
        done
    }

    fn process_batches(&mut self, fetched: &Fetched) -> Result<(), LaneEnd> {
        let at_once = self.around.pipeline.config().batch_rows;
        for batch in fetched.batches() {
            let len = self.within_run(batch);
            let mut start = 0;
            while start < len {
                let rows = start..len.min(start + at_once);
                let offset = |row| batch.offset(row);
                let next = self.quarantine.next(batch.partition(), rows, offset);
                let end = next.end;
                let goes_on = match next.how {
                    How::Together => self.process_part(batch, start, end)?,
                    How::AsSuspects => self.process_suspects(batch, start, end)?,
                    How::Aside(verdict) => {
                        let verdict = verdict.clone();
                        self.put_aside(batch, start, verdict)?
                    }
                } && (self.unfired || self.fire(batch.partition())?)
                    && (!self.is_full() || self.commit()?);
                if !goes_on {
                    // Everything was thrown away, and these records come again.
                    return Ok(());
                }
                start = end;
            }
        }
        Ok(())
    }

    /// How many records of a batch belong to the run. Where none does, all that do have been read.
    fn within_run(&mut self, batch: &RecordBatch) -> usize {
        let task = self.tasks.get_mut(batch.partition());
        let source = task.filter(|task| task.stage == Stage::Source);
        let (Some(task), Some(ends)) = (source, self.pacing.ends()) else {
            return batch.len();
        };
        let len = ends.within(batch);
        if len == 0 && !batch.is_empty() {
            task.next = task.next.max(ends.of(&task.at));
        }
        len
    }

    /// Takes the records `start..end` of a batch as far as windows or the outbox. Returns whether all is well: if a function
    /// failed, everything was thrown away, and its rows are suspects when they come again.
    fn process_part(
        &mut self,
        batch: &RecordBatch,
        start: usize,
        end: usize,
    ) -> Result<bool, LaneEnd> {
        match self.try_part(batch, start, end)? {
            Tried::Done(outcome) => self.processed(batch, start..end, outcome)?,
            Tried::Failed(function, failure) => {
                self.tell_failure(batch, start..end, function, &failure);
                if !self.condemn(batch.partition(), function, &failure) {
                    let offsets = batch.offset(start)..batch.offset(end - 1).next();
                    self.quarantine.suspect(batch.partition(), offsets);
                }
                self.roll_back()?;
                return Ok(false);
            }
            Tried::Ahead => return self.wait_for_version(),
        }
        Ok(true)
    }

    /// The same with rows one of which may have made a function fail: all before them is committed first. One row that fails is
    /// tried once more, with instances that have done nothing else.
    fn process_suspects(
        &mut self,
        batch: &RecordBatch,
        start: usize,
        end: usize,
    ) -> Result<bool, LaneEnd> {
        if !self.commit()? {
            return Ok(false);
        }
        if end - start > 1 {
            return self.process_part(batch, start, end);
        }
        match self.try_part(batch, start, end)? {
            Tried::Done(outcome) => {
                self.processed(batch, start..end, outcome)?;
                return Ok(true);
            }
            Tried::Failed(function, failure) => {
                self.tell_failure(batch, start..end, function, &failure);
            }
            Tried::Ahead => return self.wait_for_version(),
        }
        self.roll_back()?;
        match self.try_part(batch, start, end)? {
            Tried::Done(outcome) => {
                // The row is innocent. What the log has sent beside it was given up by going back.
                self.processed(batch, start..end, outcome)?;
                self.commit()?;
                self.seek()?;
            }
            Tried::Failed(function, failure) => {
                self.convict(batch, start, function, failure)?;
                self.roll_back()?;
            }
            Tried::Ahead => return self.wait_for_version(),
        }
        Ok(false)
    }

    /// One go, with what comes of it still to be counted.
    fn try_part(
        &mut self,
        batch: &RecordBatch,
        start: usize,
        end: usize,
    ) -> Result<Tried, LaneEnd> {
        let at = batch.partition();
        let Some(task) = self.tasks.get_mut(at) else {
            return Err(WorkerError::Bug(format!("records of {at}, which is not ours")).into());
        };
        if batch.offset(start) < task.next {
            return Err(LaneEnd::Failed(WorkerError::Committed {
                at: at.clone(),
                what: format!(
                    "offset {} came after {}: the topic was deleted and created again, or its end was cut off; begin anew with \
                     `millstream state reset`, or choose another pipeline name",
                    batch.offset(start),
                    task.next
                ),
            }));
        }
        let max_future = self.around.pipeline.config().source.max_future;
        let begun = self.around.clock.monotonic();
        let mut part = Part {
            mill: self.mills.of(at),
            batch,
            decoded: &mut self.decoded,
            outbox: &mut self.outbox,
            horizon: max_future.map(|most| Horizon::new(self.around.clock.now(), most)),
        };
        match task.stage {
            Stage::Source => match part.process(task, start, end) {
                Ok(outcome) => {
                    let Counts {
                        records,
                        dead_letters,
                        skipped,
                        ..
                    } = outcome.counts;
                    let took = self.around.clock.monotonic().saturating_sub(begun);
                    self.mills.of(at).tally.add(Tally {
                        rows: records as u64,
                        errors: (dead_letters + skipped) as u64,
                        took,
                    });
                    Ok(Tried::Done(outcome))
                }
                Err(StepError::Function(function, failure)) => Ok(Tried::Failed(function, failure)),
                Err(StepError::Host(error)) => Err(error.into()),
            },
            // Partials are the host's own records: there is no row to blame.
            Stage::Final => {
                let offsets = Some((at, batch.offset(start), batch.offset(end - 1)));
                let outcome = part.merge(task, start, end);
                let outcome = outcome.map_err(|error| self.around.failure(error, offsets))?;
                Ok(outcome.map_or(Tried::Ahead, Tried::Done))
            }
        }
    }

    /// Rows have gone through.
    fn processed(
        &mut self,
        batch: &RecordBatch,
        rows: Range<usize>,
        outcome: Outcome,
    ) -> Result<(), LaneEnd> {
        let at = batch.partition();
        self.counts.add(&outcome.counts);
        self.uncommitted += rows.len();
        if let Some(task) = self.tasks.get_mut(at) {
            task.next = batch.offset(rows.end - 1).next();
            self.around.progress.set_position(at, task.next);
            if task.stage == Stage::Source {
                task.silence = Silence::since(self.around.clock.monotonic());
            }
        }
        self.fire_counted(at, outcome.full)
    }

    /// A row at which a function fails whatever came before it goes to the dead letters, or where the step says.
    fn put_aside(
        &mut self,
        batch: &RecordBatch,
        row: usize,
        verdict: Verdict,
    ) -> Result<bool, LaneEnd> {
        let mut counts = Counts {
            records: 1,
            ..Counts::default()
        };
        let bad = Rejected {
            record: u32::try_from(row).map_err(|error| WorkerError::Bug(error.to_string()))?,
            function: Some(verdict.function),
            reason: verdict.reason,
        };
        let mill = self.mills.at(batch.partition());
        set_aside(&bad, mill, batch, &mut self.outbox, &mut counts)?;
        let outcome = Outcome {
            counts,
            full: Vec::new(),
        };
        self.processed(batch, row..row + 1, outcome)?;
        Ok(true)
    }

    /// A function fails at a row, and nothing else is to blame.
    fn convict(
        &mut self,
        batch: &RecordBatch,
        row: usize,
        function: usize,
        failure: Box<GuestFailure>,
    ) -> Result<(), LaneEnd> {
        let (at, offset) = (batch.partition(), batch.offset(row));
        let step = self.around.pipeline.functions()[function].config();
        let verdict = Verdict {
            function,
            reason: failure.to_string(),
        };
        if step.on_error == OnError::Fail {
            return Err(LaneEnd::Failed(WorkerError::Row {
                step: step.name.clone(),
                at: at.clone(),
                offset,
                reason: verdict.reason,
            }));
        }
        let mill = self.mills.of(at);
        mill.convicted += 1;
        if let Some(trial) = &mill.running.trial
            && trial.step == step.name
            && mill.convicted > trial.limits.failures
        {
            let generation = mill.generation();
            let reason = verdict.reason;
            self.call_back(Report::Bad { generation, reason });
            return Ok(());
        }
        let now = self.around.clock.monotonic();
        let within_minute = self.quarantine.convict(at, offset, verdict, now);
        let budget = step.limits.failures_per_minute;
        if within_minute > usize::try_from(budget).unwrap_or(usize::MAX) {
            let generation = self.mills.at(at).generation();
            if step.on_exhausted == OnExhausted::Previous && self.can_go_back(&step.name) {
                self.call_back(Report::Exhausted {
                    generation,
                    step: step.name.clone(),
                    reason: failure.to_string(),
                });
                return Ok(());
            }
            return Err(LaneEnd::Failed(WorkerError::Budget {
                budget,
                last: Box::new(WorkerError::Plugin {
                    step: step.name.clone(),
                    at: at.clone(),
                    from: offset,
                    to: offset,
                    source: failure,
                }),
            }));
        }
        Ok(())
    }

    fn tell_failure(
        &self,
        batch: &RecordBatch,
        rows: Range<usize>,
        function: usize,
        failure: &GuestFailure,
    ) {
        add(&self.around.progress.failures, 1);
        tracing::warn!(
            step = self.around.pipeline.functions()[function].name(),
            partition = %batch.partition(),
            from = %batch.offset(rows.start),
            to = %batch.offset(rows.end - 1),
            %failure,
            "a function failed; looking for the row that makes it"
        );
    }

    /// Whether so much is staged or at hand that it has to be committed now.
    pub(super) fn is_full(&self) -> bool {
        let limits = self.around.pipeline.config().commit;
        let max_rows = usize::try_from(limits.max_rows).unwrap_or(usize::MAX);
        self.uncommitted >= max_rows
            || self.outbox.byte_len() as u64 >= limits.max_bytes.as_u64()
            || self.mills.are_pressed()
    }
}
