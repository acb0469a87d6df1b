//! A worker's part in a group: one consumer and one transactional producer that work as one.
//!
//! The consumer finds the group's offsets, the producer commits them inside its transactions (KIP-447); the consumer
//! itself never commits. Everything runs on the caller's thread: librdkafka calls back only inside `poll`.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::contexts::{Deliveries, Group};
use super::errors::{is_fenced, log_error};
use super::known::KnownTopics;
use super::records::{append, native_record};
use super::{KafkaLog, PAUSE, REQUEST_TIMEOUT};
use crate::log::{
    CommitError, Fetched, GroupOffset, Log, LogError, Membership, Offset, Outbox, OutboxRecord,
    Polled, Session, TopicPartition,
};

/// A poll returns when it has this many records, so that a batch stays in the processor's cache.
const POLL_RECORDS: usize = 4_096;
/// A poll returns when it has this many bytes.
const POLL_BYTES: usize = 4 << 20;
/// How long the broker lets a transaction be open. An open transaction holds up every reader of the sink, so a dead host's
/// must end soon.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one step of a commit may be tried again before its transaction is given up. Above the transaction timeout
/// that we ask of the broker, so that afterwards the broker has decided.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// A member of a consumer group that commits by transactions.
pub struct KafkaSession {
    consumer: BaseConsumer<Group>,
    producer: BaseProducer<Deliveries>,
    known: KnownTopics,
}

impl KafkaSession {
    pub(super) fn join(log: &KafkaLog, membership: &Membership) -> Result<Self, LogError> {
        for topic in &membership.topics {
            if log.topic(topic)?.is_none() {
                return Err(LogError::NoTopic(topic.clone()));
            }
        }
        let producer: BaseProducer<Deliveries> = log
            .client(
                &[
                    ("client.id", "millstream"),
                    // Records of a commit are queued in one go, so there is nothing to linger for.
                    ("linger.ms", "1"),
                    ("message.max.bytes", "67108864"),
                    ("queue.buffering.max.messages", "1000000"),
                    ("compression.type", "lz4"),
                ],
                &[
                    (
                        "transaction.timeout.ms",
                        &TRANSACTION_TIMEOUT.as_millis().to_string(),
                    ),
                    ("transactional.id", &membership.transactional_id),
                    ("enable.idempotence", "true"),
                    // The same partition for the same key as the Java client.
                    ("partitioner", "murmur2_random"),
                ],
            )
            .create_with_context(Deliveries::default())
            .map_err(|error| log_error(&error))?;
        // Fences older owners and ends what they left open, before anything is read.
        producer
            .init_transactions(REQUEST_TIMEOUT)
            .map_err(|error| log_error(&error))?;

        let consumer: BaseConsumer<Group> = log
            .client(
                &[
                    ("client.id", "millstream"),
                    ("partition.assignment.strategy", "cooperative-sticky"),
                    ("session.timeout.ms", "10000"),
                    // A full queue is looked at again soon; the default of a second halves the throughput.
                    ("fetch.queue.backoff.ms", "10"),
                    ("queued.min.messages", "100000"),
                    ("fetch.message.max.bytes", "4194304"),
                ],
                &[
                    ("group.id", &membership.group),
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
            consumer,
            producer,
            known: KnownTopics::default(),
        })
    }

    /// Hands all records to librdkafka and waits until the broker has each.
    fn produce(&self, outbox: &Outbox, deadline: Instant) -> Result<(), CommitError> {
        for record in outbox.records() {
            self.send(record, deadline)?;
        }
        // librdkafka's own flush looks only every 100 ms.
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(10));
            if Instant::now() > deadline {
                return Err(self.abort("the broker did not take the records in time".to_owned()));
            }
        }
        match self.producer.context().take_failure() {
            None => Ok(()),
            Some(error) => Err(self.abort_refused(&error)),
        }
    }

    fn send(&self, record: OutboxRecord<'_>, deadline: Instant) -> Result<(), CommitError> {
        loop {
            match self.producer.send(native_record(&record)) {
                Ok(()) => return Ok(()),
                Err((error, _)) => {
                    let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                    if !full || Instant::now() > deadline {
                        return Err(self.abort_refused(&error));
                    }
                    self.producer.poll(Duration::from_millis(10));
                }
            }
        }
    }

    /// Repeats a step while librdkafka says that it may be repeated.
    fn step(
        &self,
        deadline: Instant,
        call: impl Fn(&BaseProducer<Deliveries>) -> KafkaResult<()>,
    ) -> Result<(), KafkaError> {
        loop {
            match call(&self.producer) {
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && Instant::now() < deadline =>
                {
                    self.producer.poll(Duration::from_millis(10));
                }
                other => return other,
            }
        }
    }

    /// A step before the commit itself failed: nothing can have been committed.
    fn give_up(&self, error: &KafkaError) -> CommitError {
        if self.is_fenced(error) {
            CommitError::Fenced(error.to_string())
        } else {
            self.abort(error.to_string())
        }
    }

    fn abort_refused(&self, error: &KafkaError) -> CommitError {
        if self.is_fenced(error) {
            return CommitError::Fenced(error.to_string());
        }
        let reason = error.to_string();
        match self.abort(reason.clone()) {
            CommitError::Aborted(_) if !log_error(error).is_retriable() => {
                CommitError::Refused(reason)
            }
            other => other,
        }
    }

    /// Aborts the transaction, because of `reason`.
    fn abort(&self, reason: String) -> CommitError {
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        let aborted = self.step(deadline, |producer| {
            producer.abort_transaction(REQUEST_TIMEOUT)
        });
        self.producer.context().take_failure();
        match aborted {
            Ok(()) => CommitError::Aborted(reason),
            Err(error) if self.is_fenced(&error) => CommitError::Fenced(error.to_string()),
            Err(error) => CommitError::Unknown(format!("{reason}; and the abort failed: {error}")),
        }
    }

    fn is_fenced(&self, error: &KafkaError) -> bool {
        error.rdkafka_error_code().is_some_and(is_fenced)
            || self
                .producer
                .client()
                .fatal_error()
                .is_some_and(|(code, _)| is_fenced(code))
    }
}

impl Session for KafkaSession {
    fn poll(&mut self, into: &mut Fetched, wait: Duration) -> Result<Polled, LogError> {
        into.clear();
        let (mut records, mut bytes, mut wait) = (0, 0, wait);
        while records < POLL_RECORDS && bytes < POLL_BYTES {
            let polled = self.consumer.poll(wait);
            if self.consumer.context().take_reassigned() {
                into.clear();
                return Ok(Polled::Reassigned);
            }
            match polled {
                None => break,
                Some(Ok(message)) => {
                    bytes += append(&message, into);
                    records += 1;
                    wait = Duration::ZERO;
                }
                // What came before it is good; the error shows again if it lasts.
                Some(Err(error)) if records > 0 => {
                    tracing::debug!(%error, "poll");
                    break;
                }
                Some(Err(error)) => return Err(log_error(&error)),
            }
        }
        Ok(Polled::Records)
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        // It fails only for a consumer that has been closed, which owns nothing.
        let list = self.consumer.assignment().unwrap_or_default();
        let mut assigned: Vec<TopicPartition> = list
            .elements()
            .iter()
            .map(|element| TopicPartition::new(element.topic(), element.partition()))
            .collect();
        assigned.sort();
        assigned
    }

    fn committed(&mut self) -> Result<Vec<GroupOffset>, LogError> {
        let list = self
            .consumer
            .committed(REQUEST_TIMEOUT)
            .map_err(|error| log_error(&error))?;
        let mut committed = Vec::new();
        for element in list.elements() {
            element.error().map_err(|error| log_error(&error))?;
            if let NativeOffset::Offset(offset) = element.offset() {
                committed.push(GroupOffset {
                    at: TopicPartition::new(element.topic(), element.partition()),
                    offset: Offset(offset),
                    metadata: element.metadata().to_owned(),
                });
            }
        }
        Ok(committed)
    }

    fn seek(&mut self, to: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        if to.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(to.len());
        for (at, offset) in to {
            list.add_partition_offset(&at.topic, at.partition, NativeOffset::Offset(offset.0))
                .map_err(|error| log_error(&error))?;
        }
        // A partition that was just assigned can't be sought in until librdkafka has begun to fetch it.
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
                Ok(()) => return Ok(()),
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

    fn commit(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<(), CommitError> {
        let begun = Instant::now();
        match self.commit_once(outbox, offsets) {
            // The broker ends a transaction that is open for too long by fencing its producer, which then looks as if
            // somebody had taken over. If somebody has, joining again tells.
            Err(CommitError::Fenced(why)) if begun.elapsed() >= TRANSACTION_TIMEOUT => {
                Err(CommitError::Unknown(why))
            }
            other => other,
        }
    }
}

impl KafkaSession {
    fn commit_once(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<(), CommitError> {
        // Before the transaction begins, so there is nothing to abort.
        self.known
            .check(outbox, self.producer.client())
            .map_err(|error| match error {
                LogError::Unavailable(why) => CommitError::Aborted(why),
                other => CommitError::Refused(other.to_string()),
            })?;
        let Some(group) = self.consumer.group_metadata() else {
            return Err(CommitError::Unknown(
                "the consumer has left its group".to_owned(),
            ));
        };
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for GroupOffset {
            at,
            offset,
            metadata,
        } in offsets
        {
            let mut element = list.add_partition(&at.topic, at.partition);
            element
                .set_offset(NativeOffset::Offset(offset.0))
                .map_err(|error| CommitError::Refused(error.to_string()))?;
            element.set_metadata(metadata);
        }
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        self.producer.begin_transaction().map_err(|error| {
            if self.is_fenced(&error) {
                CommitError::Fenced(error.to_string())
            } else {
                CommitError::Unknown(error.to_string())
            }
        })?;
        self.produce(outbox, deadline)?;
        self.step(deadline, |producer| {
            producer.send_offsets_to_transaction(&list, &group, REQUEST_TIMEOUT)
        })
        .map_err(|error| self.give_up(&error))?;
        match self.step(deadline, |producer| {
            producer.commit_transaction(REQUEST_TIMEOUT)
        }) {
            Ok(()) => Ok(()),
            Err(error) if self.is_fenced(&error) => Err(CommitError::Fenced(error.to_string())),
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                Err(self.abort(error.to_string()))
            }
            // After a commit that was not answered, an abort could tear what the broker has decided.
            Err(error) => Err(CommitError::Unknown(error.to_string())),
        }
    }
}
