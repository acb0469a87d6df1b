//! Which contents are at hand: the slots of panes and keys, and whose they are. Pure.
//!
//! A slot is the number under which an instance keeps the contents of one pane and key. All tasks of a worker share the
//! numbers, since they share the instance, so an entry also says whose it is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::BuildHasher;
use std::ops::Bound;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::{Pane, Window};
use crate::time::Timestamp;

/// The number under which the contents of one pane and key are kept. Dense: the smallest free one is taken first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot(pub u32);

impl Slot {
    /// As an index into what is kept slot by slot.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Who has a pane: one of a worker's tasks, by a number of the worker's choosing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Owner(pub u32);

/// A key as text (empty for a step without key), and the slot of a pane for it.
pub type KeySlot = (Box<[u8]>, Slot);

#[derive(Debug)]
struct Entry {
    owner: Owner,
    pane: Pane,
    key: Box<[u8]>,
    /// Where it stands among the slots of its pane.
    place: usize,
}

/// The slots in use.
#[derive(Debug)]
pub struct Slots {
    /// By number; `None` where free.
    entries: Vec<Option<Entry>>,
    free: BinaryHeap<Reverse<u32>>,
    table: HashTable<Slot>,
    panes: BTreeMap<(Owner, Pane), Vec<Slot>>,
    hasher: FixedState,
}

impl Default for Slots {
    fn default() -> Self {
        Self::new()
    }
}

impl Slots {
    /// None in use.
    pub fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: BinaryHeap::new(),
            table: HashTable::new(),
            panes: BTreeMap::new(),
            hasher: FixedState::with_seed(0),
        }
    }

    /// The slot of a pane and key, taken where there is none; whether it was taken is told beside it. `key` is empty for a
    /// step without key.
    pub fn slot(&mut self, owner: Owner, pane: Pane, key: &[u8]) -> (Slot, bool) {
        let hash = hash(&self.hasher, owner, pane, key);
        let entries = &self.entries;
        let same = |slot: &Slot| {
            let entry = entries[slot.index()].as_ref();
            entry.is_some_and(|e| e.owner == owner && e.pane == pane && *e.key == *key)
        };
        if let Some(slot) = self.table.find(hash, same) {
            return (*slot, false);
        }
        let siblings = self.panes.entry((owner, pane)).or_default();
        let entry = Some(Entry {
            owner,
            pane,
            key: key.into(),
            place: siblings.len(),
        });
        let slot = match self.free.pop() {
            Some(Reverse(number)) => {
                let slot = Slot(number);
                self.entries[slot.index()] = entry;
                slot
            }
            None => {
                let number = u32::try_from(self.entries.len());
                self.entries.push(entry);
                Slot(number.expect("a guest of 4 GiB has fewer than 2^32 slots"))
            }
        };
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.table.insert_unique(hash, slot, |slot| {
            let entry = entries[slot.index()].as_ref();
            let entry = entry.expect("slots in the table are in use");
            hash_of(hasher, entry)
        });
        siblings.push(slot);
        (slot, true)
    }

    /// The pane and key of a slot in use.
    pub fn of(&self, slot: Slot) -> Option<(Owner, Pane, &[u8])> {
        let entry = self.entries.get(slot.index())?.as_ref()?;
        Some((entry.owner, entry.pane, &entry.key))
    }

    /// The slot of a pane and key, if there is one.
    pub fn get(&self, owner: Owner, pane: Pane, key: &[u8]) -> Option<Slot> {
        let hash = hash(&self.hasher, owner, pane, key);
        let same = |slot: &Slot| {
            let entry = self.entries[slot.index()].as_ref();
            entry.is_some_and(|e| e.owner == owner && e.pane == pane && *e.key == *key)
        };
        self.table.find(hash, same).copied()
    }

    /// The first pane of an owner whose rows do not wait and that ends after `end`.
    pub fn first_after(&self, owner: Owner, end: Timestamp) -> Option<Window> {
        self.between(owner, end, Timestamp::MAX).next()
    }

    /// The panes of an owner whose rows do not wait and that end after `from`, up to and with `to`; in the order of their ends.
    pub fn between(
        &self,
        owner: Owner,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Window> + '_ {
        let first = Window {
            start: Timestamp::MAX,
            end: from,
        };
        let from = Bound::Excluded((owner, Pane::of(first)));
        let range = self.panes.range((from, Bound::Unbounded));
        range
            .map(|((of, pane), _)| (*of, *pane))
            .take_while(move |(of, pane)| *of == owner && !pane.is_pending() && pane.span.end <= to)
            .map(|(_, pane)| pane.span)
    }

    /// The pane of an owner whose rows wait and count first.
    pub fn first_pending(&self, owner: Owner) -> Option<Pane> {
        let from = Bound::Excluded((owner, Pane::of(Window::LAST)));
        let first = self.panes.range((from, Bound::Unbounded)).next();
        first.and_then(|((of, pane), _)| (*of == owner).then_some(*pane))
    }

    /// The panes of an owner whose rows wait for this instant.
    pub fn waiting(&self, owner: Owner, since: Timestamp) -> impl Iterator<Item = Pane> + '_ {
        let first = Pane {
            since,
            span: Window::FIRST,
        };
        let range = self.panes.range((owner, first)..);
        range
            .map(|((of, pane), _)| (*of, *pane))
            .take_while(move |(of, pane)| *of == owner && pane.since == since)
            .map(|(_, pane)| pane)
    }

    /// The keys of a pane with their slots, in ascending order of the keys.
    pub fn keys(&self, owner: Owner, pane: Pane) -> Vec<KeySlot> {
        let slots = self.panes.get(&(owner, pane));
        let mut keys: Vec<KeySlot> = slots
            .into_iter()
            .flatten()
            .filter_map(|slot| Some((self.entries[slot.index()].as_ref()?.key.clone(), *slot)))
            .collect();
        keys.sort_unstable();
        keys
    }

    /// The slots of an owner, pane by pane.
    pub fn slots_of(&self, owner: Owner) -> Vec<Slot> {
        self.panes
            .range((owner, Pane::of(Window::FIRST))..)
            .take_while(|((of, _), _)| *of == owner)
            .flat_map(|(_, slots)| slots.iter().copied())
            .collect()
    }

    /// Frees a slot. One that is not in use stays so.
    pub fn free(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get_mut(slot.index()).and_then(Option::take) else {
            return;
        };
        let hash = hash_of(&self.hasher, &entry);
        if let Ok(found) = self.table.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        let at = (entry.owner, entry.pane);
        if let Some(slots) = self.panes.get_mut(&at) {
            slots.swap_remove(entry.place);
            if let Some(moved) = slots.get(entry.place) {
                let moved = self.entries[moved.index()].as_mut();
                moved.expect("slots of a pane are in use").place = entry.place;
            }
            if slots.is_empty() {
                self.panes.remove(&at);
            }
        }
        self.free.push(Reverse(slot.0));
    }

    /// How many are in use.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is in use.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

fn hash(hasher: &FixedState, owner: Owner, pane: Pane, key: &[u8]) -> u64 {
    hasher.hash_one((owner, pane.since.0, pane.span.start.0, pane.span.end.0, key))
}

fn hash_of(hasher: &FixedState, entry: &Entry) -> u64 {
    hash(hasher, entry.owner, entry.pane, &entry.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn pane(start: i64) -> Pane {
        Pane::of(Window {
            start: Timestamp(start),
            end: Timestamp(start + 10),
        })
    }

    fn waiting(start: i64, since: i64) -> Pane {
        Pane {
            since: Timestamp(since),
            ..pane(start)
        }
    }

    #[test]
    fn slots_stay_dense() {
        let mut slots = Slots::new();
        for (number, key) in [b"a", b"b", b"c"].into_iter().enumerate() {
            let (slot, taken) = slots.slot(Owner(0), pane(0), key);
            assert_eq!((slot.index(), taken), (number, true));
        }
        slots.free(Slot(1));
        slots.free(Slot(0));
        assert_eq!(
            slots.slot(Owner(0), pane(10), b"x"),
            (Slot(0), true),
            "the smallest free one"
        );
        assert_eq!(slots.slot(Owner(0), pane(10), b"x"), (Slot(0), false));
        assert_eq!(slots.slot(Owner(0), pane(0), b"b"), (Slot(1), true));
    }

    #[test]
    fn owners_keep_apart() {
        let mut slots = Slots::new();
        let (mine, _) = slots.slot(Owner(0), pane(0), b"a");
        let (yours, _) = slots.slot(Owner(1), pane(-10), b"a");
        assert_ne!(mine, yours);
        assert_eq!(
            slots.first_after(Owner(0), Timestamp::MIN),
            Some(pane(0).span)
        );
        assert_eq!(slots.slots_of(Owner(1)), [yours]);
        assert_eq!(slots.first_after(Owner(2), Timestamp::MIN), None);
    }

    #[test]
    fn rows_that_wait_are_kept_apart_and_found_by_when_they_count() {
        let mut slots = Slots::new();
        let owner = Owner(1);
        for at in [pane(0), waiting(0, 99), waiting(0, 50), waiting(-10, 70)] {
            assert!(slots.slot(owner, at, b"a").1);
        }
        slots.slot(Owner(2), waiting(0, 1), b"a");
        assert_eq!(slots.first_pending(owner), Some(waiting(0, 50)));
        assert_eq!(slots.first_pending(Owner(0)), None);
        assert_eq!(slots.between(owner, Timestamp(0), Timestamp(10)).count(), 1);
        assert_eq!(slots.between(owner, Timestamp(0), Timestamp(9)).count(), 0);
        assert_eq!(slots.get(owner, waiting(0, 99), b"a"), Some(Slot(1)));
        assert_eq!(slots.get(owner, waiting(0, 98), b"a"), None);
    }

    proptest! {
        /// Against the plain version: a map.
        #[test]
        fn each_pane_and_key_of_an_owner_has_one_slot(
            steps in prop::collection::vec((0_u32..3, 0_i64..3, prop::collection::vec(0_u8..3, 0..3), any::<bool>()), 1..200),
        ) {
            let mut slots = Slots::new();
            let mut model: BTreeMap<(Owner, Pane, Vec<u8>), Slot> = BTreeMap::new();
            for (owner, start, key, frees) in steps {
                let at = (Owner(owner), pane(start * 10), key);
                if frees {
                    if let Some(slot) = model.remove(&at) {
                        slots.free(slot);
                    }
                } else {
                    let (slot, taken) = slots.slot(at.0, at.1, &at.2);
                    prop_assert_eq!(taken, !model.contains_key(&at));
                    prop_assert_eq!(*model.entry(at).or_insert(slot), slot);
                }
                prop_assert_eq!(slots.len(), model.len());
                for owner in (0..3).map(Owner) {
                    for end in [-1, 10, 20, 30] {
                        let after = |at: &&(Owner, Pane, Vec<u8>)| at.0 == owner && at.1.span.end.0 > end;
                        let first = model.keys().filter(after).map(|at| at.1.span).min();
                        prop_assert_eq!(slots.first_after(owner, Timestamp(end)), first);
                    }
                    for start in 0..3 {
                        let pane = pane(start * 10);
                        let keys: Vec<KeySlot> = model
                            .iter()
                            .filter(|(at, _)| at.0 == owner && at.1 == pane)
                            .map(|(at, slot)| (at.2.clone().into_boxed_slice(), *slot))
                            .collect();
                        prop_assert_eq!(slots.keys(owner, pane), keys);
                    }
                }
            }
        }
    }
}
