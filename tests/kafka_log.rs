//! The Kafka log keeps the promises of every log, and some that only a cluster can break.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "suite/log_suite/mod.rs"]
mod log_suite;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log_suite::log_suite;
use log_suite::support::{
    at, committed, group_offset, join_alone, membership, new_topic, outbox, poll, poll_once,
    poll_records, poll_to_end, unique, until, write,
};
use millstream::log::kafka::{KafkaLog, KafkaSession};
use millstream::log::{
    CommitError, Delivery, Fetched, Log, LogError, Membership, Offset, Outbox, Polled, Reader,
    Session,
};
use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

fn with_log(test: impl FnOnce(KafkaLog)) {
    if let Some(log) = support::kafka() {
        test(log);
    }
}

log_suite!(with_log);

/// Longer than any call that does not wait for a timeout of the broker's, shorter than the transaction timeout.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A client of the broker, with these settings.
fn client(settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    config.set("bootstrap.servers", address);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
}

/// Sends values to partition 0 of a topic and waits until they are there.
fn send(producer: &BaseProducer, topic: &str, values: &[String]) {
    for value in values {
        let record = BaseRecord::<(), str>::to(topic).partition(0).payload(value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(AT_ONCE).unwrap();
}

/// Leaves a transaction open under a name, with a record in partition 0 of a topic, as a process does that is killed.
fn die_with_a_transaction_open(id: &str, topic: &str) {
    let settings = [
        ("transactional.id", id),
        ("transaction.timeout.ms", "600000"),
    ];
    let producer: BaseProducer = client(&settings).create().unwrap();
    producer.init_transactions(AT_ONCE).unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, topic, &["never".to_owned()]);
    // Dropping it would leave the transaction open too, but not for certain.
    std::mem::forget(producer);
}

#[test]
fn what_a_dead_member_left_open_holds_readers_up_until_it_is_ended() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        let group = unique("group");
        // It has noted its name before its first transaction, and is no longer there.
        let member = membership(&group, 3, &[&topic]);
        let mut session = join_alone(&log, &member, 1);
        session
            .commit(&Outbox::new(), &[group_offset(&topic, 0, 0)])
            .unwrap();
        drop(session);
        let id = member.transactional_id();
        until("the member to be missed", || {
            log.members(&group).unwrap().is_empty()
        });
        die_with_a_transaction_open(&id, &topic);
        write(&log, &topic, &[(0, "behind it")]);

        let bounds = log.bounds(&topic).unwrap()[0];
        assert_eq!((bounds.end, bounds.written), (Offset(0), Offset(2)));
        let mut reader = log.reader(&topic, &[]).unwrap();
        let mut fetched = Fetched::new();
        for _ in 0..3 {
            reader
                .poll(&mut fetched, Duration::from_millis(100))
                .unwrap();
            assert!(fetched.is_empty(), "a reader saw past an open transaction");
        }

        let begun = Instant::now();
        assert_eq!(log.end_dead_transactions(&group).unwrap(), 1);
        until("the record behind the transaction", || {
            reader
                .poll(&mut fetched, Duration::from_millis(100))
                .unwrap();
            !fetched.is_empty()
        });
        assert!(begun.elapsed() < 2 * AT_ONCE, "{:?}", begun.elapsed());
        let bounds = log.bounds(&topic).unwrap()[0];
        assert_eq!(bounds.end, bounds.written);
        let mut again = log.reader(&topic, &[]).unwrap();
        assert_eq!(poll_to_end(&mut again, 1), ["behind it"]);
        // Its name is forgotten, so nobody calls for it again.
        assert_eq!(log.end_dead_transactions(&group).unwrap(), 0);
    });
}

#[test]
fn a_member_held_for_dead_by_mistake_joins_again_and_goes_on() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        let member = membership(&unique("group"), 0, &[&topic]);
        let mut session = join_alone(&log, &member, 1);
        session
            .commit(&outbox(&topic, &[(0, "before")]), &[])
            .unwrap();
        let ended = log.end_transactions(&member.group, &|_| true).unwrap();
        assert_eq!(ended, 1);
        let failed = session.commit(&outbox(&topic, &[(0, "lost")]), &[]);
        assert!(matches!(failed, Err(CommitError::Unknown(_))), "{failed:?}");
        drop(session);
        let mut session = join_alone(&log, &member, 1);
        session
            .commit(&outbox(&topic, &[(0, "found")]), &[])
            .unwrap();
        let mut reader = log.reader(&topic, &[]).unwrap();
        assert_eq!(poll_to_end(&mut reader, 1), ["before", "found"]);
    });
}

#[test]
fn a_second_process_of_the_same_member_ends_the_first() {
    with_log(|log| {
        let topic = new_topic(&log, 2);
        let member = membership(&unique("group"), 0, &[&topic]);
        let mut first = join_alone(&log, &member, 2);
        let mut second = log.join(&member).unwrap();
        let fenced = first.commit(&outbox(&topic, &[(0, "late")]), &[]);
        assert!(matches!(fenced, Err(CommitError::Fenced(_))), "{fenced:?}");
        let error = first.poll(&mut Fetched::new(), Duration::ZERO).unwrap_err();
        assert!(matches!(error, LogError::Fenced(_)), "{error:?}");
        drop(first);
        until("the partitions", || {
            poll(&mut second, &mut Vec::new());
            second.assignment().len() == 2
        });
        second
            .commit(&Outbox::new(), &[group_offset(&topic, 0, 1)])
            .unwrap();
    });
}

#[test]
fn a_first_process_that_only_polls_learns_of_a_second_too() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        let member = membership(&unique("group"), 0, &[&topic]);
        let mut first = join_alone(&log, &member, 1);
        let mut second = log.join(&member).unwrap();
        until("the fencing", || {
            let _ = second.poll(&mut Fetched::new(), Duration::ZERO);
            match first.poll(&mut Fetched::new(), Duration::from_millis(100)) {
                Err(LogError::Fenced(_)) => true,
                other => {
                    other.unwrap();
                    false
                }
            }
        });
    });
}

/// Joins two sessions that share the partitions of a topic evenly.
fn two_of(log: &KafkaLog, topic: &Arc<str>, group: &str) -> [KafkaSession; 2] {
    let join = |worker| log.join(&membership(group, worker, &[topic])).unwrap();
    let mut sessions = [join(0), join(1)];
    until("an even share", || {
        for session in &mut sessions {
            poll(session, &mut Vec::new());
        }
        sessions
            .iter()
            .all(|session| session.assignment().len() == 2)
    });
    sessions
}

#[test]
fn a_member_that_comes_back_soon_gets_its_partitions_and_nobody_is_disturbed() {
    with_log(|log| {
        let topic = new_topic(&log, 4);
        let group = unique("group");
        let [mut stays, mut goes] = two_of(&log, &topic, &group);
        let had: BTreeSet<_> = goes.assignment().into_iter().collect();
        let place = had.first().unwrap().partition;
        goes.commit(&Outbox::new(), &[group_offset(&topic, place, 7)])
            .unwrap();
        drop(goes);
        let mut back = log.join(&membership(&group, 1, &[&topic])).unwrap();
        until("the partitions it had", || {
            assert_eq!(poll_once(&mut stays, &mut Vec::new()), Polled::Records);
            poll(&mut back, &mut Vec::new());
            back.assignment().len() == had.len()
        });
        assert!(back.assignment().iter().eq(had.iter()));
        assert_eq!(committed(&mut back), [group_offset(&topic, place, 7)]);
        // Both are members of the one generation.
        back.commit(&Outbox::new(), &[group_offset(&topic, place, 8)])
            .unwrap();
        let kept = stays.assignment()[0].partition;
        stays
            .commit(&Outbox::new(), &[group_offset(&topic, kept, 1)])
            .unwrap();
        assert_eq!(stays.assignment().len(), 2);
        assert!(!stays.assignment().contains(&at(&topic, place)));
    });
}

#[test]
fn what_a_member_was_told_to_give_up_when_it_ended_finds_an_owner() {
    with_log(|log| {
        let topic = new_topic(&log, 4);
        let group = unique("group");
        let [one, other] = [0, 1].map(|worker| membership(&group, worker, &[&topic]));
        let mut first = join_alone(&log, &one, 4);
        let mut second = log.join(&other).unwrap();
        until("a revocation", || {
            poll(&mut second, &mut Vec::new());
            matches!(poll_once(&mut first, &mut Vec::new()), Polled::Revoked(_))
        });
        drop(first);
        // Within the session timeout: the group gives it back what it was to keep, and nobody the rest.
        let mut first = log.join(&one).unwrap();
        until("all partitions", || {
            poll(&mut first, &mut Vec::new());
            poll(&mut second, &mut Vec::new());
            let (first, second) = (first.assignment().len(), second.assignment().len());
            (first, second) == (2, 2)
        });
    });
}

#[test]
fn the_topic_of_members_is_compacted() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        let group = unique("group");
        let mut session = join_alone(&log, &membership(&group, 0, &[&topic]), 1);
        session
            .commit(&Outbox::new(), &[group_offset(&topic, 0, 0)])
            .unwrap();
        let settings = log.topic_settings(&format!("{group}-members")).unwrap();
        assert_eq!(settings["cleanup.policy"], "compact");
    });
}

#[test]
fn a_member_that_no_longer_uses_transactions_ends_what_it_had_left_open() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        let member = Membership {
            delivery: Delivery::AtLeastOnce,
            ..membership(&unique("group"), 0, &[&topic])
        };
        die_with_a_transaction_open(&member.transactional_id(), &topic);
        let mut session = join_alone(&log, &member, 1);
        session
            .commit(&outbox(&topic, &[(0, "behind it")]), &[])
            .unwrap();
        let mut reader = log.reader(&topic, &[]).unwrap();
        assert_eq!(poll_to_end(&mut reader, 1), ["behind it"]);
    });
}

#[test]
fn what_librdkafka_has_to_say_holds_no_event_up() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        // Hundreds of lines come until the group has dealt, each a thing to be taken from the consumer's queue.
        let talkative = BTreeMap::from([
            (
                "bootstrap.servers".to_owned(),
                std::env::var("MILLSTREAM_TEST_KAFKA").unwrap(),
            ),
            ("debug".to_owned(), "all".to_owned()),
        ]);
        let talkative = KafkaLog::new(talkative).unwrap();
        let mut session = talkative
            .join(&membership(&unique("group"), 0, &[&topic]))
            .unwrap();
        let (mut polls, wait) = (0, Duration::from_secs(1));
        while session.assignment().is_empty() {
            polls += 1;
            assert!(polls < 10, "each poll hears but little");
            session.poll(&mut Fetched::new(), wait).unwrap();
        }
    });
}

#[test]
fn a_reader_of_one_partition_fails_where_its_offset_is_gone() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        write(&log, &topic, &[(0, "a")]);
        let mut reader = log.partition_reader(&at(&topic, 0), Offset(7)).unwrap();
        until("the error", || {
            match reader.poll(&mut Fetched::new(), Duration::from_millis(100)) {
                Err(LogError::Refused(_)) => true,
                other => {
                    other.unwrap();
                    false
                }
            }
        });
    });
}

#[test]
fn records_are_read_whatever_they_are_packed_with_and_by_whom() {
    with_log(|log| {
        let values: Vec<String> = (0..300)
            .map(|number| format!("value {number} ").repeat(5))
            .collect();
        for packing in ["none", "gzip", "snappy", "lz4", "zstd"] {
            // By librdkafka, and by the broker, whose streams of snappy are of another make.
            for by_broker in [false, true] {
                let topic = new_topic(&log, 1);
                let producers = if by_broker { "none" } else { packing };
                if by_broker && packing != "none" {
                    set_compression(&topic, packing);
                }
                let settings = [("compression.type", producers), ("linger.ms", "50")];
                send(&client(&settings).create().unwrap(), &topic, &values);
                let mut session = join_alone(&log, &membership(&unique("group"), 0, &[&topic]), 1);
                let read = poll_records(&mut session, values.len());
                let read: Vec<&str> = read.iter().map(|record| record.text()).collect();
                assert_eq!(read, values, "{packing}, by the broker: {by_broker}");
            }
        }
    });
}

/// Has the broker pack what comes into a topic.
fn set_compression(topic: &str, packing: &str) {
    use rdkafka::admin::{AlterConfig, ResourceSpecifier};
    let admin: AdminClient<DefaultClientContext> = client(&[]).create().unwrap();
    let alter = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("compression.type", packing);
    let altered = futures_executor::block_on(admin.alter_configs([&alter], &AdminOptions::new()));
    for result in altered.unwrap() {
        result.unwrap();
    }
}

#[test]
fn of_two_producers_transactions_a_session_sees_what_was_committed() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        let producers = ["one", "other"].map(|name| {
            let settings = [("transactional.id", &*unique(name))];
            let producer: BaseProducer = client(&settings).create().unwrap();
            producer.init_transactions(AT_ONCE).unwrap();
            producer
        });
        let mut expected = BTreeSet::new();
        for round in 0..6 {
            for producer in &producers {
                producer.begin_transaction().unwrap();
            }
            for part in 0..3 {
                for (number, producer) in producers.iter().enumerate() {
                    let value = format!("{number} in round {round}, {part}");
                    send(producer, &topic, std::slice::from_ref(&value));
                    // Each is aborted in its own rounds; both in some, neither in others.
                    if (round >> number) & 1 == 0 {
                        expected.insert(value);
                    }
                }
            }
            for (number, producer) in producers.iter().enumerate() {
                match (round >> number) & 1 == 0 {
                    true => producer.commit_transaction(AT_ONCE).unwrap(),
                    false => producer.abort_transaction(AT_ONCE).unwrap(),
                }
            }
        }
        write(&log, &topic, &[(0, "the last")]);
        expected.insert("the last".to_owned());
        let mut session = join_alone(&log, &membership(&unique("group"), 0, &[&topic]), 1);
        let read = poll_records(&mut session, expected.len());
        assert_eq!(read.len(), expected.len());
        let read: BTreeSet<_> = read.iter().map(|record| record.text().to_owned()).collect();
        assert_eq!(read, expected);
    });
}

#[test]
fn a_session_goes_on_with_the_first_record_where_its_offset_is_gone() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        write(&log, &topic, &[(0, "a"), (0, "b"), (0, "c")]);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, rdkafka::Offset::Offset(2))
            .unwrap();
        let admin: AdminClient<DefaultClientContext> = client(&[]).create().unwrap();
        let deleted = admin.delete_records(&list, &AdminOptions::new());
        futures_executor::block_on(deleted).unwrap();
        // Before the first, and behind the last.
        for from in [0, 1_000] {
            let group = unique("group");
            log.set_group_offsets(&group, &[group_offset(&topic, 0, from)])
                .unwrap();
            let mut session = join_alone(&log, &membership(&group, 0, &[&topic]), 1);
            let read = poll_records(&mut session, 1);
            assert_eq!((read.len(), read[0].text()), (1, "c"), "from {from}");
        }
    });
}

#[test]
fn what_records_cannot_be_fetched_with_is_refused_before_a_broker_is_reached() {
    let settings = [
        ("bootstrap.servers", "127.0.0.1:1"),
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", "OAUTHBEARER"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let error = KafkaLog::new(BTreeMap::from(settings)).err().unwrap();
    assert!(error.to_string().contains("sasl.mechanism"), "{error}");
}
