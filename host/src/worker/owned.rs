//! The windows that a task owns: what comes into them, what of it is written at a commit, and what a restart finds.
//!
//! What was committed is in the store, what has come in since is at hand (`contents`). At a commit each slot into which
//! something came is written to the task's changelog partition, as `layout` says; the same records are applied to the store
//! afterwards. A window of which the store may have more than is at hand is *cold*.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::BinaryArray;

use super::WorkerError;
use super::contents::{AT_ONCE, Contents};
use super::firing::Firing;
use super::layout::{How, Layout, Stored};
use super::steps::StepError;
use crate::log::{Outbox, RecordParts, TopicPartition};
use crate::state::{
    PartReader, StateKey, Store, TaskId, TaskState, Write, all_parts, parts_after_window,
    parts_of_key, put_parts,
};
use crate::time::Timestamp;
use crate::window::{Owner, Slot, Watermarks, Window};

/// Where a task's changes are written.
#[derive(Clone, Debug)]
pub(super) struct Changelog {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    /// The largest value that a record may have.
    pub(super) most: usize,
}

impl Changelog {
    /// Stages one change; a value of `None` is a tombstone.
    fn put(&self, outbox: &mut Outbox, now: Timestamp, key: &[u8], value: Option<&[u8]>) {
        let parts = RecordParts {
            partition: Some(self.partition),
            timestamp: now,
            key: Some(key),
            value,
            headers: &[],
        };
        outbox.push(&self.topic, parts);
    }
}

/// The windows of one task.
pub(super) struct OwnedWindows {
    pub(super) task: TaskId,
    pub(super) changelog: Changelog,
    pub(super) watermarks: Watermarks,
    pub(super) cold: BTreeSet<Window>,
    /// Windows that end at or before it have fired, entirely.
    pub(super) fired: Timestamp,
    pub(super) firing: Option<Firing>,
    next_write: Write,
    /// The state as it was written last.
    written: Option<TaskState>,
    /// Reused from record to record.
    key: Vec<u8>,
}

impl OwnedWindows {
    /// What the store has of a task's windows; `sources` are the partitions that feed them.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) fn load<S: Store>(
        task: TaskId,
        changelog: Changelog,
        sources: &[TopicPartition],
        store: &S,
    ) -> Result<Self, WorkerError> {
        let mut windows = Self {
            task,
            changelog,
            watermarks: Watermarks::new(sources.iter().cloned()),
            cold: BTreeSet::new(),
            fired: Timestamp::MIN,
            firing: None,
            next_write: Write::BASE.next(),
            written: None,
            key: Vec::new(),
        };
        windows.reload(store)?;
        Ok(windows)
    }

    /// Goes back to what the store has.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) fn reload<S: Store>(&mut self, store: &S) -> Result<(), WorkerError> {
        let sources: Vec<TopicPartition> =
            self.watermarks.iter().map(|(at, _)| at.clone()).collect();
        self.watermarks = Watermarks::new(sources.iter().cloned());
        (self.fired, self.next_write) = (Timestamp::MIN, Write::BASE.next());
        self.firing = None;
        self.written = None;
        self.key.clear();
        StateKey::Task.encode(&mut self.key);
        if let Some(bytes) = store.get(self.task, &self.key)? {
            let state = TaskState::decode(&bytes).map_err(|error| self.damaged(&error))?;
            for (at, watermark) in &state.watermarks {
                // A topic that the pipeline no longer reads says nothing any more.
                if sources.iter().any(|source| source.topic == at.topic) {
                    self.watermarks.advance(at, *watermark);
                }
            }
            (self.fired, self.next_write) = (state.fired, state.next_write);
            self.written = Some(state);
        }
        self.cold = self.stored_windows(store)?;
        Ok(())
    }

    /// The windows of which the store has something. Looks at one record of each.
    fn stored_windows<S: Store>(&self, store: &S) -> Result<BTreeSet<Window>, WorkerError> {
        let (mut from, to) = all_parts();
        let mut windows = BTreeSet::new();
        loop {
            let mut found = None;
            store.scan(self.task, &from, &to, &mut |key, _| {
                found = Some(StateKey::decode(key));
                ControlFlow::Break(())
            })?;
            match found {
                None => return Ok(windows),
                Some(Ok(StateKey::Part { window, .. })) => {
                    windows.insert(window);
                    from = parts_after_window(window);
                }
                Some(Ok(StateKey::Task)) => {
                    return Err(WorkerError::Bug(
                        "a task's state among its windows".to_owned(),
                    ));
                }
                Some(Err(error)) => return Err(self.damaged(&error)),
            }
        }
    }

    pub(super) fn damaged(&self, what: &dyn std::fmt::Display) -> WorkerError {
        WorkerError::Damaged {
            task: self.task,
            what: what.to_string(),
        }
    }

    /// By which its slots are known among those of the worker.
    pub(super) fn owner(&self) -> Owner {
        Owner(self.task.partition.unsigned_abs())
    }

    /// Merges partials that other tasks have sent: each a window, key and bytes. Those of windows that have fired are not
    /// taken; returns how many.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn merge(
        &mut self,
        partials: &[(Window, &[u8], &[u8])],
        contents: &mut Contents,
    ) -> Result<usize, StepError> {
        let (mut slots, mut bytes) = (Vec::new(), Vec::new());
        let fired = self.fired.max(self.watermarks.lowest());
        for (window, key, partial) in partials {
            if window.end > fired {
                let is_cold = self.cold.contains(window);
                slots.push(contents.slot(self.owner(), *window, key, is_cold));
                bytes.push(*partial);
            }
        }
        contents.merge(&slots, &bytes)?;
        Ok(partials.len() - slots.len())
    }

    /// Stages what has changed since the last commit: `dirty` are the slots into which something has come. Returns whether
    /// anything has.
    ///
    /// # Errors
    /// If the function failed, or the store can't be read.
    pub(super) fn stage<S: Store>(
        &mut self,
        dirty: &[Slot],
        contents: &mut Contents,
        store: &S,
        outbox: &mut Outbox,
        now: Timestamp,
    ) -> Result<bool, StepError> {
        let write = self.next_write;
        for slots in dirty.chunks(AT_ONCE) {
            if contents.is_aggregate() {
                for slot in slots {
                    if contents.held(*slot).stored.wants_folding() {
                        self.bring_back(*slot, contents, store)?;
                    }
                }
            }
            let deltas = contents.take_deltas(slots)?;
            let how = |(slot, delta): (&Slot, Option<&[u8]>)| {
                let bytes = delta.unwrap_or_default().len();
                contents.held(*slot).stored.how(bytes)
            };
            let hows: Vec<How> = slots.iter().zip(deltas.iter()).map(how).collect();
            let is_whole = |(slot, how): (&Slot, &How)| (*how == How::Whole).then_some(*slot);
            let whole: Vec<Slot> = slots.iter().zip(&hows).filter_map(is_whole).collect();
            let wholes = match whole.as_slice() {
                [] => BinaryArray::from_iter_values([[0_u8; 0]; 0]),
                whole => contents.snapshot(whole)?,
            };
            let mut wholes = wholes.iter().map(Option::unwrap_or_default);
            for ((slot, how), delta) in slots.iter().zip(hows).zip(deltas.iter()) {
                let delta = delta.unwrap_or_default();
                let bytes = match how {
                    How::Whole => wholes.next().unwrap_or_default(),
                    // Nothing has come in that would change the whole.
                    How::Delta if delta.is_empty() => continue,
                    How::Delta | How::First => delta,
                };
                self.write(*slot, how, bytes, write, contents, outbox, now);
            }
        }
        let state = TaskState {
            next_write: if dirty.is_empty() {
                write
            } else {
                write.next()
            },
            fired: self.fired,
            watermarks: self
                .watermarks
                .iter()
                .map(|(at, to)| (at.clone(), to))
                .collect(),
        };
        if self.written.as_ref() == Some(&state) {
            return Ok(false);
        }
        self.key.clear();
        StateKey::Task.encode(&mut self.key);
        let mut value = Vec::new();
        state.encode(&mut value);
        self.changelog.put(outbox, now, &self.key, Some(&value));
        self.next_write = state.next_write;
        self.written = Some(state);
        Ok(true)
    }

    /// Stages one write of a slot's contents, and the end of the records that it replaces.
    #[expect(clippy::too_many_arguments, reason = "one write is all of these")]
    fn write(
        &mut self,
        slot: Slot,
        how: How,
        bytes: &[u8],
        write: Write,
        contents: &mut Contents,
        outbox: &mut Outbox,
        now: Timestamp,
    ) {
        let Some((_, window, key)) = contents.slots().of(slot) else {
            return;
        };
        let key = key.to_vec();
        let write = match how {
            How::Delta => write,
            How::First | How::Whole => Write::BASE,
        };
        let changelog = &self.changelog;
        let chunks = put_parts(
            window,
            &key,
            write,
            bytes,
            changelog.most,
            &mut |key, value| {
                changelog.put(outbox, now, key, Some(value));
            },
        );
        if how == How::Whole
            && let Stored::Known(layout) = &contents.held(slot).stored
        {
            for (write, chunk) in layout.replaced_by(chunks) {
                end_record(
                    &mut self.key,
                    changelog,
                    outbox,
                    now,
                    window,
                    &key,
                    write,
                    chunk,
                );
            }
        }
        let is_aggregate = contents.is_aggregate();
        contents.wrote(slot, |stored| match stored {
            // The rows of a window-apply are no longer at hand.
            _ if !is_aggregate => *stored = Stored::Unknown(Vec::new()),
            Stored::Unknown(writes) => writes.push(write),
            Stored::Known(layout) => {
                if how == How::Whole {
                    *layout = Layout::default();
                }
                layout.wrote(write, chunks, bytes.len());
            }
        });
    }

    /// Stages the end of records in which contents lie that are no longer needed.
    pub(super) fn end(
        &mut self,
        window: Window,
        key: &[u8],
        records: impl Iterator<Item = (Write, u32)>,
        outbox: &mut Outbox,
        now: Timestamp,
    ) {
        for (write, chunk) in records {
            let changelog = &self.changelog;
            end_record(
                &mut self.key,
                changelog,
                outbox,
                now,
                window,
                key,
                write,
                chunk,
            );
        }
    }

    /// Merges what the store has into a slot, so that it can be written whole.
    fn bring_back<S: Store>(
        &self,
        slot: Slot,
        contents: &mut Contents,
        store: &S,
    ) -> Result<(), StepError> {
        let Some((_, window, key)) = contents.slots().of(slot) else {
            return Ok(());
        };
        let (from, to) = parts_of_key(window, key);
        let mut reader = PartReader::new();
        let mut parts = Vec::new();
        let mut failed = None;
        store
            .scan(self.task, &from, &to, &mut |key, value| {
                match reader.push(key, value) {
                    Ok(part) => parts.extend(part),
                    Err(error) => failed = Some(error),
                }
                match failed {
                    None => ControlFlow::Continue(()),
                    Some(_) => ControlFlow::Break(()),
                }
            })
            .map_err(WorkerError::from)?;
        let ended = failed.map_or_else(|| reader.finish(), Err);
        ended.map_err(|error| self.damaged(&error))?;
        let mut layout = Layout::default();
        for part in &parts {
            layout.wrote(part.write, part.chunks, part.bytes.len());
        }
        let stored = &contents.held(slot).stored;
        let lacking = parts.iter().filter(|part| stored.lacks(part.write));
        let bytes: Vec<&[u8]> = lacking.map(|part| part.bytes.as_slice()).collect();
        contents.bring_back(slot, &bytes, layout)
    }

    /// After a commit: windows of which contents were put away.
    pub(super) fn cooled(&mut self, window: Window) {
        self.cold.insert(window);
        // It begins again with what is left of it: what has fired has left the store by now.
        if self
            .firing
            .as_ref()
            .is_some_and(|firing| firing.window == window)
        {
            self.firing = None;
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "a key is all of these")]
fn end_record(
    buffer: &mut Vec<u8>,
    changelog: &Changelog,
    outbox: &mut Outbox,
    now: Timestamp,
    window: Window,
    key: &[u8],
    write: Write,
    chunk: u32,
) {
    buffer.clear();
    let key = key.to_vec();
    StateKey::Part {
        window,
        key,
        write,
        chunk,
    }
    .encode(buffer);
    changelog.put(outbox, now, buffer, None);
}
