//! The sum of floating-point numbers, the same in any order.

use super::PartialError;
use super::exact_sum::ExactSum;
use super::tracked::{Tally, Tracked, accumulate_by_tracking};
use super::wire::{self, Format, Reader};

/// The sum of floating-point numbers, rounded once, at the end.
///
/// Adding floats one to another rounds at every step, so that the order shows in the result. This sum is kept
/// exactly (a superaccumulator: integers scaled by powers of 2³²), which makes merging commutative and
/// associative to the last bit, and the result the float nearest to the true sum.
///
/// NaN among the terms makes the sum NaN, as do infinities of both signs; infinity of one sign makes it that
/// infinity. The sum of nothing is 0, and -0 counts as 0. A sum beyond the largest float reads as infinity but goes
/// on exactly within. Memory: about 300 bytes for terms of similar size, at most 8 KiB. Partial: about 8
/// bytes for each 32 bits between the smallest bit and the largest: some 20 bytes for prices.
///
/// ```
/// use millstream_sdk::accumulate::SumF64;
///
/// let mut revenue = SumF64::default();
/// for term in [1e100, 0.25, -1e100] {
///     revenue.add(term);
/// }
/// assert_eq!(revenue.value(), 0.25);
/// ```
#[derive(Clone, Debug, Default)]
pub struct SumF64 {
    tracked: Tracked<ExactSum>,
}

impl SumF64 {
    /// Adds a term.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::SumF64;
    /// let mut sum = SumF64::default();
    /// sum.add(0.5);
    /// assert_eq!(sum.value(), 0.5);
    /// ```
    pub fn add(&mut self, term: f64) {
        self.tracked.pending().add(term);
    }

    /// The sum, correctly rounded.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::SumF64;
    /// let mut sum = SumF64::default();
    /// for _ in 0..10 {
    ///     sum.add(0.1);
    /// }
    /// assert_eq!(sum.value(), 1.0);
    /// ```
    pub fn value(&self) -> f64 {
        self.tracked.total().value()
    }
}

accumulate_by_tracking!(SumF64);

impl Tally for ExactSum {
    const FORMAT: Format = wire::SUM_F64;

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn absorb(&mut self, other: &Self) {
        self.add_sum(other);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.write(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, PartialError> {
        Self::read(from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accumulate::laws::{Subject, laws};

    impl Subject for SumF64 {
        type Row = f64;
        type Seen = u64;

        fn row() -> BoxedStrategy<f64> {
            let special = prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
            prop_oneof![
                50 => any::<f64>(),
                50 => -1000.0..1000.0,
                5 => prop::sample::select(vec![1e100, -1e100, 0.1, -0.1, f64::MAX, f64::MIN, -0.0]),
                1 => special,
            ]
            .boxed()
        }

        fn take_in(&mut self, row: &f64) {
            self.add(*row);
        }

        /// To the last bit.
        fn seen(&self) -> u64 {
            self.value().to_bits()
        }
    }

    laws!(SumF64);

    fn sum(terms: &[f64]) -> f64 {
        let mut sum = SumF64::default();
        terms.iter().for_each(|term| sum.add(*term));
        sum.value()
    }

    #[test]
    fn nan_and_opposite_infinities_make_nan_and_one_infinity_stays() {
        assert!(sum(&[1.0, f64::NAN, f64::INFINITY]).is_nan());
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(sum(&[1.0, f64::NEG_INFINITY]), f64::NEG_INFINITY);
    }

    #[test]
    fn a_sum_beyond_the_largest_float_reads_as_infinity_and_comes_back() {
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[f64::MIN, f64::MIN]), f64::NEG_INFINITY);
        assert_eq!(sum(&[f64::MAX, f64::MAX, f64::MIN]), f64::MAX);
    }

    #[test]
    fn the_sum_of_nothing_and_of_minus_zero_is_zero() {
        assert_eq!(sum(&[]).to_bits(), 0);
        assert_eq!(sum(&[-0.0]).to_bits(), 0);
        assert_eq!(sum(&[1.5, -1.5]).to_bits(), 0);
    }
}
