//! A worker's part in a group: consumers, one producer and what fetches records, which work as one.
//!
//! The consumers have the group and find its offsets, the producer commits them inside its transactions (KIP-447); the consumers
//! themselves commit only where transactions are not wanted. Everything runs on the caller's thread: librdkafka calls back only
//! inside `poll`. There is one consumer, and a second where topics are shared out apart: see `share`.
//!
//! Each is a static member. The group knows the first by the name under which the session commits. A process that comes back within the
//! session timeout gets its partitions again without anybody else noticing, and two processes of one name don't live side by
//! side for long: the group tells the elder that it is fenced.

use std::time::{Duration, Instant};

use super::bell::Bell;
use super::fetching::Fetching;
use super::orphans::Orphans;
use super::outside::{committed, native_offsets};
use super::plain::Plain;
use super::share::Share;
use super::transaction::{Transactions, before_anything, owner_of};
use super::{KafkaLog, PAUSE};
use crate::fail_point::{FailPoint, reach};
use crate::log::{
    CommitError, Delivery, Fetched, GroupOffset, Log, LogError, Membership, Offset, Outbox, Polled,
    Session, TopicPartition, Written,
};

/// A poll returns when it has this many records, so that a batch stays in the processor's cache.
const POLL_RECORDS: usize = 4_096;
/// A poll returns when it has this many bytes.
const POLL_BYTES: usize = 4 << 20;
/// How long a member whose producer was fenced waits to learn whether it was by a second process of the same name: longer than that
/// process takes to join and the next heartbeat to tell.
const FENCING_SHOWS: Duration = Duration::from_secs(3);

/// A worker's part in a consumer group. Used from the thread that has joined.
pub struct KafkaSession {
    /// At least one.
    shares: Vec<Share>,
    fetching: Fetching,
    orphans: Orphans,
    commits: Commits,
}

/// How it commits.
enum Commits {
    ExactlyOnce(Transactions),
    AtLeastOnce(Plain),
}

impl KafkaSession {
    pub(super) fn join(log: &KafkaLog, membership: &Membership) -> Result<Self, LogError> {
        let topics = membership.all_topics();
        let Some(known) = topics.first() else {
            let why = format!("group {} is joined for no topic", membership.group);
            return Err(LogError::Refused(why));
        };
        for topic in topics.iter() {
            if log.topic(topic)?.is_none() {
                return Err(LogError::NoTopic(topic.clone()));
            }
        }
        let id = membership.transactional_id();
        // Fences older owners and ends what they left open, before anything is read.
        let commits = match membership.delivery {
            Delivery::ExactlyOnce => {
                Commits::ExactlyOnce(Transactions::new(log, &membership.group, &id, known)?)
            }
            Delivery::AtLeastOnce => {
                match owner_of(log, &id, known) {
                    // Who may not use transactions has left none open.
                    Ok(_) | Err(LogError::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
                Commits::AtLeastOnce(Plain::new(log, &id)?)
            }
        };
        let bell = Bell::new()
            .map_err(|error| LogError::Unavailable(format!("no socket to be woken by: {error}")))?;
        let first = Share::join(log, membership, &id, membership.topics.clone(), &bell)?;
        let mut shares = vec![first];
        if let Some(topic) = &membership.apart {
            let name = format!("{id}.apart");
            let topics = vec![topic.clone()];
            shares.push(Share::join(log, membership, &name, topics, &bell)?);
        }
        Ok(Self {
            shares,
            fetching: Fetching::new(log, &id, &bell),
            orphans: Orphans::new(log, &membership.group, topics),
            commits,
        })
    }

    /// Why this session is of no more use, if another process has joined as the same member.
    fn fencing(&self) -> Option<String> {
        self.shares.iter().find_map(Share::fencing)
    }

    /// The share that has the topic of a partition. One that is of no topic of the group's is the first's to refuse.
    fn share_of(&self, at: &TopicPartition) -> usize {
        let share = self.shares.iter().position(|share| share.is_of(at));
        share.unwrap_or_default()
    }

    /// Has each share do something with those of these partitions that are of its topics.
    fn each(
        &mut self,
        all: &[TopicPartition],
        act: impl Fn(&mut Share, &[TopicPartition]) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        for number in 0..self.shares.len() {
            let its = all.iter().filter(|at| self.share_of(at) == number);
            let its: Vec<_> = its.cloned().collect();
            act(&mut self.shares[number], &its)?;
        }
        Ok(())
    }

    /// Does something with those of these that are read and not about to be given up.
    fn each_read<T>(
        &mut self,
        all: &[T],
        at: impl Fn(&T) -> &TopicPartition,
        act: impl Fn(&mut Fetching, &T),
    ) -> Result<(), LogError> {
        let mut read = Vec::with_capacity(all.len());
        for one in all {
            let share = &self.shares[self.share_of(at(one))];
            if share.is_read(at(one))? {
                read.push(one);
            }
        }
        read.into_iter()
            .for_each(|one| act(&mut self.fetching, one));
        Ok(())
    }

    /// What the group has said, told to the outside.
    fn told(&mut self, event: Polled) -> Polled {
        self.orphans.changed();
        event
    }

    /// What a fenced producer means: it may have been called for by mistake, by somebody who held this member for dead, or the broker may
    /// have ended a transaction that took too long. Then joining again mends it. But if a second process has this member's name,
    /// the two would fence each other for ever; the group knows of that, and tells it with a heartbeat.
    fn fenced_or(&self, error: CommitError) -> CommitError {
        let deadline = Instant::now() + FENCING_SHOWS;
        loop {
            if let Some(why) = self.fencing() {
                return CommitError::Fenced(why);
            }
            if Instant::now() >= deadline {
                return error;
            }
            std::thread::park_timeout(PAUSE);
        }
    }
}

impl Session for KafkaSession {
    fn poll(&mut self, into: &mut Fetched, wait: Duration) -> Result<Polled, LogError> {
        into.clear();
        // librdkafka tells a fatal error only once, which may have been in the middle of a poll.
        if let Some(why) = self.fencing() {
            return Err(LogError::Fenced(why));
        }
        if let Some(event) = self.shares.iter_mut().find_map(Share::event) {
            return Ok(self.told(event));
        }
        self.orphans.look();
        let deadline = Instant::now() + wait;
        loop {
            for number in 0..self.shares.len() {
                if let Some(event) = self.shares[number].listen()? {
                    return Ok(self.told(event));
                }
            }
            self.shares.iter_mut().try_for_each(Share::pay)?;
            self.fetching.take(into, POLL_RECORDS, POLL_BYTES)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !into.is_empty() || left.is_zero() {
                return Ok(Polled::Records);
            }
            self.fetching.wait(left);
        }
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        let all = self.shares.iter().flat_map(Share::assignment);
        let mut all: Vec<_> = all.collect();
        all.sort();
        all
    }

    fn committed(&mut self, of: &[TopicPartition]) -> Result<Vec<GroupOffset>, LogError> {
        self.shares.iter_mut().try_for_each(Share::settle)?;
        // The group's, whichever member asks.
        committed(self.shares[0].consumer(), of)
    }

    fn begin(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        let partitions: Vec<_> = from.iter().map(|(at, _)| at.clone()).collect();
        self.each(&partitions, Share::begin)?;
        for (at, offset) in from {
            self.fetching.open(at, *offset);
        }
        Ok(())
    }

    fn seek(&mut self, to: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.each_read(
            to,
            |(at, _)| at,
            |fetching, (at, to)| fetching.seek(at, *to),
        )
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.each_read(partitions, |at| at, Fetching::pause)
    }

    fn resume(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.each_read(
            from,
            |(at, _)| at,
            |fetching, (at, from)| fetching.resume(at, *from),
        )
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        let released = self.each(partitions, Share::release);
        for at in partitions {
            if !self.shares[self.share_of(at)].has(at) {
                self.fetching.close(at);
            }
        }
        released
    }

    fn commit(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<Written, CommitError> {
        if let Some(why) = self.fencing() {
            return Err(CommitError::Fenced(why));
        }
        let mut parts = Vec::with_capacity(self.shares.len());
        for (number, share) in self.shares.iter().enumerate() {
            let its = offsets.iter().filter(|it| self.share_of(&it.at) == number);
            // One that has nothing to commit may still be waiting for the group to take it in. But somebody must be in it.
            if its.clone().next().is_none() && !(offsets.is_empty() && number == 0) {
                continue;
            }
            let group = share.right_to_commit(its.clone())?;
            parts.push((number, group, its.cloned().collect::<Vec<_>>()));
        }
        if outbox.is_empty() && offsets.is_empty() {
            return Ok(Written::default());
        }
        parts.retain(|(_, _, its)| !its.is_empty());
        match &mut self.commits {
            Commits::AtLeastOnce(plain) => {
                let refused = |error| before_anything(&error);
                let mut shares = self.shares.iter_mut();
                shares.try_for_each(Share::pay).map_err(refused)?;
                let written = plain.commit(outbox)?;
                reach(FailPoint::Produced);
                for (number, _, its) in parts {
                    self.shares[number].owe(its.into_iter()).map_err(refused)?;
                }
                reach(FailPoint::OffsetsSent);
                Ok(written)
            }
            Commits::ExactlyOnce(transactions) => {
                let listed = parts
                    .iter()
                    .map(|(_, group, its)| Ok((group, native_offsets(its.iter())?)));
                let listed = listed.collect::<Result<Vec<_>, LogError>>();
                let listed = listed.map_err(|error| CommitError::Refused(error.to_string()))?;
                let committed = transactions.commit(outbox, &listed);
                let fenced = transactions.is_fenced();
                committed.map_err(|error| match fenced {
                    true => self.fenced_or(error),
                    false => error,
                })
            }
        }
    }
}
