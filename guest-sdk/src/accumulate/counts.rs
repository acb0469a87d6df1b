//! Counts by key, and the keys with the largest.

use std::cmp::Reverse;

use super::keys::Key;
use super::{Count, PerKey};

/// A counter for each key, and so the exact top k.
///
/// Cutting down to k keys before everything has been merged would lose keys that are common everywhere and on top
/// nowhere; so all keys are counted, and k is applied to the result. Memory in a component: 38 to 44 bytes a
/// key plus its length. Partial: about 5 bytes a key plus its length.
///
/// ```
/// use millstream_sdk::accumulate::Counts;
///
/// let mut pages: Counts = Counts::default();
/// for page in ["/b", "/a", "/c", "/b"] {
///     pages.inc(page);
/// }
/// assert_eq!(pages.top(2), [("/b", 2), ("/a", 1)]);
/// ```
pub type Counts<K = str> = PerKey<Count, K>;

impl<K: Key + ?Sized> PerKey<Count, K> {
    /// Counts one of a key.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Counts;
    /// let mut pages: Counts = Counts::default();
    /// pages.inc("/a");
    /// assert_eq!(pages.top(1), [("/a", 1)]);
    /// ```
    pub fn inc(&mut self, key: &K) {
        self.add(key, 1);
    }

    /// Counts `n` of a key.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Counts;
    /// let mut bytes_sent: Counts = Counts::default();
    /// bytes_sent.add("/a", 512);
    /// assert_eq!(bytes_sent.top(1), [("/a", 512)]);
    /// ```
    pub fn add(&mut self, key: &K, n: i64) {
        self.entry(key).add(n);
    }

    /// The `k` keys with the largest counts, largest first; among equals the smaller key first.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Counts;
    /// let mut pages: Counts = Counts::default();
    /// pages.inc("/b");
    /// pages.inc("/a");
    /// assert_eq!(pages.top(1), [("/a", 1)]);
    /// ```
    pub fn top(&self, k: usize) -> Vec<(&K, i64)> {
        let mut all: Vec<_> = self
            .iter()
            .map(|(key, count)| (Reverse(count.value()), key.as_bytes(), key))
            .collect();
        if k < all.len() {
            all.select_nth_unstable_by_key(k, |&(count, bytes, _)| (count, bytes));
            all.truncate(k);
        }
        all.sort_unstable_by_key(|&(count, bytes, _)| (count, bytes));
        all.into_iter()
            .map(|(Reverse(count), _, key)| (key, count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accumulate::laws::{Subject, laws};

    laws!(Counts);

    proptest! {
        #[test]
        fn the_top_is_the_beginning_of_all_sorted(
            rows in prop::collection::vec(("[a-c]{1,2}", -2_i64..5), 0..60),
            k in 0_usize..15,
        ) {
            let mut counts: Counts = Counts::default();
            for (key, n) in &rows {
                counts.add(key, *n);
            }
            let mut all: Vec<_> = counts.seen().into_iter().collect();
            all.sort_by_key(|(key, count)| (-count, key.clone()));
            all.truncate(k);
            let top: Vec<_> = counts.top(k).into_iter().map(|(key, n)| (key.to_owned(), n)).collect();
            prop_assert_eq!(top, all);
        }
    }
}
