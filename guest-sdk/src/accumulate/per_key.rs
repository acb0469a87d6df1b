//! An accumulator for each key.

use super::keys::{Key, Keys, Put};
use super::wire::{self, PER_KEY};
use super::{Accumulator, PartialError};

/// An accumulator for each key: a text, or bytes as `PerKey<A, [u8]>`.
///
/// Accumulators are added up key by key, so it keeps the laws as exactly as they do. A delta holds only the keys
/// that were touched. Memory: in a component 24 to 34 bytes a key, plus the key and the accumulator. Partial:
/// for each key its length, the accumulator's partial and 2 bytes (more where either has 128 bytes or more).
///
/// A damaged partial may have been merged in part when it is found out.
///
/// ```
/// use millstream_sdk::accumulate::{PerKey, SumF64};
///
/// let mut revenue: PerKey<SumF64> = PerKey::default();
/// for (currency, amount) in [("EUR", 9.5), ("USD", 2.0), ("EUR", 0.5)] {
///     revenue.entry(currency).add(amount);
/// }
/// assert_eq!(revenue.get("EUR").map(SumF64::value), Some(10.0));
/// ```
pub struct PerKey<A, K: Key + ?Sized = str> {
    /// Each with the number of its slot.
    keys: Keys<K>,
    slots: Vec<Slot<A>>,
    /// The numbers of the slots that are marked so.
    touched: Vec<usize>,
}

struct Slot<A> {
    accumulator: A,
    /// Where its key stands among the keys.
    place: usize,
    /// Since the last delta.
    touched: bool,
}

impl<A: Accumulator, K: Key + ?Sized> PerKey<A, K> {
    /// The accumulator of a key, zero at first. The key is there from now on.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::{Count, PerKey};
    /// let mut hits: PerKey<Count> = PerKey::default();
    /// hits.entry("/home").inc();
    /// assert_eq!(hits.len(), 1);
    /// ```
    pub fn entry(&mut self, key: &K) -> &mut A {
        let number = match self.keys.insert(key, self.slots.len()) {
            Put::Known(number) => number,
            Put::New(place) => {
                self.slots.push(Slot {
                    accumulator: A::default(),
                    place,
                    touched: false,
                });
                self.slots.len() - 1
            }
        };
        let slot = &mut self.slots[number];
        if !slot.touched {
            slot.touched = true;
            self.touched.push(number);
        }
        &mut slot.accumulator
    }

    /// The accumulator of a key that is there.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::{Count, PerKey};
    /// let hits: PerKey<Count> = PerKey::default();
    /// assert!(hits.get("/home").is_none());
    /// ```
    pub fn get(&self, key: &K) -> Option<&A> {
        self.keys
            .find(key)
            .map(|number| &self.slots[number].accumulator)
    }

    /// How many keys there are.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::{Count, PerKey};
    /// assert_eq!(PerKey::<Count>::default().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::{Count, PerKey};
    /// assert!(PerKey::<Count>::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All keys and their accumulators, in the order in which they came in, which merging changes.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::{Count, PerKey};
    /// let mut hits: PerKey<Count> = PerKey::default();
    /// hits.entry("/home").inc();
    /// assert_eq!(hits.iter().map(|(_, count)| count.value()).sum::<i64>(), 1);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&K, &A)> {
        self.keys
            .iter()
            .zip(self.slots.iter().map(|slot| &slot.accumulator))
    }

    /// All keys and their accumulators, in the order of the keys' bytes: the same however they came in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::{Count, PerKey};
    /// let mut hits: PerKey<Count> = PerKey::default();
    /// hits.entry("b");
    /// hits.entry("a");
    /// let pages: Vec<_> = hits.sorted().into_iter().map(|(page, _)| page).collect();
    /// assert_eq!(pages, ["a", "b"]);
    /// ```
    pub fn sorted(&self) -> Vec<(&K, &A)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_unstable_by(|(left, _), (right, _)| left.as_bytes().cmp(right.as_bytes()));
        all
    }
}

impl<A: Accumulator, K: Key + ?Sized> Accumulator for PerKey<A, K> {
    fn snapshot(&self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        PER_KEY.begin(out);
        wire::put_length(self.len(), out);
        let mut partial = Vec::new();
        for (key, accumulator) in self.iter() {
            partial.clear();
            accumulator.snapshot(&mut partial);
            wire::put_bytes(key.as_bytes(), out);
            wire::put_bytes(&partial, out);
        }
    }

    fn take_delta(&mut self, out: &mut Vec<u8>) {
        if self.touched.is_empty() {
            return;
        }
        PER_KEY.begin(out);
        wire::put_length(self.touched.len(), out);
        let mut partial = Vec::new();
        for number in self.touched.drain(..) {
            let slot = &mut self.slots[number];
            slot.touched = false;
            partial.clear();
            slot.accumulator.take_delta(&mut partial);
            wire::put_bytes(self.keys.key(slot.place).as_bytes(), out);
            // Even if nothing came into it: the key has come.
            wire::put_bytes(&partial, out);
        }
    }

    fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
        let Some(mut reader) = PER_KEY.open(partial)? else {
            return Ok(());
        };
        for _ in 0..reader.length()? {
            let key =
                K::from_bytes(reader.bytes()?).ok_or_else(|| reader.refuse("key is not UTF-8"))?;
            self.entry(key).merge(reader.bytes()?)?;
        }
        reader.end()
    }
}

impl<A, K: Key + ?Sized> Default for PerKey<A, K> {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            slots: Vec::new(),
            touched: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::accumulate::laws::{Subject, laws};
    use crate::accumulate::{Count, SumF64};

    impl<A: Subject> Subject for PerKey<A> {
        /// A row without an inner one touches the key only.
        type Row = (String, Option<A::Row>);
        type Seen = BTreeMap<String, A::Seen>;

        fn row() -> BoxedStrategy<Self::Row> {
            ("[a-cé]{0,2}", prop::option::weighted(0.9, A::row())).boxed()
        }

        fn take_in(&mut self, (key, row): &Self::Row) {
            let accumulator = self.entry(key);
            if let Some(row) = row {
                accumulator.take_in(row);
            }
        }

        fn seen(&self) -> Self::Seen {
            self.iter()
                .map(|(key, accumulator)| (key.to_owned(), accumulator.seen()))
                .collect()
        }
    }

    mod of_float_sums {
        use super::*;
        laws!(PerKey<SumF64>);
    }

    mod of_maps {
        use super::*;
        laws!(PerKey<PerKey<Count>>);
    }

    #[test]
    fn a_delta_holds_only_the_keys_that_were_touched() {
        let mut map: PerKey<Count> = PerKey::default();
        map.entry("old").add(5);
        map.take_delta(&mut Vec::new());
        map.entry("new").add(1);
        let mut delta = Vec::new();
        map.take_delta(&mut delta);
        let mut received: PerKey<Count> = PerKey::default();
        received.merge(&delta).unwrap();
        assert_eq!(received.seen(), BTreeMap::from([("new".to_owned(), 1)]));
    }
}
