//! Taking over tasks: from partitions that the group has given this worker to tasks that run.
//!
//! A claim goes through three states. It is *asked* as long as a transaction of the owner before is undecided: nothing can be
//! said of offsets and changelog until then. It is *restoring* while its slice of the store is brought up to its
//! changelog. Then it runs. Other tasks of the worker go on meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::WorkerError;
use super::claim::{self, Begin, Fit};
use super::gather::Gatherer;
use super::lane::{Lane, LaneEnd};
use super::owned::{Changelog, OwnedWindows};
use super::progress::Status;
use super::restore::Restore;
use super::task::{Point, Task};
use super::topology::{ChangelogTopic, Topology};
use crate::log::{Bounds, GroupOffset, Log, LogError, Session, TopicPartition};
use crate::pipeline::config::Start;
use crate::state::{Lineage, Origin, Pieces, Position, Slice, Stage, Stages, Store, TaskId};
use crate::time::Clock;
use crate::window::{PartitionWatermark, Silence};

/// How long an owner may take to end its transaction before it is looked for among the dead. A live one takes as long as a
/// commit does.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long one step of restoring waits for records.
const RESTORE_WAIT: Duration = Duration::from_millis(20);

/// A task that is being taken over.
pub(super) struct Claim<R> {
    at: TopicPartition,
    state: State<R>,
}

enum State<R> {
    Asked,
    Restoring {
        begin: Begin,
        origin: Origin,
        restore: Box<Restore<R>>,
    },
}

impl<R> Claim<R> {
    pub(super) fn at(&self) -> &TopicPartition {
        &self.at
    }

    pub(super) fn is_restoring(&self) -> bool {
        matches!(self.state, State::Restoring { .. })
    }
}

/// What a claim has come to.
enum Claimed<R> {
    /// A transaction is undecided: ask again.
    Undecided,
    /// Its state has to be brought up first.
    Restoring(Begin, Origin, Box<Restore<R>>),
    /// It has no state.
    Ready(Begin),
}

impl<L: Log, C: Clock, S: Store> Lane<'_, L, C, S> {
    /// Takes note of partitions that are this worker's now.
    pub(super) fn claim(&mut self, partitions: Vec<TopicPartition>) {
        tracing::info!(partitions = %super::lane::list(&partitions), "taking over partitions");
        let asked = |at| Claim {
            at,
            state: State::Asked,
        };
        self.claims.extend(partitions.into_iter().map(asked));
    }

    /// Brings claims one step further.
    ///
    /// # Errors
    /// See [`LaneEnd`].
    pub(super) fn advance_claims(&mut self) -> Result<(), LaneEnd> {
        if self.claims.iter().any(|claim| !claim.is_restoring()) {
            let mut ready = Vec::new();
            let decided = self.decide_claims(&mut ready);
            for (at, begin) in ready {
                self.start(at, begin, None)?;
            }
            match decided {
                Err(LaneEnd::Rejoin(error)) => self.wait_for_decision(&error)?,
                other => other?,
            }
        }
        self.restore_one()
    }

    /// Finds out where the claims that are asked begin; those that have no state are `ready`. A claim stays as it is where the
    /// log does not answer.
    fn decide_claims(&mut self, ready: &mut Vec<(TopicPartition, Begin)>) -> Result<(), LaneEnd> {
        // All partitions, whoever owns them: what their state was made with must be what runs now.
        let committed = self.session.committed(&self.topology.partitions())?;
        if let Fit::Waits(generation) = self.fits(&committed)? {
            // Somebody else is further, and this worker is about to be told.
            self.around.progress.set_status(Status::Unavailable(format!(
                "a version of generation {generation} has committed, and this process has not heard of its deploy yet; if the pipeline's \
                 control topic was deleted, begin anew with `millstream state reset`"
            )));
            return Ok(());
        }
        let mut bounds = BTreeMap::new();
        let mut undecided = None;
        let mut number = 0;
        while let Some(claim) = self.claims.get(number) {
            if claim.is_restoring() {
                number += 1;
                continue;
            }
            let at = claim.at.clone();
            match self.decide(&at, &committed, &mut bounds)? {
                Claimed::Undecided => {
                    undecided = Some(format!("a transaction on {at} is undecided"));
                    number += 1;
                }
                Claimed::Ready(begin) => {
                    self.claims.remove(number);
                    ready.push((at, begin));
                }
                Claimed::Restoring(begin, origin, restore) => {
                    self.claims[number].state = State::Restoring {
                        begin,
                        origin,
                        restore,
                    };
                    number += 1;
                }
            }
        }
        match undecided {
            None => {
                self.undecided_since = None;
                Ok(())
            }
            Some(why) => Err(LogError::Unavailable(why).into()),
        }
    }

    /// While transactions are undecided: those of the dead are ended, so that nobody has to wait for them to time out.
    fn wait_for_decision(&mut self, why: &LogError) -> Result<(), LaneEnd> {
        let now = self.around.clock.monotonic();
        let since = *self.undecided_since.get_or_insert(now);
        if now.saturating_sub(since) < PATIENCE {
            return Ok(());
        }
        self.undecided_since = Some(now);
        let group = &self.around.pipeline.config().name;
        let ended = self.around.log.end_dead_transactions(group)?;
        tracing::warn!(%why, ended, "waiting for transactions of earlier owners");
        self.around
            .progress
            .set_status(Status::Unavailable(why.to_string()));
        Ok(())
    }

    /// Where a claim begins, and whether its state has to be brought up first.
    fn decide(
        &mut self,
        at: &TopicPartition,
        committed: &[GroupOffset],
        known: &mut BTreeMap<Arc<str>, Vec<Bounds>>,
    ) -> Result<Claimed<L::Reader>, LaneEnd> {
        let config = self.around.pipeline.config();
        let stage = self.stage_of(at);
        let of_partition = self.bounds(at, known)?;
        let start = match stage {
            Stage::Source => config.source.start,
            Stage::Final => Start::Earliest,
        };
        let committed = committed.iter().find(|offset| offset.at == *at);
        let begin = claim::begin(at, committed, of_partition, start)?;
        if begin.lost > 0 {
            lost(at, stage, &begin)?;
        }
        let Some(task) = self.task_of(at) else {
            return Ok(Claimed::Ready(begin));
        };
        let Some(topic) = &self.topology.changelog else {
            return Ok(Claimed::Ready(begin));
        };
        let tombstones_for = topic.tombstones_for;
        let changelog = TopicPartition::new(Arc::clone(&topic.topic), task.partition);
        let bounds = self.bounds(&changelog, known)?;
        if bounds.end < bounds.written {
            // What stands below may still become part of the state.
            known.remove(&changelog.topic);
            return Ok(Claimed::Undecided);
        }
        let now = self.around.clock.now();
        let origin = begin.origin.clone().unwrap_or_else(|| Origin {
            lineage: Lineage::new(now, self.around.member, task),
            base: bounds.end,
        });
        let position = self.store.position(task)?;
        let slice = claim::slice(position.as_ref(), &origin, bounds, now, tombstones_for);
        let slice = slice.map_err(|what| WorkerError::Committed {
            at: changelog.clone(),
            what: format!(
                "{what}; begin anew with `millstream state reset`, or choose another pipeline name"
            ),
        })?;
        let (next, applied) = match slice {
            claim::Slice::Continue(next) => {
                let applied = position.map(|position| claim::applied(&position, bounds, now));
                (next, applied.unwrap_or(now))
            }
            claim::Slice::Rebuild(base, why) => {
                if begin.origin.is_some() {
                    tracing::warn!(%task, why, from = %base, "building the local state anew");
                }
                self.store.clear(task)?;
                (base, now)
            }
        };
        let position = Position {
            lineage: origin.lineage.clone(),
            next,
            applied,
        };
        // The slice is this history's from now on, however little it has.
        self.store.apply(&[Slice {
            task,
            changes: Vec::new(),
            position: &position,
        }])?;
        let restore = Restore::start(self.around.log, task, changelog, position, bounds.end)?;
        Ok(Claimed::Restoring(begin, origin, Box::new(restore)))
    }

    /// Whether what the group has committed can be gone on with.
    fn fits(&self, committed: &[GroupOffset]) -> Result<Fit, LaneEnd> {
        let generation = self.mills.generation();
        for mill in self.mills.all() {
            let function = mill.pipeline().functions().last();
            let migrates =
                |from| function.is_some_and(|f| f.plugin().migrates_from().contains(&from));
            match claim::fits(committed, &mill.shape, generation, &migrates)? {
                Fit::Follows => {}
                waits @ Fit::Waits(_) => return Ok(waits),
            }
        }
        Ok(Fit::Follows)
    }

    fn bounds(
        &self,
        at: &TopicPartition,
        known: &mut BTreeMap<Arc<str>, Vec<Bounds>>,
    ) -> Result<Bounds, LaneEnd> {
        if !known.contains_key(&at.topic) {
            known.insert(Arc::clone(&at.topic), self.around.log.bounds(&at.topic)?);
        }
        let index = usize::try_from(at.partition).unwrap_or(usize::MAX);
        let bounds = known.get(&at.topic).and_then(|bounds| bounds.get(index));
        let bounds = bounds.copied();
        Ok(bounds.ok_or_else(|| LogError::NoTopic(at.to_string()))?)
    }

    /// The stage whose tasks read this partition.
    fn stage_of(&self, at: &TopicPartition) -> Stage {
        let repartition = self.topology.repartition.as_ref();
        match repartition.is_some_and(|topic| topic.topic == at.topic) {
            true => Stage::Final,
            false => Stage::Source,
        }
    }

    /// Whether the tasks of a partition are source tasks.
    pub(super) fn is_source(&self, at: &TopicPartition) -> bool {
        self.stage_of(at) == Stage::Source
    }

    /// The task of this partition, if it owns windows.
    fn task_of(&self, at: &TopicPartition) -> Option<TaskId> {
        let stage = self.stage_of(at);
        let owns = match self.topology.shape.stages {
            Stages::None => false,
            Stages::One => stage == Stage::Source,
            Stages::Two => stage == Stage::Final,
        };
        owns.then_some(TaskId {
            stage,
            partition: at.partition,
        })
    }

    /// Reads on for the first claim that is restoring; one that is done runs.
    fn restore_one(&mut self) -> Result<(), LaneEnd> {
        let first = self.claims.iter().position(Claim::is_restoring);
        let Some(first) = first else { return Ok(()) };
        let now = self.around.clock.now();
        let State::Restoring { restore, .. } = &mut self.claims[first].state else {
            return Ok(());
        };
        let is_done = restore.step(self.store, RESTORE_WAIT, now)?;
        let (done, of) = restore.progress();
        if !is_done {
            self.around.progress.set_status(Status::Restoring {
                task: restore.task.to_string(),
                done,
                of,
            });
            return Ok(());
        }
        let claim = self.claims.remove(first);
        let State::Restoring {
            begin,
            origin,
            restore,
        } = claim.state
        else {
            return Ok(());
        };
        if restore.records() > 0 {
            tracing::info!(task = %restore.task, records = restore.records(), "state restored");
        }
        self.start(claim.at, begin, Some((restore.task, origin)))
    }

    /// Lets a claim run.
    fn start(
        &mut self,
        at: TopicPartition,
        begin: Begin,
        state: Option<(TaskId, Origin)>,
    ) -> Result<(), LaneEnd> {
        let config = self.around.pipeline.config();
        let stage = self.stage_of(&at);
        let mut origin = None;
        let mut windows = None;
        let mill = self.mills.at(&at);
        let state_version = begin.state_version.unwrap_or(mill.shape.state_version);
        let windowing = mill.gatherer.as_ref().map(Gatherer::windowing);
        if let (Some((task, its_origin)), Some(topic), Some(windowing)) =
            (state, &self.topology.changelog, windowing)
        {
            origin = Some(its_origin);
            let sources = match stage {
                Stage::Source => std::slice::from_ref(&at),
                Stage::Final => &self.topology.sources,
            };
            let changelog = changelog(topic, task);
            let windowing = Arc::clone(windowing);
            let loaded = OwnedWindows::load(task, changelog, windowing, sources, &*self.store);
            windows = Some(loaded?);
        }
        let disorder = config.source.allowed_disorder;
        let mut task = Task {
            source: Topology::number(config, &at),
            next: begin.next,
            watermark: PartitionWatermark::resumed(disorder, begin.watermark, begin.highest),
            committed: Point {
                next: begin.next,
                watermark: begin.watermark,
                highest: begin.highest,
            },
            is_new: begin.is_new,
            at,
            stage,
            windows,
            pieces: Pieces::new(),
            origin,
            state_version,
            committed_version: state_version,
            silence: Silence::since(self.around.clock.monotonic()),
            is_over: false,
        };
        task.committed = task.point();
        tracing::info!(
            partition = %task.at,
            from = %task.next,
            watermark = %task.point().watermark,
            "reading"
        );
        self.session.begin(&[(task.at.clone(), task.next)])?;
        self.around.progress.set_position(&task.at, task.next);
        self.around.progress.set_status(Status::Running);
        let at = task.at.clone();
        self.tasks.insert(at.clone(), task);
        // A firing that was interrupted goes on.
        self.fire(&at)?;
        Ok(())
    }
}

fn changelog(topic: &ChangelogTopic, task: TaskId) -> Changelog {
    Changelog {
        topic: Arc::clone(&topic.topic),
        partition: task.partition,
        most: topic.most,
    }
}

/// Records are gone that had not been read.
fn lost(at: &TopicPartition, stage: Stage, begin: &Begin) -> Result<(), WorkerError> {
    match stage {
        Stage::Source => {
            tracing::error!(
                partition = %at,
                lost = begin.lost,
                "the log no longer has the records before {}, and they had not been processed: lengthen the retention of the topic",
                begin.next
            );
            Ok(())
        }
        Stage::Final => Err(WorkerError::Committed {
            at: at.clone(),
            what: format!(
                "{} records before offset {} were deleted that had not been merged: results would be wrong; begin anew with \
                 `millstream state reset`, and lengthen the retention of the topic",
                begin.lost, begin.next
            ),
        }),
    }
}
