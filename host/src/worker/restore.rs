//! Bringing a task's slice of the local store up to its changelog: in small steps, so that a worker goes on with its other
//! tasks meanwhile.

use std::time::Duration;

use super::WorkerError;
use crate::log::{Fetched, Log, LogError, Offset, Reader, RecordBatch, TopicPartition};
use crate::state::{Change, Position, Slice, Store, TaskId};
use crate::time::Timestamp;

/// A changelog partition that is being read into the store.
pub(super) struct Restore<R> {
    pub(super) task: TaskId,
    at: TopicPartition,
    reader: R,
    position: Position,
    from: Offset,
    /// The changelog's end when it began.
    end: Offset,
    fetched: Fetched,
    records: u64,
}

impl<R: Reader> Restore<R> {
    /// Reads on from `position`. Every transaction below `end` must have been decided.
    ///
    /// # Errors
    /// If the log can't be read.
    pub(super) fn start<L: Log<Reader = R>>(
        log: &L,
        task: TaskId,
        at: TopicPartition,
        position: Position,
        end: Offset,
    ) -> Result<Self, LogError> {
        Ok(Self {
            reader: log.partition_reader(&at, position.next)?,
            task,
            at,
            from: position.next,
            position,
            end,
            fetched: Fetched::new(),
            records: 0,
        })
    }

    /// Applies what one poll brings. Returns whether the end has been reached.
    ///
    /// # Errors
    /// If the log can't be read, or the store can't be written.
    pub(super) fn step<S: Store>(
        &mut self,
        store: &mut S,
        wait: Duration,
        now: Timestamp,
    ) -> Result<bool, WorkerError> {
        if self.position.next >= self.end {
            return Ok(true);
        }
        self.reader.poll(&mut self.fetched, wait)?;
        for batch in self.fetched.batches() {
            let changes = changes(batch);
            self.records += changes.len() as u64;
            if let Some(last) = batch.last_offset() {
                self.position.next = last.next();
            }
            if self.position.next >= self.end {
                // Not before: what has not been read may be tombstones that go away.
                self.position.applied = now;
            }
            store.apply(&[Slice {
                task: self.task,
                changes,
                position: &self.position,
            }])?;
        }
        let is_at_end = self.reader.at_end().contains(&self.at.partition);
        Ok(self.position.next >= self.end || (is_at_end && self.fetched.is_empty()))
    }

    /// How many offsets have been read, and of how many.
    pub(super) fn progress(&self) -> (u64, u64) {
        let span = |to: Offset| u64::try_from(to.0 - self.from.0).unwrap_or(0);
        (span(self.position.next), span(self.end))
    }

    /// How many records have been applied.
    pub(super) fn records(&self) -> u64 {
        self.records
    }
}

/// The records of a changelog as changes.
fn changes(batch: &RecordBatch) -> Vec<Change<'_>> {
    (0..batch.len())
        .map(|row| Change {
            key: batch.key(row).unwrap_or_default(),
            value: batch.value(row),
        })
        .collect()
}
