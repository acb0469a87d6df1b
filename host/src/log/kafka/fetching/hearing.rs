//! What the answers of brokers mean for a partition. Each function returns what is to be told of it, if anything.

use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_response::PartitionData;

use super::partition::Partition;
use super::records::{AbortedTransaction, Malformed, Records};
use super::scout::Leader;
use crate::log::{LogError, TopicPartition};

/// How long a topic may be missing before that is told: brokers learn of a new one after the other.
const MISSING: Duration = Duration::from_secs(10);

/// Tells a partition who leads it.
pub(super) fn learn_leader(open: &mut Partition, leader: Leader, now: Instant) -> Option<LogError> {
    match leader {
        Leader::Is(leader) => {
            open.led_by(leader);
            None
        }
        Leader::None => {
            open.has_failed(now);
            None
        }
        Leader::Failed(error) => {
            open.has_failed(now);
            Some(error)
        }
        Leader::Missing => {
            open.has_failed(now);
            let is_gone = open.is_missing_for(MISSING, now);
            is_gone.then(|| {
                let why = format!("partition {} does not exist, or may not be seen", open.at);
                LogError::Refused(why)
            })
        }
    }
}

/// Takes up an answer for a partition that was asked for at an offset.
pub(super) fn arrive(
    open: &mut Partition,
    offset: i64,
    data: PartitionData,
    checks: bool,
    now: Instant,
) -> Option<LogError> {
    if let Some(error) = ResponseError::try_from_code(data.error_code) {
        return refused(open, error, now);
    }
    if data.preferred_read_replica.0 >= 0 {
        open.nearer_at(data.preferred_read_replica.0, now);
    }
    let aborted = data.aborted_transactions.into_iter().flatten();
    let aborted = aborted.map(|one| AbortedTransaction {
        first: one.first_offset,
        producer: one.producer_id.0,
    });
    let bytes = data.records.unwrap_or_default();
    let is_empty = bytes.is_empty();
    match Records::new(bytes, offset, aborted.collect(), checks) {
        Ok((records, Some(behind))) if behind > offset => {
            open.arrive(records, behind);
            None
        }
        Ok((_, None)) if is_empty => None,
        // Brokers send no part of a batch where there is no whole one.
        Ok(_) => {
            open.has_failed(now);
            let why = "nothing came of what was asked for";
            let why = format!("{}, offset {offset}: {why}", open.at);
            Some(LogError::Unavailable(why))
        }
        Err(malformed) => {
            open.has_failed(now);
            Some(unreadable(&open.at, malformed))
        }
    }
}

/// What a broker's error means for a partition.
fn refused(open: &mut Partition, error: ResponseError, now: Instant) -> Option<LogError> {
    match error {
        ResponseError::OffsetOutOfRange => {
            open.offset_is_gone();
            return None;
        }
        // It has another leader, or will have; or its topic is gone, which is found out with its leader.
        ResponseError::NotLeaderOrFollower
        | ResponseError::LeaderNotAvailable
        | ResponseError::ReplicaNotAvailable
        | ResponseError::FencedLeaderEpoch
        | ResponseError::UnknownLeaderEpoch
        | ResponseError::OffsetNotAvailable
        | ResponseError::UnknownTopicOrPartition
        | ResponseError::KafkaStorageError => {
            open.has_failed(now);
            return None;
        }
        _ => open.has_failed(now),
    }
    let why = format!("partition {}: the broker says: {error}", open.at);
    Some(match error {
        ResponseError::TopicAuthorizationFailed => LogError::Refused(why),
        _ => LogError::Unavailable(why),
    })
}

pub(super) fn unreadable(at: &TopicPartition, malformed: Malformed) -> LogError {
    let offset = malformed
        .offset
        .map_or(String::new(), |offset| format!(", offset {offset}"));
    LogError::Unavailable(format!(
        "{at}{offset}: the records can't be read: {}",
        malformed.why
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use super::*;
    use crate::log::Offset;

    fn led(now: Instant) -> Partition {
        let mut partition = Partition::new(TopicPartition::new("t", 0), Offset(10));
        assert!(partition.seeks_leader(now));
        partition.led_by(1);
        partition
    }

    /// What is told of an answer with an error, and whether the leader is still known.
    fn error(code: ResponseError) -> (Option<LogError>, bool) {
        let now = Instant::now();
        let mut partition = led(now);
        let data = PartitionData::default().with_error_code(code.code());
        let told = arrive(&mut partition, 10, data, true, now);
        (told, partition.broker().is_some())
    }

    #[test]
    fn a_leader_that_has_changed_is_found_out_anew_and_nothing_is_told() {
        for code in [
            ResponseError::NotLeaderOrFollower,
            ResponseError::UnknownTopicOrPartition,
            ResponseError::KafkaStorageError,
            ResponseError::OffsetOutOfRange,
        ] {
            assert!(matches!(error(code), (None, false)), "{code}");
        }
    }

    #[test]
    fn what_no_other_leader_mends_is_told() {
        let (told, _) = error(ResponseError::TopicAuthorizationFailed);
        assert!(matches!(told, Some(LogError::Refused(_))), "{told:?}");
        let (told, _) = error(ResponseError::UnknownServerError);
        assert!(matches!(told, Some(LogError::Unavailable(_))), "{told:?}");
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place_and_asked_for_again() {
        let now = Instant::now();
        let mut partition = led(now);
        let mut bytes = vec![0; 61];
        bytes[7] = 12;
        let data = PartitionData::default().with_records(Some(bytes.into()));
        let told = arrive(&mut partition, 10, data, true, now)
            .unwrap()
            .to_string();
        assert!(told.contains("t/0, offset 12"), "{told}");
        assert!(partition.expects(10) && partition.broker().is_none());
    }

    #[test]
    fn an_answer_with_nothing_of_what_was_asked_for_is_told_and_not_asked_for_at_once() {
        let now = Instant::now();
        // A batch without records, of offset 0 only.
        let mut batch = vec![0; 61];
        (batch[11], batch[16]) = (49, 2);
        for bytes in [batch.clone(), vec![0; 10]] {
            let mut partition = led(now);
            let data = PartitionData::default().with_records(Some(bytes.into()));
            let told = arrive(&mut partition, 10, data, true, now);
            assert!(matches!(told, Some(LogError::Unavailable(_))), "{told:?}");
            assert!(partition.expects(10) && partition.wants(1, now).is_none());
        }
        let mut partition = led(now);
        let data = PartitionData::default().with_records(Some(batch.into()));
        let mut at_0 = Partition::new(TopicPartition::new("t", 0), Offset(0));
        assert!(arrive(&mut at_0, 0, data, true, now).is_none());
        assert!(at_0.expects(1));
        let nothing = PartitionData::default();
        assert!(arrive(&mut partition, 10, nothing, true, now).is_none());
        assert_eq!(partition.wants(1, now), Some(10));
    }

    #[test]
    fn a_missing_topic_is_told_once_it_has_been_missing_for_long() {
        let now = Instant::now();
        let mut partition = Partition::new(TopicPartition::new("t", 0), Offset(0));
        assert!(learn_leader(&mut partition, Leader::Missing, now).is_none());
        let told = learn_leader(&mut partition, Leader::Missing, now + MISSING);
        assert!(matches!(told, Some(LogError::Refused(_))), "{told:?}");
    }
}
