//! What there is of the keys of some panes: what is at hand and what the store has, brought together key by key, in ascending order
//! and in portions, so that no window has to fit into memory as a whole.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::WorkerError;
use super::contents::{AT_ONCE, Contents};
use super::layout::{Layout, Stored};
use super::owned::OwnedWindows;
use crate::state::{
    PartReader, StateKey, Store, TaskId, Write, parts_after_key, parts_of_key, parts_of_pane,
};
use crate::time::Timestamp;
use crate::window::{Key, KeySlot, Pane, Slot, Window};

/// About how many bytes of stored contents are brought back at once.
const PAGE_BYTES: usize = 8 << 20;
/// The least of it for one pane.
const LEAST_BYTES: usize = 64 << 10;

/// What there is of one key in one pane.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) pane: Pane,
    pub(super) slot: Option<Slot>,
    /// What the store has: each write with its number of chunks and its bytes.
    pub(super) stored: Vec<(Write, u32, Vec<u8>)>,
}

impl Piece {
    /// The records in which it lies.
    pub(super) fn records(&self, contents: &Contents) -> Vec<(Write, u32)> {
        match self.slot.map(|slot| &contents.held(slot).stored) {
            Some(Stored::Known(layout)) => layout.records().collect(),
            _ => self.layout().records().collect(),
        }
    }

    /// How what the store has lies there.
    pub(super) fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        for (write, chunks, bytes) in &self.stored {
            layout.wrote(*write, *chunks, bytes.len());
        }
        layout
    }
}

/// A window and key that something happens to.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) window: Window,
    pub(super) key: Key,
    /// The event time of its last row, where rows are counted; otherwise the window's end.
    pub(super) at: Timestamp,
    /// What there is of it, pane by pane.
    pub(super) pieces: Vec<Piece>,
    /// What there is of it besides, merged before.
    pub(super) parts: Vec<Vec<u8>>,
}

impl Due {
    /// Of a window whose bounds are times.
    pub(super) fn new(window: Window, key: Key, pieces: Vec<Piece>) -> Self {
        Self {
            window,
            key,
            at: window.end,
            pieces,
            parts: Vec::new(),
        }
    }

    /// Its pieces, each beside the key.
    pub(super) fn of_key(&self) -> impl Iterator<Item = (&[u8], &Piece)> {
        self.pieces.iter().map(|piece| (&*self.key, piece))
    }
}

/// The keys of some panes that are still to come.
#[derive(Debug)]
pub(super) struct Keys {
    panes: Vec<PaneKeys>,
    /// Whether keys of windows that overlap come too, though they may have nothing in these panes.
    with_overlap: bool,
    /// The last one taken.
    after: Option<Key>,
}

#[derive(Debug)]
struct PaneKeys {
    pane: Pane,
    /// What is at hand, by key.
    hot: VecDeque<KeySlot>,
    /// What the store has, as far as it has been read.
    page: VecDeque<StoredKey>,
    /// Where in the store the keys begin that have not been read; `None` where there are none.
    cursor: Option<Vec<u8>>,
}

/// A stored key with its writes.
type StoredKey = (Vec<u8>, Vec<(Write, u32, Vec<u8>)>);

impl Keys {
    /// The keys of `panes` after `after`.
    pub(super) fn of(
        windows: &OwnedWindows,
        panes: impl Iterator<Item = Pane>,
        after: Option<&[u8]>,
        contents: &Contents,
    ) -> Self {
        let panes = panes.map(|pane| {
            let mut hot: VecDeque<KeySlot> = contents.slots().keys(windows.owner(), pane).into();
            if let Some(after) = after {
                let done = hot.partition_point(|(key, _)| **key <= *after);
                hot.drain(..done);
            }
            let from = || match after {
                Some(after) => parts_after_key(pane, after),
                None => parts_of_pane(pane).0,
            };
            PaneKeys {
                pane,
                hot,
                page: VecDeque::new(),
                cursor: windows.cold.contains_pane(pane).then(from),
            }
        });
        Self {
            panes: panes.collect(),
            with_overlap: false,
            after: after.map(Key::from),
        }
    }

    /// The keys of a pane of which only the store has anything.
    pub(super) fn of_store(pane: Pane) -> Self {
        let keys = PaneKeys {
            pane,
            hot: VecDeque::new(),
            page: VecDeque::new(),
            cursor: Some(parts_of_pane(pane).0),
        };
        Self {
            panes: vec![keys],
            with_overlap: false,
            after: None,
        }
    }

    /// With the keys of which something is known from windows that have fired.
    pub(super) fn with_overlap(self) -> Self {
        Self {
            with_overlap: true,
            ..self
        }
    }

    /// The next keys with what there is of each, in ascending order.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) fn take<S: Store>(
        &mut self,
        windows: &OwnedWindows,
        store: &S,
    ) -> Result<Vec<(Key, Vec<Piece>)>, WorkerError> {
        let most = (PAGE_BYTES / self.panes.len().max(1)).max(LEAST_BYTES);
        let mut taken: Vec<(Key, Vec<Piece>)> = Vec::new();
        let mut bytes = 0;
        while taken.len() < AT_ONCE && bytes < PAGE_BYTES {
            for pane in &mut self.panes {
                pane.fill(windows, store, most)?;
            }
            let next = self.panes.iter().filter_map(PaneKeys::next);
            let next = next.chain(self.overlapping(windows)).min();
            let Some(key) = next.map(Key::from) else {
                break;
            };
            let pieces = self.panes.iter_mut().filter_map(|pane| pane.pop(&key));
            let pieces: Vec<Piece> = pieces.collect();
            let stored = pieces.iter().flat_map(|piece| &piece.stored);
            bytes += stored.map(|(_, _, bytes)| bytes.len()).sum::<usize>();
            if self.with_overlap {
                self.after = Some(key.clone());
            }
            taken.push((key, pieces));
        }
        Ok(taken)
    }

    fn overlapping<'a>(&self, windows: &'a OwnedWindows) -> Option<&'a [u8]> {
        let next = || windows.overlap.next_key(self.after.as_deref());
        self.with_overlap.then(next)?.map(|key| &**key)
    }

    /// Whether there are no more.
    pub(super) fn is_over(&self, windows: &OwnedWindows) -> bool {
        if self.overlapping(windows).is_some() {
            return false;
        }
        let is_over =
            |pane: &PaneKeys| pane.hot.is_empty() && pane.page.is_empty() && pane.cursor.is_none();
        self.panes.iter().all(is_over)
    }
}

impl PaneKeys {
    /// Reads on in the store, if what was read is used up.
    fn fill<S: Store>(
        &mut self,
        windows: &OwnedWindows,
        store: &S,
        most: usize,
    ) -> Result<(), WorkerError> {
        if !self.page.is_empty() {
            return Ok(());
        }
        let Some(from) = self.cursor.take() else {
            return Ok(());
        };
        let page = page(windows.task, store, self.pane, &from, most);
        let (page, is_last) = page.map_err(|error| match error {
            PageError::Store(error) => error.into(),
            PageError::Format(error) => windows.damaged(&error),
        })?;
        if let Some((key, _)) = page.last().filter(|_| !is_last) {
            self.cursor = Some(parts_after_key(self.pane, key));
        }
        self.page = page.into();
        Ok(())
    }

    fn next(&self) -> Option<&[u8]> {
        let hot = self.hot.front().map(|(key, _)| key.as_ref());
        let stored = self.page.front().map(|(key, _)| key.as_slice());
        hot.into_iter().chain(stored).min()
    }

    fn pop(&mut self, key: &[u8]) -> Option<Piece> {
        let hot = self.hot.pop_front_if(|(hot, _)| **hot == *key);
        let stored = self.page.pop_front_if(|(stored, _)| *stored == key);
        if hot.is_none() && stored.is_none() {
            return None;
        }
        Some(Piece {
            pane: self.pane,
            slot: hot.map(|(_, slot)| slot),
            stored: stored.map(|(_, writes)| writes).unwrap_or_default(),
        })
    }
}

enum PageError {
    Store(crate::state::StoreError),
    Format(crate::state::FormatError),
}

/// The keys of a pane in the store from `from` on, about `most` bytes or [`AT_ONCE`] of them, each whole; and whether they
/// are the last.
fn page<S: Store>(
    task: TaskId,
    store: &S,
    pane: Pane,
    from: &[u8],
    most: usize,
) -> Result<(Vec<StoredKey>, bool), PageError> {
    let (_, to) = parts_of_pane(pane);
    let mut reader = PartReader::new();
    let mut keys: Vec<StoredKey> = Vec::new();
    let mut bytes = 0;
    let mut failed = None;
    let mut is_last = true;
    store
        .scan(task, from, &to, &mut |key, value| {
            let is_full = keys.len() >= AT_ONCE || bytes >= most;
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

impl OwnedWindows {
    /// What there is of one key in some panes.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) fn pieces<S: Store>(
        &self,
        panes: impl Iterator<Item = Pane>,
        key: &[u8],
        contents: &Contents,
        store: &S,
    ) -> Result<Vec<Piece>, WorkerError> {
        let mut pieces = Vec::new();
        for pane in panes {
            let slot = contents.slots().get(self.owner(), pane, key);
            let stored = match self.cold.contains(pane, key) {
                true => self.stored(pane, key, store)?,
                false => Vec::new(),
            };
            if slot.is_some() || !stored.is_empty() {
                pieces.push(Piece { pane, slot, stored });
            }
        }
        Ok(pieces)
    }

    /// What the store has of a pane and key: each write with its number of chunks and its bytes.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) fn stored<S: Store>(
        &self,
        pane: Pane,
        key: &[u8],
        store: &S,
    ) -> Result<Vec<(Write, u32, Vec<u8>)>, WorkerError> {
        let (from, to) = parts_of_key(pane, key);
        let mut reader = PartReader::new();
        let mut parts = Vec::new();
        let mut failed = None;
        store.scan(self.task, &from, &to, &mut |key, value| {
            match reader.push(key, value) {
                Ok(part) => parts.extend(part.map(|part| (part.write, part.chunks, part.bytes))),
                Err(error) => failed = Some(error),
            }
            match failed {
                None => ControlFlow::Continue(()),
                Some(_) => ControlFlow::Break(()),
            }
        })?;
        let ended = failed.map_or_else(|| reader.finish(), Err);
        ended.map_err(|error| self.damaged(&error))?;
        Ok(parts)
    }
}
