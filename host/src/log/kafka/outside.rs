//! What is asked of a cluster, or told to it, from outside any group: offsets of groups, and offsets by time.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::closing::Outsider;
use super::contexts::Messages;
use super::errors::log_error;
use super::{KafkaLog, REQUEST_TIMEOUT};
use crate::log::{Bounds, GroupOffset, Log, LogError, Offset, TopicPartition};
use crate::time::Timestamp;

/// A consumer that joins nothing. With a group it can be asked for that group's offsets, and set them.
pub(super) fn onlooker(log: &KafkaLog, group: Option<&str>) -> Result<Outsider, LogError> {
    let mut fixed = vec![
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_committed"),
    ];
    fixed.extend(group.map(|group| ("group.id", group)));
    let consumer = log
        .client(&[("client.id", "millstream")], &fixed)
        .create_with_context(Messages)
        .map_err(|error| log_error(&error))?;
    Ok(Outsider::new(consumer, &log.leavers))
}

/// A list of partitions with offsets and what stands beside them.
pub(super) fn native_offsets<'a>(
    offsets: impl Iterator<Item = &'a GroupOffset>,
) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::new();
    for new in offsets {
        let mut element = list.add_partition(&new.at.topic, new.at.partition);
        element
            .set_offset(NativeOffset::Offset(new.offset.0))
            .map_err(|error| log_error(&error))?;
        element.set_metadata(&new.metadata);
    }
    Ok(list)
}

/// The offsets that a consumer's group has committed.
pub(super) fn committed<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    of: &[TopicPartition],
) -> Result<Vec<GroupOffset>, LogError> {
    if of.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::with_capacity(of.len());
    for at in of {
        list.add_partition(&at.topic, at.partition);
    }
    // A consumer of committed records asks for offsets that no open transaction is about to change.
    let list = consumer
        .committed_offsets(list, REQUEST_TIMEOUT)
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

/// Sets a group's offsets. The broker takes them from an outsider only while the group has no members.
pub(super) fn set_offsets(
    log: &KafkaLog,
    group: &str,
    offsets: &[GroupOffset],
) -> Result<(), LogError> {
    let members = log.members(group)?;
    if !members.is_empty() {
        return Err(has_members(group, &members.join(", ")));
    }
    if offsets.is_empty() {
        return Ok(());
    }
    let list = native_offsets(offsets.iter())?;
    let consumer = onlooker(log, Some(group))?;
    consumer
        .commit(&list, CommitMode::Sync)
        .map_err(|error| match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress,
            ) => has_members(group, "one that has just joined"),
            _ => log_error(&error),
        })
}

fn has_members(group: &str, members: &str) -> LogError {
    LogError::Refused(format!(
        "group {group} has live members, {members}: stop them first; one that has just ended is missed only after its \
         session timeout"
    ))
}

/// By partition, the first offset at or after a time, or the end.
pub(super) fn offsets_at(
    log: &KafkaLog,
    topic: &str,
    at: Timestamp,
    bounds: &[Bounds],
) -> Result<Vec<Offset>, LogError> {
    let mut list = TopicPartitionList::with_capacity(bounds.len());
    for (partition, _) in (0..).zip(bounds) {
        // Negative times have meanings of their own to Kafka, and no record has them.
        list.add_partition_offset(topic, partition, NativeOffset::Offset(at.0.max(0)))
            .map_err(|error| log_error(&error))?;
    }
    let found = onlooker(log, None)?
        .offsets_for_times(list, REQUEST_TIMEOUT)
        .map_err(|error| log_error(&error))?;
    let mut offsets: Vec<Offset> = bounds.iter().map(|bounds| bounds.end).collect();
    for element in found.elements() {
        element.error().map_err(|error| log_error(&error))?;
        let place = usize::try_from(element.partition()).ok();
        let place = place.and_then(|place| offsets.get_mut(place));
        if let (NativeOffset::Offset(offset), Some(place)) = (element.offset(), place) {
            *place = Offset(offset);
        }
    }
    Ok(offsets)
}
