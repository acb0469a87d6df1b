//! Who in a group reads which partitions: decided here, without I/O.
//!
//! Every join and every leave deals the partitions anew, so that each member keeps what it has as far as that is fair. What a
//! member **is dealt** and what it **holds** are two things: it holds a partition from the poll that tells it so until it
//! releases it, and is dealt one that another still holds only for later. So no partition is ever held by two.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::{TopicInfo, TopicPartition};

/// Names a session of this process; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct SessionId(pub(super) u64);

#[derive(Debug)]
struct Member {
    id: SessionId,
    /// The name under which it commits.
    name: String,
    topics: Vec<TopicInfo>,
    /// It has polled, and may commit.
    polled: bool,
}

/// What a member is to be told next.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum News {
    /// It is no longer a member, and had held these.
    Lost(Vec<TopicPartition>),
    /// It is to give these up.
    Revoked(Vec<TopicPartition>),
    /// It holds these from now on.
    Assigned(Vec<TopicPartition>),
}

/// A group of sessions, in the order of joining.
#[derive(Debug, Default)]
pub(super) struct Group {
    members: Vec<Member>,
    /// Who is dealt each partition.
    dealt: BTreeMap<TopicPartition, SessionId>,
    /// Who holds each partition.
    held: BTreeMap<TopicPartition, SessionId>,
    /// Those that their holders have been told to give up.
    revoked: BTreeSet<TopicPartition>,
    /// Members that were expelled and don't know yet, with what they had held.
    expelled: BTreeMap<SessionId, Vec<TopicPartition>>,
}

impl Group {
    /// Takes a session in that shares the partitions of `topics`.
    pub(super) fn join(&mut self, id: SessionId, name: &str, topics: Vec<TopicInfo>) {
        self.members.push(Member {
            id,
            name: name.to_owned(),
            topics,
            polled: false,
        });
        self.deal();
    }

    /// Lets a session go; what it held is free at once. One that has gone already changes nothing.
    pub(super) fn leave(&mut self, id: SessionId) {
        self.expelled.remove(&id);
        self.remove(id);
    }

    /// Takes the partitions of a member away without its doing, as a broker does with one that it has not heard of for too
    /// long. The member learns of it at its next poll.
    pub(super) fn expel(&mut self, id: SessionId) {
        if self.has(id) {
            let held = self.remove(id);
            self.expelled.insert(id, held);
        }
    }

    fn remove(&mut self, id: SessionId) -> Vec<TopicPartition> {
        if !self.has(id) {
            return Vec::new();
        }
        let held: Vec<_> = self.held_by(id).cloned().collect();
        for at in &held {
            self.held.remove(at);
            self.revoked.remove(at);
        }
        self.members.retain(|member| member.id != id);
        self.deal();
        held
    }

    fn has(&self, id: SessionId) -> bool {
        self.members.iter().any(|member| member.id == id)
    }

    /// The names of all members, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.members.iter().map(|m| m.name.clone()).collect();
        names.sort_unstable();
        names
    }

    fn held_by(&self, id: SessionId) -> impl Iterator<Item = &TopicPartition> {
        self.held
            .iter()
            .filter_map(move |(at, holder)| (*holder == id).then_some(at))
    }

    /// Whether a member holds a partition.
    pub(super) fn holds(&self, id: SessionId, at: &TopicPartition) -> bool {
        self.held.get(at) == Some(&id)
    }

    /// Whether the group takes a session for a member: it has polled, and has not been expelled.
    pub(super) fn knows(&self, id: SessionId) -> bool {
        self.members.iter().any(|m| m.id == id && m.polled)
    }

    /// Whether there is anything to tell a session.
    pub(super) fn has_news(&self, id: SessionId) -> bool {
        self.expelled.contains_key(&id)
            || self.to_revoke(id).next().is_some()
            || self.to_assign(id).next().is_some()
    }

    /// Tells a session what is new to it, and notes that it knows.
    pub(super) fn tell(&mut self, id: SessionId) -> Option<News> {
        if let Some(held) = self.expelled.remove(&id) {
            return Some(News::Lost(held));
        }
        if let Some(member) = self.members.iter_mut().find(|m| m.id == id) {
            member.polled = true;
        }
        let revoked: Vec<_> = self.to_revoke(id).cloned().collect();
        if !revoked.is_empty() {
            self.revoked.extend(revoked.iter().cloned());
            return Some(News::Revoked(revoked));
        }
        let assigned: Vec<_> = self.to_assign(id).cloned().collect();
        if !assigned.is_empty() {
            self.held.extend(assigned.iter().map(|at| (at.clone(), id)));
            return Some(News::Assigned(assigned));
        }
        None
    }

    fn to_revoke(&self, id: SessionId) -> impl Iterator<Item = &TopicPartition> {
        self.held_by(id)
            .filter(move |at| self.dealt.get(*at) != Some(&id) && !self.revoked.contains(*at))
    }

    fn to_assign(&self, id: SessionId) -> impl Iterator<Item = &TopicPartition> {
        let dealt = self.dealt.iter().filter(move |(_, to)| **to == id);
        dealt.filter_map(|(at, _)| (!self.held.contains_key(at)).then_some(at))
    }

    /// Takes back what a member was told to give up. If it has been dealt to it again in the meantime, it is told so.
    pub(super) fn release(&mut self, id: SessionId, at: &TopicPartition) {
        if self.holds(id, at) && self.revoked.remove(at) {
            self.held.remove(at);
        }
    }

    /// Deals all partitions: whoever has one keeps it, free ones go to whoever has the fewest of their topic, and who then has more than
    /// is fair gives some away.
    fn deal(&mut self) {
        let mut hands: Vec<Hand> = vec![Hand::default(); self.members.len()];
        let mut free = Vec::new();
        for at in self.partitions() {
            let before = [self.dealt.get(&at), self.held.get(&at)];
            let keeper = before.into_iter().flatten().find_map(|id| {
                let member = |m: &Member| m.id == *id && m.reads(&at.topic);
                self.members.iter().position(member)
            });
            match keeper {
                Some(place) => _ = hands[place].insert(at),
                None => free.push(at),
            }
        }
        for at in free {
            let readers = (0..self.members.len()).filter(|m| self.members[*m].reads(&at.topic));
            let weight = |m: &usize| (of_topic(&hands[*m], &at.topic), hands[*m].len());
            if let Some(place) = readers.min_by_key(weight) {
                hands[place].insert(at);
            }
        }
        while let Some((from, to, at)) = self.unfair(&hands) {
            hands[from].remove(&at);
            hands[to].insert(at);
        }
        let members = self.members.iter().zip(hands);
        self.dealt = members
            .flat_map(|(member, hand)| hand.into_iter().map(|at| (at, member.id)))
            .collect();
    }

    /// A partition that is better moved: from whom, to whom. That is one of a topic of which the one has two more than the other, or one
    /// more and two more in all. Topics weigh differently, so each is shared fairly, and only then their sum.
    fn unfair(&self, hands: &[Hand]) -> Option<(usize, usize, TopicPartition)> {
        let mut by_count: Vec<usize> = (0..hands.len()).collect();
        by_count.sort_by_key(|place| hands[*place].len());
        for from in by_count.iter().rev() {
            for to in &by_count {
                let (giver, taker) = (&hands[*from], &hands[*to]);
                let movable = |at: &&TopicPartition| {
                    let (has, gets) = (of_topic(giver, &at.topic), of_topic(taker, &at.topic));
                    let has_more = giver.len() >= taker.len() + 2;
                    self.members[*to].reads(&at.topic)
                        && (has >= gets + 2 || (has > gets && has_more))
                };
                if let Some(at) = giver.iter().rev().find(movable) {
                    return Some((*from, *to, at.clone()));
                }
            }
        }
        None
    }

    /// All partitions that any member reads, sorted, each once.
    fn partitions(&self) -> BTreeSet<TopicPartition> {
        let topics = self.members.iter().flat_map(|member| &member.topics);
        topics
            .flat_map(|topic| {
                let name: std::sync::Arc<str> = topic.name.as_str().into();
                (0..topic.partitions).map(move |p| TopicPartition::new(name.clone(), p))
            })
            .collect()
    }
}

/// What a member is dealt.
type Hand = BTreeSet<TopicPartition>;

/// How many partitions of a topic are in a hand.
fn of_topic(hand: &Hand, topic: &str) -> usize {
    hand.iter().filter(|at| *at.topic == *topic).count()
}

impl Member {
    fn reads(&self, topic: &str) -> bool {
        self.topics.iter().any(|t| t.name == topic)
    }
}

#[cfg(test)]
mod tests;
