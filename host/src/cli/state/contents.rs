//! What a task's state holds, read from its partition of the changelog: the truth, whatever local stores there are.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::cli::Failure;
use crate::log::{Bounds, Fetched, Log, Offset, Reader, TopicPartition};
use crate::outside::PATIENCE;
use crate::state::{
    Change, MemoryStore, Origin, Part, PartReader, Position, Slice, StateKey, Store, StoreError,
    TaskId, TaskState, all_parts, all_pending_parts,
};
use crate::time::{Clock, Timestamp};

/// How long to wait for records at a time.
const WAIT: Duration = Duration::from_millis(100);

/// What a task's state holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Contents {
    /// Windows that are open.
    pub(super) windows: usize,
    /// Keys in them, each counted once a window.
    pub(super) keys: usize,
    /// Bytes that are kept for them.
    pub(super) bytes: usize,
    /// What the task knows beside them; `None` if nothing was written yet.
    pub(super) task: Option<TaskState>,
}

/// One record of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) offset: Offset,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

/// Hands over the committed records of a partition, from an offset up to another.
///
/// # Errors
/// If the log stays away, or `visit` refuses.
pub(super) fn read<L: Log>(
    log: &L,
    at: &TopicPartition,
    (from, end): (Offset, Offset),
    clock: &impl Clock,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if from >= end {
        return Ok(());
    }
    let mut reader = log.partition_reader(at, from)?;
    let mut fetched = Fetched::new();
    let mut since = clock.monotonic();
    loop {
        let polled = reader.poll(&mut fetched, WAIT);
        // Records may have come before a failure.
        for batch in fetched.batches() {
            for row in 0..batch.len() {
                let offset = batch.offset(row);
                if offset >= end {
                    return Ok(());
                }
                visit(Entry {
                    offset,
                    key: batch.key(row),
                    value: batch.value(row),
                })?;
                if offset.next() >= end {
                    return Ok(());
                }
            }
            since = clock.monotonic();
        }
        match polled {
            Ok(()) if reader.at_end().contains(&at.partition) => return Ok(()),
            Ok(()) => {}
            Err(error) if error.is_retriable() && clock.monotonic() < since + PATIENCE => {
                tracing::debug!(%error, "reading on");
                clock.pause(WAIT);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads a task's history from the changelog into a store.
///
/// # Errors
/// If the changelog has lost the beginning of the history or holds what is no state, or the log stays away.
pub(super) fn load<L: Log>(
    log: &L,
    at: &TopicPartition,
    (origin, bounds): (&Origin, Bounds),
    task: TaskId,
    store: &mut MemoryStore,
    clock: &impl Clock,
) -> Result<(), Failure> {
    if bounds.start > origin.base {
        return Err(Failure::Log(format!(
            "{at} begins at offset {}, and the state of {task} at {}: what lay between has been deleted",
            bounds.start, origin.base
        )));
    }
    let damaged = |offset: Offset, what: &dyn std::fmt::Display| {
        Failure::Log(format!("{at} is damaged at offset {offset}: {what}"))
    };
    read(log, at, (origin.base, bounds.end), clock, &mut |entry| {
        let key = entry
            .key
            .ok_or_else(|| damaged(entry.offset, &"a record without a key"))?;
        StateKey::decode(key).map_err(|error| damaged(entry.offset, &error))?;
        let position = Position {
            lineage: origin.lineage.clone(),
            next: entry.offset.next(),
            applied: clock.now(),
        };
        let change = Change {
            key,
            value: entry.value,
        };
        let slice = Slice {
            task,
            changes: vec![change],
            position: &position,
        };
        store
            .apply(&[slice])
            .map_err(|error| damaged(entry.offset, &error))
    })
}

impl Contents {
    /// Counts what a store has of a task.
    ///
    /// # Errors
    /// If what it has is no state.
    pub(super) fn of(store: &MemoryStore, task: TaskId) -> Result<Self, StoreError> {
        let mut contents = Contents::default();
        let mut key = Vec::new();
        StateKey::Task.encode(&mut key);
        if let Some(value) = store.get(task, &key)? {
            contents.task = Some(TaskState::decode(&value)?);
        }
        for (from, to) in [all_parts(), all_pending_parts()] {
            let mut reader = PartReader::new();
            let mut last = None;
            let mut wrong = None;
            store.scan(task, &from, &to, &mut |key, value| {
                match reader.push(key, value) {
                    Ok(part) => part.into_iter().for_each(|part| {
                        contents.add(last.as_ref(), &part);
                        last = Some(part);
                    }),
                    Err(error) => wrong = Some(error),
                }
                match wrong {
                    None => ControlFlow::Continue(()),
                    Some(_) => ControlFlow::Break(()),
                }
            })?;
            match wrong {
                None => reader.finish()?,
                Some(error) => return Err(error.into()),
            }
        }
        Ok(contents)
    }

    /// Counts a part that comes after another.
    fn add(&mut self, last: Option<&Part>, part: &Part) {
        self.bytes += part.bytes.len();
        let same_window = last.is_some_and(|last| last.pane == part.pane);
        if !same_window {
            self.windows += 1;
        }
        if !same_window || last.is_some_and(|last| last.key != part.key) {
            self.keys += 1;
        }
    }

    /// The lowest watermark of all partitions whose rows the task gets; `None` if it knows of none.
    pub(super) fn watermark(&self) -> Option<Timestamp> {
        let watermarks = self.task.as_ref()?.watermarks.iter();
        watermarks.map(|(_, watermark)| *watermark).min()
    }
}
