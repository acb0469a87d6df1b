//! A session: a worker's part in a group of the embedded log.
//!
//! A session is **fenced** as soon as another joins under its transactional id: it has left the group, its polls and
//! commits fail for good. It is **expelled** when it is told [`Polled::Lost`]: it has been given up, as by a broker that has not heard
//! of it, its commits fail with [`CommitError::Aborted`], and once it has released what it lost it is a member again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::group::{News, SessionId};
use super::plan::Plan;
use super::position::{Position, Positions};
use super::shared::{Shared, State};
use crate::log::{
    CommitError, Fetched, GroupOffset, LogError, Membership, Offset, Outbox, Polled, Session,
    TopicPartition, Written,
};

/// A worker's part in a group. Dropping it leaves the group.
pub struct EmbeddedSession {
    shared: Arc<Shared>,
    id: SessionId,
    membership: Membership,
    /// What it was told to be its own, and has not released.
    assigned: BTreeSet<TopicPartition>,
    /// Of these, what it was told to release.
    leaving: BTreeSet<TopicPartition>,
    /// It was expelled, and joins again once it has released everything.
    expelled: bool,
    /// Where it reads: what it began and was not told to release.
    positions: Positions,
    /// What it began.
    begun: BTreeSet<TopicPartition>,
}

impl EmbeddedSession {
    pub(super) fn join(shared: &Arc<Shared>, membership: &Membership) -> Result<Self, LogError> {
        Ok(Self {
            shared: Arc::clone(shared),
            id: shared.join(membership)?,
            membership: membership.clone(),
            assigned: BTreeSet::new(),
            leaving: BTreeSet::new(),
            expelled: false,
            positions: Positions::default(),
            begun: BTreeSet::new(),
        })
    }

    fn fenced(&self) -> String {
        let id = self.membership.transactional_id();
        format!("another session has joined as {id}")
    }

    /// Whether the group has something to tell, if only that the session is a member.
    fn has_news(&self, state: &State) -> bool {
        let group = state.group(&self.membership.group);
        group.is_some_and(|group| group.has_news(self.id) || !group.knows(self.id))
    }

    /// Takes note of what the group tells.
    fn take(&mut self, news: News) -> Polled {
        match news {
            News::Assigned(partitions) => {
                self.assigned.extend(partitions.iter().cloned());
                Polled::Assigned(partitions)
            }
            News::Revoked(partitions) => {
                self.positions.remove(&partitions);
                self.leaving.extend(partitions.iter().cloned());
                Polled::Revoked(partitions)
            }
            News::Lost(_) => {
                // What it had not released counts as lost, whatever it was told of it before.
                let lost: Vec<_> = self.assigned.iter().cloned().collect();
                self.positions.remove(&lost);
                self.leaving.extend(lost.iter().cloned());
                self.expelled = true;
                Polled::Lost(lost)
            }
        }
    }

    /// Whether a partition was begun and is to be released: it is not read any more, wherever it stands.
    fn is_stopped(&self, at: &TopicPartition) -> bool {
        self.begun.contains(at) && self.leaving.contains(at)
    }

    /// Whether the group would take a commit of this session.
    fn check_right(&self, state: &State, offsets: &[GroupOffset]) -> Result<(), CommitError> {
        if state.is_fenced(self.id, &self.membership) {
            return Err(CommitError::Fenced(self.fenced()));
        }
        let name = &self.membership.group;
        let Some(group) = state.group(name).filter(|group| group.knows(self.id)) else {
            return Err(CommitError::Aborted(format!(
                "group {name} does not take this session for a member: poll to learn what it has"
            )));
        };
        match offsets.iter().find(|o| !group.holds(self.id, &o.at)) {
            None => Ok(()),
            Some(offset) => Err(CommitError::Aborted(format!(
                "{}: an offset is committed, but the partition is not this session's",
                offset.at
            ))),
        }
    }
}

impl Session for EmbeddedSession {
    fn poll(&mut self, into: &mut Fetched, wait: Duration) -> Result<Polled, LogError> {
        into.clear();
        if self.expelled && self.assigned.is_empty() {
            self.shared.join_again(self.id, &self.membership)?;
            self.expelled = false;
        }
        let state = self.shared.state_when(wait, |state| {
            state.is_fenced(self.id, &self.membership)
                || self.has_news(state)
                || self.positions.has_news(state)
        });
        let fenced = state.is_fenced(self.id, &self.membership);
        let has_news = self.has_news(&state);
        let ends = self.positions.ends(&state);
        drop(state);
        if fenced {
            return Err(LogError::Fenced(self.fenced()));
        }
        let news = has_news.then(|| {
            let group = &self.membership.group;
            self.shared.change_group(group, |group| group.tell(self.id))
        });
        match news.flatten().map(|news| self.take(news)) {
            // There was nothing to release.
            Some(Polled::Lost(lost)) if lost.is_empty() => Ok(Polled::Records),
            Some(polled) => Ok(polled),
            None => {
                let store = &self.shared.store;
                self.positions.read(store, &ends, false, into)?;
                Ok(Polled::Records)
            }
        }
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.assigned.iter().cloned().collect()
    }

    fn committed(&mut self, of: &[TopicPartition]) -> Result<Vec<GroupOffset>, LogError> {
        self.shared.group_offsets(&self.membership.group, of)
    }

    fn begin(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        for (at, offset) in from {
            let refuse = |why| Err(LogError::Refused(format!("partition {at} {why}")));
            if !self.assigned.contains(at) {
                return refuse("is not assigned: begin only partitions that are");
            }
            if self.begun.contains(at) {
                return refuse("was begun before: seek in it");
            }
            if *offset < Offset(0) {
                return refuse("begins at an offset below 0");
            }
        }
        for (at, offset) in from {
            // What is to be released already is not read any more.
            if !self.leaving.contains(at) {
                self.positions.add(Position {
                    at: at.clone(),
                    id: self.shared.state().partition_id(at)?,
                    next: *offset,
                    is_paused: false,
                });
            }
            self.begun.insert(at.clone());
        }
        Ok(())
    }

    fn seek(&mut self, to: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        for (at, offset) in to {
            if !self.is_stopped(at) {
                self.positions.seek(at, *offset)?;
            }
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        for at in partitions {
            if !self.is_stopped(at) {
                self.positions.pause(at, true)?;
            }
        }
        Ok(())
    }

    fn resume(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.seek(from)?;
        for (at, _) in from {
            if !self.is_stopped(at) {
                self.positions.pause(at, false)?;
            }
        }
        Ok(())
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        if let Some(at) = partitions.iter().find(|at| !self.leaving.contains(*at)) {
            return Err(LogError::Refused(format!(
                "partition {at} was neither revoked nor lost: release only what was"
            )));
        }
        for at in partitions {
            self.leaving.remove(at);
            self.assigned.remove(at);
            self.begun.remove(at);
        }
        let group = &self.membership.group;
        self.shared.change_group(group, |group| {
            partitions.iter().for_each(|at| group.release(self.id, at));
        });
        Ok(())
    }

    /// One atomic batch, whatever the membership's delivery: to write offsets apart would gain nothing here.
    fn commit(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<Written, CommitError> {
        let turn = self.shared.turn();
        self.check_right(&self.shared.state(), offsets)?;
        let offsets = self
            .shared
            .check_offsets(&self.membership.group, offsets)
            .map_err(CommitError::Refused)?;
        let plan = self
            .shared
            .plan(&turn, outbox)
            .map_err(|error| match error {
                LogError::Refused(why) => CommitError::Refused(why),
                other => CommitError::Refused(other.to_string()),
            })?;
        if plan.blocks.is_empty() && offsets.is_empty() {
            return Ok(Written::default());
        }
        let written = written(outbox, &plan);
        self.shared
            .write(&turn, plan, &offsets)
            .map_err(|error| CommitError::Unknown(error.to_string()))?;
        Ok(written)
    }
}

/// Where the records that name their partition come to lie.
fn written(outbox: &Outbox, plan: &Plan<'_>) -> Written {
    let mut written = Written::default();
    for record in outbox.records() {
        let Some(partition) = record.partition() else {
            continue;
        };
        let topic = plan.topics.get(record.topic());
        if let Some(end) = topic.and_then(|topic| topic.end(partition)) {
            written.note(record.topic(), partition, Offset(end.0 - 1));
        }
    }
    written
}

impl Drop for EmbeddedSession {
    fn drop(&mut self) {
        self.shared.leave(self.id, &self.membership);
    }
}
