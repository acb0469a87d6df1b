//! What brokers are asked for. Decided here, without a socket.

use std::time::Instant;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::connection::Asked;
use super::partition::Partition;
use super::settings::Settings;

/// Only records of transactions that have been committed.
const READ_COMMITTED: i8 = 1;

/// What to ask a broker for. Nothing as long as much waits to be handed out of any of its partitions: it would have to be left out, and
/// then waited for with the others, if they have nothing.
pub(super) fn wanted(
    partitions: &[Partition],
    settings: &Settings,
    broker: i32,
    turn: &mut usize,
    now: Instant,
) -> Option<Vec<Asked>> {
    let enough = usize::try_from(settings.partition_max_bytes).unwrap_or(0) / 2;
    let mut asked = Vec::new();
    for partition in partitions {
        if let Some(offset) = partition.wants(broker, now) {
            if partition.waiting() > enough {
                return None;
            }
            let at = partition.at.clone();
            asked.push(Asked { at, offset });
        }
    }
    if asked.is_empty() {
        return None;
    }
    *turn = (*turn + 1) % asked.len();
    asked.rotate_left(*turn);
    Some(asked)
}

/// The request for what is wanted, of no session: it says all that it wants.
pub(super) fn request_for(asked: &[Asked], settings: &Settings) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for Asked { at, offset } in asked {
        let partition = FetchPartition::default()
            .with_partition(at.partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(*offset)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(settings.partition_max_bytes);
        match topics.last_mut().filter(|topic| **topic.topic == *at.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => {
                let name = TopicName(StrBytes::from_string(at.topic.to_string()));
                topics.push(
                    FetchTopic::default()
                        .with_topic(name)
                        .with_partitions(vec![partition]),
                );
            }
        }
    }
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(i32::try_from(settings.wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(settings.min_bytes)
        .with_max_bytes(settings.max_bytes)
        .with_isolation_level(READ_COMMITTED)
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(topics)
        .with_rack_id(StrBytes::from_string(settings.rack.clone()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::super::records::Records;
    use super::*;
    use crate::log::{Offset, TopicPartition};

    fn settings() -> Settings {
        let small = BTreeMap::from([("fetch.message.max.bytes".to_owned(), "100".to_owned())]);
        Settings::read(&small).unwrap()
    }

    /// Partitions of a topic, led by these brokers.
    fn partitions(leaders: &[i32], now: Instant) -> Vec<Partition> {
        let led = leaders.iter().zip(0..).map(|(leader, number)| {
            let at = TopicPartition::new("t", number);
            let mut partition = Partition::new(at, Offset(10));
            assert!(partition.seeks_leader(now));
            partition.led_by(*leader);
            partition
        });
        led.collect()
    }

    /// The partitions that a broker is asked for.
    fn asked(partitions: &[Partition], broker: i32, turn: &mut usize, now: Instant) -> Vec<i32> {
        let asked = wanted(partitions, &settings(), broker, turn, now);
        let asked = asked.into_iter().flatten();
        asked.map(|asked| asked.at.partition).collect()
    }

    #[test]
    fn each_broker_is_asked_for_what_it_leads_each_time_for_another_first() {
        let now = Instant::now();
        let partitions = partitions(&[1, 2, 1, 1], now);
        let mut turn = 0;
        let rounds = [0; 4].map(|_| asked(&partitions, 1, &mut turn, now));
        assert_eq!(rounds, [[2, 3, 0], [3, 0, 2], [0, 2, 3], [2, 3, 0]]);
        assert_eq!(asked(&partitions, 2, &mut 0, now), [1]);
        assert!(asked(&partitions, 3, &mut 0, now).is_empty());
    }

    #[test]
    fn a_broker_is_not_asked_while_much_of_one_of_its_partitions_waits() {
        let now = Instant::now();
        let mut partitions = partitions(&[1, 1, 2], now);
        // Two batches without a record, which is all that matters here: each is as long as its header.
        let mut batch = [0; 61];
        batch[11] = 49;
        batch[16] = 2;
        let (records, behind) = Records::new(Bytes::from(batch.repeat(2)), 0, vec![], false)
            .ok()
            .unwrap();
        partitions[0].arrive(records, behind.unwrap());
        assert_eq!(partitions[0].waiting(), 122);
        assert!(asked(&partitions, 1, &mut 0, now).is_empty());
        assert_eq!(asked(&partitions, 2, &mut 0, now), [2]);
        partitions[0].pause();
        assert_eq!(asked(&partitions, 1, &mut 0, now), [1]);
    }

    #[test]
    fn a_request_names_topics_once_and_partitions_in_their_order() {
        let asked = |topic: &str, partition, offset| Asked {
            at: TopicPartition::new(topic, partition),
            offset,
        };
        let request = request_for(
            &[asked("a", 1, 5), asked("a", 0, 7), asked("b", 0, 9)],
            &settings(),
        );
        let named: Vec<_> = request
            .topics
            .iter()
            .map(|topic| {
                let offsets = topic
                    .partitions
                    .iter()
                    .map(|one| (one.partition, one.fetch_offset));
                (topic.topic.to_string(), offsets.collect::<Vec<_>>())
            })
            .collect();
        let expected = [
            ("a".to_owned(), vec![(1, 5), (0, 7)]),
            ("b".to_owned(), vec![(0, 9)]),
        ];
        assert_eq!(named, expected);
        assert_eq!(request.isolation_level, READ_COMMITTED);
    }
}
