//! The windows that are open: their keys, the slots in which their contents are kept, and where their rows began.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::Window;
use crate::log::Offset;
use crate::time::Timestamp;

/// The number under which the contents of one window and key are kept. Dense: the smallest free one is taken first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot(pub u32);

/// A key as text (empty for a step without key), and the slot of a window for it.
pub type KeySlot = (Vec<u8>, Slot);

/// The first row that a partition gave to a window, and the partition's watermark before it: where reading has to begin
/// for the window to be built again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FirstRow {
    /// The row's offset.
    pub offset: Offset,
    /// The watermark before it.
    pub watermark: Timestamp,
}

/// One key of a window.
#[derive(Debug)]
struct Entry {
    key: Range<usize>,
    slot: Slot,
}

/// The keys of one window.
#[derive(Debug)]
struct Contents {
    table: HashTable<Entry>,
    keys: Vec<u8>,
    first: Vec<Option<FirstRow>>,
}

impl Contents {
    fn new(partitions: usize) -> Self {
        Self {
            table: HashTable::new(),
            keys: Vec::new(),
            first: vec![None; partitions],
        }
    }
}

/// The windows that have rows and have not fired.
#[derive(Debug)]
pub struct OpenWindows {
    windows: BTreeMap<Window, Contents>,
    partitions: usize,
    free: BinaryHeap<Reverse<u32>>,
    next: u32,
    hasher: FixedState,
}

impl OpenWindows {
    /// None yet, over `partitions` partitions.
    pub fn new(partitions: usize) -> Self {
        Self {
            windows: BTreeMap::new(),
            partitions,
            free: BinaryHeap::new(),
            next: 0,
            hasher: FixedState::with_seed(0),
        }
    }

    /// The slot of a window and key, opened where it is not. `key` is empty for a step without key. The row that asks is
    /// number `row.offset` of partition `partition`; the partition's rows must come in the order of the log.
    pub fn slot(&mut self, window: Window, key: &[u8], partition: usize, row: FirstRow) -> Slot {
        let partitions = self.partitions;
        let contents = self
            .windows
            .entry(window)
            .or_insert_with(|| Contents::new(partitions));
        contents.first[partition].get_or_insert(row);
        let hash = self.hasher.hash_one(key);
        let Contents { table, keys, .. } = contents;
        if let Some(entry) = table.find(hash, |entry| &keys[entry.key.clone()] == key) {
            return entry.slot;
        }
        let slot = match self.free.pop() {
            Some(Reverse(slot)) => Slot(slot),
            None => {
                self.next += 1;
                Slot(self.next - 1)
            }
        };
        let start = keys.len();
        keys.extend_from_slice(key);
        let entry = Entry {
            key: start..keys.len(),
            slot,
        };
        let hasher = &self.hasher;
        table.insert_unique(hash, entry, |entry| {
            hasher.hash_one(&keys[entry.key.clone()])
        });
        slot
    }

    /// Takes out the next window that ends at or before `watermark`, with its keys and slots in ascending order of the
    /// keys. Windows come in the order of their ends. Their slots are free from now on.
    pub fn fire(&mut self, watermark: Timestamp) -> Option<(Window, Vec<KeySlot>)> {
        let first = self.windows.first_entry()?;
        if first.key().end > watermark {
            return None;
        }
        let (window, contents) = first.remove_entry();
        let mut keys: Vec<KeySlot> = contents
            .table
            .into_iter()
            .map(|entry| (contents.keys[entry.key].to_vec(), entry.slot))
            .collect();
        keys.sort_unstable();
        self.free
            .extend(keys.iter().map(|(_, slot)| Reverse(slot.0)));
        Some((window, keys))
    }

    /// Where a partition has to be read from for all open windows to be built again; `None` if it has given no row to any.
    pub fn first_row(&self, partition: usize) -> Option<FirstRow> {
        self.windows
            .values()
            .filter_map(|contents| contents.first[partition])
            .min_by_key(|first| first.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Tumbling;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn row(offset: i64) -> FirstRow {
        FirstRow {
            offset: Offset(offset),
            watermark: Timestamp(offset),
        }
    }

    fn window(start: i64) -> Window {
        Window {
            start: Timestamp(start),
            end: Timestamp(start + 10),
        }
    }

    #[test]
    fn a_window_fires_exactly_when_the_watermark_reaches_its_end() {
        let mut open = OpenWindows::new(1);
        open.slot(window(0), b"", 0, row(0));
        assert!(open.fire(Timestamp(9)).is_none());
        let (fired, keys) = open.fire(Timestamp(10)).expect("the end is reached");
        assert_eq!((fired, keys), (window(0), vec![(vec![], Slot(0))]));
        assert!(open.fire(Timestamp(10)).is_none());
    }

    #[test]
    fn windows_fire_in_the_order_of_their_ends_and_keys_in_theirs() {
        let mut open = OpenWindows::new(1);
        open.slot(window(20), b"b", 0, row(0));
        open.slot(window(0), b"z", 0, row(1));
        open.slot(window(0), b"a", 0, row(2));
        let fired: Vec<_> = std::iter::from_fn(|| open.fire(Timestamp(100))).collect();
        assert_eq!(fired[0].0, window(0));
        assert_eq!(
            fired[0].1,
            [(b"a".to_vec(), Slot(2)), (b"z".to_vec(), Slot(1))]
        );
        assert_eq!(fired[1].0, window(20));
    }

    #[test]
    fn slots_stay_dense() {
        let mut open = OpenWindows::new(1);
        for key in [b"a", b"b", b"c"] {
            open.slot(window(0), key, 0, row(0));
        }
        open.fire(Timestamp(10));
        assert_eq!(open.slot(window(10), b"x", 0, row(1)), Slot(0));
        assert_eq!(open.slot(window(10), b"y", 0, row(1)), Slot(1));
        assert_eq!(open.slot(window(10), b"x", 0, row(1)), Slot(0));
    }

    #[test]
    fn reading_begins_again_at_the_first_row_of_the_oldest_open_window() {
        let mut open = OpenWindows::new(2);
        open.slot(window(0), b"", 0, row(3));
        open.slot(window(10), b"", 0, row(4));
        open.slot(window(0), b"", 0, row(5));
        assert_eq!(open.first_row(0), Some(row(3)));
        assert_eq!(open.first_row(1), None);
        open.fire(Timestamp(10));
        assert_eq!(open.first_row(0), Some(row(4)));
    }

    proptest! {
        /// Against the plain version: a set of (window, key).
        #[test]
        fn each_window_and_key_has_one_slot_and_fires_once(
            rows in prop::collection::vec((0_i64..200, 0_u8..5), 1..200),
            steps in prop::collection::vec(0_i64..200, 0..5),
        ) {
            let tumbling = Tumbling::new(Duration::from_millis(10), Duration::ZERO).expect("a size");
            let mut open = OpenWindows::new(1);
            let mut fired = Vec::new();
            let mut expected = BTreeSet::new();
            let mut watermark = Timestamp::MIN;
            let steps: Vec<i64> = steps.into_iter().chain([1_000]).collect();
            for (part, step) in rows.chunks(rows.len() / steps.len() + 1).zip(steps.iter()) {
                for (i, (at, key)) in part.iter().enumerate() {
                    let window = tumbling.window_of(Timestamp(*at));
                    if window.end > watermark {
                        open.slot(window, &[*key], 0, row(i64::try_from(i).expect("small")));
                        expected.insert((window, vec![*key]));
                    }
                }
                watermark = watermark.max(Timestamp(*step));
                while let Some((window, keys)) = open.fire(watermark) {
                    fired.extend(keys.into_iter().map(|(key, _)| (window, key)));
                }
            }
            while let Some((window, keys)) = open.fire(Timestamp(1_000)) {
                fired.extend(keys.into_iter().map(|(key, _)| (window, key)));
            }
            let distinct: BTreeSet<_> = fired.iter().cloned().collect();
            prop_assert_eq!(distinct.len(), fired.len(), "something fired twice");
            prop_assert_eq!(distinct, expected);
        }
    }
}
