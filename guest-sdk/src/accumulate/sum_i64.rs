//! The sum of integers.

use super::PartialError;
use super::tracked::{Tally, Tracked, accumulate_by_tracking};
use super::wire::{self, Format, Reader};

/// The sum of integers, exact beyond the range of `i64`.
///
/// It adds up in 128 bits, which 2⁶⁴ of the largest rows do not fill. Memory: 32 bytes. Partial: 3 to 12 bytes
/// while the sum fits in an `i64`, 18 beyond.
///
/// ```
/// use millstream_sdk::accumulate::SumI64;
///
/// let mut cents = SumI64::default();
/// cents.add(i64::MAX);
/// cents.add(1);
/// cents.add(-2);
/// assert_eq!(cents.value(), i64::MAX - 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct SumI64 {
    tracked: Tracked<Wide>,
}

impl SumI64 {
    /// Adds a term.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::SumI64;
    /// let mut sum = SumI64::default();
    /// sum.add(-7);
    /// assert_eq!(sum.value(), -7);
    /// ```
    pub fn add(&mut self, term: i64) {
        self.tracked.pending().absorb(&Wide(i128::from(term)));
    }

    /// The sum, or the nearest `i64` where it lies beyond.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::SumI64;
    /// let mut sum = SumI64::default();
    /// sum.add(i64::MAX);
    /// sum.add(i64::MAX);
    /// assert_eq!(sum.value(), i64::MAX);
    /// ```
    pub fn value(&self) -> i64 {
        let exact = self.exact();
        let limit = if exact < 0 { i64::MIN } else { i64::MAX };
        i64::try_from(exact).unwrap_or(limit)
    }

    /// The sum itself.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::SumI64;
    /// let mut sum = SumI64::default();
    /// sum.add(i64::MAX);
    /// sum.add(i64::MAX);
    /// assert_eq!(sum.exact(), 2 * i128::from(i64::MAX));
    /// ```
    pub fn exact(&self) -> i128 {
        self.tracked.total().0
    }
}

accumulate_by_tracking!(SumI64);

/// Wraps around beyond 128 bits, where only made-up partials lead: wrapping keeps the laws even there.
#[derive(Clone, Copy, Debug, Default)]
struct Wide(i128);

const NARROW: u8 = 0;
const WIDE: u8 = 1;

impl Tally for Wide {
    const FORMAT: Format = wire::SUM_I64;

    fn is_zero(&self) -> bool {
        self.0 == 0
    }

    fn absorb(&mut self, other: &Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if let Ok(narrow) = i64::try_from(self.0) {
            out.push(NARROW);
            wire::put_i64(narrow, out);
        } else {
            out.push(WIDE);
            out.extend_from_slice(&self.0.to_le_bytes());
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, PartialError> {
        match from.array()? {
            [NARROW] => from.i64().map(|narrow| Self(narrow.into())),
            [WIDE] => from.array().map(|bytes| Self(i128::from_le_bytes(bytes))),
            [width] => Err(from.refuse(&format!("unknown width {width}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accumulate::laws::{Subject, laws};

    impl Subject for SumI64 {
        type Row = i64;
        type Seen = i128;

        fn row() -> BoxedStrategy<i64> {
            prop_oneof![-3_i64..4, any::<i64>(), Just(i64::MAX), Just(i64::MIN)].boxed()
        }

        fn take_in(&mut self, row: &i64) {
            self.add(*row);
        }

        fn seen(&self) -> i128 {
            self.exact()
        }
    }

    laws!(SumI64);
}
