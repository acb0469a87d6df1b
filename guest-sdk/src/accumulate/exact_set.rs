//! The set of all distinct keys.

use std::marker::PhantomData;

use super::keys::Key;
use super::table::Table;
use super::wire::{self, EXACT_SET};
use super::{Accumulator, PartialError};

/// The distinct keys that came in: texts, or byte strings as `ExactSet<[u8]>`.
///
/// Memory: 21 to 43 bytes a key, in which a key of up to 15 bytes is included; a longer one takes its length plus 1 byte besides (2 from 128
/// bytes on), and so does one that is new until the next delta. Partial: the key's length plus 1 byte (2 from 128 bytes on) for each key, new
/// ones only in a delta.
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
    table: Table,
    kind: PhantomData<fn(&K)>,
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
    #[inline]
    pub fn insert(&mut self, key: &K) -> bool {
        self.table.insert(key.as_bytes())
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
        self.table.contains(key.as_bytes())
    }

    /// How many keys are in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::ExactSet;
    /// assert_eq!(ExactSet::<str>::default().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.table.len()
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

    /// All keys, in no order that means anything: sort where the order shows.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::ExactSet;
    /// let mut set: ExactSet = ExactSet::default();
    /// set.insert("ada");
    /// assert_eq!(set.iter().collect::<Vec<_>>(), ["ada"]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        let keys = self.table.iter();
        keys.map(|key| K::from_bytes(key).expect("it was put in as such a key"))
    }
}

impl<K: Key + ?Sized> Accumulator for ExactSet<K> {
    fn snapshot(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            EXACT_SET.begin(out);
            wire::put_length(self.len(), out);
            self.table.write(out);
        }
    }

    fn take_delta(&mut self, out: &mut Vec<u8>) {
        let (lines, number) = self.table.take_fresh();
        if number > 0 {
            EXACT_SET.begin(out);
            wire::put_length(number, out);
            out.extend_from_slice(&lines);
        }
    }

    fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
        let Some(mut reader) = EXACT_SET.open(partial)? else {
            return Ok(());
        };
        let number = reader.length()?;
        let keys = reader;
        for _ in 0..number {
            let key = reader.bytes()?;
            K::from_bytes(key).ok_or_else(|| reader.refuse("key is not UTF-8"))?;
        }
        reader.end()?;
        // The whole has been read once, so that a damaged partial leaves the set as it was.
        if self.is_empty() {
            self.table.reserve(number);
        }
        let mut reader = keys;
        for _ in 0..number {
            self.table.insert(reader.bytes()?);
        }
        Ok(())
    }
}

impl<K: Key + ?Sized> Default for ExactSet<K> {
    fn default() -> Self {
        Self {
            table: Table::default(),
            kind: PhantomData,
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
            // Of up to 8 bytes, and around and above the 15 that are kept in the table itself.
            prop_oneof![3 => "[a-cé]{0,4}", 1 => "[ab]{14,17}"].boxed()
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
