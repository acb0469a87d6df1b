//! What a worker counts, for whoever watches. Updated once a batch, read at any time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::log::{Offset, TopicPartition};
use crate::time::Timestamp;

/// What a worker is about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Status {
    /// It has not joined yet.
    #[default]
    Starting,
    /// It has joined and does not have all partitions yet: how many it has, of how many.
    Waiting {
        /// Partitions it has.
        assigned: usize,
        /// Partitions that the source has.
        all: usize,
    },
    /// It reads.
    Running,
    /// The log is away, and this is what it said last.
    Unavailable(String),
}

/// Counters of a worker, raised when rows are processed. Rows that are read again to build up open windows are not counted
/// again; those of an aborted transaction are, since they are processed again.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) records: AtomicU64,
    pub(super) dead_letters: AtomicU64,
    pub(super) filtered: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) results: AtomicU64,
    pub(super) windows_fired: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) aborts: AtomicU64,
    watermark: AtomicI64,
    positions: Mutex<BTreeMap<TopicPartition, Offset>>,
    status: Mutex<Status>,
}

/// What was counted, at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Records read.
    pub records: u64,
    /// Records dead-lettered.
    pub dead_letters: u64,
    /// Rows that a filter did not keep.
    pub filtered: u64,
    /// Rows that came after their window had fired.
    pub late: u64,
    /// Result records written.
    pub results: u64,
    /// Windows fired, each key counted.
    pub windows_fired: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions aborted.
    pub aborts: u64,
    /// The lowest watermark of all partitions; `None` as long as one has brought nothing.
    pub watermark: Option<Timestamp>,
    /// The next offset to read of each partition.
    pub positions: BTreeMap<TopicPartition, Offset>,
    /// What the worker is about.
    pub status: Status,
}

impl Progress {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let progress = Self::default();
        progress.set_watermark(Timestamp::MIN);
        progress
    }

    /// What has been counted by now. Counters are read one after the other.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let watermark = Timestamp(self.watermark.load(Ordering::Relaxed));
        Snapshot {
            records: read(&self.records),
            dead_letters: read(&self.dead_letters),
            filtered: read(&self.filtered),
            late: read(&self.late),
            results: read(&self.results),
            windows_fired: read(&self.windows_fired),
            commits: read(&self.commits),
            aborts: read(&self.aborts),
            watermark: (watermark != Timestamp::MIN).then_some(watermark),
            positions: lock(&self.positions).clone(),
            status: lock(&self.status).clone(),
        }
    }

    pub(super) fn set_watermark(&self, at: Timestamp) {
        self.watermark.store(at.0, Ordering::Relaxed);
    }

    pub(super) fn set_position(&self, at: &TopicPartition, next: Offset) {
        let mut positions = lock(&self.positions);
        match positions.get_mut(at) {
            Some(position) => *position = next,
            None => drop(positions.insert(at.clone(), next)),
        }
    }

    pub(super) fn set_status(&self, status: Status) {
        *lock(&self.status) = status;
    }
}

pub(super) fn add(counter: &AtomicU64, more: usize) {
    if more > 0 {
        counter.fetch_add(more as u64, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
