//! The embedded log beside a plain one made of vectors, driven by the same random steps.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::log::embedded::{EmbeddedLog, EmbeddedSession};
use millstream::log::{
    CommitError, Fetched, GroupOffset, Log, Offset, Outbox, Polled, Session, TopicSpec, Writer,
};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::log_suite::support::{at, committed, membership, poll, read_from, stage};

const PARTITIONS: i32 = 3;
/// Enough of them in one step to fill several blocks.
const MANY: usize = 600;

type Records = Vec<(i32, String)>;

#[derive(Clone, Debug)]
enum Step {
    Append(Records),
    Commit(Records, i32, i64),
    /// A commit with a record for a partition that is not there.
    CommitBadly(Records, i32, i64),
    /// A newer session takes over, and the older tries to commit.
    Fence(Records, i32),
    Seek(i32, i64),
    Poll,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = || (0..PARTITIONS, "[a-z]{0,9}");
    let records = || prop::collection::vec(record(), 0..5);
    let many = (record(), 1..MANY).prop_map(|(record, count)| vec![record; count]);
    let place = || (0..PARTITIONS, 0..50_i64);
    let step = prop_oneof![
        2 => records().prop_map(Step::Append),
        1 => many.prop_map(Step::Append),
        4 => (records(), place()).prop_map(|(r, (p, o))| Step::Commit(r, p, o)),
        2 => (records(), place()).prop_map(|(r, (p, o))| Step::CommitBadly(r, p, o)),
        1 => (records(), 0..PARTITIONS).prop_map(|(r, p)| Step::Fence(r, p)),
        2 => place().prop_map(|(p, o)| Step::Seek(p, o)),
        4 => Just(Step::Poll),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..30)
}

/// The plain log. One group, one session.
#[derive(Default)]
struct Model {
    records: [Vec<String>; 3],
    /// By partition: offset and metadata.
    committed: BTreeMap<i32, (i64, String)>,
    /// Where the session reads on.
    next: [i64; 3],
}

impl Model {
    fn write(&mut self, records: &Records) {
        for (partition, value) in records {
            self.records[index(*partition)].push(value.clone());
        }
    }

    fn back_to_committed(&mut self) {
        for partition in 0..PARTITIONS {
            self.next[index(partition)] = self.committed.get(&partition).map_or(0, |(o, _)| *o);
        }
    }
}

fn index(partition: i32) -> usize {
    usize::try_from(partition).unwrap()
}

/// The log under test, and the session that works on it.
struct Subject {
    folder: TempDir,
    topic: Arc<str>,
    open: Option<(EmbeddedLog, EmbeddedSession)>,
}

impl Subject {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let topic = Arc::from("t");
        let mut subject = Self {
            folder,
            topic,
            open: None,
        };
        subject.reopen();
        subject
    }

    fn reopen(&mut self) {
        self.open = None;
        let log = EmbeddedLog::open(self.folder.path()).unwrap();
        let name = self.topic.to_string();
        let settings = BTreeMap::new();
        log.create_topic(&TopicSpec {
            name,
            partitions: PARTITIONS,
            settings,
        })
        .unwrap();
        let session = self.join(&log);
        self.open = Some((log, session));
    }

    fn join(&self, log: &EmbeddedLog) -> EmbeddedSession {
        let mut session = log.join(&membership("g", 0, &[&self.topic])).unwrap();
        assert!(poll(&mut session, &mut Vec::new()));
        assert_eq!(session.assignment().len(), index(PARTITIONS));
        session
    }

    fn log(&self) -> &EmbeddedLog {
        &self.open.as_ref().unwrap().0
    }

    fn session(&mut self) -> &mut EmbeddedSession {
        &mut self.open.as_mut().unwrap().1
    }

    fn outbox(&self, records: &Records) -> Outbox {
        let mut outbox = Outbox::new();
        for (partition, value) in records {
            stage(&mut outbox, &self.topic, *partition, value);
        }
        outbox
    }

    fn stands(&self, partition: i32, offset: i64) -> GroupOffset {
        GroupOffset {
            at: at(&self.topic, partition),
            offset: Offset(offset),
            metadata: format!("at {offset}"),
        }
    }

    fn step(&mut self, step: &Step, model: &mut Model) {
        match step {
            Step::Append(records) => {
                let outbox = self.outbox(records);
                self.log().writer().unwrap().append(&outbox).unwrap();
                model.write(records);
            }
            Step::Commit(records, partition, offset) => {
                let (outbox, stands) = (self.outbox(records), self.stands(*partition, *offset));
                let metadata = stands.metadata.clone();
                self.session().commit(&outbox, &[stands]).unwrap();
                model.write(records);
                model.committed.insert(*partition, (*offset, metadata));
            }
            Step::CommitBadly(records, partition, offset) => {
                let (mut outbox, stands) = (self.outbox(records), self.stands(*partition, *offset));
                stage(&mut outbox, &self.topic, PARTITIONS, "nowhere");
                let error = self.session().commit(&outbox, &[stands]).unwrap_err();
                assert!(matches!(error, CommitError::Refused(_)), "{error:?}");
            }
            Step::Fence(records, partition) => {
                let newer = self.join(self.log());
                let mut older = std::mem::replace(self.session(), newer);
                let (outbox, stands) = (self.outbox(records), self.stands(*partition, 7));
                let error = older.commit(&outbox, &[stands]).unwrap_err();
                assert!(matches!(error, CommitError::Fenced(_)), "{error:?}");
                model.back_to_committed();
            }
            Step::Seek(partition, offset) => {
                let to = [(at(&self.topic, *partition), Offset(*offset))];
                self.session().seek(&to).unwrap();
                model.next[index(*partition)] = *offset;
            }
            Step::Poll => self.poll(model),
            Step::Reopen => {
                self.reopen();
                model.back_to_committed();
            }
        }
    }

    /// Every partition that has more must give some of it, from where the session stands.
    fn poll(&mut self, model: &mut Model) {
        let mut fetched = Fetched::new();
        let polled = self.session().poll(&mut fetched, Duration::ZERO).unwrap();
        assert_eq!(polled, Polled::Records);
        for partition in 0..PARTITIONS {
            let next = &mut model.next[index(partition)];
            let from = usize::try_from(*next).unwrap();
            let rest = model.records[index(partition)]
                .get(from..)
                .unwrap_or_default();
            let batch = fetched
                .batches()
                .find(|b| b.partition().partition == partition);
            let length = batch.map_or(0, |batch| batch.len());
            assert_eq!(length == 0, rest.is_empty());
            assert!(length <= rest.len());
            for (row, expected) in rest.iter().take(length).enumerate() {
                let batch = batch.unwrap();
                assert_eq!(batch.offset(row), Offset(*next));
                assert_eq!(batch.value(row), Some(expected.as_bytes()));
                *next += 1;
            }
        }
    }

    /// Compares all that can be seen.
    fn check(&mut self, model: &Model) {
        let bounds = self.log().bounds(&self.topic).unwrap();
        let ends: Vec<_> = bounds
            .iter()
            .map(|b| index(b.end.0.try_into().unwrap()))
            .collect();
        assert_eq!(ends, model.records.each_ref().map(Vec::len));
        let committed: BTreeMap<_, _> = committed(self.session())
            .into_iter()
            .map(|stands| (stands.at.partition, (stands.offset.0, stands.metadata)))
            .collect();
        assert_eq!(committed, model.committed);
        let all = read_from(self.log(), &self.topic, &[], ends.iter().sum());
        for (partition, records) in (0..).zip(&model.records) {
            let read = all.iter().filter(|read| read.partition == partition);
            assert!(read.map(|read| read.text()).eq(records));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn it_behaves_as_the_plain_log_does(steps in steps()) {
        let mut subject = Subject::new();
        let mut model = Model::default();
        for step in &steps {
            subject.step(step, &mut model);
        }
        subject.check(&model);
        subject.reopen();
        subject.check(&model);
    }
}
