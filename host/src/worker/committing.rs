//! A commit, carried out: stages what has changed, hands it to the log, and then to the store.

use std::collections::BTreeMap;
use std::time::Duration;

use super::commit::{CommitState, Next};
use super::lane::{Lane, LaneEnd};
use super::mill::Mill;
use super::owned::OwnedWindows;
use super::partials::{Made, PARTIALS, Partials, Sender};
use super::progress::add;
use super::task::Task;
use crate::fail_point::{FailPoint, reach};
use crate::log::{Delivery, GroupOffset, Log, LogError, Session, TopicPartition, Written};
use crate::pipeline::config::{Early, Output};
use crate::state::{Change, Position, Slice, Stage, Store};
use crate::time::{Clock, Timestamp};

impl<L: Log, C: Clock, S: Store> Lane<'_, L, C, S> {
    /// Whether there is something to commit: an idle pipeline commits nothing.
    pub(super) fn has_uncommitted(&self) -> bool {
        let says_again = |mill: &Mill| mill.partials.as_ref().is_some_and(Partials::says_again);
        self.has_work() || self.mills.all().any(says_again)
    }

    /// Whether anything of what has been read is not committed.
    pub(super) fn has_work(&self) -> bool {
        !self.outbox.is_empty() || self.tasks.values().any(Task::has_moved)
    }

    /// Whether only half of some partial has come: a commit in between would lose it. The rest is in the log already, since it
    /// was committed with it.
    pub(super) fn holds_pieces(&self) -> bool {
        self.tasks.values().any(|task| !task.pieces.is_empty())
    }

    /// Whether it is time for a commit.
    pub(super) fn commit_is_due(&self) -> bool {
        let config = &self.around.pipeline.config().commit;
        let now = self.around.clock.monotonic();
        let is_old = now.saturating_sub(self.committed_at) >= config.interval;
        // Results need not wait for anything but a transaction.
        let is_waited_for = config.delivery == Delivery::AtLeastOnce && self.counts.results > 0;
        (is_old || is_waited_for) && self.has_uncommitted() || self.has_early(now)
    }

    /// Whether early results are to be shown that have waited for their time.
    fn has_early(&self, now: Duration) -> bool {
        let early = self.early_results();
        early.is_some_and(|early| self.early.is_due(early, now))
    }

    /// When the pipeline shows early results, if it does.
    pub(super) fn early_results(&self) -> Option<Early> {
        match &self.around.pipeline.config().output {
            Output::Windows(step) => step.early,
            Output::Rows { .. } => None,
        }
    }

    /// Commits what is staged and at hand; nothing if nothing has happened. Returns whether all is well: if not, everything
    /// was thrown away, and starts again from what had been committed before.
    ///
    /// # Errors
    /// See [`LaneEnd`].
    pub(super) fn commit(&mut self) -> Result<bool, LaneEnd> {
        if !self.has_uncommitted() && !self.has_early(self.around.clock.monotonic()) {
            return Ok(true);
        }
        if self.holds_pieces() {
            return Ok(true);
        }
        if self.fails_trial() {
            self.roll_back()?;
            return Ok(false);
        }
        let begun = self.around.clock.monotonic();
        let offsets = self.stage()?;
        let staged = self.around.clock.monotonic();
        let mut state = CommitState::Staged;
        loop {
            state = match state.next() {
                Next::Commit => {
                    reach(FailPoint::Staged);
                    CommitState::answered(self.session.commit(&self.outbox, &offsets))
                }
                Next::Apply(written) => {
                    reach(FailPoint::Committed);
                    self.apply(&written)?;
                    reach(FailPoint::Applied);
                    CommitState::Applied
                }
                Next::GoOn => break,
                Next::RollBack(why) => {
                    tracing::warn!(
                        why,
                        "a transaction was aborted; starting again from the last commit"
                    );
                    add(&self.around.progress.aborts, 1);
                    self.roll_back()?;
                    return Ok(false);
                }
                Next::JoinAgain(why) => return Err(LaneEnd::Rejoin(LogError::Unavailable(why))),
                Next::End(error) => return Err(LaneEnd::Failed(error)),
            };
        }
        let (records, bytes) = (self.outbox.len(), self.outbox.byte_len());
        self.settle()?;
        let ended = self.around.clock.monotonic();
        tracing::debug!(
            target: "commit",
            records,
            bytes,
            staging_us = micros(staged.saturating_sub(begun)),
            total_us = micros(ended.saturating_sub(begun)),
            "committed"
        );
        Ok(true)
    }

    /// Stages changes of state, partials and watermarks. Returns the offsets to commit.
    fn stage(&mut self) -> Result<Vec<GroupOffset>, LaneEnd> {
        self.publish_early()?;
        let now = self.around.clock.now();
        let mut offsets = Vec::new();
        let outbox = &mut self.outbox;
        for (mill, whose) in self.mills.each() {
            let mut dirty = match &mut mill.contents {
                Some(contents) => contents.take_dirty(),
                None => BTreeMap::new(),
            };
            for task in self.tasks.values_mut().filter(|task| whose.has(&task.at)) {
                let mut changed = task.has_moved();
                if let (Some(windows), Some(contents)) = (&mut task.windows, &mut mill.contents) {
                    let dirty = dirty.remove(&windows.owner()).unwrap_or_default();
                    let staged = windows.stage(&dirty, contents, &*self.store, outbox, now);
                    changed |= staged.map_err(|error| self.around.failure(error, None))?;
                }
                if changed {
                    offsets.push(task.offset(&mill.shape, mill.running.version.generation));
                }
            }
            if let (Some(partials), Some(contents)) = (&mut mill.partials, &mut mill.contents) {
                let dirty = dirty.remove(&PARTIALS).unwrap_or_default();
                let is_ours = |task: &&Task| task.stage == Stage::Source && whose.has(&task.at);
                let sources = self.tasks.values().filter(is_ours);
                let watermarks = sources
                    .clone()
                    .map(|task| (&task.at, task.watermark.at(), task.is_over));
                let sender = Sender {
                    // No two workers have the same partition, so its number tells their pieces apart.
                    number: sources.map(|task| task.source).min().unwrap_or_default(),
                    made: Made {
                        generation: mill.running.version.generation,
                        state_version: mill.shape.state_version,
                    },
                };
                let staged = partials.stage(&dirty, sender, watermarks, contents, outbox, now);
                staged.map_err(|error| self.around.failure(error, None))?;
            }
        }
        if offsets.is_empty() {
            // The log refuses a former owner by the offsets that it commits, so there is always one.
            offsets.extend(self.tasks.values().next().map(|task| {
                let mill = self.mills.at(&task.at);
                task.offset(&mill.shape, mill.generation())
            }));
        }
        Ok(offsets)
    }

    /// Applies the changes of state that were committed to the store, all in one batch.
    fn apply(&mut self, written: &Written) -> Result<(), LaneEnd> {
        let Some(changelog) = &self.topology.changelog else {
            return Ok(());
        };
        let mut changes: BTreeMap<i32, Vec<Change<'_>>> = BTreeMap::new();
        for record in self.outbox.records() {
            if let Some(partition) = record.partition()
                && *record.topic() == *changelog.topic
            {
                changes.entry(partition).or_default().push(Change {
                    key: record.key().unwrap_or_default(),
                    value: record.value(),
                });
            }
        }
        let applied = self.around.clock.now();
        let mut positions = Vec::with_capacity(changes.len());
        for task in self.tasks.values() {
            let (Some(windows), Some(origin)) = (&task.windows, &task.origin) else {
                continue;
            };
            let partition = windows.task.partition;
            let at = TopicPartition::new(changelog.topic.clone(), partition);
            let changed = changes.remove(&partition);
            if let (Some(changes), Some(next)) = (changed, written.get(&at)) {
                let lineage = origin.lineage.clone();
                let position = Position {
                    lineage,
                    next,
                    applied,
                };
                positions.push((windows.task, changes, position));
            }
        }
        let slices: Vec<Slice<'_>> = positions
            .iter_mut()
            .map(|(task, changes, position)| Slice {
                task: *task,
                changes: std::mem::take(changes),
                position,
            })
            .collect();
        if !slices.is_empty() {
            self.store.apply(&slices)?;
        }
        Ok(())
    }

    /// After a commit: what was staged is done, and what need not be at hand is put away.
    fn settle(&mut self) -> Result<(), LaneEnd> {
        self.outbox.clear();
        self.uncommitted = 0;
        self.committed_at = self.around.clock.monotonic();
        self.failures = 0;
        self.tasks.values_mut().for_each(Task::commit);
        if !self.quarantine.is_empty() {
            for task in self.tasks.values() {
                self.quarantine.committed(&task.at, task.next);
            }
        }
        let windows = self
            .tasks
            .values_mut()
            .filter_map(|task| task.windows.as_mut());
        windows.for_each(OwnedWindows::settled);
        self.around
            .progress
            .committed(&std::mem::take(&mut self.counts));
        self.show_watermarks();
        let mut cooled = Vec::new();
        for (mill, whose) in self.mills.each() {
            let tally = std::mem::take(&mut mill.tally);
            self.around.rollout.count(mill.generation(), tally);
            let Some(contents) = &mut mill.contents else {
                continue;
            };
            if let Some(partials) = &mut mill.partials {
                let is_ours = |task: &&Task| task.stage == Stage::Source && whose.has(&task.at);
                let sources = self.tasks.values().filter(is_ours);
                let lowest = sources.map(|task| task.watermark.at()).min();
                let closed = partials.close(lowest.unwrap_or(Timestamp::MIN), contents);
                closed.map_err(|error| self.around.failure(error, None))?;
            }
            let away = contents.put_away();
            cooled.extend(away.map_err(|error| self.around.failure(error, None))?);
        }
        self.cool(cooled);
        Ok(())
    }
}

/// A duration in microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
