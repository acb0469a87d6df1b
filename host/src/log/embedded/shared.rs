//! What the sessions, readers and writers of one log share, and in which order they change it.
//!
//! Two locks, always taken in this order:
//! 1. the **turn**: commits, appends, joins and leaves happen one after another. So no commit is under way while
//!    partitions change hands, and offsets are given out without gaps.
//! 2. the **state**: what is committed. Held for moments, never during I/O.
//!
//! A commit checks its right under the turn, writes to disk, and only then moves the ends in the state: readers never look
//! past those ends, so they see a commit when it is safe, and whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::format::{PartitionId, StoredTopic, TopicId};
use super::group::{Group, SessionId};
use super::plan::{Plan, Topic};
use super::store::{NewGroupOffset, Store};
use crate::log::{
    GroupOffset, LogError, Membership, Offset, Outbox, TopicInfo, TopicPartition, TopicSpec,
};

/// Names of groups and transactional ids are no longer than this.
const MAX_NAME_BYTES: usize = 1_024;
/// A limit against typing errors: each poll looks at every partition.
const MAX_PARTITIONS: i32 = 10_000;
/// What stands beside a group's offset is no longer than this.
const MAX_METADATA_BYTES: usize = 4_096;

pub(super) struct Shared {
    pub(super) store: Store,
    turn: Mutex<()>,
    state: Mutex<State>,
    /// Told whenever the state has changed.
    changed: Condvar,
}

/// The right to change things; see the opening of this file.
pub(super) struct Turn<'a>(#[expect(dead_code, reason = "held, never read")] MutexGuard<'a, ()>);

/// What is committed, and who may commit.
#[derive(Debug, Default)]
pub(super) struct State {
    topics: BTreeMap<String, Topic>,
    groups: HashMap<String, Group>,
    /// Who joined last under each transactional id, and in which group.
    owners: HashMap<String, (SessionId, String)>,
    sessions: u64,
}

impl Shared {
    pub(super) fn new(store: Store) -> Result<Self, LogError> {
        let topics = store.topics()?.into_iter();
        let topics = topics
            .map(|(name, id, ends)| (name, Topic::new(id, ends)))
            .collect();
        let mut shared = Self::empty(store);
        shared.state = Mutex::new(State {
            topics,
            ..State::default()
        });
        Ok(shared)
    }

    /// Of a store without topics.
    pub(super) fn empty(store: Store) -> Self {
        Self {
            store,
            turn: Mutex::new(()),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn turn(&self) -> Turn<'_> {
        Turn(self.turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The state as it is. Every change to it is made in one step after all checks, so a thread that panicked
    /// has not left it half changed.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state as soon as it is `ready`, or after `wait`.
    pub(super) fn state_when(
        &self,
        wait: Duration,
        ready: impl Fn(&State) -> bool,
    ) -> MutexGuard<'_, State> {
        if wait.is_zero() {
            return self.state();
        }
        self.changed
            .wait_timeout_while(self.state(), wait, |state| !ready(state))
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    pub(super) fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        check_topic_name(&spec.name)?;
        if !(1..=MAX_PARTITIONS).contains(&spec.partitions) {
            return Err(LogError::Refused(format!(
                "topic {} can't have {} partitions: give it 1 to {MAX_PARTITIONS}",
                spec.name, spec.partitions
            )));
        }
        let _turn = self.turn();
        let next_id = {
            let state = self.state();
            if state.topics.contains_key(&spec.name) {
                return Ok(());
            }
            let ids = state.topics.values().map(|topic| topic.id.0);
            TopicId(ids.max().map_or(0, |id| id + 1))
        };
        let stored = StoredTopic {
            id: next_id,
            partitions: spec.partitions,
        };
        self.store.put_topic(&spec.name, stored)?;
        let ends = (0..spec.partitions).map(|_| Default::default()).collect();
        let topic = Topic::new(next_id, ends);
        self.state().topics.insert(spec.name.clone(), topic);
        Ok(())
    }

    /// Deletes a topic with all that is in it, if there is one.
    pub(super) fn delete_topic(&self, name: &str) -> Result<(), LogError> {
        let _turn = self.turn();
        let Some(id) = self.state().topics.get(name).map(|topic| topic.id) else {
            return Ok(());
        };
        self.store.delete_topic(name, id)?;
        self.state().topics.remove(name);
        Ok(())
    }

    /// Takes a session in; whoever held its transactional id leaves.
    pub(super) fn join(&self, membership: &Membership) -> Result<SessionId, LogError> {
        let name = membership.transactional_id();
        check_name("group", &membership.group)?;
        check_name("transactional id", &name)?;
        let _turn = self.turn();
        let mut state = self.state();
        let topics = state.infos(&membership.all_topics())?;
        state.sessions += 1;
        let id = SessionId(state.sessions);
        let owner = (id, membership.group.clone());
        if let Some((former, group)) = state.owners.insert(name.clone(), owner) {
            state.groups.entry(group).or_default().leave(former);
        }
        let group = state.groups.entry(membership.group.clone());
        group.or_default().join(id, &name, topics);
        self.changed.notify_all();
        Ok(id)
    }

    /// Takes a session in again that had been expelled, unless it was fenced in the meantime.
    pub(super) fn join_again(
        &self,
        id: SessionId,
        membership: &Membership,
    ) -> Result<(), LogError> {
        let _turn = self.turn();
        let mut state = self.state();
        if !state.is_fenced(id, membership) {
            let topics = state.infos(&membership.all_topics())?;
            let group = state.groups.entry(membership.group.clone()).or_default();
            group.join(id, &membership.transactional_id(), topics);
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Lets a session go. Waits for a commit that is under way.
    pub(super) fn leave(&self, id: SessionId, membership: &Membership) {
        let _turn = self.turn();
        let mut state = self.state();
        if !state.is_fenced(id, membership) {
            state.owners.remove(&membership.transactional_id());
            if let Some(group) = state.groups.get_mut(&membership.group) {
                group.leave(id);
            }
        }
        self.changed.notify_all();
    }

    /// Takes the partitions of a member away without its doing.
    pub(super) fn expel(&self, group: &str, name: &str) {
        let _turn = self.turn();
        let mut state = self.state();
        let State { owners, groups, .. } = &mut *state;
        if let Some(((id, _), group)) = owners.get(name).zip(groups.get_mut(group)) {
            group.expel(*id);
        }
        self.changed.notify_all();
    }

    /// Changes a group, and wakes whoever waits for it. Waits for a commit that is under way.
    pub(super) fn change_group<T>(&self, name: &str, change: impl FnOnce(&mut Group) -> T) -> T {
        let _turn = self.turn();
        let mut state = self.state();
        let changed = change(state.groups.entry(name.to_owned()).or_default());
        self.changed.notify_all();
        changed
    }

    /// Where a group stands in these partitions.
    pub(super) fn group_offsets(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<Vec<GroupOffset>, LogError> {
        let _turn = self.turn();
        let mut offsets = Vec::new();
        for at in of {
            let id = self.state().partition_id(at)?;
            let stored = self.store.group_offset(group, id)?;
            offsets.extend(stored.map(|(offset, metadata)| GroupOffset {
                at: at.clone(),
                offset,
                metadata,
            }));
        }
        Ok(offsets)
    }

    /// Sets where a group stands, if it has no members.
    pub(super) fn set_group_offsets(
        &self,
        group: &str,
        offsets: &[GroupOffset],
    ) -> Result<(), LogError> {
        check_name("group", group)?;
        let turn = self.turn();
        let members = self.state().group(group).map(Group::names);
        if let Some(members) = members.filter(|members| !members.is_empty()) {
            return Err(LogError::Refused(format!(
                "group {group} has live members, {}: stop them first",
                members.join(", ")
            )));
        }
        let offsets = self
            .check_offsets(group, offsets)
            .map_err(LogError::Refused)?;
        let nothing = Outbox::new();
        let plan = self.plan(&turn, &nothing)?;
        self.write(&turn, plan, &offsets)
    }

    /// The offsets as they will be stored. Of two for one partition the later counts.
    ///
    /// # Errors
    /// Names the first that can't be stored.
    pub(super) fn check_offsets<'a>(
        &self,
        group: &'a str,
        offsets: &'a [GroupOffset],
    ) -> Result<Vec<NewGroupOffset<'a>>, String> {
        let mut checked = BTreeMap::new();
        for offset in offsets {
            let refuse = |why: String| Err(format!("{}: {why}", offset.at));
            if offset.offset < Offset(0) {
                return refuse(format!("offset {} is below 0", offset.offset));
            }
            if offset.metadata.len() > MAX_METADATA_BYTES {
                let bytes = offset.metadata.len();
                return refuse(format!(
                    "metadata of {bytes} bytes, of which {MAX_METADATA_BYTES} are allowed"
                ));
            }
            let at = self.state().partition_id(&offset.at);
            let at = at.map_err(|error| error.to_string())?;
            checked.insert(at, NewGroupOffset { group, at, offset });
        }
        Ok(checked.into_values().collect())
    }

    /// Plans the writing of an outbox. The plan holds as long as the turn does.
    pub(super) fn plan<'a>(&self, _: &Turn<'_>, outbox: &'a Outbox) -> Result<Plan<'a>, LogError> {
        Plan::new(outbox, |name| self.state().topics.get(name).cloned())
    }

    /// Writes a plan and offsets, all or nothing, and shows them to readers.
    pub(super) fn write(
        &self,
        _: &Turn<'_>,
        plan: Plan<'_>,
        offsets: &[NewGroupOffset<'_>],
    ) -> Result<(), LogError> {
        self.store.commit(plan.blocks, offsets)?;
        let mut state = self.state();
        for (name, planned) in plan.topics {
            if let Some(topic) = state.topics.get_mut(name) {
                *topic = planned;
            }
        }
        self.changed.notify_all();
        Ok(())
    }
}

impl State {
    pub(super) fn topics(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.topics.iter().map(|(name, topic)| (&**name, topic))
    }

    pub(super) fn topic(&self, name: &str) -> Result<&Topic, LogError> {
        let topic = self.topics.get(name);
        topic.ok_or_else(|| LogError::NoTopic(name.to_owned()))
    }

    fn infos(&self, names: &[String]) -> Result<Vec<TopicInfo>, LogError> {
        let info = |name: &String| {
            self.topic(name).map(|topic| TopicInfo {
                name: name.clone(),
                partitions: topic.partitions(),
            })
        };
        names.iter().map(info).collect()
    }

    pub(super) fn partition_id(&self, at: &TopicPartition) -> Result<PartitionId, LogError> {
        let topic = self.topic(&at.topic)?;
        let id = topic
            .end(at.partition)
            .map(|_| topic.partition_id(at.partition));
        id.ok_or_else(|| LogError::Refused(format!("there is no partition {at}")))
    }

    pub(super) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Whether another session has joined under the transactional id since.
    pub(super) fn is_fenced(&self, id: SessionId, membership: &Membership) -> bool {
        let owner = self.owners.get(&membership.transactional_id());
        owner.is_none_or(|(owner, _)| *owner != id)
    }
}

/// Kafka's rule.
fn check_topic_name(name: &str) -> Result<(), LogError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.chars().all(allowed) && (1..=249).contains(&name.len()) && !matches!(name, "." | "..") {
        return Ok(());
    }
    Err(LogError::Refused(format!(
        "{name:?} can't name a topic: take 1 to 249 letters, digits, dots, underscores and hyphens"
    )))
}

fn check_name(what: &str, name: &str) -> Result<(), LogError> {
    if (1..=MAX_NAME_BYTES).contains(&name.len()) {
        return Ok(());
    }
    Err(LogError::Refused(format!(
        "the {what} must have 1 to {MAX_NAME_BYTES} bytes, and has {}",
        name.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_topics_follow_kafkas_rule() {
        let longest = "a".repeat(249);
        for good in ["a", "A-b_c.9", "...", &longest] {
            assert!(check_topic_name(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(250);
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\n", &too_long] {
            assert!(check_topic_name(bad).is_err(), "{bad}");
        }
    }
}
