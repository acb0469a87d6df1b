//! Count, mean and variance.

use num_bigint::BigUint;

use super::PartialError;
use super::exact_sum::{ExactSum, nearest_quotient};
use super::tracked::{Tally, Tracked, accumulate_by_tracking};
use super::wire::{self, Format, Reader};

/// The count, mean and variance of floating-point numbers.
///
/// The sums of the numbers and of their squares are kept exactly, so merging is commutative and associative to the
/// last bit, and nothing cancels out where the mean is far larger than the spread. Mean and variance are each the
/// float nearest to the true value: the only error is the last rounding, half a unit in the last place.
///
/// NaN or an infinity among the numbers makes the variance NaN, and the mean what [`SumF64`](super::SumF64) makes
/// the sum. Memory: about 1 KiB. Partial: some 50 bytes for numbers of similar size.
///
/// ```
/// use millstream_sdk::accumulate::MeanVar;
///
/// let mut latency = MeanVar::default();
/// for millis in [2.0, 4.0, 6.0] {
///     latency.add(millis);
/// }
/// assert_eq!(latency.mean(), Some(4.0));
/// assert_eq!(latency.sample_variance(), Some(4.0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct MeanVar {
    tracked: Tracked<Moments>,
}

impl MeanVar {
    /// Takes a number in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::MeanVar;
    /// let mut numbers = MeanVar::default();
    /// numbers.add(1.5);
    /// assert_eq!(numbers.count(), 1);
    /// ```
    pub fn add(&mut self, number: f64) {
        let moments = self.tracked.pending();
        moments.count = moments.count.wrapping_add(1);
        moments.sum.add(number);
        moments.squares.add_square(number);
    }

    /// How many numbers came in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::MeanVar;
    /// assert_eq!(MeanVar::default().count(), 0);
    /// ```
    pub fn count(&self) -> u64 {
        self.tracked.total().count
    }

    /// The mean; none before any number came in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::MeanVar;
    /// let mut numbers = MeanVar::default();
    /// assert_eq!(numbers.mean(), None);
    /// numbers.add(f64::MAX);
    /// numbers.add(f64::MAX);
    /// assert_eq!(numbers.mean(), Some(f64::MAX));
    /// ```
    pub fn mean(&self) -> Option<f64> {
        let Moments { count, sum, .. } = self.tracked.total();
        (count > 0).then(|| {
            sum.special().unwrap_or_else(|| {
                let (sum, exponent) = sum.integer();
                nearest_quotient(&sum, &count.into(), exponent)
            })
        })
    }

    /// The variance of the numbers themselves (divided by their count); none before any number came in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::MeanVar;
    /// let mut numbers = MeanVar::default();
    /// numbers.add(1e9);
    /// numbers.add(1e9 + 1.0);
    /// assert_eq!(numbers.variance(), Some(0.25));
    /// ```
    pub fn variance(&self) -> Option<f64> {
        self.tracked.total().variance(0)
    }

    /// The variance of what the numbers are a sample of (divided by their count less one); none before two
    /// numbers came in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::MeanVar;
    /// let mut numbers = MeanVar::default();
    /// numbers.add(1.0);
    /// assert_eq!(numbers.sample_variance(), None);
    /// numbers.add(3.0);
    /// assert_eq!(numbers.sample_variance(), Some(2.0));
    /// ```
    pub fn sample_variance(&self) -> Option<f64> {
        self.tracked.total().variance(1)
    }
}

accumulate_by_tracking!(MeanVar);

#[derive(Clone, Debug, Default)]
struct Moments {
    count: u64,
    sum: ExactSum,
    squares: ExactSum,
}

impl Moments {
    /// (n Σx² - (Σx)²) / n (n - freedom), in integers up to the last step.
    fn variance(&self, freedom: u64) -> Option<f64> {
        let divisor = self.count.checked_sub(freedom).filter(|&n| n > 0)?;
        if self.sum.special().is_some() {
            return Some(f64::NAN);
        }
        let (sum, sum_exponent) = self.sum.integer();
        let (squares, squares_exponent) = self.squares.integer();
        let (sum_squared, sum_exponent) = (&sum * &sum, 2 * sum_exponent);
        let exponent = sum_exponent.min(squares_exponent);
        let spread = ((squares * self.count) << (squares_exponent - exponent))
            - (sum_squared << (sum_exponent - exponent));
        let divisor = BigUint::from(self.count) * divisor;
        Some(nearest_quotient(&spread, &divisor, exponent))
    }
}

impl Tally for Moments {
    const FORMAT: Format = wire::MEAN_VAR;

    fn is_zero(&self) -> bool {
        self.count == 0
    }

    fn absorb(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum.add_sum(&other.sum);
        self.squares.add_sum(&other.squares);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        wire::put_u64(self.count, out);
        self.sum.write(out);
        self.squares.write(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, PartialError> {
        Ok(Self {
            count: from.u64()?,
            sum: ExactSum::read(from)?,
            squares: ExactSum::read(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accumulate::laws::{Subject, laws};

    impl Subject for MeanVar {
        type Row = f64;
        type Seen = (u64, Option<u64>, Option<u64>);

        fn row() -> BoxedStrategy<f64> {
            prop_oneof![
                20 => any::<f64>(),
                20 => -1000.0..1000.0,
                1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
            ]
            .boxed()
        }

        fn take_in(&mut self, row: &f64) {
            self.add(*row);
        }

        /// To the last bit.
        fn seen(&self) -> Self::Seen {
            let bits = |x: Option<f64>| x.map(f64::to_bits);
            (self.count(), bits(self.mean()), bits(self.variance()))
        }
    }

    laws!(MeanVar);

    fn of(numbers: impl IntoIterator<Item = f64>) -> MeanVar {
        let mut all = MeanVar::default();
        numbers.into_iter().for_each(|number| all.add(number));
        all
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "all integers here are below 2 to the 53"
    )]
    fn float(n: i64) -> f64 {
        n as f64
    }

    proptest! {
        #[test]
        fn of_integers_they_are_those_of_integer_arithmetic(
            numbers in prop::collection::vec(-10_000_i64..10_000, 2..30),
            offset in prop::sample::select(vec![0_i64, 1_000_000_000_000]),
        ) {
            let n = i64::try_from(numbers.len()).expect("few");
            let sum: i64 = numbers.iter().sum();
            let squares: i64 = numbers.iter().map(|x| x * x).sum();
            let all = of(numbers.iter().map(|x| float(x + offset)));
            prop_assert_eq!(all.mean(), Some(float(sum + n * offset) / float(n)));
            // An offset moves the mean and leaves the variance, to the last bit.
            let spread = float(n * squares - sum * sum);
            prop_assert_eq!(all.variance(), Some(spread / float(n * n)));
            prop_assert_eq!(all.sample_variance(), Some(spread / float(n * (n - 1))));
        }

        #[test]
        fn the_variance_is_never_negative_and_zero_only_without_spread(
            numbers in prop::collection::vec(-1e150..1e150_f64, 1..10),
        ) {
            let variance = of(numbers.iter().copied()).variance();
            let spread = numbers.iter().any(|x| *x != numbers[0]);
            prop_assert!(variance.is_some_and(|v| v >= 0.0 && (v > 0.0) == spread));
        }
    }

    #[test]
    fn an_infinity_leaves_the_mean_infinite_and_the_variance_undefined() {
        let all = of([1.0, f64::INFINITY]);
        assert_eq!(all.mean(), Some(f64::INFINITY));
        assert!(all.variance().is_some_and(f64::is_nan));
    }
}
