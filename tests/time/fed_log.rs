//! The log in memory, fed as it is read: whenever the worker finds nothing more to read and has committed all of it, the next thing
//! happens. Time passes when a poll brings nothing. So a run needs one thread, never waits, and always goes the same way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream::log::embedded::{EmbeddedLog, EmbeddedReader, EmbeddedSession, EmbeddedWriter};
use millstream::log::{
    Bounds, CommitError, Fetched, GroupOffset, Log, LogError, Membership, Offset, Outbox, Polled,
    Session, TopicInfo, TopicPartition, TopicSpec, Written,
};
use millstream::time::{Clock, Timestamp, millis};

use crate::scenario::{Happening, Names, Row};
use crate::support;

/// The worker's name in the group.
pub(crate) const MEMBER: &str = "worker";
/// The wall clock when a run begins: 2026-01-01T12:00:00Z.
const BEGIN: i64 = 1_767_268_800_000;
/// So often nothing must have come before all counts as done: enough for what is due by then to be fired, committed and sent on.
const QUIET: usize = 6;
/// No scenario takes so many polls; one that does is stuck.
const MOST_POLLS: usize = 200_000;

/// A clock that stands still unless it is moved.
#[derive(Clone, Default)]
pub(crate) struct HandClock(Arc<AtomicI64>);

impl HandClock {
    fn forward(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(BEGIN + self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.load(Ordering::Relaxed)).unwrap())
    }

    fn pause(&self, duration: Duration) {
        self.forward(millis(duration));
    }
}

/// What is still to happen.
struct Feed {
    steps: VecDeque<Vec<Happening>>,
    /// The worker loses its partitions once it has read something.
    expels: bool,
    quiet: usize,
    polls: usize,
    is_over: bool,
}

/// See the opening of this file.
#[derive(Clone)]
pub(crate) struct FedLog {
    pub(crate) inner: EmbeddedLog,
    pub(crate) clock: HandClock,
    /// Set when the worker has to stop: for a restart, or because all is done.
    pub(crate) stop: Arc<AtomicBool>,
    names: Names,
    feed: Arc<Mutex<Feed>>,
}

impl FedLog {
    /// A log in which these things happen, those of one step at once.
    pub(crate) fn new(names: Names, partitions: i32, steps: Vec<Vec<Happening>>) -> Self {
        let inner = EmbeddedLog::in_memory();
        support::create(&inner, &names.source, partitions, &[]);
        Self {
            inner,
            clock: HandClock::default(),
            stop: Arc::default(),
            names,
            feed: Arc::new(Mutex::new(Feed {
                steps: steps.into(),
                expels: false,
                quiet: 0,
                polls: 0,
                is_over: false,
            })),
        }
    }

    /// Whether everything has happened and has been dealt with.
    pub(crate) fn is_over(&self) -> bool {
        self.feed.lock().unwrap().is_over
    }

    /// Whether all that is there has been read, and committed.
    fn is_read(&self) -> bool {
        let topics = [self.names.source.clone(), self.names.repartition()];
        topics.iter().all(|topic| {
            let Ok(bounds) = self.inner.bounds(topic) else {
                return true;
            };
            let partitions: BTreeMap<TopicPartition, Offset> = (0..)
                .zip(bounds)
                .filter(|(_, bounds)| bounds.end > bounds.start)
                .map(|(partition, bounds)| {
                    (TopicPartition::new(topic.as_str(), partition), bounds.end)
                })
                .collect();
            let asked: Vec<TopicPartition> = partitions.keys().cloned().collect();
            let committed = self.inner.group_offsets(&self.names.group, &asked).unwrap();
            let read = committed
                .iter()
                .filter(|o| partitions.get(&o.at) == Some(&o.offset));
            read.count() == partitions.len()
        })
    }

    /// A poll of a worker has brought something, or nothing.
    fn polled(&self, is_empty: bool, has_rows: bool, wait: Duration) {
        let mut feed = self.feed.lock().unwrap();
        feed.polls += 1;
        assert!(feed.polls < MOST_POLLS, "the run does not come to an end");
        if has_rows && std::mem::take(&mut feed.expels) {
            let group = &self.names.group;
            self.inner.expel(group, &format!("{group}-{MEMBER}"));
        }
        if !is_empty {
            feed.quiet = 0;
            return;
        }
        self.clock.forward(millis(wait).min(1));
        // Who can't wait has something to do.
        feed.quiet += usize::from(!wait.is_zero());
        if feed.quiet < QUIET || !self.is_read() {
            return;
        }
        feed.quiet = 0;
        let Some(step) = feed.steps.pop_front() else {
            feed.is_over = true;
            self.stop.store(true, Ordering::Relaxed);
            return;
        };
        let mut rows = Vec::new();
        for happening in step {
            match happening {
                Happening::Row(row) => rows.push(record(&row)),
                Happening::Restart => self.stop.store(true, Ordering::Relaxed),
                Happening::Expel => feed.expels = true,
                Happening::Wait(millis) => self.clock.forward(millis),
            }
        }
        support::write(&self.inner, &self.names.source, rows);
    }
}

/// A row as a record. Its timestamp in the log is not its event time.
pub(crate) fn record(row: &Row) -> support::ToWrite {
    let key = row.user.as_ref().map(|user| user.clone().into_bytes());
    (row.partition, key, Some(row.value()), Timestamp(BEGIN))
}

impl Log for FedLog {
    type Session = FedSession;
    type Reader = EmbeddedReader;
    type Writer = EmbeddedWriter;

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        self.inner.topics()
    }

    fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.inner.create_topic(spec)
    }

    fn delete_topics(&self, names: &[String]) -> Result<(), LogError> {
        self.inner.delete_topics(names)
    }

    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError> {
        self.inner.bounds(topic)
    }

    fn max_record_bytes(&self, topic: &str) -> Result<usize, LogError> {
        self.inner.max_record_bytes(topic)
    }

    fn join(&self, membership: &Membership) -> Result<FedSession, LogError> {
        Ok(FedSession {
            inner: self.inner.join(membership)?,
            log: self.clone(),
        })
    }

    fn reader(&self, topic: &str, from: &[(i32, Offset)]) -> Result<EmbeddedReader, LogError> {
        self.inner.reader(topic, from)
    }

    fn partition_reader(
        &self,
        at: &TopicPartition,
        from: Offset,
    ) -> Result<EmbeddedReader, LogError> {
        self.inner.partition_reader(at, from)
    }

    fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, String>, LogError> {
        self.inner.topic_settings(topic)
    }

    fn offsets_at(&self, topic: &str, at: Timestamp) -> Result<Vec<Offset>, LogError> {
        self.inner.offsets_at(topic, at)
    }

    fn members(&self, group: &str) -> Result<Vec<String>, LogError> {
        self.inner.members(group)
    }

    fn group_offsets(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<Vec<GroupOffset>, LogError> {
        self.inner.group_offsets(group, of)
    }

    fn set_group_offsets(&self, group: &str, offsets: &[GroupOffset]) -> Result<(), LogError> {
        self.inner.set_group_offsets(group, offsets)
    }

    fn end_transactions(
        &self,
        group: &str,
        dead: &dyn Fn(&str) -> bool,
    ) -> Result<usize, LogError> {
        self.inner.end_transactions(group, dead)
    }

    fn writer(&self) -> Result<EmbeddedWriter, LogError> {
        self.inner.writer()
    }
}

/// A worker's part in the group.
pub(crate) struct FedSession {
    inner: EmbeddedSession,
    log: FedLog,
}

impl Session for FedSession {
    fn poll(&mut self, into: &mut Fetched, wait: Duration) -> Result<Polled, LogError> {
        let polled = self.inner.poll(into, Duration::ZERO)?;
        let has_rows = !into.is_empty();
        let is_empty = !has_rows && polled == Polled::Records;
        self.log.polled(is_empty, has_rows, wait);
        Ok(polled)
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.inner.assignment()
    }

    fn committed(&mut self, of: &[TopicPartition]) -> Result<Vec<GroupOffset>, LogError> {
        self.inner.committed(of)
    }

    fn begin(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.inner.begin(from)
    }

    fn seek(&mut self, to: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.inner.seek(to)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.inner.pause(partitions)
    }

    fn resume(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.inner.resume(from)
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.inner.release(partitions)
    }

    fn commit(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<Written, CommitError> {
        self.inner.commit(outbox, offsets)
    }
}
