//! The set of all distinct keys.

use super::keys::{Key, Keys, Put};
use super::wire::{self, EXACT_SET};
use super::{Accumulator, PartialError};

/// The distinct keys that came in: texts, or byte strings as `ExactSet<[u8]>`.
///
/// A key that is already there costs a look-up; a new one is appended to a shared buffer, of which a delta is a copy. Memory in a component: 7
/// to 13 bytes a key plus its length. Partial: the key's length plus 1 byte (2 from 128 bytes on) for each key, new ones only in a
/// delta.
///
/// ```
/// use millstream_sdk::accumulate::ExactSet;
///
/// let mut visitors: ExactSet = ExactSet::default();
/// for user in ["ada", "bob", "ada"] {
///     visitors.insert(user);
/// }
/// assert_eq!(visitors.len(), 2);
/// ```
pub struct ExactSet<K: Key + ?Sized = str> {
    keys: Keys<K>,
    /// How many keys have been taken as deltas, and where they end: the later ones are new.
    taken: (usize, usize),
}

impl<K: Key + ?Sized> ExactSet<K> {
    /// Puts a key in; whether it is new.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::ExactSet;
    /// let mut set = ExactSet::<[u8]>::default();
    /// assert!(set.insert(&[1, 2]));
    /// assert!(!set.insert(&[1, 2]));
    /// ```
    pub fn insert(&mut self, key: &K) -> bool {
        matches!(self.keys.insert(key, ()), Put::New(_))
    }

    /// Whether the key is in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::ExactSet;
    /// let mut set: ExactSet = ExactSet::default();
    /// set.insert("ada");
    /// assert!(set.contains("ada") && !set.contains("bob"));
    /// ```
    pub fn contains(&self, key: &K) -> bool {
        self.keys.find(key).is_some()
    }

    /// How many keys are in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::ExactSet;
    /// assert_eq!(ExactSet::<str>::default().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::ExactSet;
    /// assert!(ExactSet::<str>::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All keys, in the order in which they came in, which merging changes: sort where the order shows.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::ExactSet;
    /// let mut set: ExactSet = ExactSet::default();
    /// set.insert("ada");
    /// assert_eq!(set.iter().collect::<Vec<_>>(), ["ada"]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.keys.iter()
    }

    /// Appends the keys from one on, which is the first after so many and stands at this place.
    fn write_from(&self, (before, place): (usize, usize), out: &mut Vec<u8>) {
        if before < self.len() {
            EXACT_SET.begin(out);
            wire::put_length(self.len() - before, out);
            out.extend_from_slice(self.keys.lines_from(place));
        }
    }
}

impl<K: Key + ?Sized> Accumulator for ExactSet<K> {
    fn snapshot(&self, out: &mut Vec<u8>) {
        self.write_from((0, 0), out);
    }

    fn take_delta(&mut self, out: &mut Vec<u8>) {
        self.write_from(self.taken, out);
        self.taken = (self.len(), self.keys.end());
    }

    fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
        let Some(mut reader) = EXACT_SET.open(partial)? else {
            return Ok(());
        };
        let number = reader.length()?;
        let keys = reader;
        let bytes = reader.left();
        for _ in 0..number {
            let key = reader.bytes()?;
            K::from_bytes(key).ok_or_else(|| reader.refuse("key is not UTF-8"))?;
        }
        reader.end()?;
        // The whole has been read once, so that a damaged partial leaves the set as it was.
        if self.is_empty() {
            self.keys.reserve(number, bytes);
        }
        let mut reader = keys;
        for _ in 0..number {
            self.keys.insert_bytes(reader.bytes()?, ());
        }
        Ok(())
    }
}

impl<K: Key + ?Sized> Default for ExactSet<K> {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            taken: (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::accumulate::laws::{Subject, laws};

    impl Subject for ExactSet {
        type Row = String;
        type Seen = BTreeSet<String>;

        fn row() -> BoxedStrategy<String> {
            "[a-cé]{0,4}".boxed()
        }

        fn take_in(&mut self, row: &String) {
            self.insert(row);
        }

        fn seen(&self) -> BTreeSet<String> {
            assert_eq!(self.len(), self.iter().count());
            self.iter().map(str::to_owned).collect()
        }
    }

    laws!(ExactSet);

    proptest! {
        #[test]
        fn it_is_the_set_of_the_standard_library(rows in prop::collection::vec(ExactSet::row(), 0..200)) {
            let mut set: ExactSet = ExactSet::default();
            let mut model = BTreeSet::new();
            for row in rows {
                prop_assert_eq!(set.contains(&row), model.contains(&row));
                prop_assert_eq!(set.insert(&row), model.insert(row));
            }
            prop_assert_eq!(set.seen(), model);
        }
    }

    #[test]
    fn a_delta_holds_only_what_is_new() {
        let mut set: ExactSet = ExactSet::default();
        set.insert("long gone");
        set.take_delta(&mut Vec::new());
        set.insert("long gone");
        set.insert("new");
        let mut delta = Vec::new();
        set.take_delta(&mut delta);
        assert_eq!(delta, [&[8, 1, 3][..], b"new"].concat());
    }

    #[test]
    fn a_partial_of_bytes_that_are_no_text_is_refused_and_changes_nothing() {
        let mut bytes = ExactSet::<[u8]>::default();
        bytes.insert(b"fine");
        bytes.insert(&[0xff]);
        let mut partial = Vec::new();
        bytes.snapshot(&mut partial);
        let mut texts: ExactSet = ExactSet::default();
        assert!(texts.merge(&partial).is_err());
        assert!(texts.is_empty());
    }
}
