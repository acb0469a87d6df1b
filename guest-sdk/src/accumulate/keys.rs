//! What a key is; and distinct keys with a number for each, which stand behind their lengths in one buffer.
//!
//! So a new key allocates nothing of its own, and a look-up touches two places of memory: the table, which holds where each key stands, and
//! the key. The table's hashes never leave the process, and their seed is fixed, so that a run can be repeated exactly.

use std::hash::{BuildHasher, Hasher};
use std::marker::PhantomData;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use integer_encoding::VarInt;

use super::wire;

/// What [`ExactSet`](super::ExactSet) and [`PerKey`](super::PerKey) may be keyed by: `str` and `[u8]`.
pub trait Key: sealed::Key {}

mod sealed {
    pub trait Key: 'static {
        fn as_bytes(&self) -> &[u8];
        /// None if the bytes are no such key.
        fn from_bytes(bytes: &[u8]) -> Option<&Self>;
    }
}

impl Key for str {}

impl sealed::Key for str {
    fn as_bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<&Self> {
        str::from_utf8(bytes).ok()
    }
}

impl Key for [u8] {}

impl sealed::Key for [u8] {
    fn as_bytes(&self) -> &[u8] {
        self
    }

    fn from_bytes(bytes: &[u8]) -> Option<&Self> {
        Some(bytes)
    }
}

/// Distinct keys, each with a number that is noted with it.
///
/// A key takes its bytes, one for its length (2 from 128 bytes on), and, in a component, 10 to 20 bytes of the table.
pub(super) struct Keys<K: ?Sized> {
    bytes: Vec<u8>,
    places: HashTable<(usize, usize)>,
    kind: PhantomData<fn(&K)>,
}

impl<K: Key + ?Sized> Keys<K> {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The key that stands at a place where one was put.
    pub(super) fn key(&self, place: usize) -> &K {
        let (key, _) = split(&self.bytes[place..]);
        K::from_bytes(key).expect("it was put in as such a key")
    }

    /// All keys, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = &K> {
        let mut rest = &*self.bytes;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let key;
            (key, rest) = split(rest);
            Some(K::from_bytes(key).expect("it was put in as such a key"))
        })
    }

    /// The key's number.
    pub(super) fn find(&self, key: &K) -> Option<usize> {
        let key = key.as_bytes();
        let found = self.places.find(hash(key), |(place, _)| {
            stands_at(&self.bytes[*place..], key)
        });
        found.map(|(_, number)| *number)
    }

    /// Puts a key in, with this number, if it is not there.
    pub(super) fn insert(&mut self, key: &K, number: usize) -> Put {
        let key = key.as_bytes();
        let bytes = &self.bytes;
        let entry = self.places.entry(
            hash(key),
            |(place, _)| stands_at(&bytes[*place..], key),
            |(place, _)| hash(split(&bytes[*place..]).0),
        );
        match entry {
            Entry::Occupied(known) => Put::Known(known.get().1),
            Entry::Vacant(new) => {
                let place = self.bytes.len();
                new.insert((place, number));
                wire::put_bytes(key, &mut self.bytes);
                Put::New(place)
            }
        }
    }
}

/// What putting a key in has found.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Put {
    /// It was there, with this number.
    Known(usize),
    /// It is new, and stands here.
    New(usize),
}

impl<K: ?Sized> Default for Keys<K> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            places: HashTable::new(),
            kind: PhantomData,
        }
    }
}

/// The key at the beginning of such a buffer, and what comes after it.
pub(super) fn split(lines: &[u8]) -> (&[u8], &[u8]) {
    let (length, start) = match lines {
        [short @ ..0x80, ..] => (usize::from(*short), 1),
        _ => usize::decode_var(lines).expect("every key stands behind its length"),
    };
    lines[start..].split_at(length)
}

/// Whether it is this key that a buffer begins with.
fn stands_at(lines: &[u8], key: &[u8]) -> bool {
    is_same(split(lines).0, key)
}

pub(super) fn hash(key: &[u8]) -> u64 {
    // Nothing comes after it, so its length need not be hashed apart, as `hash_one` would.
    let mut hasher = hasher();
    hasher.write(key);
    hasher.finish()
}

pub(super) fn hasher() -> impl Hasher {
    FixedState::with_seed(0).build_hasher()
}

/// Whether two keys are equal.
///
/// In a component, `==` on slices is a call of a function that compares byte after byte. Here it is eight bytes at a time, the last of
/// which may have been compared before.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    if let (Some(last), Some(other_last)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        let (chunks, others) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
        let is_same = |(one, other): (&[u8; 8], &[u8; 8])| number(one) == number(other);
        return number(last) == number(other_last) && chunks.iter().zip(others).all(is_same);
    }
    one.iter().zip(other).all(|(one, other)| one == other)
}

fn number(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_the_same_if_all_their_bytes_are(
            key in prop::collection::vec(any::<u8>(), 0..40),
            change in any::<prop::sample::Index>(),
        ) {
            prop_assert!(is_same(&key, &key.clone()));
            let mut longer = key.clone();
            longer.push(0);
            prop_assert!(!is_same(&key, &longer) && !is_same(&longer, &key));
            let mut other = longer.clone();
            other[change.index(longer.len())] ^= 1;
            prop_assert!(!is_same(&longer, &other));
        }

        #[test]
        fn keys_stand_in_the_order_in_which_they_first_came_each_with_its_first_number(
            rows in prop::collection::vec(row(), 0..400),
        ) {
            let mut keys = Keys::<[u8]>::default();
            let mut model: HashMap<&[u8], usize> = HashMap::new();
            let mut order: Vec<&[u8]> = Vec::new();
            for (number, row) in rows.iter().enumerate() {
                prop_assert_eq!(keys.find(row), model.get(&**row).copied());
                let end = keys.bytes.len();
                match model.get(&**row) {
                    Some(known) => prop_assert_eq!(keys.insert(row, number), Put::Known(*known)),
                    None => {
                        prop_assert_eq!(keys.insert(row, number), Put::New(end));
                        prop_assert_eq!(keys.key(end), &row[..]);
                        model.insert(row, number);
                        order.push(row);
                    }
                }
                prop_assert_eq!(keys.len(), model.len());
            }
            prop_assert!(keys.iter().eq(order));
        }
    }

    /// Few that differ, some of them long.
    fn row() -> impl Strategy<Value = Vec<u8>> {
        let short = prop::collection::vec(0_u8..3, 0..5);
        let long = (120_usize..140, 0_u8..2).prop_map(|(length, byte)| vec![byte; length]);
        prop_oneof![4 => short, 1 => long]
    }
}
