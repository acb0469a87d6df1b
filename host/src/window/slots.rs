//! Which contents are at hand: the slots of windows and keys, and whose they are. Pure.
//!
//! A slot is the number under which an instance keeps the contents of one window and key. All tasks of a worker share the
//! numbers, since they share the instance, so an entry also says whose it is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::Window;

/// The number under which the contents of one window and key are kept. Dense: the smallest free one is taken first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot(pub u32);

impl Slot {
    /// As an index into what is kept slot by slot.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Who has a window: one of a worker's tasks, by a number of the worker's choosing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Owner(pub u32);

/// A key as text (empty for a step without key), and the slot of a window for it.
pub type KeySlot = (Box<[u8]>, Slot);

#[derive(Debug)]
struct Entry {
    owner: Owner,
    window: Window,
    key: Box<[u8]>,
    /// Where it stands among the slots of its window.
    place: usize,
}

/// The slots in use.
#[derive(Debug)]
pub struct Slots {
    /// By number; `None` where free.
    entries: Vec<Option<Entry>>,
    free: BinaryHeap<Reverse<u32>>,
    table: HashTable<Slot>,
    windows: BTreeMap<(Owner, Window), Vec<Slot>>,
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
            windows: BTreeMap::new(),
            hasher: FixedState::with_seed(0),
        }
    }

    /// The slot of a window and key, taken where there is none; whether it was taken is told beside it. `key` is empty for a
    /// step without key.
    pub fn slot(&mut self, owner: Owner, window: Window, key: &[u8]) -> (Slot, bool) {
        let hash = hash(&self.hasher, owner, window, key);
        let entries = &self.entries;
        let same = |slot: &Slot| {
            let entry = entries[slot.index()].as_ref();
            entry.is_some_and(|e| e.owner == owner && e.window == window && *e.key == *key)
        };
        if let Some(slot) = self.table.find(hash, same) {
            return (*slot, false);
        }
        let siblings = self.windows.entry((owner, window)).or_default();
        let entry = Some(Entry {
            owner,
            window,
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

    /// The window and key of a slot in use.
    pub fn of(&self, slot: Slot) -> Option<(Owner, Window, &[u8])> {
        let entry = self.entries.get(slot.index())?.as_ref()?;
        Some((entry.owner, entry.window, &entry.key))
    }

    /// The first window of an owner, in the order of firing.
    pub fn first(&self, owner: Owner) -> Option<Window> {
        let from = (owner, Window::FIRST);
        let first = self.windows.range(from..).next();
        first.and_then(|((of, window), _)| (*of == owner).then_some(*window))
    }

    /// The keys of a window with their slots, in ascending order of the keys.
    pub fn keys(&self, owner: Owner, window: Window) -> Vec<KeySlot> {
        let slots = self.windows.get(&(owner, window));
        let mut keys: Vec<KeySlot> = slots
            .into_iter()
            .flatten()
            .filter_map(|slot| Some((self.entries[slot.index()].as_ref()?.key.clone(), *slot)))
            .collect();
        keys.sort_unstable();
        keys
    }

    /// The slots of an owner, in the order of firing of their windows.
    pub fn slots_of(&self, owner: Owner) -> Vec<Slot> {
        self.windows
            .range((owner, Window::FIRST)..)
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
        let at = (entry.owner, entry.window);
        if let Some(slots) = self.windows.get_mut(&at) {
            slots.swap_remove(entry.place);
            if let Some(moved) = slots.get(entry.place) {
                let moved = self.entries[moved.index()].as_mut();
                moved.expect("slots of a window are in use").place = entry.place;
            }
            if slots.is_empty() {
                self.windows.remove(&at);
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

fn hash(hasher: &FixedState, owner: Owner, window: Window, key: &[u8]) -> u64 {
    hasher.hash_one((owner, window.start.0, window.end.0, key))
}

fn hash_of(hasher: &FixedState, entry: &Entry) -> u64 {
    hash(hasher, entry.owner, entry.window, &entry.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn window(start: i64) -> Window {
        Window {
            start: Timestamp(start),
            end: Timestamp(start + 10),
        }
    }

    #[test]
    fn slots_stay_dense() {
        let mut slots = Slots::new();
        for (number, key) in [b"a", b"b", b"c"].into_iter().enumerate() {
            let (slot, taken) = slots.slot(Owner(0), window(0), key);
            assert_eq!((slot.index(), taken), (number, true));
        }
        slots.free(Slot(1));
        slots.free(Slot(0));
        assert_eq!(
            slots.slot(Owner(0), window(10), b"x"),
            (Slot(0), true),
            "the smallest free one"
        );
        assert_eq!(slots.slot(Owner(0), window(10), b"x"), (Slot(0), false));
        assert_eq!(slots.slot(Owner(0), window(0), b"b"), (Slot(1), true));
    }

    #[test]
    fn owners_keep_apart() {
        let mut slots = Slots::new();
        let (mine, _) = slots.slot(Owner(0), window(0), b"a");
        let (yours, _) = slots.slot(Owner(1), window(-10), b"a");
        assert_ne!(mine, yours);
        assert_eq!(slots.first(Owner(0)), Some(window(0)));
        assert_eq!(slots.slots_of(Owner(1)), [yours]);
        assert_eq!(slots.first(Owner(2)), None);
    }

    proptest! {
        /// Against the plain version: a map.
        #[test]
        fn each_window_and_key_of_an_owner_has_one_slot(
            steps in prop::collection::vec((0_u32..3, 0_i64..3, prop::collection::vec(0_u8..3, 0..3), any::<bool>()), 1..200),
        ) {
            let mut slots = Slots::new();
            let mut model: BTreeMap<(Owner, Window, Vec<u8>), Slot> = BTreeMap::new();
            for (owner, start, key, frees) in steps {
                let at = (Owner(owner), window(start * 10), key);
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
                    let first = model.keys().filter(|at| at.0 == owner).map(|at| at.1).min();
                    prop_assert_eq!(slots.first(owner), first);
                    for start in 0..3 {
                        let window = window(start * 10);
                        let keys: Vec<KeySlot> = model
                            .iter()
                            .filter(|(at, _)| at.0 == owner && at.1 == window)
                            .map(|(at, slot)| (at.2.clone().into_boxed_slice(), *slot))
                            .collect();
                        prop_assert_eq!(slots.keys(owner, window), keys);
                    }
                }
            }
        }
    }
}
