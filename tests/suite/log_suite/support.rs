//! What the tests of the suite share: names, records and patience.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millstream::log::{
    Delivery, Fetched, GroupOffset, Log, Membership, Offset, Outbox, Polled, Reader, RecordBatch,
    RecordParts, Session, TopicPartition, TopicSpec, Writer,
};
use millstream::time::Timestamp;

/// How long a poll waits, and how long a test does altogether: a broker may take a while to deal partitions.
const WAIT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);

/// A record as read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) offset: Offset,
    pub(crate) timestamp: Timestamp,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Read {
    /// The value as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().unwrap()).unwrap()
    }
}

/// A name that no other test and no earlier run has used.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(
        "suite-{what}-{}-{}-{number}",
        now.as_nanos(),
        std::process::id()
    )
}

/// A new topic that takes records of 20 MB and of any time, and keeps them.
pub(crate) fn new_topic(log: &impl Log, partitions: i32) -> Arc<str> {
    let name = unique("topic");
    let settings = [
        ("max.message.bytes", "20000000"),
        ("message.timestamp.after.max.ms", "9223372036854775807"),
        ("retention.ms", "-1"),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings = BTreeMap::from(settings);
    let spec = TopicSpec {
        name: name.clone(),
        partitions,
        settings,
    };
    log.create_topic(&spec).unwrap();
    name.into()
}

/// Membership in a group as its member number `worker`.
pub(crate) fn membership(group: &str, worker: u32, topics: &[&Arc<str>]) -> Membership {
    Membership {
        group: group.to_owned(),
        member: worker.to_string(),
        topics: topics.iter().map(|topic| topic.to_string()).collect(),
        apart: None,
        delivery: Delivery::ExactlyOnce,
    }
}

/// Stages a value without key.
pub(crate) fn stage(outbox: &mut Outbox, topic: &Arc<str>, partition: i32, value: &str) {
    let parts = RecordParts {
        partition: Some(partition),
        timestamp: Timestamp(1_700_000_000_000),
        key: None,
        value: Some(value.as_bytes()),
        headers: &[],
    };
    outbox.push(topic, parts);
}

/// An outbox of values, each with its partition.
pub(crate) fn outbox(topic: &Arc<str>, records: &[(i32, &str)]) -> Outbox {
    let mut outbox = Outbox::new();
    for (partition, value) in records {
        stage(&mut outbox, topic, *partition, value);
    }
    outbox
}

/// Writes values outside transactions.
pub(crate) fn write(log: &impl Log, topic: &Arc<str>, records: &[(i32, &str)]) {
    log.writer()
        .unwrap()
        .append(&outbox(topic, records))
        .unwrap();
}

/// The values numbered `0..count`, all for one partition.
pub(crate) fn write_numbers(log: &impl Log, topic: &Arc<str>, partition: i32, count: usize) {
    let mut outbox = Outbox::new();
    for number in 0..count {
        stage(&mut outbox, topic, partition, &number.to_string());
    }
    log.writer().unwrap().append(&outbox).unwrap();
}

/// An offset for a group, with no metadata.
pub(crate) fn group_offset(topic: &Arc<str>, partition: i32, offset: i64) -> GroupOffset {
    GroupOffset {
        at: at(topic, partition),
        offset: Offset(offset),
        metadata: String::new(),
    }
}

pub(crate) fn at(topic: &Arc<str>, partition: i32) -> TopicPartition {
    TopicPartition::new(Arc::clone(topic), partition)
}

fn take(batch: &RecordBatch, into: &mut Vec<Read>) {
    into.extend((0..batch.len()).map(|row| {
        Read {
            partition: batch.partition().partition,
            offset: batch.offset(row),
            timestamp: batch.timestamp(row),
            key: batch.key(row).map(<[u8]>::to_vec),
            value: batch.value(row).map(<[u8]>::to_vec),
            headers: batch
                .headers(row)
                .map(|header| (header.name.to_owned(), header.value.to_vec()))
                .collect(),
        }
    }));
}

/// Calls `step` until it says that it is done.
pub(crate) fn until(what: &str, mut step: impl FnMut() -> bool) {
    let start = Instant::now();
    while !step() {
        assert!(start.elapsed() < PATIENCE, "waited too long: {what}");
    }
}

/// Reads `count` records of a topic from the given offsets on.
pub(crate) fn read_from(
    log: &impl Log,
    topic: &str,
    from: &[(i32, Offset)],
    count: usize,
) -> Vec<Read> {
    let mut reader = log.reader(topic, from).unwrap();
    let mut fetched = Fetched::new();
    let mut read = Vec::new();
    until("records for a reader", || {
        reader.poll(&mut fetched, WAIT).unwrap();
        fetched.batches().for_each(|batch| take(batch, &mut read));
        read.len() >= count
    });
    read
}

/// All that a topic of one partition shows. A last record written outside transactions tells where it ends, so nothing that is
/// there can be missed and nothing is waited for in vain.
pub(crate) fn read_all_texts(log: &impl Log, topic: &Arc<str>) -> Vec<String> {
    const LAST: &str = "the last one";
    write(log, topic, &[(0, LAST)]);
    let mut reader = log.reader(topic, &[]).unwrap();
    let mut fetched = Fetched::new();
    let mut read = Vec::new();
    until("the last record", || {
        reader.poll(&mut fetched, WAIT).unwrap();
        fetched.batches().for_each(|batch| take(batch, &mut read));
        read.last().is_some_and(|last| last.text() == LAST)
    });
    read.pop();
    read.iter().map(|record| record.text().to_owned()).collect()
}

/// Polls a reader until it has come to the end of so many partitions. The texts come sorted.
pub(crate) fn poll_to_end(reader: &mut impl Reader, partitions: usize) -> Vec<String> {
    let mut fetched = Fetched::new();
    let mut read = Vec::new();
    until("the end of every partition", || {
        reader.poll(&mut fetched, WAIT).unwrap();
        fetched.batches().for_each(|batch| take(batch, &mut read));
        reader.at_end().len() == partitions
    });
    let mut texts: Vec<String> = read.iter().map(|read| read.text().to_owned()).collect();
    texts.sort();
    texts
}

/// One poll of a session, as it comes.
pub(crate) fn poll_once(session: &mut impl Session, into: &mut Vec<Read>) -> Polled {
    let mut fetched = Fetched::new();
    let polled = session.poll(&mut fetched, WAIT).unwrap();
    if polled != Polled::Records {
        assert!(fetched.is_empty(), "{polled:?} brought records");
    }
    let mine = session.assignment();
    assert!(mine.is_sorted());
    for batch in fetched.batches() {
        assert!(
            mine.contains(batch.partition()),
            "not assigned: {}",
            batch.partition()
        );
        take(batch, into);
    }
    polled
}

/// One poll of a session that begins what it is assigned where the group stands, and releases what it is to give up. Says
/// whether there was any of this.
pub(crate) fn poll(session: &mut impl Session, into: &mut Vec<Read>) -> bool {
    match poll_once(session, into) {
        Polled::Records => return false,
        Polled::Assigned(partitions) => {
            let committed = session.committed(&partitions).unwrap();
            let from: Vec<_> = partitions
                .into_iter()
                .map(|at| {
                    let stands = committed.iter().find(|stands| stands.at == at);
                    let from = stands.map_or(Offset(0), |stands| stands.offset);
                    (at, from)
                })
                .collect();
            session.begin(&from).unwrap();
        }
        Polled::Revoked(partitions) | Polled::Lost(partitions) => {
            session.release(&partitions).unwrap();
        }
    }
    true
}

/// Where the group stands in the partitions of a session.
pub(crate) fn committed(session: &mut impl Session) -> Vec<GroupOffset> {
    let mine = session.assignment();
    session.committed(&mine).unwrap()
}

/// Polls until `count` records have come.
pub(crate) fn poll_records(session: &mut impl Session, count: usize) -> Vec<Read> {
    let mut read = Vec::new();
    until("records for a session", || {
        poll(session, &mut read);
        read.len() >= count
    });
    read
}

/// Joins and polls until `partitions` partitions are assigned, and begun where the group stands.
pub(crate) fn join_alone<L: Log>(
    log: &L,
    membership: &Membership,
    partitions: usize,
) -> L::Session {
    let mut session = log.join(membership).unwrap();
    until("an assignment", || {
        poll(&mut session, &mut Vec::new());
        session.assignment().len() == partitions
    });
    session
}
