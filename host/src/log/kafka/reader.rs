//! Reads committed records of one topic, or of one partition of it, outside any group.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Headers;
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::KafkaLog;
use super::closing::Outsider;
use super::contexts::Messages;
use super::errors::log_error;
use super::records::append;
use crate::log::{Fetched, Log, LogError, Offset, Reader, TopicPartition};

/// A poll returns when it has this many records.
const POLL_RECORDS: usize = 4_096;

/// A reader of committed records.
pub struct KafkaReader {
    consumer: Outsider,
    /// The partitions whose end has been reached and where nothing has come since.
    at_end: BTreeSet<i32>,
}

impl KafkaReader {
    /// Of all partitions: those listed from the given offsets on, the others from their start.
    pub(super) fn new(
        log: &KafkaLog,
        topic: &str,
        from: &[(i32, Offset)],
    ) -> Result<Self, LogError> {
        let info = log.topic(topic)?;
        let info = info.ok_or_else(|| LogError::NoTopic(topic.to_owned()))?;
        let place = |partition| {
            let listed = from.iter().find(|(listed, _)| *listed == partition);
            // Where the first records are gone, librdkafka goes on at the first that is there. Asked for the beginning it would ask the
            // broker first, for which it takes half a second.
            let first = Offset(0);
            let offset = listed.map_or(first, |(_, at)| *at);
            (partition, NativeOffset::Offset(offset.0))
        };
        // It may be there for long, and ask a partition again and again in which nothing happens.
        let how = ("earliest", "50");
        Self::from(log, topic, (0..info.partitions).map(place), how)
    }

    /// Of one partition.
    pub(super) fn of_partition(
        log: &KafkaLog,
        at: &TopicPartition,
        from: Offset,
    ) -> Result<Self, LogError> {
        let info = log.topic(&at.topic)?;
        let info = info.ok_or_else(|| LogError::NoTopic(at.topic.to_string()))?;
        if !(0..info.partitions).contains(&at.partition) {
            return Err(LogError::Refused(format!("there is no partition {at}")));
        }
        let place = (at.partition, NativeOffset::Offset(from.0));
        // Who asks for one offset would not notice that others have come in its place. Such a reader is there until it has come to an end, so
        // that it had better learn soon that there is nothing more.
        Self::from(log, &at.topic, [place], ("error", "5"))
    }

    fn from(
        log: &KafkaLog,
        topic: &str,
        places: impl IntoIterator<Item = (i32, NativeOffset)>,
        (where_offsets_are_gone, most_wait): (&str, &str),
    ) -> Result<Self, LogError> {
        let consumer: BaseConsumer<Messages> = log
            .client(
                &[("client.id", "millstream-reader")],
                &[
                    // Required by librdkafka, never used: the reader joins no group and commits nothing.
                    ("group.id", "millstream-reader"),
                    ("enable.auto.commit", "false"),
                    ("enable.partition.eof", "true"),
                    // So long it takes to learn that there is nothing more.
                    ("fetch.wait.max.ms", most_wait),
                    ("isolation.level", "read_committed"),
                    ("auto.offset.reset", where_offsets_are_gone),
                ],
            )
            .create_with_context(Messages)
            .map_err(|error| log_error(&error))?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in places {
            list.add_partition_offset(topic, partition, offset)
                .map_err(|error| log_error(&error))?;
        }
        consumer.assign(&list).map_err(|error| log_error(&error))?;
        Ok(Self {
            consumer: Outsider::new(consumer, &log.leavers),
            at_end: BTreeSet::new(),
        })
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, into: &mut Fetched, mut wait: Duration) -> Result<(), LogError> {
        into.clear();
        for _ in 0..POLL_RECORDS {
            match self.consumer.poll(wait) {
                None => break,
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.at_end.insert(partition);
                }
                Some(Err(error)) => return Err(log_error(&error)),
                Some(Ok(message)) => {
                    self.at_end.remove(&message.partition());
                    append(&message, into);
                    let batch = into.batch_mut(message.topic(), message.partition());
                    for header in message.headers().into_iter().flat_map(Headers::iter) {
                        batch.push_header(header.key, header.value.unwrap_or_default());
                    }
                }
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn at_end(&self) -> Vec<i32> {
        self.at_end.iter().copied().collect()
    }
}
