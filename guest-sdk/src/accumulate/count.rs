//! A counter.

use super::PartialError;
use super::tracked::{Tally, Tracked, accumulate_by_tracking};
use super::wire::{self, Format, Reader};

/// How many, or by how much more than less.
///
/// Exact. It wraps around beyond the range of `i64`, as wrapping keeps the laws; no count of rows gets there.
/// Memory: 16 bytes. Partial: 2 to 11 bytes.
///
/// ```
/// use millstream_sdk::accumulate::Count;
///
/// let mut views = Count::default();
/// views.inc();
/// views.add(4);
/// assert_eq!(views.value(), 5);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Count {
    tracked: Tracked<Counter>,
}

impl Count {
    /// Counts one.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Count;
    /// let mut count = Count::default();
    /// count.inc();
    /// assert_eq!(count.value(), 1);
    /// ```
    pub fn inc(&mut self) {
        self.add(1);
    }

    /// Counts `n`, which may be negative.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Count;
    /// let mut stock = Count::default();
    /// stock.add(10);
    /// stock.add(-3);
    /// assert_eq!(stock.value(), 7);
    /// ```
    pub fn add(&mut self, n: i64) {
        self.tracked.pending().absorb(&Counter(n));
    }

    /// The count.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Count;
    /// assert_eq!(Count::default().value(), 0);
    /// ```
    pub fn value(&self) -> i64 {
        self.tracked.total().0
    }
}

accumulate_by_tracking!(Count);

#[derive(Clone, Copy, Debug, Default)]
struct Counter(i64);

impl Tally for Counter {
    const FORMAT: Format = wire::COUNT;

    fn is_zero(&self) -> bool {
        self.0 == 0
    }

    fn absorb(&mut self, other: &Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        wire::put_i64(self.0, out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, PartialError> {
        from.i64().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accumulate::laws::{Subject, laws};

    impl Subject for Count {
        type Row = i64;
        type Seen = i64;

        fn row() -> BoxedStrategy<i64> {
            prop_oneof![-3_i64..4, any::<i64>()].boxed()
        }

        fn take_in(&mut self, row: &i64) {
            self.add(*row);
        }

        fn seen(&self) -> i64 {
            self.value()
        }
    }

    laws!(Count);
}
