//! One membership in the log's group, from joining to leaving: polls, decodes, hands rows on, commits.
//!
//! A lane owns all partitions of the source or none: as long as another process still has some, it waits. Whenever its
//! partitions change, or a transaction is aborted, it throws its staged work away and starts again from what the group has
//! committed ([`Lane::recover`]).

use std::collections::BTreeSet;
use std::time::Duration;

use super::WorkerError;
use super::part::{Owned, Part};
use super::progress::{Progress, Status, add};
use super::steps::{RowSteps, StepError};
use super::task::{Resume, Task};
use super::windows::WindowStep;
use super::write::Writing;
use crate::decode::{Decoded, Decoder};
use crate::log::{
    CommitError, Delivery, Fetched, GroupOffset, Log, LogError, Membership, Outbox, Polled,
    RecordBatch, Session, TopicPartition,
};
use crate::pipeline::Pipeline;
use crate::pipeline::config::Start;
use crate::plugin::PluginEngine;
use crate::time::{Clock, Timestamp};

/// How many rows go through the steps at once: enough to spread the cost of a call, few enough for the cache.
const BATCH_ROWS: usize = 1_024;
/// How often a lane that waits for partitions makes sure that it has not been fenced.
const PROOF_INTERVAL: Duration = Duration::from_secs(1);
/// How long a poll waits for records, so that requests to stop are seen soon.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// Why a lane ended.
#[derive(Debug)]
pub(super) enum LaneEnd {
    /// The log is away, or the fate of a transaction is unknown: join again.
    Rejoin(LogError),
    /// The worker must end.
    Failed(WorkerError),
}

impl From<WorkerError> for LaneEnd {
    fn from(error: WorkerError) -> Self {
        LaneEnd::Failed(error)
    }
}

impl From<LogError> for LaneEnd {
    fn from(error: LogError) -> Self {
        if error.is_retriable() {
            LaneEnd::Rejoin(error)
        } else {
            LaneEnd::Failed(error.into())
        }
    }
}

/// How a lane ends by a commit that failed.
fn end_of(error: CommitError) -> LaneEnd {
    match error {
        CommitError::Aborted(why) | CommitError::Unknown(why) => {
            LaneEnd::Rejoin(LogError::Unavailable(why))
        }
        CommitError::Fenced(why) => LaneEnd::Failed(WorkerError::Fenced(why)),
        CommitError::Refused(why) => LaneEnd::Failed(WorkerError::Commit(why)),
    }
}

/// What a lane works with and does not own.
pub(super) struct Around<'a, L: Log, C: Clock> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) engine: &'a PluginEngine,
    pub(super) log: &'a L,
    pub(super) clock: &'a C,
    pub(super) progress: &'a Progress,
}

pub(super) struct Lane<'a, L: Log, C: Clock> {
    around: &'a Around<'a, L, C>,
    session: L::Session,
    writing: Writing,
    decoder: Decoder,
    /// `None` until all partitions belong to this lane.
    owned: Option<Owned>,
    /// Partitions that are fetched.
    begun: BTreeSet<TopicPartition>,
    outbox: Outbox,
    /// Rows read since the last commit.
    uncommitted: usize,
    /// Some partitions start where nothing has been committed: where that is must not depend on when it is asked again.
    new_start: bool,
    /// All partitions have belonged to this lane.
    recovered: bool,
    committed_at: Duration,
    fetched: Fetched,
    decoded: Decoded,
}

impl<'a, L: Log, C: Clock> Lane<'a, L, C> {
    /// Joins the group, and fences whoever ran the pipeline before.
    ///
    /// # Errors
    /// If the log can't be reached or refuses.
    pub(super) fn join(around: &'a Around<'a, L, C>) -> Result<Self, LaneEnd> {
        let config = around.pipeline.config();
        let session = around.log.join(&Membership {
            group: config.name.clone(),
            member: "worker".to_owned(),
            topics: config.source.topics.clone(),
            delivery: Delivery::ExactlyOnce,
        })?;
        let decoder = around.pipeline.decoder().map_err(|error| {
            WorkerError::Bug(format!("a decoder that had been made before: {error}"))
        })?;
        Ok(Self {
            writing: Writing::new(around.pipeline, around.log)?,
            session,
            decoder,
            owned: None,
            begun: BTreeSet::new(),
            outbox: Outbox::new(),
            uncommitted: 0,
            new_start: false,
            recovered: false,
            committed_at: around.clock.monotonic(),
            fetched: Fetched::new(),
            decoded: Decoded::new(),
            around,
        })
    }

    /// Whether it has come as far as reading.
    pub(super) fn has_recovered(&self) -> bool {
        self.recovered
    }

    /// Runs until `stop` says so, and commits before it returns.
    ///
    /// # Errors
    /// See [`LaneEnd`].
    pub(super) fn run(&mut self, stop: impl Fn() -> bool) -> Result<(), LaneEnd> {
        while !stop() {
            match self.poll()? {
                Polled::Assigned(_) => {
                    self.recover()?;
                    self.commit()?;
                }
                Polled::Revoked(partitions) | Polled::Lost(partitions) => {
                    self.session.release(&partitions)?;
                    self.begun.retain(|at| !partitions.contains(at));
                    self.recover()?;
                    self.commit()?;
                }
                Polled::Records if self.owned.is_some() => {
                    self.process()?;
                    if self.commit_is_due() {
                        self.commit()?;
                    }
                }
                // Not all partitions are ours: what was fetched is fetched again once they are.
                Polled::Records => self.prove_ownership()?,
            }
        }
        self.commit()
    }

    fn poll(&mut self) -> Result<Polled, LaneEnd> {
        let wait = if self.uncommitted == 0 {
            POLL_WAIT
        } else {
            let age = self
                .around
                .clock
                .monotonic()
                .saturating_sub(self.committed_at);
            let interval = self.around.pipeline.config().commit.interval;
            POLL_WAIT.min(interval.saturating_sub(age))
        };
        match self.session.poll(&mut self.fetched, wait) {
            Err(LogError::Unavailable(why)) => {
                // librdkafka keeps trying by itself; what it holds stays good.
                self.around.progress.set_status(Status::Unavailable(why));
                self.fetched.clear();
                Ok(Polled::Records)
            }
            other => Ok(other?),
        }
    }

    /// Throws staged work away and starts from what the group has committed.
    fn recover(&mut self) -> Result<(), LaneEnd> {
        let Around {
            pipeline,
            engine,
            log,
            progress,
            ..
        } = self.around;
        self.outbox.clear();
        self.uncommitted = 0;
        self.owned = None;

        let source = &pipeline.config().source;
        let assigned = self.session.assignment();
        let mut all = 0;
        for name in &source.topics {
            let topic = log.topic(name)?;
            let topic = topic.ok_or_else(|| LogError::NoTopic(name.clone()))?;
            all += usize::try_from(topic.partitions).unwrap_or_default();
        }
        if assigned.len() < all {
            tracing::info!(assigned = assigned.len(), all, "waiting for all partitions");
            progress.set_status(Status::Waiting {
                assigned: assigned.len(),
                all,
            });
            return Ok(());
        }

        let committed = self.session.committed(&assigned)?;
        let mut tasks = Vec::with_capacity(assigned.len());
        let mut fired = Timestamp::MIN;
        for at in assigned {
            let resume = self.resume(&at, &committed)?;
            fired = fired.max(resume.fired);
            tracing::info!(
                partition = %at,
                from = %resume.from,
                written_to = %resume.written_to,
                watermark = %resume.watermark,
                "reading"
            );
            progress.set_position(&at, resume.from);
            tasks.push(Task::new(at, resume, source.allowed_disorder));
        }
        let (seeks, begins): (Vec<_>, Vec<_>) = tasks
            .iter()
            .map(|task| (task.at.clone(), task.next))
            .partition(|(at, _)| self.begun.contains(at));
        self.session.seek(&seeks)?;
        self.session.begin(&begins)?;
        self.begun.extend(begins.into_iter().map(|(at, _)| at));

        let started = RowSteps::start(pipeline, engine).and_then(|steps| {
            Ok((
                steps,
                WindowStep::start(pipeline, engine, tasks.len(), fired)?,
            ))
        });
        let (steps, mut windows) = started.map_err(|error| self.start_failure(error))?;
        for (at, task) in tasks.iter().enumerate() {
            if let Some(windows) = &mut windows {
                windows.advance(at, task.watermark.at());
            }
        }
        self.new_start = committed.len() < tasks.len();
        self.recovered = true;
        self.owned = Some(Owned {
            tasks,
            steps,
            windows,
        });
        self.committed_at = self.around.clock.monotonic();
        progress.set_status(Status::Running);
        Ok(())
    }

    /// Where a partition goes on.
    fn resume(&self, at: &TopicPartition, committed: &[GroupOffset]) -> Result<Resume, LaneEnd> {
        let bounds = self.around.log.bounds(&at.topic)?;
        let index = usize::try_from(at.partition).unwrap_or(usize::MAX);
        let bounds = bounds
            .get(index)
            .copied()
            .ok_or_else(|| LogError::NoTopic(at.to_string()))?;
        let Some(committed) = committed.iter().find(|committed| committed.at == *at) else {
            return Ok(Resume::fresh(
                match self.around.pipeline.config().source.start {
                    Start::Earliest => bounds.start,
                    Start::Latest => bounds.end,
                },
            ));
        };
        let mut resume = Resume::committed(committed).map_err(|what| WorkerError::Committed {
            at: at.clone(),
            what,
        })?;
        let known = resume.from.max(resume.written_to);
        if known > bounds.end {
            return Err(LaneEnd::Failed(WorkerError::Committed {
                at: at.clone(),
                what: format!(
                    "it had been read up to offset {known}, and now ends at {}: the topic was deleted and created again, or \
                     its end was cut off; reset the group's offsets, or choose another pipeline name",
                    bounds.end
                ),
            }));
        }
        if resume.from < bounds.start {
            tracing::error!(
                partition = %at,
                lost = bounds.start.0 - resume.from.0,
                "the log no longer has the records from {} to {}: they had not been processed, or a window that was \
                 open needed them; lengthen the retention of the topic",
                resume.from, bounds.start
            );
            resume.from = bounds.start;
            resume.written_to = resume.written_to.max(bounds.start);
        }
        Ok(resume)
    }

    /// Takes all records that were fetched through the pipeline.
    fn process(&mut self) -> Result<(), LaneEnd> {
        let fetched = std::mem::take(&mut self.fetched);
        if !fetched.is_empty() {
            self.around.progress.set_status(Status::Running);
        }
        let done = self.process_batches(&fetched);
        // Its buffers serve the next poll.
        self.fetched = fetched;
        done
    }

    fn process_batches(&mut self, fetched: &Fetched) -> Result<(), LaneEnd> {
        let limits = self.around.pipeline.config().commit;
        let max_rows = usize::try_from(limits.max_rows).unwrap_or(usize::MAX);
        for batch in fetched.batches() {
            for start in (0..batch.len()).step_by(BATCH_ROWS) {
                let end = (start + BATCH_ROWS).min(batch.len());
                self.process_part(batch, start, end)?;
                let full = self.uncommitted >= max_rows
                    || self.outbox.byte_len() as u64 >= limits.max_bytes.as_u64();
                if full && !self.commit_or_recover()? {
                    // Everything was thrown away, and these records come again.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn process_part(
        &mut self,
        batch: &RecordBatch,
        start: usize,
        end: usize,
    ) -> Result<(), LaneEnd> {
        let owned = self
            .owned
            .as_mut()
            .expect("only called while partitions are owned");
        let part = Part {
            pipeline: self.around.pipeline,
            progress: self.around.progress,
            writing: &self.writing,
            batch,
        };
        part.process(
            owned,
            &mut self.decoder,
            &mut self.decoded,
            &mut self.outbox,
            start,
            end,
        )
        .map_err(|error| match error {
            StepError::Host(error) => error,
            StepError::Function(function, failure) => WorkerError::Plugin {
                step: self.around.pipeline.functions()[function].name().to_owned(),
                at: batch.partition().clone(),
                from: batch.offset(start),
                to: batch.offset(end - 1),
                source: failure,
            },
        })?;
        self.uncommitted += end - start;
        Ok(())
    }

    /// While other partitions belong to somebody else, commits again what is committed for one of ours. If that somebody has
    /// fenced this process, it is told so, and leaves the partitions that the other one waits for.
    fn prove_ownership(&mut self) -> Result<(), LaneEnd> {
        let now = self.around.clock.monotonic();
        if now.saturating_sub(self.committed_at) < PROOF_INTERVAL {
            return Ok(());
        }
        self.committed_at = now;
        let assigned = self.session.assignment();
        let committed = self.session.committed(&assigned)?;
        match self
            .session
            .commit(&Outbox::new(), committed.get(..1).unwrap_or_default())
        {
            Ok(_) | Err(CommitError::Aborted(_)) => Ok(()),
            Err(other) => Err(end_of(other)),
        }
    }

    fn start_failure(&self, error: StepError) -> WorkerError {
        match error {
            StepError::Host(error) => error,
            StepError::Function(function, source) => WorkerError::Start {
                step: self.around.pipeline.functions()[function].name().to_owned(),
                source,
            },
        }
    }

    fn commit_is_due(&self) -> bool {
        let age = self
            .around
            .clock
            .monotonic()
            .saturating_sub(self.committed_at);
        self.uncommitted > 0 && age >= self.around.pipeline.config().commit.interval
    }

    fn commit(&mut self) -> Result<(), LaneEnd> {
        self.commit_or_recover().map(drop)
    }

    /// Commits what is staged; nothing if no row has been read. Returns whether it was committed: if not, everything was
    /// thrown away and starts again from what had been committed before.
    fn commit_or_recover(&mut self) -> Result<bool, LaneEnd> {
        let due = self.uncommitted > 0 || self.new_start;
        let Some(owned) = self.owned.as_ref().filter(|_| due) else {
            return Ok(true);
        };
        let fired = owned
            .windows
            .as_ref()
            .map_or(Timestamp::MIN, WindowStep::fired);
        let offsets: Vec<GroupOffset> = owned
            .tasks
            .iter()
            .enumerate()
            .map(|(at, task)| {
                let first = owned
                    .windows
                    .as_ref()
                    .and_then(|windows| windows.first_row(at));
                task.commit(first, fired)
            })
            .collect();
        let progress = self.around.progress;
        match self.session.commit(&self.outbox, &offsets) {
            Ok(_) => {
                add(&progress.commits, 1);
                self.outbox.clear();
                self.uncommitted = 0;
                self.new_start = false;
                self.committed_at = self.around.clock.monotonic();
                Ok(true)
            }
            Err(CommitError::Aborted(why)) => {
                tracing::warn!(
                    why,
                    "a transaction was aborted; starting again from the last commit"
                );
                add(&progress.aborts, 1);
                self.recover()?;
                Ok(false)
            }
            Err(other) => Err(end_of(other)),
        }
    }
}
