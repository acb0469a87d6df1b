//! About how many distinct keys: HyperLogLog.
//!
//! The sketch is that of Apache DataSketches: few keys are a list of hashes, many are registers, and merging takes
//! the greater of each register, which is exact. Two choices make it safe and lawful here. The estimate is the
//! composite one, which depends only on the registers and not on the order of rows. And partials hold six-bit
//! registers, from which the reader computes everything else again, so that a damaged partial cannot
//! contradict itself.

use datasketches::hash::value::raw_bytes;
use datasketches::hll::{HllSketch, HllType, HllUnion};

use super::PartialError;
use super::tracked::{Tally, Tracked, accumulate_by_tracking};
use super::wire::{self, Format, Reader};

/// About how many distinct keys came in, from 2 to the power of `LG_K` registers (4 to 21; 12 unless given).
///
/// The standard error of the count is 1.04 / √(2^`LG_K`): 1.6 % for 12, 0.8 % for 14; far less for the first few hundred
/// keys. Merging is exact: any order and grouping of the same keys gives the same count. Hashing is the same on every
/// machine. Memory: up to 2^`LG_K` bytes, 4 KiB for 12, and as much for what came in since the last delta; 4 bytes
/// a key at first. Partial: at most ¾ of that and 42 bytes.
///
/// ```
/// use millstream_sdk::accumulate::HyperLogLog;
///
/// let mut visitors: HyperLogLog = HyperLogLog::default();
/// for user in ["ada", "bob", "ada"] {
///     visitors.insert(user);
/// }
/// assert_eq!(visitors.count(), 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct HyperLogLog<const LG_K: u8 = 12> {
    tracked: Tracked<Sketch<LG_K>>,
}

impl<const LG_K: u8> HyperLogLog<LG_K> {
    /// Takes a key in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::HyperLogLog;
    /// let mut set: HyperLogLog = HyperLogLog::default();
    /// set.insert("ada");
    /// set.insert([1, 2, 3]);
    /// assert_eq!(set.count(), 2);
    /// ```
    pub fn insert(&mut self, key: impl AsRef<[u8]>) {
        self.tracked
            .pending()
            .0
            .update_value(raw_bytes::from_slice(key.as_ref()));
    }

    /// About how many distinct keys came in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::HyperLogLog;
    /// assert_eq!(HyperLogLog::<14>::default().estimate(), 0.0);
    /// ```
    pub fn estimate(&self) -> f64 {
        self.tracked.total().0.composite_estimate()
    }

    /// The [`estimate`](Self::estimate), rounded.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::HyperLogLog;
    /// let mut set: HyperLogLog = HyperLogLog::default();
    /// (0..100_u8).for_each(|i| set.insert([i]));
    /// assert_eq!(set.count(), 100);
    /// ```
    #[expect(
        clippy::cast_possible_truncation,
        reason = "estimates stay below 2 to the 63, and the conversion saturates"
    )]
    pub fn count(&self) -> i64 {
        self.estimate().round() as i64
    }
}

accumulate_by_tracking!(HyperLogLog<LG_K>, const LG_K: u8);

#[derive(Clone, Debug)]
struct Sketch<const LG_K: u8>(HllUnion);

impl<const LG_K: u8> Default for Sketch<LG_K> {
    fn default() -> Self {
        const { assert!(LG_K >= 4 && LG_K <= 21, "LG_K is between 4 and 21") }
        Self(HllUnion::new(LG_K).expect("LG_K is in range"))
    }
}

impl<const LG_K: u8> Tally for Sketch<LG_K> {
    const FORMAT: Format = wire::HYPER_LOG_LOG;

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn absorb(&mut self, other: &Self) {
        self.0.update(&other.0.to_sketch(HllType::Hll8));
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_sketch(HllType::Hll6).serialize());
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, PartialError> {
        let sketch = HllSketch::deserialize(from.remainder())
            .map_err(|error| from.refuse(&error.to_string()))?;
        if sketch.lg_config_k() != LG_K || sketch.target_type() != HllType::Hll6 {
            return Err(from.refuse(&format!(
                "2^{} registers of kind {:?} where 2^{LG_K} of six bits belong",
                sketch.lg_config_k(),
                sketch.target_type()
            )));
        }
        let mut read = Self::default();
        read.0.update(&sketch);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::ops::Range;

    use proptest::prelude::*;

    use super::*;
    use crate::accumulate::Accumulator;
    use crate::accumulate::laws::{Subject, laws};

    impl<const LG_K: u8> Subject for HyperLogLog<LG_K> {
        /// Rows of many keys, so that lists, sets and registers all meet.
        type Row = Range<u32>;
        type Seen = u64;

        fn row() -> BoxedStrategy<Range<u32>> {
            (0_u32..5000, prop_oneof![0_u32..10, 0_u32..600])
                .prop_map(|(first, length)| first..first + length)
                .boxed()
        }

        fn take_in(&mut self, row: &Range<u32>) {
            row.clone().for_each(|key| self.insert(key.to_le_bytes()));
        }

        /// To the last bit.
        fn seen(&self) -> u64 {
            self.estimate().to_bits()
        }
    }

    mod by_default {
        use super::*;
        laws!(HyperLogLog);
    }

    mod small {
        use super::*;
        laws!(HyperLogLog<5>);
    }

    fn of(keys: Range<u32>) -> HyperLogLog {
        let mut set = HyperLogLog::default();
        set.take_in(&keys);
        set
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn the_count_is_within_four_standard_errors(first: u16, number in 1_u32..200_000) {
            let first = u32::from(first);
            let estimate = of(first..first + number).estimate();
            let off = (estimate - f64::from(number)).abs();
            prop_assert!(off <= f64::from(number) * 4.0 * 1.04 / 64.0, "{estimate} for {number}");
        }
    }

    #[test]
    fn hashing_and_estimating_are_the_same_on_every_machine() {
        assert_eq!(of(0..10_000).count(), 9_850);
        assert_eq!(of(0..300).count(), 300);
    }

    #[test]
    fn a_partial_of_another_precision_is_refused() {
        let mut partial = Vec::new();
        of(0..10).snapshot(&mut partial);
        let error = HyperLogLog::<14>::default().merge(&partial).unwrap_err();
        assert!(error.to_string().contains("2^12"), "{error}");
    }

    #[test]
    fn a_partial_grows_up_to_three_quarters_of_the_registers() {
        let mut partial = Vec::new();
        of(0..100_000).snapshot(&mut partial);
        assert_eq!(partial.len(), 4096 * 3 / 4 + 42);
    }
}
