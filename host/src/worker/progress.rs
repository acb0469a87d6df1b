//! What a worker counts, for whoever watches. Updated once a batch, read at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::results::Fired;
use crate::log::{Offset, TopicPartition};
use crate::time::Timestamp;

/// What a worker is about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Status {
    /// It has not joined yet.
    #[default]
    Starting,
    /// It has joined, and the group has given it nothing yet.
    Waiting,
    /// It brings the local state of a task up to the log's.
    Restoring {
        /// The task.
        task: String,
        /// Offsets read.
        done: u64,
        /// Offsets to read.
        of: u64,
    },
    /// It reads.
    Running,
    /// The log is away, and this is what it said last.
    Unavailable(String),
}

/// What came of some rows, before it is committed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub(super) records: usize,
    pub(super) dead_letters: usize,
    pub(super) skipped: usize,
    pub(super) filtered: usize,
    pub(super) late: usize,
    pub(super) behind: usize,
    pub(super) early: usize,
    pub(super) retractions: usize,
    pub(super) late_partials: usize,
    pub(super) unread_watermarks: usize,
    pub(super) results: usize,
    pub(super) windows_fired: usize,
}

impl Counts {
    /// Adds what publishing has brought.
    pub(super) fn fired(&mut self, fired: &Fired) {
        self.windows_fired += fired.windows;
        self.results += fired.results;
        self.early += fired.early;
        self.retractions += fired.retractions;
        self.late += fired.late;
    }

    pub(super) fn add(&mut self, more: &Counts) {
        self.records += more.records;
        self.dead_letters += more.dead_letters;
        self.skipped += more.skipped;
        self.filtered += more.filtered;
        self.late += more.late;
        self.behind += more.behind;
        self.early += more.early;
        self.retractions += more.retractions;
        self.late_partials += more.late_partials;
        self.unread_watermarks += more.unread_watermarks;
        self.results += more.results;
        self.windows_fired += more.windows_fired;
    }
}

/// Counters of a worker, raised when what they count has been committed: each row counts once, however often it had to be
/// processed.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) records: AtomicU64,
    pub(super) dead_letters: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) filtered: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) behind: AtomicU64,
    pub(super) early: AtomicU64,
    pub(super) retractions: AtomicU64,
    pub(super) late_partials: AtomicU64,
    pub(super) unread_watermarks: AtomicU64,
    pub(super) results: AtomicU64,
    pub(super) windows_fired: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) aborts: AtomicU64,
    pub(super) failures: AtomicU64,
    reach: Mutex<Reach>,
    positions: Mutex<BTreeMap<TopicPartition, Offset>>,
    status: Mutex<Status>,
}

/// How far a worker's tasks have come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Reach {
    /// How many tasks it runs.
    pub(super) tasks: usize,
    /// How many the pipeline has; zero before the worker knows.
    pub(super) of: usize,
    /// Whether some of it is not committed, and may still be thrown away.
    pub(super) is_staged: bool,
    /// The lowest watermark where rows are read; `None` where no task reads any.
    pub(super) read: Option<Timestamp>,
    /// The lowest watermark by which windows fire; `None` where no task has windows.
    pub(super) fires: Option<Timestamp>,
    /// The generation of the version that it runs.
    pub(super) generation: Option<u64>,
}

impl Reach {
    /// What two workers have come to together.
    fn and(self, other: Self) -> Self {
        let lowest = |a: Option<Timestamp>, b: Option<Timestamp>| a.into_iter().chain(b).min();
        let generations = self.generation.into_iter().chain(other.generation);
        Self {
            tasks: self.tasks + other.tasks,
            of: self.of.max(other.of),
            is_staged: self.is_staged || other.is_staged,
            read: lowest(self.read, other.read),
            fires: lowest(self.fires, other.fires),
            generation: generations.min(),
        }
    }
}

/// What was counted, at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Records read.
    pub records: u64,
    /// Records dead-lettered.
    pub dead_letters: u64,
    /// Records left out because their step says `on_error = "skip"`.
    pub skipped: u64,
    /// Rows that a filter did not keep.
    pub filtered: u64,
    /// Rows that came after their windows were over.
    pub late: u64,
    /// Rows that came after a window of theirs had been published, and still counted.
    pub behind: u64,
    /// Result records that may still change.
    pub early: u64,
    /// Result records that take an earlier one back.
    pub retractions: u64,
    /// Partials that came for windows that had fired.
    pub late_partials: u64,
    /// Records whose watermark could not be read, and did not move their partition's.
    pub unread_watermarks: u64,
    /// Result records written.
    pub results: u64,
    /// Windows fired, each key counted.
    pub windows_fired: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions aborted.
    pub aborts: u64,
    /// Calls of functions that failed: a trap, too much time or memory, a breach of the contract. Not raised by a commit.
    pub failures: u64,
    /// The lowest watermark by which windows fire; `None` as long as a partition has brought nothing.
    pub watermark: Option<Timestamp>,
    /// The lowest watermark of the source partitions read. Windows fire by it as soon as it has reached their tasks.
    pub read_watermark: Option<Timestamp>,
    /// Tasks that run; one that is on its way from one worker to another is none.
    pub tasks: usize,
    /// Tasks of the pipeline; zero before a worker knows.
    pub of_tasks: usize,
    /// The generation that every worker has come to: of the version that runs, or of the canary beside it.
    pub generation: u64,
    /// Whether some of what was read is not committed.
    pub is_staged: bool,
    /// The next offset to read of each partition.
    pub positions: BTreeMap<TopicPartition, Offset>,
    /// What the worker is about.
    pub status: Status,
}

impl Snapshot {
    /// Whether windows have fired as far as what was read lets them: all tasks run, the watermark of the source has reached every
    /// one of them, and all that is committed.
    pub fn has_settled(&self) -> bool {
        self.tasks == self.of_tasks && !self.is_staged && self.watermark == self.read_watermark
    }
}

impl Progress {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What has been counted by now. Counters are read one after the other.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let reach = *lock(&self.reach);
        let known = |at: Option<Timestamp>| at.filter(|at| *at != Timestamp::MIN);
        Snapshot {
            records: read(&self.records),
            dead_letters: read(&self.dead_letters),
            skipped: read(&self.skipped),
            filtered: read(&self.filtered),
            late: read(&self.late),
            behind: read(&self.behind),
            early: read(&self.early),
            retractions: read(&self.retractions),
            late_partials: read(&self.late_partials),
            unread_watermarks: read(&self.unread_watermarks),
            results: read(&self.results),
            windows_fired: read(&self.windows_fired),
            commits: read(&self.commits),
            aborts: read(&self.aborts),
            failures: read(&self.failures),
            watermark: known(reach.fires),
            read_watermark: known(reach.read),
            tasks: reach.tasks,
            of_tasks: reach.of,
            generation: reach.generation.unwrap_or_default(),
            is_staged: reach.is_staged,
            positions: lock(&self.positions).clone(),
            status: lock(&self.status).clone(),
        }
    }

    pub(super) fn set_reach(&self, reach: Reach) {
        *lock(&self.reach) = reach;
    }

    /// Counts what has been committed.
    pub(super) fn committed(&self, counts: &Counts) {
        add(&self.records, counts.records);
        add(&self.dead_letters, counts.dead_letters);
        add(&self.skipped, counts.skipped);
        add(&self.filtered, counts.filtered);
        add(&self.late, counts.late);
        add(&self.behind, counts.behind);
        add(&self.early, counts.early);
        add(&self.retractions, counts.retractions);
        add(&self.late_partials, counts.late_partials);
        add(&self.unread_watermarks, counts.unread_watermarks);
        add(&self.results, counts.results);
        add(&self.windows_fired, counts.windows_fired);
        add(&self.commits, 1);
    }

    /// Forgets a partition that is another worker's now.
    pub(super) fn forget_position(&self, at: &TopicPartition) {
        lock(&self.positions).remove(at);
    }

    /// What several workers have counted together.
    pub fn together(workers: &[Arc<Progress>]) -> Snapshot {
        let all = Progress::new();
        for one in workers {
            let counters = [
                (&all.records, &one.records),
                (&all.dead_letters, &one.dead_letters),
                (&all.skipped, &one.skipped),
                (&all.filtered, &one.filtered),
                (&all.late, &one.late),
                (&all.behind, &one.behind),
                (&all.early, &one.early),
                (&all.retractions, &one.retractions),
                (&all.late_partials, &one.late_partials),
                (&all.unread_watermarks, &one.unread_watermarks),
                (&all.results, &one.results),
                (&all.windows_fired, &one.windows_fired),
                (&all.commits, &one.commits),
                (&all.aborts, &one.aborts),
                (&all.failures, &one.failures),
            ];
            for (sum, counter) in counters {
                sum.fetch_add(counter.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            let reach = *lock(&one.reach);
            let mut reached = lock(&all.reach);
            *reached = reached.and(reach);
            drop(reached);
            lock(&all.positions).extend(lock(&one.positions).clone());
            // What does not run is worth more attention than what does.
            let status = lock(&one.status).clone();
            let mut shown = lock(&all.status);
            if matches!(*shown, Status::Starting | Status::Running | Status::Waiting) {
                *shown = status;
            }
        }
        all.snapshot()
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
