//! Firing: windows whose time has come, in slices, so that no step of the watermark stalls the worker or has to be staged as
//! one.
//!
//! Windows fire in the order of their ends, the keys of a window in ascending order. What is at hand of a key and what the
//! store has are brought together here, a page of stored keys at a time.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::WorkerError;
use super::contents::{AT_ONCE, Contents};
use super::layout::{Layout, Stored};
use super::owned::OwnedWindows;
use super::steps::StepError;
use super::write::{ResultRow, Writing};
use crate::log::Outbox;
use crate::plugin::{AppliedWindow, Produced};
use crate::rows::{Field, FieldType, Rows, decode_rows};
use crate::state::{
    PartReader, StateKey, Store, TaskId, Write, parts_after_key, parts_of_window, segments,
};
use crate::time::Timestamp;
use crate::window::{KeySlot, Slot, Window};

/// About how many bytes of stored contents are brought back at once.
const PAGE_BYTES: usize = 8 << 20;

/// A window that is firing.
#[derive(Debug)]
pub(super) struct Firing {
    pub(super) window: Window,
    /// What is at hand and has not fired, by key.
    hot: VecDeque<KeySlot>,
    /// Where in the store the keys begin that have not fired; `None` where there are none.
    cursor: Option<Vec<u8>>,
}

/// What firing brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fired {
    /// Windows, each key counted.
    pub(super) windows: usize,
    /// Result records.
    pub(super) results: usize,
}

/// How the results of a window step are written.
pub(super) struct Results<'a> {
    pub(super) writing: &'a Writing,
    /// The type of the key; `None` for a step without.
    pub(super) key: Option<FieldType>,
    pub(super) fields: &'a [Field],
    pub(super) now: Timestamp,
}

/// A key that fires.
struct Due {
    key: Box<[u8]>,
    slot: Option<Slot>,
    /// What the store has: each write with its number of chunks and its bytes.
    stored: Vec<(Write, u32, Vec<u8>)>,
}

impl OwnedWindows {
    /// Fires some of what is due, and stages its results and the end of its records. `None` if nothing is due.
    ///
    /// # Errors
    /// If the function failed, the store can't be read, or a result is larger than the sink takes.
    pub(super) fn fire<S: Store>(
        &mut self,
        contents: &mut Contents,
        store: &S,
        results: &Results<'_>,
        outbox: &mut Outbox,
    ) -> Result<Option<Fired>, StepError> {
        let Some(mut firing) = self.next_firing(contents) else {
            self.fired = self.fired.max(self.watermarks.lowest());
            return Ok(None);
        };
        let window = firing.window;
        let due = firing.take(self.task, store, |what| self.damaged(what))?;
        let mut fired = Fired {
            windows: due.len(),
            ..Fired::default()
        };
        let bounds = (window.start.to_string(), window.end.to_string());
        for due in due.chunks(AT_ONCE) {
            let produced = if contents.is_aggregate() {
                self.finish(window, due, contents)?
            } else {
                apply(window, due, contents, results.key.is_some(), |what| {
                    self.damaged(what)
                })?
            };
            fired.results += produced.source.len();
            for (row, source) in produced.source.iter().enumerate() {
                let result = ResultRow {
                    window,
                    bounds: &bounds,
                    key: results.key.map(|ty| (&*due[*source as usize].key, ty)),
                    fields: results.fields,
                    rows: &produced.rows,
                    row,
                };
                let written = results.writing.result(outbox, &result);
                written.map_err(|why| WorkerError::Commit(format!("window {window}: {why}")))?;
            }
        }
        for due in due {
            let known = due.slot.map(|slot| &contents.held(slot).stored);
            let records: Vec<(Write, u32)> = match known {
                Some(Stored::Known(layout)) => layout.records().collect(),
                _ => {
                    let mut layout = Layout::default();
                    for (write, chunks, bytes) in &due.stored {
                        layout.wrote(*write, *chunks, bytes.len());
                    }
                    layout.records().collect()
                }
            };
            self.end(window, &due.key, records.into_iter(), outbox, results.now);
            if let Some(slot) = due.slot {
                contents.free(&[slot])?;
            }
        }
        if firing.is_over() {
            self.cold.remove(&window);
        } else {
            self.firing = Some(firing);
        }
        Ok(Some(fired))
    }

    /// The window that is firing, or the next one that is due.
    fn next_firing(&mut self, contents: &Contents) -> Option<Firing> {
        if let Some(firing) = self.firing.take() {
            return Some(firing);
        }
        let hot = contents.slots().first(self.owner());
        let cold = self.cold.first().copied();
        let window = hot.into_iter().chain(cold).min()?;
        if window.end > self.watermarks.lowest() {
            return None;
        }
        let stored = || parts_of_window(window).0;
        Some(Firing {
            window,
            hot: contents.slots().keys(self.owner(), window).into(),
            cursor: self.cold.contains(&window).then(stored),
        })
    }

    /// The results of an aggregate's keys. Sources are indices into `due`.
    fn finish(
        &self,
        window: Window,
        due: &[Due],
        contents: &mut Contents,
    ) -> Result<Produced, StepError> {
        let failed = StepError::of(contents.function());
        // A key that is only in the store gets its slot for the time of this call.
        let mut guests = Vec::with_capacity(due.len());
        let (mut slots, mut parts) = (Vec::new(), Vec::new());
        let mut borrowed = Vec::new();
        for (at, due) in due.iter().enumerate() {
            let slot = match due.slot {
                Some(slot) => slot,
                None => {
                    let slot = contents.slot(self.owner(), window, &due.key, true);
                    borrowed.push(slot);
                    slot
                }
            };
            let at_hand = &contents.held(slot).stored;
            let stored = due
                .stored
                .iter()
                .filter(|(write, ..)| at_hand.lacks(*write));
            for (_, _, bytes) in stored {
                slots.push(slot);
                parts.push(bytes.as_slice());
            }
            if contents.held(slot).is_filled || !due.stored.is_empty() {
                guests.push((at, slot));
            }
        }
        contents.restore(&slots, &parts)?;
        let asked: Vec<u32> = guests.iter().map(|(_, slot)| slot.0).collect();
        let instance = contents.aggregate().ok_or_else(not_an_aggregate)?;
        let mut produced = match asked.as_slice() {
            [] => Produced::default(),
            asked => instance.finish(asked).map_err(failed)?,
        };
        for source in &mut produced.source {
            let at = guests[*source as usize].0;
            *source = u32::try_from(at).expect("a slice has fewer than 2^32 keys");
        }
        contents.free(&borrowed)?;
        Ok(produced)
    }
}

impl Firing {
    /// The next keys: a page of those in the store with what is at hand between them, or, where the store has none, some of
    /// what is at hand.
    fn take<S: Store>(
        &mut self,
        task: TaskId,
        store: &S,
        damaged: impl Fn(&dyn std::fmt::Display) -> WorkerError,
    ) -> Result<Vec<Due>, WorkerError> {
        let page = match self.cursor.take() {
            None => Vec::new(),
            Some(from) => {
                let (page, is_last) =
                    page(task, store, self.window, &from).map_err(|e| match e {
                        PageError::Store(error) => error.into(),
                        PageError::Format(error) => damaged(&error),
                    })?;
                if let Some((key, _)) = page.last().filter(|_| !is_last) {
                    self.cursor = Some(parts_after_key(self.window, key));
                }
                page
            }
        };
        let mut due: Vec<Due> = Vec::new();
        let up_to = self
            .cursor
            .is_some()
            .then(|| page.last().map(|(key, _)| key.clone()));
        let up_to = up_to.flatten();
        let most = if page.is_empty() { AT_ONCE } else { usize::MAX };
        let mut stored = page.into_iter().peekable();
        loop {
            let is_within = |(key, _): &&KeySlot| match &up_to {
                Some(last) => key.as_ref() <= last.as_slice(),
                None => due.len() < most,
            };
            let hot = self
                .hot
                .front()
                .filter(is_within)
                .map(|(key, _)| key.as_ref());
            let is_hot = match (hot, stored.peek()) {
                (None, None) => break,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some(hot), Some((key, _))) => hot <= key.as_slice(),
            };
            if is_hot {
                let Some((key, slot)) = self.hot.pop_front() else {
                    break;
                };
                let same = stored.next_if(|(stored, _)| stored.as_slice() == key.as_ref());
                due.push(Due {
                    key,
                    slot: Some(slot),
                    stored: same.map(|(_, parts)| parts).unwrap_or_default(),
                });
            } else if let Some((key, parts)) = stored.next() {
                due.push(Due {
                    key: key.into(),
                    slot: None,
                    stored: parts,
                });
            }
        }
        Ok(due)
    }

    fn is_over(&self) -> bool {
        self.hot.is_empty() && self.cursor.is_none()
    }
}

/// A stored key with its parts.
type StoredKey = (Vec<u8>, Vec<(Write, u32, Vec<u8>)>);

enum PageError {
    Store(crate::state::StoreError),
    Format(crate::state::FormatError),
}

/// The keys of a window in the store from `from` on, about [`PAGE_BYTES`] or [`AT_ONCE`] of them, each whole; and whether they
/// are the last.
fn page<S: Store>(
    task: TaskId,
    store: &S,
    window: Window,
    from: &[u8],
) -> Result<(Vec<StoredKey>, bool), PageError> {
    let (_, to) = parts_of_window(window);
    let mut reader = PartReader::new();
    let mut keys: Vec<StoredKey> = Vec::new();
    let mut bytes = 0;
    let mut failed = None;
    let mut is_last = true;
    store
        .scan(task, from, &to, &mut |key, value| {
            let is_full = keys.len() >= AT_ONCE || bytes >= PAGE_BYTES;
            if is_full
                && let (Ok(StateKey::Part { key, .. }), Some((last, _))) =
                    (StateKey::decode(key), keys.last())
                && key != *last
            {
                is_last = false;
                return ControlFlow::Break(());
            }
            match reader.push(key, value) {
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
                Ok(None) => {}
                Ok(Some(part)) => {
                    bytes += part.bytes.len();
                    let entry = (part.write, part.chunks, part.bytes);
                    match keys.last_mut().filter(|(key, _)| *key == part.key) {
                        Some((_, parts)) => parts.push(entry),
                        None => keys.push((part.key, vec![entry])),
                    }
                }
            }
            ControlFlow::Continue(())
        })
        .map_err(PageError::Store)?;
    failed
        .map_or_else(|| reader.finish(), Err)
        .map_err(PageError::Format)?;
    Ok((keys, is_last))
}

/// The results of a window-apply's keys. Sources are indices into `due`.
fn apply(
    window: Window,
    due: &[Due],
    contents: &mut Contents,
    is_keyed: bool,
    damaged: impl Fn(&dyn std::fmt::Display) -> WorkerError,
) -> Result<Produced, StepError> {
    let function = contents.function();
    let mut windows = Vec::new();
    let mut sources = Vec::new();
    let mut bounds = vec![0];
    let mut parts = Vec::new();
    let hot: Vec<Vec<u8>> = due
        .iter()
        .map(|due| {
            due.slot
                .map(|slot| contents.take_rows(slot))
                .unwrap_or_default()
        })
        .collect();
    let (instance, fields) = contents.apply().ok_or_else(not_an_aggregate)?;
    for (at, (due, hot)) in due.iter().zip(&hot).enumerate() {
        let stored = due.stored.iter().map(|(_, _, bytes)| bytes.as_slice());
        let mut pieces = Vec::new();
        for bytes in stored.chain([hot.as_slice()]) {
            for segment in segments::read(bytes) {
                pieces.push(segment.map_err(|error| damaged(&error))?);
            }
        }
        // Within each source partition in the order of the log, whatever the order in which they came together.
        pieces.sort_by_key(|(source, _)| *source);
        let rows: Vec<&[u8]> = pieces.into_iter().map(|(_, rows)| rows).collect();
        let rows = decode_rows(fields, &rows).map_err(|error| damaged(&error))?;
        if rows.is_empty() {
            continue;
        }
        let end = bounds[bounds.len() - 1] + u32::try_from(rows.len).map_err(bug)?;
        bounds.push(end);
        parts.push(rows);
        sources.push(u32::try_from(at).map_err(bug)?);
        windows.push(AppliedWindow {
            start: window.start.0,
            end: window.end.0,
            key: is_keyed.then(|| String::from_utf8_lossy(&due.key).into_owned()),
        });
    }
    if windows.is_empty() {
        return Ok(Produced::default());
    }
    let rows = Rows::concat(&parts).map_err(bug)?;
    let produced = instance.apply(&windows, &bounds, &rows);
    let mut produced = produced.map_err(StepError::of(function))?;
    for source in &mut produced.source {
        *source = sources[*source as usize];
    }
    Ok(produced)
}

fn not_an_aggregate() -> StepError {
    StepError::Host(WorkerError::Bug(
        "a window function of another kind".to_owned(),
    ))
}

fn bug(error: impl ToString) -> StepError {
    StepError::Host(WorkerError::Bug(error.to_string()))
}
