//! Quantiles within a relative error: DDSketch.
//!
//! A number falls into a bucket by its logarithm, and buckets only count, so merging adds counts and is exact. The
//! store is our own because the crates at hand cannot be given a damaged sketch safely, or drop the smallest buckets
//! beyond a limit; here the range of floats is the limit. The logarithm is that of `libm`, which is
//! computed in software: the one of the processor's platform may differ in its last bit, and then the bucket would.

use std::collections::BTreeMap;

use super::PartialError;
use super::tracked::{Tally, Tracked, accumulate_by_tracking};
use super::wire::{self, Format, Reader};

/// A bucket holds the numbers from γⁱ up to γⁱ⁺¹, where γ = (1 + ε) / (1 - ε) and ε is the relative error.
const GAMMA: f64 = (1.0 + Quantiles::RELATIVE_ERROR) / (1.0 - Quantiles::RELATIVE_ERROR);
/// The natural logarithm of γ, given so that it is the same for the writer and the reader of a partial.
const LN_GAMMA: f64 = 0.020_000_666_706_669_435;

/// Quantiles of floating-point numbers, each within 1 % of the true one.
///
/// What is guaranteed is the relative error of the value (DDSketch), so the 99.9th percentile of a long tail is as
/// good as the median; and merging is exact. Numbers closer to 0 than the smallest normal float (2 × 10⁻³⁰⁸)
/// count as 0. NaN is left out. Memory: about 20 bytes for each bucket in use, of which numbers between 1 and
/// 1,000 fill at most 346, and all floats 142,000. Partial: 2 to 4 bytes for each bucket.
///
/// ```
/// use millstream_sdk::accumulate::Quantiles;
///
/// let mut latency = Quantiles::default();
/// for millis in 1..=1000 {
///     latency.add(f64::from(millis));
/// }
/// let p99 = latency.quantile(0.99).unwrap();
/// assert!((p99 - 990.0).abs() <= 0.01 * 990.0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Quantiles {
    tracked: Tracked<Buckets>,
}

impl Quantiles {
    /// How far a quantile may be from the true one, as a part of it.
    pub const RELATIVE_ERROR: f64 = 0.01;

    /// Takes a number in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Quantiles;
    /// let mut numbers = Quantiles::default();
    /// numbers.add(1.0);
    /// numbers.add(f64::NAN);
    /// assert_eq!(numbers.count(), 1);
    /// ```
    pub fn add(&mut self, number: f64) {
        if !number.is_nan() {
            self.tracked.pending().add(Bucket::of(number), 1);
        }
    }

    /// How many numbers came in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Quantiles;
    /// assert_eq!(Quantiles::default().count(), 0);
    /// ```
    pub fn count(&self) -> u64 {
        self.tracked.total().count()
    }

    /// The number that a part `q` of all numbers does not exceed: 0.5 for the median. Precisely, of n numbers in
    /// ascending order the one at position q (n - 1), rounded down, from 0. None before any number came in,
    /// or if `q` is not between 0 and 1.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Quantiles;
    /// let mut numbers = Quantiles::default();
    /// assert_eq!(numbers.quantile(0.5), None);
    /// numbers.add(0.0);
    /// assert_eq!(numbers.quantile(0.5), Some(0.0));
    /// ```
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.quantiles([q])[0]
    }

    /// Several quantiles at once, which is cheaper than one by one.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Quantiles;
    /// let mut numbers = Quantiles::default();
    /// numbers.add(0.0);
    /// assert_eq!(numbers.quantiles([0.5, 2.0]), [Some(0.0), None]);
    /// ```
    pub fn quantiles<const N: usize>(&self, qs: [f64; N]) -> [Option<f64>; N] {
        let buckets = self.tracked.total();
        qs.map(|q| buckets.quantile(q))
    }
}

accumulate_by_tracking!(Quantiles);

/// A bucket: 0 for zero, positive for positive numbers, and the same mirrored. So buckets sort as numbers do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Bucket(i32);

impl Bucket {
    /// Added to the index of a positive number's bucket, which may be down to -35,419, to make it positive.
    const OFFSET: i32 = 35_420;
    /// The bucket of infinity: that of the largest float is 70,907.
    const INFINITY: i32 = 70_910;

    fn of(number: f64) -> Self {
        let size = number.abs();
        let bucket = if size < f64::MIN_POSITIVE {
            0
        } else if size.is_infinite() {
            Self::INFINITY
        } else {
            let index = (libm::log(size) / LN_GAMMA).floor();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the logarithm of a normal float is between -709 and 710"
            )]
            let index = index as i32;
            index + Self::OFFSET
        };
        Self(if number < 0.0 { -bucket } else { bucket })
    }

    /// The number that is as far from the smallest of the bucket as from the largest, relatively.
    fn value(self) -> f64 {
        let size = match self.0.abs() {
            0 => 0.0,
            Self::INFINITY => f64::INFINITY,
            bucket => {
                let lower = libm::exp(f64::from(bucket - Self::OFFSET) * LN_GAMMA);
                (lower * (2.0 * GAMMA / (1.0 + GAMMA))).min(f64::MAX)
            }
        };
        if self.0 < 0 { -size } else { size }
    }
}

/// How many numbers are in each bucket, where there are any.
#[derive(Clone, Debug, Default)]
struct Buckets(BTreeMap<Bucket, u64>);

impl Buckets {
    fn add(&mut self, bucket: Bucket, count: u64) {
        let sum = self.0.entry(bucket).or_default();
        // Saturating keeps the laws; only made-up partials get there.
        *sum = sum.saturating_add(count);
    }

    fn count(&self) -> u64 {
        self.0.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    fn quantile(&self, q: f64) -> Option<f64> {
        if !(0.0..=1.0).contains(&q) {
            return None;
        }
        let last = self.count().checked_sub(1)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "neither factor is negative, and the product is at most a count"
        )]
        let position = (q * last as f64) as u64;
        let mut below = 0_u64;
        self.0.iter().find_map(|(bucket, count)| {
            below = below.saturating_add(*count);
            (position.min(last) < below).then(|| bucket.value())
        })
    }
}

impl Tally for Buckets {
    const FORMAT: Format = wire::QUANTILES;

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn absorb(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            self.add(*bucket, *count);
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        wire::put_length(self.0.len(), out);
        let mut below = 0;
        for (bucket, count) in &self.0 {
            wire::put_i64(i64::from(bucket.0) - below, out);
            wire::put_u64(*count, out);
            below = i64::from(bucket.0);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, PartialError> {
        let mut buckets = Self::default();
        let mut below = 0_i64;
        for _ in 0..from.length()? {
            let bucket = below.wrapping_add(from.i64()?);
            let count = from.u64()?;
            let bucket = i32::try_from(bucket)
                .ok()
                .filter(|bucket| (-Bucket::INFINITY..=Bucket::INFINITY).contains(bucket))
                .ok_or_else(|| from.refuse(&format!("bucket {bucket} out of range")))?;
            if count == 0 {
                return Err(from.refuse(&format!("bucket {bucket} is empty")));
            }
            buckets.add(Bucket(bucket), count);
            below = bucket.into();
        }
        Ok(buckets)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accumulate::laws::{Subject, laws};

    impl Subject for Quantiles {
        type Row = f64;
        type Seen = (u64, [Option<f64>; 5]);

        fn row() -> BoxedStrategy<f64> {
            prop_oneof![
                20 => any::<f64>(),
                20 => -100.0..100.0,
                1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0]),
            ]
            .boxed()
        }

        fn take_in(&mut self, row: &f64) {
            self.add(*row);
        }

        fn seen(&self) -> Self::Seen {
            (self.count(), self.quantiles([0.0, 0.25, 0.5, 0.9, 1.0]))
        }
    }

    laws!(Quantiles);

    proptest! {
        #[test]
        fn every_quantile_is_within_the_relative_error(
            mut numbers in prop::collection::vec(Quantiles::row(), 1..100),
        ) {
            numbers.retain(|x| !x.is_nan());
            let mut quantiles = Quantiles::default();
            numbers.iter().for_each(|x| quantiles.add(*x));
            numbers.sort_by(f64::total_cmp);
            for (position, exact) in numbers.iter().enumerate() {
                // The q in the middle between two positions, where rounding cannot tip it over.
                let steps = (numbers.len() - 1).max(1);
                let [position, steps] = [position, steps].map(|n| f64::from(u32::try_from(n).expect("few")));
                let q = ((position + 0.5) / steps).min(1.0);
                let found = quantiles.quantile(q).expect("there are numbers");
                // A little more for the rounding of logarithms that are as large as 700.
                let allowed = exact.abs() * (Quantiles::RELATIVE_ERROR + 1e-12) + f64::MIN_POSITIVE;
                prop_assert!(found == *exact || (found - exact).abs() <= allowed, "{found} for {exact}");
            }
        }

        #[test]
        fn buckets_sort_as_numbers_do(a in Quantiles::row(), b in Quantiles::row()) {
            let (a, b) = if a <= b { (a, b) } else { (b, a) };
            prop_assume!(!a.is_nan() && !b.is_nan());
            prop_assert!(Bucket::of(a) <= Bucket::of(b));
            prop_assert!(Bucket::of(a).value() <= Bucket::of(b).value());
        }
    }

    #[test]
    fn the_constants_are_what_they_are_said_to_be() {
        assert!((libm::log(GAMMA) - LN_GAMMA).abs() < 1e-16);
        assert_eq!(Bucket::of(f64::MIN_POSITIVE), Bucket(1));
        assert_eq!(Bucket::of(f64::MAX), Bucket(70_907));
        assert_eq!(Bucket::of(-f64::INFINITY), Bucket(-Bucket::INFINITY));
    }
}
