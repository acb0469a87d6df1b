//! The windows that a task owns: what comes into them, what of it is written at a commit, and what a restart finds.
//!
//! What was committed is in the store, what has come in since is at hand (`contents`). At a commit each slot into which
//! something came is written to the task's changelog partition, as `layout` says; the same records are applied to the store
//! afterwards. `entries` does the same for what is kept beside the contents: sessions, counters, publications, held rows.
//! `timeline` says what happens when, `results` what comes of it.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::BinaryArray;

use super::WorkerError;
use super::cold::Cold;
use super::contents::{AT_ONCE, Contents};
use super::entries::{Held, Publications};
use super::gather::Counters;
use super::layout::{How, Layout, Stored};
use super::overlap::Overlap;
use super::pieces::Piece;
use super::steps::StepError;
use super::timeline::Firing;
use super::windowing::Windowing;
use crate::log::{Outbox, RecordParts, TopicPartition};
use crate::state::{
    StateKey, Store, TaskId, TaskState, Write, all_parts, all_pending_parts, parts_after_pane,
    put_parts,
};
use crate::time::Timestamp;
use crate::window::{Owner, Pane, Sessions, Slot, Watermarks, Window};

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
    pub(super) fn put(
        &self,
        outbox: &mut Outbox,
        now: Timestamp,
        key: &[u8],
        value: Option<&[u8]>,
    ) {
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
    pub(super) windowing: Arc<Windowing>,
    pub(super) watermarks: Watermarks,
    pub(super) cold: Cold,
    /// Windows that end at or before it have fired, entirely.
    pub(super) fired: Timestamp,
    /// What is happening now, if it is more than fits into one step.
    pub(super) firing: Option<Firing>,
    /// A window that is firing and stays after that, and the last of its keys that has fired.
    pub(super) after: Option<(Window, Vec<u8>)>,
    pub(super) sessions: Sessions,
    pub(super) counters: Counters,
    pub(super) held: Held,
    pub(super) publications: Publications,
    pub(super) overlap: Overlap,
    next_write: Write,
    /// The state as it was written last.
    written: Option<TaskState>,
    /// Reused from record to record.
    pub(super) key: Vec<u8>,
}

impl OwnedWindows {
    /// What the store has of a task's windows; `sources` are the partitions that feed them.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) fn load<S: Store>(
        task: TaskId,
        changelog: Changelog,
        windowing: Arc<Windowing>,
        sources: &[TopicPartition],
        store: &S,
    ) -> Result<Self, WorkerError> {
        let mut windows = Self {
            task,
            changelog,
            cold: Cold::new(windowing.has_sessions()),
            windowing,
            watermarks: Watermarks::new(sources.iter().cloned()),
            fired: Timestamp::MIN,
            firing: None,
            after: None,
            sessions: Sessions::new(),
            counters: Counters::default(),
            held: Held::default(),
            publications: Publications::default(),
            overlap: Overlap::new(),
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
        (self.firing, self.after) = (None, None);
        self.overlap = Overlap::new();
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
            self.after.clone_from(&state.firing);
            self.written = Some(state);
        }
        self.load_entries(store)?;
        self.cold = Cold::new(self.windowing.has_sessions());
        if self.windowing.has_sessions() {
            for (key, session) in self.sessions.iter() {
                for pane in &session.panes {
                    self.cold.insert(Pane::of(*pane), key);
                }
            }
        } else {
            for (pane, key) in self.stored_panes(store, all_parts())? {
                self.cold.insert(pane, &key);
            }
        }
        for (pane, key) in self.stored_panes(store, all_pending_parts())? {
            self.cold.insert(pane, &key);
        }
        Ok(())
    }

    /// The panes of which the store has something, each with its first key. Looks at one record of each.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) fn stored_panes<S: Store>(
        &self,
        store: &S,
        (mut from, to): (Vec<u8>, Vec<u8>),
    ) -> Result<Vec<(Pane, Vec<u8>)>, WorkerError> {
        let mut panes = Vec::new();
        loop {
            let mut found = None;
            store.scan(self.task, &from, &to, &mut |key, _| {
                found = Some(StateKey::decode(key));
                ControlFlow::Break(())
            })?;
            match found {
                None => return Ok(panes),
                Some(Ok(StateKey::Part { pane, key, .. })) => {
                    panes.push((pane, key));
                    from = parts_after_pane(pane);
                }
                Some(Ok(_)) => {
                    return Err(WorkerError::Bug(
                        "something else among the parts of a task".to_owned(),
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

    /// Merges partials that other tasks have sent: each a pane, key and bytes. Those of windows that are over are not
    /// taken; returns how many.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn merge(
        &mut self,
        partials: &[(Pane, &[u8], &[u8])],
        contents: &mut Contents,
    ) -> Result<usize, StepError> {
        let (mut slots, mut bytes) = (Vec::new(), Vec::new());
        let fired = self.fired.max(self.watermarks.lowest());
        for (pane, key, partial) in partials {
            let is_open = match pane.is_pending() {
                true => pane.since > fired,
                false => self.windowing.last_end(pane.span) > fired,
            };
            if !is_open {
                continue;
            }
            let pane = match self.windowing.has_sessions() && !pane.is_pending() {
                true => Pane::of(self.sessions.join(key, pane.span)),
                false => *pane,
            };
            let is_cold = self.cold.contains(pane, key);
            slots.push(contents.slot(self.owner(), pane, key, is_cold));
            bytes.push(*partial);
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
                contents.how(*slot, bytes)
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
        let beside = self.stage_entries(outbox, now);
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
            firing: self.after.clone(),
        };
        if self.written.as_ref() == Some(&state) {
            return Ok(beside);
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
        let Some((_, pane, key)) = contents.slots().of(slot) else {
            return;
        };
        let key = key.to_vec();
        let write = match how {
            How::Delta => write,
            How::First | How::Whole => Write::BASE,
        };
        let changelog = &self.changelog;
        let chunks = put_parts(
            pane,
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
                    pane,
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
    pub(super) fn end_records(
        &mut self,
        pane: Pane,
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
                pane,
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
        let Some((_, pane, key)) = contents.slots().of(slot) else {
            return Ok(());
        };
        let stored = self.stored(pane, key, store)?;
        let slot = Some(slot);
        bring_back(&Piece { pane, slot, stored }, contents)
    }

    /// After a commit: contents were put away, of which the store now has more than is at hand.
    pub(super) fn cooled(&mut self, pane: Pane, key: &[u8]) {
        self.cold.insert(pane, key);
        // What is happening begins again with what is left of it: what is done has left the store, or `after` tells.
        self.firing = None;
    }

    /// After a commit: the store has all that was staged.
    pub(super) fn settled(&mut self) {
        self.publications.settled();
    }
}

#[expect(clippy::too_many_arguments, reason = "a key is all of these")]
fn end_record(
    buffer: &mut Vec<u8>,
    changelog: &Changelog,
    outbox: &mut Outbox,
    now: Timestamp,
    pane: Pane,
    key: &[u8],
    write: Write,
    chunk: u32,
) {
    buffer.clear();
    let key = key.to_vec();
    StateKey::Part {
        pane,
        key,
        write,
        chunk,
    }
    .encode(buffer);
    changelog.put(outbox, now, buffer, None);
}

/// Merges what the store has of a piece into its slot, if it has one, so that everything is at hand.
pub(super) fn bring_back(piece: &Piece, contents: &mut Contents) -> Result<(), StepError> {
    let Some(slot) = piece.slot else {
        return Ok(());
    };
    let at_hand = &contents.held(slot).stored;
    if matches!(at_hand, Stored::Known(_)) {
        return Ok(());
    }
    let lacking = piece
        .stored
        .iter()
        .filter(|(write, ..)| at_hand.lacks(*write));
    let lacking: Vec<&[u8]> = lacking.map(|(_, _, bytes)| bytes.as_slice()).collect();
    contents.bring_back(slot, &lacking, piece.layout())
}
