//! Windows that overlap, fired one after the other: what one has in common with the next is merged once, not for each of them.
//!
//! Of each key there are two stacks, in the manner of a queue made of two (Tangwongsan, Hirzel and Schneider, "Low-latency
//! sliding-window aggregation in worst-case constant time", DEBS 2017, section 2): *suffixes*, the merged panes from each
//! pane of the older ones to the last of these, and a *front*, the merged panes after them. A window is one suffix and the front;
//! when the next has left all older panes behind, the suffixes are made anew. So a result takes a few merges, however many
//! panes a window has. All of it follows from the panes: it is kept in memory, up to a limit, and a restart begins without.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::contents::{AT_ONCE, Contents};
use super::owned::{OwnedWindows, bring_back};
use super::pieces::{Due, Piece};
use super::scene::Scene;
use super::steps::StepError;
use crate::state::Store;
use crate::time::Timestamp;
use crate::window::{Key, Pane, Slot, Window};

/// A key with fewer panes than this in a window has them merged each time.
const FEW: usize = 5;
/// How many bytes of stacks a task may keep. Keys for which there is no room have their panes merged each time.
const MOST_BYTES: usize = 128 << 20;

/// What the windows of a task that have fired have in common with those to come. Panes that begin before `upto` are known of
/// every key.
#[derive(Debug)]
pub(super) struct Overlap {
    upto: Timestamp,
    /// The window that is firing, if it has been from its first key on.
    firing: Option<Window>,
    keys: BTreeMap<Key, Queue>,
    /// Of all stacks.
    bytes: usize,
}

/// What there is of a key.
#[derive(Debug, Default)]
struct Queue {
    /// Panes with contents, the oldest first.
    panes: Vec<Window>,
    stacks: Option<Stacks>,
}

#[derive(Debug)]
struct Stacks {
    /// Where each suffix begins in event time, and where it ends in `bytes`, the longest one last.
    suffixes: Vec<(Timestamp, usize)>,
    bytes: Vec<u8>,
    front: Option<Vec<u8>>,
}

impl Stacks {
    fn byte_len(&self) -> usize {
        let front = self.front.as_ref().map_or(0, Vec::len);
        self.bytes.capacity() + front + self.suffixes.capacity() * size_of::<(Timestamp, usize)>()
    }

    /// Lets go of suffixes that begin before a window does. Whether any is left.
    fn advance(&mut self, start: Timestamp) -> bool {
        while self.suffixes.pop_if(|(at, _)| *at < start).is_some() {}
        let end = self.suffixes.last().map_or(0, |(_, end)| *end);
        self.bytes.truncate(end);
        !self.suffixes.is_empty()
    }

    /// What a window is merged from.
    fn parts(&self) -> Vec<Vec<u8>> {
        let suffix = match self.suffixes.as_slice() {
            [] => None,
            [_] => Some(self.bytes.clone()),
            [.., (_, before), _] => Some(self.bytes[*before..].to_vec()),
        };
        suffix.into_iter().chain(self.front.clone()).collect()
    }
}

impl Overlap {
    /// Nothing is known.
    pub(super) fn new() -> Self {
        Self {
            upto: Timestamp::MIN,
            firing: None,
            keys: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Whether a pane of every key is known.
    pub(super) fn knows(&self, pane: Window) -> bool {
        pane.start < self.upto
    }

    /// The first key after one of which something is known.
    pub(super) fn next_key(&self, after: Option<&[u8]>) -> Option<&Key> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut keys = self.keys.range::<[u8], _>((after, Bound::Unbounded));
        keys.next().map(|(key, _)| key)
    }

    /// A window fires for its keys after one of them, or for all.
    pub(super) fn fires(&mut self, window: Window, after: Option<&[u8]>) {
        if after.is_none() {
            self.firing = Some(window);
        }
    }

    /// A window has fired for all keys.
    pub(super) fn passed(&mut self, window: Window) {
        if self.firing.take() == Some(window) {
            self.upto = self.upto.max(window.end);
        } else {
            // Some of its keys had fired before a restart, and nothing is known of them.
            *self = Self::new();
        }
    }

    /// Something has come into a pane that had been merged.
    pub(super) fn changed(&mut self, pane: Window, key: &[u8]) {
        if !self.knows(pane) {
            return;
        }
        let queue = self.keys.entry(key.into()).or_default();
        if let Err(at) = queue.panes.binary_search(&pane) {
            queue.panes.insert(at, pane);
        }
        self.bytes -= queue.stacks.take().map_or(0, |old| old.byte_len());
    }

    /// Notes what a window that fires has of a key: panes that were not known. Returns all that it has, as far as it is in no
    /// stack; `None` if the key has nothing.
    fn enter(&mut self, window: Window, key: &[u8], new: &[Piece]) -> Option<Share> {
        let queue = self.keys.entry(key.into()).or_default();
        queue.panes.retain(|pane| pane.start >= window.start);
        queue.panes.extend(new.iter().map(|piece| piece.pane.span));
        if queue.panes.is_empty() {
            let queue = self.keys.remove(key);
            let stacks = queue.and_then(|queue| queue.stacks);
            self.bytes -= stacks.map_or(0, |stacks| stacks.byte_len());
            return None;
        }
        let before = queue.stacks.as_ref().map_or(0, Stacks::byte_len);
        let goes_on = queue.panes.len() >= FEW
            && match &mut queue.stacks {
                Some(stacks) => stacks.advance(window.start),
                None => false,
            };
        if !goes_on {
            queue.stacks = None;
        }
        let after = queue.stacks.as_ref().map_or(0, Stacks::byte_len);
        self.bytes = self.bytes - before + after;
        Some(match goes_on {
            true => Share::Grows,
            false if queue.panes.len() < FEW || self.bytes >= MOST_BYTES => {
                Share::Few(queue.panes.clone())
            }
            false => Share::Begins(queue.panes.clone()),
        })
    }

    fn put(&mut self, key: &[u8], stacks: Stacks) {
        if let Some(queue) = self.keys.get_mut(key) {
            self.bytes += stacks.byte_len();
            self.bytes -= queue.stacks.replace(stacks).map_or(0, |old| old.byte_len());
        }
    }

    fn stacks(&mut self, key: &[u8]) -> Option<&mut Stacks> {
        self.keys.get_mut(key)?.stacks.as_mut()
    }
}

/// How a key comes to its result.
enum Share {
    /// From these panes.
    Few(Vec<Window>),
    /// From stacks that are made of these panes.
    Begins(Vec<Window>),
    /// From its stacks.
    Grows,
}

impl OwnedWindows {
    /// What some keys have of a window that fires; `taken` has those of their panes that were not known. At most [`AT_ONCE`].
    ///
    /// # Errors
    /// If the function failed, or the store can't be read.
    pub(super) fn due_of_overlap<S: Store>(
        &mut self,
        window: Window,
        taken: Vec<(Key, Vec<Piece>)>,
        scene: &mut Scene<'_, S>,
    ) -> Result<Vec<Due>, StepError> {
        let mut due: Vec<Due> = Vec::with_capacity(taken.len());
        let (mut begins, mut grows) = (Vec::new(), Vec::new());
        for (key, new) in taken {
            let (panes, is_stacked) = match self.overlap.enter(window, &key, &new) {
                None => continue,
                Some(Share::Grows) => {
                    grows.push((due.len(), new));
                    due.push(Due::new(window, key, Vec::new()));
                    continue;
                }
                Some(Share::Few(panes)) => (panes, false),
                Some(Share::Begins(panes)) => (panes, true),
            };
            let panes = panes.into_iter().map(Pane::of);
            let pieces = self.pieces(panes, &key, scene.contents, scene.store)?;
            if is_stacked && pieces.len() >= FEW {
                begins.push((due.len(), pieces));
                due.push(Due::new(window, key, Vec::new()));
            } else {
                due.push(Due::new(window, key, pieces));
            }
        }
        self.begin_stacks(&due, &begins, scene.contents)?;
        self.grow_fronts(&due, &grows, scene.contents)?;
        for at in begins.iter().chain(&grows).map(|(at, _)| *at) {
            let stacks = self.overlap.stacks(&due[at].key);
            due[at].parts = stacks.map(|stacks| stacks.parts()).unwrap_or_default();
        }
        Ok(due)
    }

    /// Makes the suffixes of keys, from the last pane to the first, all keys at once.
    fn begin_stacks(
        &mut self,
        due: &[Due],
        begins: &[(usize, Vec<Piece>)],
        contents: &mut Contents,
    ) -> Result<(), StepError> {
        let scratch = self.scratch(due, begins, contents);
        let mut stacks: Vec<Stacks> = Vec::with_capacity(begins.len());
        stacks.extend(begins.iter().map(|(_, pieces)| Stacks {
            suffixes: Vec::with_capacity(pieces.len()),
            bytes: Vec::new(),
            front: None,
        }));
        for round in 1.. {
            // The last pane in the first round, the one before it in the second.
            let piece = |pieces: &'_ Vec<Piece>| pieces.len().checked_sub(round);
            let of = (0..begins.len()).filter_map(|at| Some((at, piece(&begins[at].1)?)));
            let of: Vec<(usize, usize)> = of.collect();
            if of.is_empty() {
                break;
            }
            let pieces = of
                .iter()
                .map(|(at, piece)| (scratch[*at], &begins[*at].1[*piece]));
            merge_pieces(pieces, contents)?;
            let slots: Vec<Slot> = of.iter().map(|(at, _)| scratch[*at]).collect();
            let wholes = whole(&slots, contents)?;
            for ((at, piece), whole) in of.into_iter().zip(wholes) {
                let Some(whole) = whole else { continue };
                let stacks = &mut stacks[at];
                stacks.bytes.extend_from_slice(&whole);
                let start = begins[at].1[piece].pane.span.start;
                stacks.suffixes.push((start, stacks.bytes.len()));
            }
        }
        contents.free(&scratch)?;
        for ((at, _), stacks) in begins.iter().zip(stacks) {
            self.overlap.put(&due[*at].key, stacks);
        }
        Ok(())
    }

    /// Merges panes that were not known into the fronts of keys.
    fn grow_fronts(
        &mut self,
        due: &[Due],
        grows: &[(usize, Vec<Piece>)],
        contents: &mut Contents,
    ) -> Result<(), StepError> {
        let has_grown = |(_, new): &&(usize, Vec<Piece>)| !new.is_empty();
        let grown: Vec<&(usize, Vec<Piece>)> = grows.iter().filter(has_grown).collect();
        let scratch = self.scratch(due, grown.iter().copied(), contents);
        let (mut slots, mut parts) = (Vec::new(), Vec::new());
        for ((at, _), slot) in grown.iter().zip(&scratch) {
            let stacks = self.overlap.stacks(&due[*at].key);
            if let Some(front) = stacks.and_then(|stacks| stacks.front.clone()) {
                slots.push(*slot);
                parts.push(front);
            }
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        contents.restore(&slots, &parts)?;
        let pieces = grown.iter().zip(&scratch);
        let pieces =
            pieces.flat_map(|((_, new), slot)| new.iter().map(move |piece| (*slot, piece)));
        merge_pieces(pieces, contents)?;
        let wholes = whole(&scratch, contents)?;
        contents.free(&scratch)?;
        for ((at, _), whole) in grown.into_iter().zip(wholes) {
            let key = &due[*at].key;
            let mut change = 0_isize;
            if let Some(stacks) = self.overlap.stacks(key) {
                let before = stacks.byte_len();
                stacks.front = whole;
                change = stacks.byte_len().cast_signed() - before.cast_signed();
            }
            self.overlap.bytes = self.overlap.bytes.saturating_add_signed(change);
        }
        Ok(())
    }

    /// A slot for each of some keys, to merge in; to be freed.
    fn scratch<'a>(
        &self,
        due: &[Due],
        of: impl IntoIterator<Item = &'a (usize, Vec<Piece>)>,
        contents: &mut Contents,
    ) -> Vec<Slot> {
        let slots = of.into_iter().map(|(at, _)| {
            let Due { window, key, .. } = &due[*at];
            contents.slot(self.owner(), Pane::scratch(*window), key, false)
        });
        slots.collect()
    }
}

/// Merges pieces, each into a slot that has no record of its own.
///
/// # Errors
/// If the function failed or refuses a partial.
pub(super) fn merge_pieces<'a>(
    pieces: impl Iterator<Item = (Slot, &'a Piece)>,
    contents: &mut Contents,
) -> Result<(), StepError> {
    let (mut wholes, mut into) = (Vec::new(), Vec::new());
    let (mut slots, mut parts): (Vec<Slot>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    for (to, piece) in pieces {
        bring_back(piece, contents)?;
        match piece.slot {
            Some(slot) if contents.held(slot).is_filled => {
                wholes.push(slot);
                into.push(to);
            }
            Some(_) => {}
            None => {
                for (_, _, bytes) in &piece.stored {
                    slots.push(to);
                    parts.push(bytes);
                }
            }
        }
    }
    contents.restore(&slots, &parts)?;
    for (wholes, into) in wholes.chunks(AT_ONCE).zip(into.chunks(AT_ONCE)) {
        let bytes = contents.snapshot(wholes)?;
        let bytes: Vec<&[u8]> = bytes.iter().map(Option::unwrap_or_default).collect();
        contents.restore(into, &bytes)?;
    }
    Ok(())
}

/// The whole of each slot; `None` for those into which nothing has come.
fn whole(slots: &[Slot], contents: &mut Contents) -> Result<Vec<Option<Vec<u8>>>, StepError> {
    let filled = slots.iter().copied();
    let filled: Vec<Slot> = filled
        .filter(|slot| contents.held(*slot).is_filled)
        .collect();
    let bytes = match filled.as_slice() {
        [] => return Ok(vec![None; slots.len()]),
        filled => contents.snapshot(filled)?,
    };
    let mut bytes = bytes.iter().map(Option::unwrap_or_default);
    let of = slots.iter().map(|slot| {
        let is_filled = contents.held(*slot).is_filled;
        is_filled.then(|| bytes.next().unwrap_or_default().to_vec())
    });
    Ok(of.collect())
}
