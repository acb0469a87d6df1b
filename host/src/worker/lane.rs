//! One membership in the log's group, from joining to leaving: takes tasks over and gives them up, polls, hands records on.
//!
//! A lane owns what a worker has in memory. A transaction that is aborted makes it go back to what is committed
//! (`rolling_back`); one whose fate is unknown, and everything else that may pass, ends the lane, and the worker joins
//! anew. How records are processed is in `processing`, how a commit is made in `committing`, how a task is taken over in `claiming`, how
//! windows fire in `firing`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::WorkerError;
use super::board::Board;
use super::claiming::Claim;
use super::early::Early;
use super::ending::Ends;
use super::mill::Mills;
use super::pacing::Pacing;
use super::partials::PARTIALS;
use super::progress::{Counts, Progress, Reach, Status, add};
use super::quarantine::Quarantine;
use super::rollout::Rollout;
use super::steps::StepError;
use super::task::Task;
use super::topology::Topology;
use crate::decode::Decoded;
use crate::log::{
    Fetched, Log, LogError, Membership, Offset, Outbox, Polled, Session, TopicPartition,
};
use crate::pipeline::Pipeline;
use crate::plugin::PluginEngine;
use crate::state::{Stage, Stages, Store, StoreError};
use crate::time::Clock;
use crate::window::{Key, Owner, Pane};

/// How often in a row functions may fail where there is no row to blame.
const MOST_FAILURES: u32 = 3;
/// How long a poll waits for records, so that requests to stop are seen soon.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// Why a lane ended.
#[derive(Debug)]
pub(super) enum LaneEnd {
    /// The log is away, or the fate of a transaction is unknown: join again.
    Rejoin(LogError),
    /// The local store is of no more use: open it anew, then join again.
    Store(StoreError),
    /// The worker must end.
    Failed(WorkerError),
}

impl From<WorkerError> for LaneEnd {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Store(error) => LaneEnd::Store(error),
            WorkerError::Damaged { .. } => LaneEnd::Store(StoreError::Damaged(error.to_string())),
            WorkerError::Log(error) if error.is_retriable() => LaneEnd::Rejoin(error),
            other => LaneEnd::Failed(other),
        }
    }
}

impl From<LogError> for LaneEnd {
    fn from(error: LogError) -> Self {
        WorkerError::from(error).into()
    }
}

impl From<StoreError> for LaneEnd {
    fn from(error: StoreError) -> Self {
        LaneEnd::Store(error)
    }
}

/// What a lane works with and does not own.
pub(super) struct Around<'a, L: Log, C: Clock> {
    /// As it was when the worker joined. Deploys change its components and what hangs on these, which are in the lane's
    /// `mills`; its configuration stays.
    pub(super) pipeline: &'a Pipeline,
    pub(super) rollout: &'a Rollout,
    pub(super) engine: &'a PluginEngine,
    pub(super) log: &'a L,
    pub(super) clock: &'a C,
    pub(super) progress: &'a Progress,
    /// Who the worker is in its group.
    pub(super) member: &'a str,
    /// What the workers of the process tell each other.
    pub(super) board: &'a Board,
    /// Where the run ends, if it does.
    pub(super) ends: Option<Arc<Ends>>,
}

pub(super) struct Lane<'a, L: Log, C: Clock, S: Store> {
    pub(super) around: &'a Around<'a, L, C>,
    pub(super) session: L::Session,
    pub(super) store: &'a mut S,
    pub(super) topology: Topology,
    /// The functions, in the versions that are in place.
    pub(super) mills: Mills,
    /// A version has failed its trial: since when the worker waits for another target, and the number of the one it has.
    pub(super) condemned: Option<(Duration, u64)>,
    /// Tasks that run, by the partition that they read.
    pub(super) tasks: BTreeMap<TopicPartition, Task>,
    /// Tasks that are being taken over.
    pub(super) claims: Vec<Claim<L::Reader>>,
    /// Since when the log has been asked about them in vain.
    pub(super) undecided_since: Option<Duration>,
    pub(super) outbox: Outbox,
    pub(super) counts: Counts,
    /// Rows read since the last commit.
    pub(super) uncommitted: usize,
    /// Windows are due, though no further record may come: they were left to fire, or thrown away with the rest while they did.
    pub(super) unfired: bool,
    /// For how many turns windows have been left to fire.
    pub(super) turns_unfired: u32,
    /// Rows at which functions fail.
    pub(super) quarantine: Quarantine,
    /// How often functions have failed since the last commit where there was no row to blame.
    pub(super) failures: u32,
    /// Early results that are to come.
    pub(super) early: Early,
    pub(super) committed_at: Duration,
    pub(super) pacing: Pacing<L::Reader>,
    pub(super) fetched: Fetched,
    pub(super) decoded: Decoded,
}

impl<'a, L: Log, C: Clock, S: Store> Lane<'a, L, C, S> {
    /// Joins the group, and fences whoever was this member before.
    ///
    /// # Errors
    /// If the log can't be reached or refuses, or a function does not start.
    pub(super) fn join(around: &'a Around<'a, L, C>, store: &'a mut S) -> Result<Self, LaneEnd> {
        let config = around.pipeline.config();
        let topology = Topology::find(around.pipeline, around.log)?;
        let session = around.log.join(&Membership {
            group: config.name.clone(),
            member: around.member.to_owned(),
            topics: config.source.topics.clone(),
            // Its partitions bring far less work than the source's.
            apart: topology.repartition.as_ref().map(|to| to.topic.to_string()),
            delivery: config.commit.delivery,
        })?;
        around.progress.set_status(Status::Waiting);
        around.progress.set_reach(Reach::default());
        Ok(Self {
            mills: Mills::start(around, &topology)?,
            condemned: None,
            session,
            store,
            topology,
            tasks: BTreeMap::new(),
            claims: Vec::new(),
            undecided_since: None,
            outbox: Outbox::new(),
            counts: Counts::default(),
            uncommitted: 0,
            unfired: false,
            turns_unfired: 0,
            quarantine: Quarantine::default(),
            failures: 0,
            early: Early::new(around.clock.monotonic()),
            committed_at: around.clock.monotonic(),
            pacing: Pacing::new(&config.source, around.ends.clone()),
            fetched: Fetched::new(),
            decoded: Decoded::new(),
            around,
        })
    }

    /// Whether it has come as far as reading.
    pub(super) fn has_worked(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Runs until `stop` says so, and commits before it returns.
    ///
    /// # Errors
    /// See [`LaneEnd`].
    pub(super) fn run(&mut self, stop: impl Fn() -> bool) -> Result<(), LaneEnd> {
        while !stop() {
            if let Err(end) = self.step() {
                self.try_again(end)?;
            }
        }
        self.commit().map(drop)
    }

    /// A function that failed when there was no row to blame is tried again by a fresh instance, some times in a row: it may have
    /// leaked, or worn itself out.
    fn try_again(&mut self, end: LaneEnd) -> Result<(), LaneEnd> {
        let LaneEnd::Failed(WorkerError::Plugin { .. }) = &end else {
            return Err(end);
        };
        let LaneEnd::Failed(error) = end else {
            return Ok(());
        };
        if let WorkerError::Plugin {
            at, step, source, ..
        } = &error
            && self.condemn_step(at, step, source)
        {
            return self.roll_back();
        }
        if self.failures >= MOST_FAILURES {
            return Err(LaneEnd::Failed(error));
        }
        self.failures += 1;
        add(&self.around.progress.failures, 1);
        tracing::warn!(%error, "starting again from the last commit, with fresh instances");
        self.roll_back()
    }

    /// One turn: goes on with tasks that are being taken over, polls, does what came and what time asks for, and commits if that is
    /// due.
    ///
    /// # Errors
    /// See [`LaneEnd`].
    pub(super) fn step(&mut self) -> Result<(), LaneEnd> {
        if self.waits() {
            return Ok(());
        }
        self.follow()?;
        self.advance_claims()?;
        if !self.migrate()? {
            return Ok(());
        }
        self.fire_again()?;
        match self.poll()? {
            Polled::Records => self.process()?,
            Polled::Assigned(partitions) => self.claim(partitions),
            Polled::Revoked(partitions) => {
                tracing::info!(partitions = %list(&partitions), "giving up partitions");
                if self.holds_pieces() {
                    self.roll_back()?;
                } else {
                    self.commit()?;
                }
                self.give_up(&partitions)?;
            }
            Polled::Lost(partitions) => {
                tracing::warn!(partitions = %list(&partitions), "partitions were taken away");
                self.give_up(&partitions)?;
                self.roll_back()?;
            }
        }
        self.pace()?;
        if self.commit_is_due() {
            self.commit()?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<Polled, LaneEnd> {
        let wait = if self.unfired || self.claims.iter().any(Claim::is_restoring) {
            Duration::ZERO
        } else if self.has_uncommitted() {
            let now = self.around.clock.monotonic();
            let age = now.saturating_sub(self.committed_at);
            let interval = self.around.pipeline.config().commit.interval;
            POLL_WAIT.min(interval.saturating_sub(age))
        } else {
            POLL_WAIT
        };
        match self.session.poll(&mut self.fetched, wait) {
            Err(LogError::Unavailable(why)) => {
                // The client keeps trying by itself; what it holds stays good.
                self.around.progress.set_status(Status::Unavailable(why));
                if !self.fetched.is_empty() {
                    // But what it has handed out beside an error may lack something, and it will not hand it out again by itself.
                    self.fetched.clear();
                    self.roll_back()?;
                }
                Ok(Polled::Records)
            }
            other => Ok(other?),
        }
    }

    /// How far event time has come, for whoever watches: where windows fire, and where rows are read.
    pub(super) fn show_watermarks(&self) {
        let read = |task: &Task| (task.stage == Stage::Source).then(|| task.watermark.at());
        let read = self.tasks.values().filter_map(read).min();
        let fires = |task: &Task| {
            // What is due and has not fired has not happened.
            let windows = task.windows.as_ref();
            windows.map(|windows| windows.fired.min(windows.watermarks.lowest()))
        };
        let fires = match self.topology.shape.stages {
            Stages::None => read,
            Stages::One | Stages::Two => self.tasks.values().filter_map(fires).min(),
        };
        self.around.progress.set_reach(Reach {
            tasks: self.tasks.len(),
            of: self.topology.tasks(),
            is_staged: self.has_work(),
            read,
            fires,
            generation: Some(self.mills.generation()),
        });
    }

    /// Takes note of contents that were put away.
    pub(super) fn cool(&mut self, away: Vec<(Owner, Pane, Key)>) {
        for (owner, pane, key) in away {
            // What the first stage puts away it has sent, and never asks for again.
            if owner == PARTIALS {
                continue;
            }
            let of_owner = |windows: &&mut super::owned::OwnedWindows| windows.owner() == owner;
            let owned = self
                .tasks
                .values_mut()
                .filter_map(|task| task.windows.as_mut());
            owned
                .filter(of_owner)
                .for_each(|windows| windows.cooled(pane, &key));
        }
    }
}

impl<L: Log, C: Clock> Around<'_, L, C> {
    /// A failed step as the worker's end, with the records that it was about.
    pub(super) fn failure(
        &self,
        error: StepError,
        at: Option<(&TopicPartition, Offset, Offset)>,
    ) -> WorkerError {
        match error {
            StepError::Host(error) => error,
            StepError::Function(function, source) => {
                let step = self.pipeline.functions()[function].name().to_owned();
                match at {
                    Some((at, from, to)) => WorkerError::Plugin {
                        step,
                        at: at.clone(),
                        from,
                        to,
                        source,
                    },
                    None => WorkerError::Start { step, source },
                }
            }
        }
    }
}

/// Partitions as a list for people.
pub(super) fn list(partitions: &[TopicPartition]) -> String {
    let texts: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    texts.join(", ")
}
