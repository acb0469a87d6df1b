//! A session's share in some of its group's topics: a member of the group by itself, with the queues of what it reads.
//!
//! Kafka's client deals out partitions by their number alone, whichever topic they are of: of two topics with four each, the second of
//! two members would be given one topic whole. So topics that weigh differently are shared out apart ([`Membership::apart`]), each
//! among members of their own of the same group.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::closing::OpenConsumer;
use super::contexts::Group;
use super::debts::Debts;
use super::errors::log_error;
use super::generation::identity;
use super::holdings::Holdings;
use super::queues::Queues;
use super::{KafkaLog, PAUSE, REQUEST_TIMEOUT};
use crate::log::{
    CommitError, Fetched, GroupOffset, LogError, Membership, Offset, Polled, TopicPartition,
};

/// How often a member tells its group that it is alive, in milliseconds; it learns as often whether it has been fenced.
const HEARTBEAT: &str = "1000";

/// A member of a consumer group. Used from the thread that has joined.
pub(super) struct Share {
    topics: Vec<String>,
    /// Let go of before the consumer that they belong to.
    queues: Queues,
    /// The same.
    debts: Debts,
    consumer: OpenConsumer,
    holdings: Holdings,
    /// What is not fetched for the time being.
    paused: BTreeSet<TopicPartition>,
}

impl Share {
    /// Joins the group for `topics`, as the member of this name.
    pub(super) fn join(
        log: &KafkaLog,
        membership: &Membership,
        name: &str,
        topics: Vec<String>,
    ) -> Result<Self, LogError> {
        let consumer: BaseConsumer<Group> = log
            .client(
                &[
                    ("session.timeout.ms", "10000"),
                    // What waits for its turn costs five times its size, in each partition, and is cold when its turn comes: a few batches are
                    // enough to bridge the time that a fetch takes, if a queue that was full is looked at again soon enough.
                    ("fetch.queue.backoff.ms", "1"),
                    ("queued.min.messages", "5000"),
                ],
                &[
                    // The session's, whichever of its shares this is: by it the group's members are told from outside.
                    ("client.id", &membership.transactional_id()),
                    ("group.id", &membership.group),
                    ("group.instance.id", name),
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
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&names)
            .map_err(|error| log_error(&error))?;
        Ok(Self {
            topics,
            queues: Queues::new(consumer.client()),
            debts: Debts::new(consumer.client()),
            consumer: OpenConsumer::new(consumer),
            holdings: Holdings::default(),
            paused: BTreeSet::new(),
        })
    }

    /// Whether a partition is of one of its topics.
    pub(super) fn is_of(&self, at: &TopicPartition) -> bool {
        self.topics.iter().any(|topic| **topic == *at.topic)
    }

    pub(super) fn consumer(&self) -> &BaseConsumer<Group> {
        &self.consumer
    }

    /// Has offsets committed of records that are safe; see [`Debts`].
    pub(super) fn owe(
        &mut self,
        offsets: impl Iterator<Item = GroupOffset>,
    ) -> Result<(), LogError> {
        self.debts.owe(&self.consumer, offsets)
    }

    /// See [`Debts::pay`].
    pub(super) fn pay(&mut self) -> Result<(), LogError> {
        self.debts.pay(&self.consumer)
    }

    /// See [`Debts::settle`].
    pub(super) fn settle(&mut self) -> Result<(), LogError> {
        self.debts.settle(&self.consumer)
    }

    /// Why this member is of no more use, if another process has joined as the same.
    pub(super) fn fencing(&self) -> Option<String> {
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

    /// What the group has said first of all that has not been told.
    pub(super) fn event(&mut self) -> Option<Polled> {
        let event = self.consumer.context().next_event()?;
        match &event {
            Polled::Records => {}
            Polled::Assigned(partitions) => self.holdings.assign(partitions),
            Polled::Revoked(partitions) => self.holdings.leave(partitions),
            Polled::Lost(partitions) => {
                self.holdings.leave(partitions);
                self.debts.forget(partitions);
            }
        }
        Some(event)
    }

    /// Listens to what the group and the client have to say, until there is something to tell or they have said all.
    ///
    /// # Errors
    /// What the client says has gone wrong.
    pub(super) fn listen(&mut self) -> Result<Option<Polled>, LogError> {
        // One thing in each poll; nobody is woken for what is left here. Records come by the queues.
        loop {
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => return Err(stray(&message)),
                Some(Err(error)) => return Err(self.poll_error(&error)),
                None => {}
            }
            if let Some(event) = self.event() {
                return Ok(Some(event));
            }
            if self.queues.is_all_said() {
                return Ok(None);
            }
        }
    }

    /// Takes records that are there, so many and about so many bytes at most. Returns how many of both are left of that.
    ///
    /// # Errors
    /// What a partition says has gone wrong; what was taken is then of no use.
    pub(super) fn take(
        &mut self,
        into: &mut Fetched,
        most: (usize, usize),
    ) -> Result<(usize, usize), LogError> {
        let left = self.queues.take(into, most);
        left.map_err(|error| self.poll_error(&error))
    }

    pub(super) fn assignment(&self) -> Vec<TopicPartition> {
        self.holdings.all()
    }

    /// See [`Session::begin`](crate::log::Session::begin), for partitions of its topics.
    pub(super) fn begin(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
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

    /// See [`Session::seek`](crate::log::Session::seek), for partitions of its topics.
    pub(super) fn seek(&mut self, to: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
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

    /// See [`Session::pause`](crate::log::Session::pause), for partitions of its topics.
    pub(super) fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
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

    /// See [`Session::resume`](crate::log::Session::resume), for partitions of its topics.
    pub(super) fn resume(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
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

    /// See [`Session::release`](crate::log::Session::release), for partitions of its topics.
    pub(super) fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        if let Err(error) = self.settle() {
            tracing::warn!(%error, "offsets are not committed: who gets the partitions reads some records again");
        }
        // Committed later they would take the group back behind whoever has the partitions then.
        self.debts.forget(partitions);
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

    /// The group, to be told to the broker beside the offsets, if it takes this for a member and the partitions are its own.
    ///
    /// # Errors
    /// [`CommitError::Fenced`] and [`CommitError::Aborted`].
    pub(super) fn right_to_commit<'a>(
        &self,
        mut offsets: impl Iterator<Item = &'a GroupOffset>,
    ) -> Result<ConsumerGroupMetadata, CommitError> {
        if let Some(why) = self.fencing() {
            return Err(CommitError::Fenced(why));
        }
        if let Some(offset) = offsets.find(|o| !self.holdings.has(&o.at)) {
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
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Err(error) = self.settle() {
            tracing::warn!(%error, "offsets are not committed: some records are read again");
        }
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
