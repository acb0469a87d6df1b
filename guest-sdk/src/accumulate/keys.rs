//! Distinct keys, numbered in the order in which they came.
//!
//! All keys lie in one buffer, so that a new key allocates nothing of its own. The table holds their numbers only.
//! Its hashes never leave the process, and their seed is fixed, so that a run can be repeated exactly.

use std::hash::{BuildHasher, Hasher};
use std::marker::PhantomData;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

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

/// Distinct keys, numbered from 0.
///
/// A key takes its bytes, the place of its end (4 bytes in a component) and 6 to 12 bytes of the table.
pub(super) struct Keys<K: ?Sized> {
    bytes: Vec<u8>,
    /// Where each key ends in `bytes`; it begins where the one before ends.
    ends: Vec<usize>,
    numbers: HashTable<usize>,
    kind: PhantomData<fn(&K)>,
}

impl<K: Key + ?Sized> Keys<K> {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The key with a number below [`len`](Self::len).
    pub(super) fn key(&self, number: usize) -> &K {
        K::from_bytes(at(&self.bytes, &self.ends, number)).expect("it was put in as such a key")
    }

    pub(super) fn find(&self, key: &K) -> Option<usize> {
        let key = key.as_bytes();
        self.numbers
            .find(hash(key), |&number| {
                is_same(at(&self.bytes, &self.ends, number), key)
            })
            .copied()
    }

    /// The number of the key, which is the last one if the key is new.
    pub(super) fn insert(&mut self, key: &K) -> usize {
        let key = key.as_bytes();
        let (bytes, ends) = (&self.bytes, &self.ends);
        let entry = self.numbers.entry(
            hash(key),
            |&number| is_same(at(bytes, ends, number), key),
            |&number| hash(at(bytes, ends, number)),
        );
        match entry {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let number = self.ends.len();
                new.insert(number);
                self.bytes.extend_from_slice(key);
                self.ends.push(self.bytes.len());
                number
            }
        }
    }
}

impl<K: ?Sized> Default for Keys<K> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            numbers: HashTable::new(),
            kind: PhantomData,
        }
    }
}

fn at<'a>(bytes: &'a [u8], ends: &[usize], number: usize) -> &'a [u8] {
    let start = match number {
        0 => 0,
        after => ends[after - 1],
    };
    &bytes[start..ends[number]]
}

fn hash(key: &[u8]) -> u64 {
    // Nothing comes after it, so its length need not be hashed apart, as `hash_one` would.
    let mut hasher = FixedState::with_seed(0).build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// Whether two keys are equal.
///
/// In a component, `==` on slices is a call of a function that compares byte after byte. Here it is eight bytes at a time, the last of
/// which may have been compared before.
fn is_same(one: &[u8], other: &[u8]) -> bool {
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
        fn keys_are_numbered_in_the_order_in_which_they_first_came(
            rows in prop::collection::vec(prop::collection::vec(0_u8..3, 0..5), 0..400),
        ) {
            let mut keys = Keys::<[u8]>::default();
            let mut model: HashMap<&[u8], usize> = HashMap::new();
            for row in &rows {
                let next = model.len();
                let expected = *model.entry(row).or_insert(next);
                prop_assert_eq!(keys.find(row), (expected < next).then_some(expected));
                prop_assert_eq!(keys.insert(row), expected);
                prop_assert_eq!(keys.key(expected), &row[..]);
                prop_assert_eq!(keys.len(), model.len());
            }
        }
    }
}
