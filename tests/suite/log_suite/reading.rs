//! Topics and records: what is written comes back.

use std::sync::Arc;

use millstream::log::{Log, LogError, Offset, Outbox, RecordParts, TopicSpec, Writer};
use millstream::time::Timestamp;

use super::support::{
    Read, at, join_alone, membership, new_topic, outbox, poll_records, poll_to_end, read_from,
    unique, until, write, write_numbers,
};

pub(crate) fn records_are_read_in_the_order_written<L: Log>(log: &L) {
    const COUNT: usize = 5_000;
    let topic = new_topic(log, 2);
    write_numbers(log, &topic, 0, COUNT);
    write_numbers(log, &topic, 1, COUNT);
    for partition in 0..2 {
        let read: Vec<Read> = read_from(log, &topic, &[], 2 * COUNT)
            .into_iter()
            .filter(|record| record.partition == partition)
            .collect();
        let numbers = (0..COUNT).map(|number| number.to_string());
        assert!(read.iter().map(Read::text).eq(numbers));
        assert!(read.is_sorted_by(|a, b| a.offset < b.offset));
    }
}

fn write_one(log: &impl Log, topic: &Arc<str>, parts: RecordParts<'_>) {
    let mut outbox = Outbox::new();
    outbox.push(topic, parts);
    log.writer().unwrap().append(&outbox).unwrap();
}

const PARTS: RecordParts<'static> = RecordParts {
    partition: Some(0),
    timestamp: Timestamp(1_700_000_000_000),
    key: None,
    value: None,
    headers: &[],
};

pub(crate) fn missing_and_empty_keys_and_values_differ<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    let choices = [None, Some(&b""[..]), Some(b"\0\xff")];
    let pairs = || {
        choices
            .iter()
            .flat_map(|key| choices.map(|value| (*key, value)))
    };
    for (key, value) in pairs() {
        write_one(
            log,
            &topic,
            RecordParts {
                key,
                value,
                ..PARTS
            },
        );
    }
    let read = read_from(log, &topic, &[], 9);
    let read = read.iter().map(|r| (r.key.as_deref(), r.value.as_deref()));
    assert!(read.eq(pairs()));

    let member = membership(&unique("group"), 0, &[&topic]);
    let mut session = join_alone(log, &member, 1);
    let read = poll_records(&mut session, 9);
    let read = read.iter().map(|r| (r.key.as_deref(), r.value.as_deref()));
    assert!(read.eq(pairs()));
}

pub(crate) fn headers_and_timestamps_come_back<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    let headers: [&[(&str, &[u8])]; 3] = [
        &[("a", b"1"), ("a", b""), ("ä", b"\xff")],
        &[],
        &[("", b"x")],
    ];
    let timestamps = [1, 1_700_000_000_001, 1_600_000_000_000].map(Timestamp);
    for (headers, timestamp) in headers.iter().zip(timestamps) {
        write_one(
            log,
            &topic,
            RecordParts {
                headers,
                timestamp,
                ..PARTS
            },
        );
    }
    let read = read_from(log, &topic, &[], 3);
    for ((record, headers), timestamp) in read.iter().zip(headers).zip(timestamps) {
        let written = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        assert!(record.headers.iter().cloned().eq(written));
        assert_eq!(record.timestamp, timestamp);
    }
}

pub(crate) fn a_record_of_ten_megabytes_passes<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    let large: Vec<u8> = (0..10_000_000_u32)
        .flat_map(|n| (n / 7).to_le_bytes().into_iter().take(1))
        .collect();
    write(log, &topic, &[(0, "before")]);
    write_one(
        log,
        &topic,
        RecordParts {
            value: Some(&large),
            ..PARTS
        },
    );
    write(log, &topic, &[(0, "after")]);
    for read in [
        read_from(log, &topic, &[], 3),
        poll_records(
            &mut join_alone(log, &membership(&unique("group"), 0, &[&topic]), 1),
            3,
        ),
    ] {
        assert_eq!(read[0].text(), "before");
        assert!(
            read[1].value.as_deref() == Some(&large[..]),
            "the large record has changed"
        );
        assert_eq!(read[2].text(), "after");
    }
}

pub(crate) fn a_reader_starts_where_it_is_told<L: Log>(log: &L) {
    let topic = new_topic(log, 3);
    for partition in 0..3 {
        write_numbers(log, &topic, partition, 10);
    }
    let all = read_from(log, &topic, &[], 30);
    let offset_of = |partition, text: &str| {
        let found = all
            .iter()
            .find(|r| r.partition == partition && r.text() == text);
        found.unwrap().offset
    };
    let from = [(1, offset_of(1, "7")), (2, offset_of(2, "9").next())];
    let read = read_from(log, &topic, &from, 13);
    let texts = |partition| -> Vec<&str> {
        read.iter()
            .filter(|r| r.partition == partition)
            .map(Read::text)
            .collect()
    };
    assert_eq!(texts(0).len(), 10);
    assert_eq!(texts(1), ["7", "8", "9"]);
    assert_eq!(texts(2).len(), 0);
}

pub(crate) fn a_reader_of_one_partition_reads_no_other<L: Log>(log: &L) {
    let topic = new_topic(log, 3);
    for partition in 0..3 {
        write_numbers(log, &topic, partition, 5);
    }
    let mut reader = log.partition_reader(&at(&topic, 1), Offset(2)).unwrap();
    assert_eq!(poll_to_end(&mut reader, 1), ["2", "3", "4"]);
    let nowhere = log.partition_reader(&at(&topic, 3), Offset(0));
    assert!(matches!(nowhere.err(), Some(LogError::Refused(_))));
    let unknown = log.partition_reader(&at(&unique("unknown").into(), 0), Offset(0));
    assert!(matches!(unknown.err(), Some(LogError::NoTopic(_))));
}

pub(crate) fn offsets_are_found_by_time<L: Log>(log: &L) {
    let topic = new_topic(log, 3);
    let mut written = Outbox::new();
    for (partition, timestamp) in [(0, 1_000), (0, 2_000), (0, 3_000), (1, 1_000)] {
        written.push(
            &topic,
            RecordParts {
                partition: Some(partition),
                timestamp: Timestamp(timestamp),
                ..PARTS
            },
        );
    }
    log.writer().unwrap().append(&written).unwrap();
    for (time, expected) in [
        (i64::MIN, [0, 0, 0]),
        (1_000, [0, 0, 0]),
        (1_001, [1, 1, 0]),
        (3_000, [2, 1, 0]),
        (3_001, [3, 1, 0]),
    ] {
        let found = log.offsets_at(&topic, Timestamp(time)).unwrap();
        assert_eq!(found, expected.map(Offset), "at {time}");
    }
    let unknown = log.offsets_at(&unique("unknown"), Timestamp(0));
    assert!(matches!(unknown, Err(LogError::NoTopic(_))));
}

pub(crate) fn settings_of_a_topic_are_those_it_was_made_with<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    let settings = log.topic_settings(&topic).unwrap();
    if let Some(retention) = settings.get("retention.ms") {
        assert_eq!(retention, "-1");
    } else {
        assert!(settings.is_empty(), "{settings:?}");
    }
    let unknown = log.topic_settings(&unique("unknown"));
    assert!(matches!(unknown, Err(LogError::NoTopic(_))), "{unknown:?}");
}

pub(crate) fn no_partition_starves_beside_a_long_one<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    write_numbers(log, &topic, 0, 20_000);
    write(log, &topic, &[(1, "short")]);
    let member = membership(&unique("group"), 0, &[&topic]);
    let read = poll_records(&mut join_alone(log, &member, 2), 20_001);
    assert_eq!(read.iter().filter(|r| r.partition == 1).count(), 1);
    assert!(
        read.iter()
            .filter(|r| r.partition == 0)
            .is_sorted_by(|a, b| a.offset < b.offset)
    );
}

pub(crate) fn bounds_follow_the_records<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    let ends = |log: &L| -> Vec<_> {
        let bounds = log.bounds(&topic).unwrap();
        assert!(
            bounds
                .iter()
                .all(|b| b.start == Offset(0) && b.written == b.end)
        );
        bounds.iter().map(|b| b.end).collect()
    };
    assert_eq!(ends(log), [Offset(0), Offset(0)]);
    write(log, &topic, &[(1, "a"), (1, "b")]);
    assert_eq!(ends(log), [Offset(0), Offset(2)]);
    let read = read_from(log, &topic, &[], 2);
    assert_eq!(read[1].offset.next(), ends(log)[1]);
}

pub(crate) fn keys_choose_partitions_as_in_kafkas_own_client<L: Log>(log: &L) {
    let topic = new_topic(log, 4);
    // The partition is the key's murmur2 hash without its sign, modulo 4.
    let expected = [
        ("21", 0),
        ("foobar", 2),
        ("a-little-bit-longer-string", 3),
        ("abc", 3),
    ];
    let mut outbox = Outbox::new();
    for (key, _) in expected {
        outbox.push(
            &topic,
            RecordParts {
                partition: None,
                key: Some(key.as_bytes()),
                ..PARTS
            },
        );
    }
    log.writer().unwrap().append(&outbox).unwrap();
    for record in read_from(log, &topic, &[], expected.len()) {
        let key = String::from_utf8(record.key.unwrap()).unwrap();
        assert!(
            expected.contains(&(&key, record.partition)),
            "{key} is in {}",
            record.partition
        );
    }
}

pub(crate) fn an_unknown_topic_is_named_and_never_made<L: Log>(log: &L) {
    let name: Arc<str> = unique("unknown").into();
    assert_eq!(log.topic(&name).unwrap(), None);
    let errors = [log.bounds(&name).err(), log.reader(&name, &[]).err()];
    for error in errors {
        assert!(
            matches!(&error, Some(LogError::NoTopic(named)) if **named == *name),
            "{error:?}"
        );
    }
    let error = log
        .writer()
        .unwrap()
        .append(&outbox(&name, &[(0, "x")]))
        .unwrap_err();
    assert!(error.to_string().contains(&*name), "{error}");
    assert_eq!(log.topic(&name).unwrap(), None);
}

pub(crate) fn a_deleted_topic_is_gone_and_its_name_free<L: Log>(log: &L) {
    let (kept, topic) = (new_topic(log, 1), new_topic(log, 2));
    write(log, &topic, &[(0, "old"), (1, "old")]);
    write(log, &kept, &[(0, "kept")]);
    let names = [topic.to_string(), unique("unknown")];
    log.delete_topics(&names).unwrap();
    until("the topic is gone", || log.topic(&topic).unwrap().is_none());
    let spec = TopicSpec {
        name: topic.to_string(),
        partitions: 1,
        settings: Default::default(),
    };
    log.create_topic(&spec).unwrap();
    write(log, &topic, &[(0, "new")]);
    assert_eq!(read_from(log, &topic, &[], 1)[0].text(), "new");
    assert_eq!(read_from(log, &kept, &[], 1)[0].text(), "kept");
}

pub(crate) fn a_topic_made_twice_stays_as_it_was<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    write(log, &topic, &[(1, "kept")]);
    let spec = TopicSpec {
        name: topic.to_string(),
        partitions: 5,
        settings: Default::default(),
    };
    log.create_topic(&spec).unwrap();
    assert_eq!(log.topic(&topic).unwrap().unwrap().partitions, 2);
    assert_eq!(read_from(log, &topic, &[], 1)[0].text(), "kept");
    assert!(
        log.topics()
            .unwrap()
            .iter()
            .any(|t| *t.name == *topic && t.partitions == 2)
    );
}

pub(crate) fn topics_with_bad_names_are_refused<L: Log>(log: &L) {
    let too_long = "a".repeat(250);
    for name in ["", "..", "with space", "with/slash", &too_long] {
        let spec = TopicSpec {
            name: name.to_owned(),
            partitions: 1,
            settings: Default::default(),
        };
        let error = log.create_topic(&spec).unwrap_err();
        assert!(matches!(error, LogError::Refused(_)), "{name:?}: {error:?}");
    }
}
