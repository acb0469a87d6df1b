//! Distinct keys in one table, the short ones in the table itself; and of those that are new the lines that a delta is made of.
//!
//! Most keys of events are short: numbers, words, names with a number behind them. Such a key is one entry of 16 bytes, compared as two numbers,
//! so that to look one up touches one place of memory, and what a component executes for it is little. A longer one stands in a buffer, and its
//! entry says where. Entries are probed one after the other, and at most three of four are in use. What runs for each key is inlined by
//! force: with hints alone it stayed calls in a component, each of which saves registers and looks whether its time is up.

use std::hash::Hasher;

use super::keys::{hash, hasher, is_same, split};
use super::wire;

/// The bytes of a key that fit into an entry, beside its length.
const SHORT: usize = 15;

/// What stands in a place of the table, as the two numbers by which it is compared. The last byte says what it is: 0 where the place is free; a
/// short key's length plus 1, whose bytes then come first; or [`LONG`], with the key's hash in the first number, and where it stands in the
/// rest of the second.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Entry {
    low: u64,
    high: u64,
}

/// The last byte of a long key's entry.
const LONG: u8 = u8::MAX;

/// An entry as bytes, little-endian, of which a short key can be borrowed.
#[derive(Clone, Copy, Default)]
// Aligned, so that none lies in two cache lines.
#[repr(align(16))]
struct Place([u8; SHORT + 1]);

/// Distinct keys: byte strings of any length.
///
/// A key of up to 15 bytes takes 21 to 43 bytes, a longer one these and its own with their length.
#[derive(Default)]
pub(super) struct Table {
    /// A power of two of them, or none.
    places: Vec<Place>,
    used: usize,
    /// The longer keys, each behind its length.
    long: Vec<u8>,
    /// The keys that are new since they were last taken, each behind its length, and how many they are.
    fresh: (Vec<u8>, usize),
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.used
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        match Entry::short(key) {
            Some(entry) => self.find(entry.hash(), |other| other == entry).is_ok(),
            None => self.find_long(key, hash(key)).is_ok(),
        }
    }

    /// Puts a key in; whether it is new.
    #[inline(always)]
    pub(super) fn insert(&mut self, key: &[u8]) -> bool {
        match Entry::short(key) {
            Some(entry) => self.insert_short(entry, entry.hash()),
            None => self.insert_long(key),
        }
    }

    /// Apart from where the key is read, so that what either keeps in registers is little.
    #[inline(never)]
    fn insert_short(&mut self, entry: Entry, hash: u64) -> bool {
        let found = self.find(hash, |other| other == entry);
        if let Err(free) = found {
            self.put(free, entry);
            entry.put_line(&mut self.fresh.0);
        }
        found.is_err()
    }

    /// All keys, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let used = self.places.iter().filter(|place| !place.entry().is_free());
        used.map(|place| match place.entry().short_length() {
            Some(length) => &place.0[..length],
            None => self.long_at(place.entry().start()),
        })
    }

    /// Appends all keys, each behind its length.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for entry in self.places.iter().map(Place::entry) {
            if entry.is_long() {
                wire::put_bytes(self.long_at(entry.start()), out);
            } else if !entry.is_free() {
                entry.put_line(out);
            }
        }
    }

    /// The keys that are new since the last call, each behind its length, and how many they are.
    pub(super) fn take_fresh(&mut self) -> (Vec<u8>, usize) {
        std::mem::take(&mut self.fresh)
    }

    /// Makes room for so many keys more.
    pub(super) fn reserve(&mut self, more: usize) {
        let least = (self.used + more).div_ceil(3) * 4;
        if least > self.places.len() {
            self.grow(least.next_power_of_two());
        }
    }

    #[inline(never)]
    fn insert_long(&mut self, key: &[u8]) -> bool {
        let hash = hash(key);
        let found = self.find_long(key, hash);
        if let Err(free) = found {
            self.put(free, Entry::long(hash, self.long.len()));
            wire::put_bytes(key, &mut self.long);
            wire::put_bytes(key, &mut self.fresh.0);
        }
        found.is_err()
    }

    fn find_long(&self, key: &[u8], hash: u64) -> Result<(), usize> {
        let is_it = |entry: Entry| {
            entry == Entry::long(hash, entry.start()) && is_same(self.long_at(entry.start()), key)
        };
        self.find(hash, is_it)
    }

    fn long_at(&self, start: usize) -> &[u8] {
        split(&self.long[start..]).0
    }

    /// Looks for an entry from where its hash says on; if it is not there, the place that is free for it, which is none if the table has none.
    #[inline(always)]
    fn find(&self, hash: u64, is_it: impl Fn(Entry) -> bool) -> Result<(), usize> {
        let mask = self.places.len().wrapping_sub(1);
        let mut at = home(hash) & mask;
        while let Some(entry) = self.places.get(at).map(Place::entry) {
            if is_it(entry) {
                return Ok(());
            }
            if entry.is_free() {
                break;
            }
            at = (at + 1) & mask;
        }
        Err(at)
    }

    /// Puts a new entry into the place that was found for it.
    fn put(&mut self, free: usize, entry: Entry) {
        self.used += 1;
        self.fresh.1 += 1;
        if self.used * 4 <= self.places.len() * 3 {
            self.places[free] = Place::of(entry);
        } else {
            // From two on: there may be a table for each of a million keys, and one user in each.
            self.grow((self.places.len() * 2).max(2));
            self.settle(entry);
        }
    }

    #[cold]
    fn grow(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.places, vec![Place::default(); size]);
        for entry in old.iter().map(Place::entry) {
            if !entry.is_free() {
                self.settle(entry);
            }
        }
    }

    /// Puts an entry that is not there into a table that has room.
    fn settle(&mut self, entry: Entry) {
        let free = self
            .find(entry.hash(), |_| false)
            .expect_err("no entry is it");
        self.places[free] = Place::of(entry);
    }
}

/// Where one looks first for what has this hash, before it is cut to the size of the table.
#[expect(
    clippy::cast_possible_truncation,
    reason = "of a hash some bits are taken"
)]
fn home(hash: u64) -> usize {
    // The lowest bits alone decide, so all of it is put into them.
    (hash ^ hash >> 32) as usize
}

impl Entry {
    /// The entry of a key that is short.
    #[inline(always)]
    fn short(key: &[u8]) -> Option<Self> {
        let length = key.len();
        if length > SHORT {
            return None;
        }
        // A copy of so many bytes would be a call, in a component. These are two loads and a shift.
        let (low, high) = if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
            let last = u64::from_le_bytes(*last);
            (
                u64::from_le_bytes(*first),
                last >> 8 >> (8 * (SHORT - length)),
            )
        } else if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
            let last = u64::from(u32::from_le_bytes(*last));
            (
                u64::from(u32::from_le_bytes(*first)) | last << (8 * (length - 4)),
                0,
            )
        } else {
            let bytes = key.iter().rev();
            (bytes.fold(0, |low, byte| low << 8 | u64::from(*byte)), 0)
        };
        let high = high | (length as u64 + 1) << 56;
        Some(Self { low, high })
    }

    fn long(hash: u64, start: usize) -> Self {
        let high = start as u64 | u64::from(LONG) << 56;
        Self { low: hash, high }
    }

    /// The last byte.
    fn tag(self) -> u8 {
        (self.high >> 56) as u8
    }

    fn is_free(self) -> bool {
        self.tag() == 0
    }

    fn is_long(self) -> bool {
        self.tag() == LONG
    }

    /// The length of a short key.
    fn short_length(self) -> Option<usize> {
        (!self.is_long()).then(|| usize::from(self.tag() - 1))
    }

    /// Appends a short key behind its length, which is the same bytes, one further on.
    fn put_line(self, out: &mut Vec<u8>) {
        let length = self.tag() - 1;
        let low = self.low << 8 | u64::from(length);
        let high = self.high << 8 | self.low >> 56;
        let end = out.len() + 1 + usize::from(length);
        // All of an entry, and then as much of it as is the key's: to copy so many bytes as it has would be a call, in a component.
        out.extend_from_slice(&Place::of(Self { low, high }).0);
        out.truncate(end);
    }

    /// Where a long key starts.
    fn start(self) -> usize {
        (self.high << 8 >> 8) as usize
    }

    /// The hash by which it is looked for. That of a short key is of both numbers, so of its length too.
    #[inline(always)]
    fn hash(self) -> u64 {
        if self.is_long() {
            return self.low;
        }
        let mut hasher = hasher();
        hasher.write_u64(self.low);
        hasher.write_u64(self.high);
        hasher.finish()
    }
}

impl Place {
    #[inline]
    fn of(entry: Entry) -> Self {
        let mut bytes = [0; SHORT + 1];
        bytes[..8].copy_from_slice(&entry.low.to_le_bytes());
        bytes[8..].copy_from_slice(&entry.high.to_le_bytes());
        Self(bytes)
    }

    #[inline]
    fn entry(&self) -> Entry {
        let (words, _) = self.0.as_chunks();
        let [low, high] = [words[0], words[1]].map(u64::from_le_bytes);
        Entry { low, high }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_of_the_standard_library(
            keys in prop::collection::vec(key(), 0..400),
            reserved in 0_usize..400,
            room in 0_usize..100,
        ) {
            let mut table = Table::default();
            let mut model: BTreeSet<&[u8]> = BTreeSet::new();
            for (number, key) in keys.iter().enumerate() {
                if number == reserved {
                    table.reserve(room);
                }
                prop_assert_eq!(table.contains(key), model.contains(&**key));
                prop_assert_eq!(table.insert(key), model.insert(key));
                prop_assert!(table.contains(key));
                prop_assert_eq!(table.len(), model.len());
            }
            prop_assert_eq!(table.iter().count(), model.len());
            prop_assert_eq!(table.iter().collect::<BTreeSet<_>>(), model);
        }

        #[test]
        fn a_short_key_is_what_its_entry_says(key in prop::collection::vec(any::<u8>(), 0..=SHORT)) {
            let entry = Entry::short(&key).expect("it is short");
            prop_assert!(!entry.is_free() && !entry.is_long());
            prop_assert_eq!(entry.short_length(), Some(key.len()));
            prop_assert_eq!(&Place::of(entry).0[..key.len()], &*key);
        }

        #[test]
        fn room_that_was_made_is_enough(keys in 0_usize..1_000, more in 0_usize..1_000) {
            let number = |n: usize| n.to_le_bytes();
            let mut table = Table::default();
            (0..keys).for_each(|n| assert!(table.insert(&number(n))));
            table.reserve(more);
            let size = table.places.len();
            (keys..keys + more).for_each(|n| assert!(table.insert(&number(n))));
            prop_assert_eq!(table.places.len(), size);
        }
    }

    #[test]
    fn keys_that_are_much_alike_are_spread() {
        let decimal = |n: u32| format!("user-{n:07}").into_bytes();
        let number = |n: u32| n.to_le_bytes().to_vec();
        let large = |n: u32| (u64::from(n) << 32).to_be_bytes().to_vec();
        let long = |n: u32| format!("https://example.com/products/{n}").into_bytes();
        let kinds: [&dyn Fn(u32) -> Vec<u8>; 4] = [&decimal, &number, &large, &long];
        for (kind, key) in kinds.iter().enumerate() {
            let mut table = Table::default();
            // As full as it gets.
            (0..3 << 14).for_each(|n| assert!(table.insert(&key(n))));
            let mask = table.places.len() - 1;
            assert_eq!(table.len() * 4, table.places.len() * 3);
            let places = table.places.iter().map(Place::entry).enumerate();
            let from_home = places
                .filter(|(_, entry)| !entry.is_free())
                .map(|(at, entry)| at.wrapping_sub(home(entry.hash())) & mask);
            // With hashes by chance it is 1.5: Knuth, The Art of Computer Programming 3, section 6.4.
            let mean = from_home.sum::<usize>() as f64 / table.len() as f64;
            assert!(mean < 1.7, "kind {kind}: {mean}");
        }
    }

    /// Of few letters, so that some come twice; short, long, and of lengths that take two bytes.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let few = prop::collection::vec(0_u8..3, 0..5);
        let near = (SHORT - 2..SHORT + 4, 0_u8..3).prop_map(|(length, byte)| vec![byte; length]);
        let long = (120_usize..140, 0_u8..2).prop_map(|(length, byte)| vec![byte; length]);
        prop_oneof![4 => few, 2 => near, 1 => long]
    }
}
