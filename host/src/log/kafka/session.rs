//! A worker's part in a group: one consumer and one producer that work as one.
//!
//! The consumer finds the group's offsets, the producer commits them inside its transactions (KIP-447); the consumer
//! itself commits only where transactions are not wanted. Everything runs on the caller's thread: librdkafka calls back only
//! inside `poll`.
//!
//! The member is static: the group knows it by the name under which it commits. A process that comes back within the session
//! timeout gets its partitions again without anybody else noticing, and two processes of one name don't live side by side for
//! long: the group tells the elder that it is fenced.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::closing::OpenConsumer;
use super::contexts::Group;
use super::errors::log_error;
use super::generation::identity;
use super::holdings::Holdings;
use super::orphans::Orphans;
use super::outside::{committed, native_offsets};
use super::plain::Plain;
use super::queues::Queues;
use super::transaction::{Transactions, owner_of};
use super::{KafkaLog, PAUSE, REQUEST_TIMEOUT};
use crate::log::{
    CommitError, Delivery, Fetched, GroupOffset, Log, LogError, Membership, Offset, Outbox, Polled,
    Session, TopicPartition, Written,
};

/// A poll returns when it has this many records, so that a batch stays in the processor's cache.
const POLL_RECORDS: usize = 4_096;
/// A poll returns when it has this many bytes.
const POLL_BYTES: usize = 4 << 20;
/// How often a member tells its group that it is alive, in milliseconds; it learns as often whether it has been fenced.
const HEARTBEAT: &str = "1000";
/// How long a member whose producer was fenced waits to learn whether it was by a second process of the same name: longer than that
/// process takes to join and the next heartbeat to tell.
const FENCING_SHOWS: Duration = Duration::from_secs(3);

/// A member of a consumer group. Used from the thread that has joined.
pub struct KafkaSession {
    /// Let go of before the consumer that they belong to.
    queues: Queues,
    consumer: OpenConsumer,
    holdings: Holdings,
    /// What is not fetched for the time being.
    paused: BTreeSet<TopicPartition>,
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
        for topic in &membership.topics {
            if log.topic(topic)?.is_none() {
                return Err(LogError::NoTopic(topic.clone()));
            }
        }
        let id = membership.transactional_id();
        // Fences older owners and ends what they left open, before anything is read.
        let commits = match membership.delivery {
            Delivery::ExactlyOnce => {
                Commits::ExactlyOnce(Transactions::new(log, &membership.group, &id)?)
            }
            Delivery::AtLeastOnce => {
                match owner_of(log, &id) {
                    // Who may not use transactions has left none open.
                    Ok(_) | Err(LogError::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
                Commits::AtLeastOnce(Plain::new(log, &id)?)
            }
        };
        let consumer: BaseConsumer<Group> = log
            .client(
                &[
                    ("session.timeout.ms", "10000"),
                    // A full queue is looked at again soon; the default of a second halves the throughput.
                    ("fetch.queue.backoff.ms", "10"),
                    // What waits for its turn costs five times its size; more of it makes nothing faster.
                    ("queued.min.messages", "20000"),
                ],
                &[
                    ("client.id", &id),
                    ("group.id", &membership.group),
                    ("group.instance.id", &id),
                    ("heartbeat.interval.ms", HEARTBEAT),
                    // The newer protocol refuses transactions that run across a rebalance (KIP-1251).
                    ("group.protocol", "classic"),
                    ("partition.assignment.strategy", "cooperative-sticky"),
                    ("enable.auto.commit", "false"),
                    ("enable.auto.offset.store", "false"),
                    ("isolation.level", "read_committed"),
                    ("auto.offset.reset", "earliest"),
                    ("enable.partition.eof", "false"),
                ],
            )
            .create_with_context(Group::default())
            .map_err(|error| log_error(&error))?;
        let topics: Vec<&str> = membership.topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&topics)
            .map_err(|error| log_error(&error))?;
        Ok(Self {
            queues: Queues::new(consumer.client()),
            consumer: OpenConsumer::new(consumer),
            holdings: Holdings::default(),
            paused: BTreeSet::new(),
            orphans: Orphans::new(log, membership),
            commits,
        })
    }

    /// Why this session is of no more use, if another process has joined as the same member.
    fn fencing(&self) -> Option<String> {
        let fatal = self.consumer.client().fatal_error();
        let fenced = fatal.filter(|(code, _)| *code == RDKafkaErrorCode::FencedInstanceId);
        fenced.map(|(_, why)| why)
    }

    fn poll_error(&self, error: &KafkaError) -> LogError {
        match self.fencing() {
            Some(why) => LogError::Fenced(why),
            None => log_error(error),
        }
    }

    /// Those of these partitions that are read and not about to be given up.
    ///
    /// # Errors
    /// If one was never begun.
    fn read_of<'a>(
        &self,
        partitions: impl Iterator<Item = &'a TopicPartition>,
    ) -> Result<Vec<TopicPartition>, LogError> {
        let mut read = Vec::new();
        for at in partitions {
            if self.holdings.is_read(at)? {
                read.push(at.clone());
            }
        }
        Ok(read)
    }

    /// Takes note of what the group has said.
    fn take(&mut self, event: Polled) -> Polled {
        match &event {
            Polled::Records => {}
            Polled::Assigned(partitions) => self.holdings.assign(partitions),
            Polled::Revoked(partitions) | Polled::Lost(partitions) => {
                self.holdings.leave(partitions);
            }
        }
        self.orphans.changed();
        event
    }

    /// The group, to be told to the broker beside the offsets, if it takes this session for a member and the partitions are its own.
    fn right_to_commit(
        &self,
        offsets: &[GroupOffset],
    ) -> Result<ConsumerGroupMetadata, CommitError> {
        if let Some(why) = self.fencing() {
            return Err(CommitError::Fenced(why));
        }
        if let Some(offset) = offsets.iter().find(|o| !self.holdings.has(&o.at)) {
            return Err(CommitError::Aborted(format!(
                "{}: an offset is committed, but the partition is not this session's",
                offset.at
            )));
        }
        // Looked at before and after, so that what was taken in between is the same.
        let before = identity(&self.consumer);
        let group = self.consumer.group_metadata();
        let after = identity(&self.consumer);
        match group {
            Some(group) if before == after && before.is_some_and(|now| now.is_valid()) => Ok(group),
            _ => Err(CommitError::Aborted(
                "the group does not take this session for a member now".to_owned(),
            )),
        }
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
        if let Some(event) = self.consumer.context().next_event() {
            return Ok(self.take(event));
        }
        self.orphans.look();
        let deadline = Instant::now() + wait;
        loop {
            // What the group and the client say; records come by the queues.
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => return Err(stray(&message)),
                Some(Err(error)) => return Err(self.poll_error(&error)),
                None => {}
            }
            if let Some(event) = self.consumer.context().next_event() {
                return Ok(self.take(event));
            }
            // Nothing that came beside an error is used: a record may be missing in between, and all of it comes again.
            self.queues
                .take(into, POLL_RECORDS, POLL_BYTES)
                .map_err(|error| self.poll_error(&error))?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !into.is_empty() || left.is_zero() {
                return Ok(Polled::Records);
            }
            std::thread::park_timeout(left);
        }
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.holdings.all()
    }

    fn committed(&mut self, of: &[TopicPartition]) -> Result<Vec<GroupOffset>, LogError> {
        committed(&self.consumer, of)
    }

    fn begin(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        for (at, _) in from {
            self.holdings.check_begin(at)?;
        }
        if from.is_empty() {
            return Ok(());
        }
        for (at, offset) in from {
            self.queues
                .open(self.consumer.client(), at, *offset)
                .map_err(|error| log_error(&error))?;
        }
        self.consumer
            .incremental_assign(&positions(from)?)
            .map_err(|error| log_error(&error))?;
        from.iter().for_each(|(at, _)| self.holdings.begin(at));
        Ok(())
    }

    fn seek(&mut self, to: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        let mut read = Vec::with_capacity(to.len());
        for (at, offset) in to {
            if self.holdings.is_read(at)? {
                read.push((at.clone(), *offset));
            }
        }
        if read.is_empty() {
            return Ok(());
        }
        let list = positions(&read)?;
        // A partition that was just begun can't be sought in until librdkafka fetches it.
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        loop {
            let sought = self
                .consumer
                .seek_partitions(list.clone(), REQUEST_TIMEOUT)
                .and_then(|done| {
                    done.elements()
                        .iter()
                        .try_for_each(|element| element.error())
                });
            match sought {
                Ok(()) => {
                    read.iter().for_each(|(at, to)| self.queues.seek(at, *to));
                    return Ok(());
                }
                Err(error)
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::State)
                        && Instant::now() < deadline =>
                {
                    std::thread::park_timeout(PAUSE);
                }
                Err(error) => return Err(log_error(&error)),
            }
        }
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        let read = self.read_of(partitions.iter())?;
        if read.is_empty() {
            return Ok(());
        }
        self.consumer
            .pause(&listed(&read))
            .map_err(|error| log_error(&error))?;
        self.paused.extend(read);
        Ok(())
    }

    fn resume(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        let read = self.read_of(from.iter().map(|(at, _)| at))?;
        if read.is_empty() {
            return Ok(());
        }
        // librdkafka goes on behind what it handed out last, which is not always where its user stands.
        self.seek(from)?;
        self.consumer
            .resume(&listed(&read))
            .map_err(|error| log_error(&error))?;
        self.paused.retain(|at| !read.contains(at));
        Ok(())
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        let Some(stopped) = self.holdings.release(partitions)? else {
            return Ok(());
        };
        // It would come back paused.
        let paused: Vec<_> = stopped
            .iter()
            .filter_map(|at| self.paused.take(at))
            .collect();
        if !paused.is_empty()
            && let Err(error) = self.consumer.resume(&listed(&paused))
        {
            tracing::debug!(%error, "giving up partitions that were paused");
        }
        stopped.iter().for_each(|at| self.queues.close(at));
        self.consumer
            .incremental_unassign(&listed(&stopped))
            .map_err(|error| log_error(&error))
    }

    fn commit(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<Written, CommitError> {
        let group = self.right_to_commit(offsets)?;
        let list =
            native_offsets(offsets).map_err(|error| CommitError::Refused(error.to_string()))?;
        if outbox.is_empty() && offsets.is_empty() {
            return Ok(Written::default());
        }
        match &mut self.commits {
            Commits::AtLeastOnce(plain) => plain.commit(outbox, &list, &self.consumer),
            Commits::ExactlyOnce(transactions) => {
                let committed = transactions.commit(outbox, &list, &group);
                let fenced = transactions.is_fenced();
                committed.map_err(|error| match fenced {
                    true => self.fenced_or(error),
                    false => error,
                })
            }
        }
    }
}

impl Drop for KafkaSession {
    fn drop(&mut self) {
        self.consumer.context().close();
        // A revocation that was not answered would hold up the closing of the consumer.
        if let Err(error) = self
            .consumer
            .incremental_unassign(&TopicPartitionList::new())
        {
            tracing::debug!(%error, "leaving");
        }
    }
}

/// A record that has come by another way than its partition's queue, whose place among the others nobody knows.
fn stray(message: &impl Message) -> LogError {
    let at = TopicPartition::new(message.topic(), message.partition());
    let offset = message.offset();
    LogError::Unavailable(format!(
        "{at}, offset {offset}: it came from the consumer's own queue"
    ))
}

fn listed(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for at in partitions {
        list.add_partition(&at.topic, at.partition);
    }
    list
}

fn positions(from: &[(TopicPartition, Offset)]) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::with_capacity(from.len());
    for (at, offset) in from {
        list.add_partition_offset(&at.topic, at.partition, NativeOffset::Offset(offset.0))
            .map_err(|error| log_error(&error))?;
    }
    Ok(list)
}
