//! A session's share in some of its group's topics: a member of the group by itself.
//!
//! Kafka's client deals out partitions by their number alone, whichever topic they are of: of two topics with four each, the second of
//! two members would be given one topic whole. So topics that weigh differently are shared out apart ([`Membership::apart`]), each
//! among members of their own of the same group.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::KafkaLog;
use super::bell::Bell;
use super::closing::OpenConsumer;
use super::contexts::Group;
use super::debts::Debts;
use super::errors::log_error;
use super::generation::identity;
use super::holdings::Holdings;
use super::queue::Queue;
use crate::log::{CommitError, GroupOffset, LogError, Membership, Polled, TopicPartition};

/// How often a member tells its group that it is alive, in milliseconds; it learns as often whether it has been fenced.
const HEARTBEAT: &str = "1000";

/// A member of a consumer group. Used from the thread that has joined.
pub(super) struct Share {
    topics: Vec<String>,
    /// The consumer's own, of which nothing is taken here. Let go of before the consumer that it belongs to.
    own: Option<Queue>,
    /// The same.
    debts: Debts,
    consumer: OpenConsumer,
    holdings: Holdings,
}

impl Share {
    /// Joins the group for `topics`, as the member of this name. The bell is rung when the group has something to say.
    pub(super) fn join(
        log: &KafkaLog,
        membership: &Membership,
        name: &str,
        topics: Vec<String>,
        bell: &Arc<Bell>,
    ) -> Result<Self, LogError> {
        let consumer: BaseConsumer<Group> = log
            .client(
                &[("session.timeout.ms", "10000")],
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
                    // Where the group stands is told only once it is decided.
                    ("isolation.level", "read_committed"),
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
            own: Queue::of_consumer(consumer.client(), bell),
            debts: Debts::new(consumer.client(), bell),
            consumer: OpenConsumer::new(consumer),
            holdings: Holdings::default(),
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
        // One thing in each poll; nobody is woken for what is left here.
        loop {
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => return Err(stray(&message)),
                Some(Err(error)) => return Err(self.poll_error(&error)),
                None => {}
            }
            if let Some(event) = self.event() {
                return Ok(Some(event));
            }
            if self.own.as_ref().is_none_or(Queue::is_empty) {
                return Ok(None);
            }
        }
    }

    pub(super) fn assignment(&self) -> Vec<TopicPartition> {
        self.holdings.all()
    }

    /// Takes note that partitions of its topics are read from now on.
    ///
    /// # Errors
    /// If one is not assigned, or was begun before; nothing is noted then.
    pub(super) fn begin(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        for at in partitions {
            self.holdings.check_begin(at)?;
        }
        partitions.iter().for_each(|at| self.holdings.begin(at));
        Ok(())
    }

    /// See [`Session::release`](crate::log::Session::release), for partitions of its topics.
    pub(super) fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        if let Err(error) = self.settle() {
            tracing::warn!(%error, "offsets are not committed: who gets the partitions reads some records again");
        }
        // Committed later they would take the group back behind whoever has the partitions then.
        self.debts.forget(partitions);
        if !self.holdings.release(partitions)? {
            return Ok(());
        }
        // The group is answered; librdkafka itself has never been given a partition.
        self.consumer
            .incremental_unassign(&TopicPartitionList::new())
            .map_err(|error| log_error(&error))
    }
    /// Whether a partition belongs to it.
    pub(super) fn has(&self, at: &TopicPartition) -> bool {
        self.holdings.has(at)
    }

    /// Whether a partition of its topics is read and not about to be given up.
    ///
    /// # Errors
    /// If it was never begun.
    pub(super) fn is_read(&self, at: &TopicPartition) -> Result<bool, LogError> {
        self.holdings.is_read(at)
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

/// A record that librdkafka has fetched, which is given no partition to fetch.
fn stray(message: &impl Message) -> LogError {
    let at = TopicPartition::new(message.topic(), message.partition());
    let offset = message.offset();
    LogError::Unavailable(format!("{at}, offset {offset}: it was not asked for"))
}
