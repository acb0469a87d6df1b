//! The least and the greatest.

use std::marker::PhantomData;

use super::PartialError;
use super::tracked::{Tally, Tracked, accumulate_by_tracking};
use super::wire::{self, Format, Reader};

/// The least value that came in.
///
/// ```
/// use millstream_sdk::accumulate::Min;
///
/// let mut coldest = Min::default();
/// coldest.add(3.5);
/// coldest.add(-1.0);
/// assert_eq!(coldest.value(), Some(-1.0));
/// ```
pub type Min<T> = Extreme<T, Least>;

/// The greatest value that came in.
///
/// ```
/// use millstream_sdk::accumulate::Max;
///
/// let mut longest = Max::default();
/// longest.add(3);
/// longest.add(12);
/// assert_eq!(longest.value(), Some(12));
/// ```
pub type Max<T> = Extreme<T, Greatest>;

/// The value that is furthest in a direction: a [`Min`] or a [`Max`].
///
/// Exact. Among floats NaN is left out, and -0 is below 0. Memory: 32 bytes. Partial: 2 to 11 bytes, 10
/// or 11 for floats.
///
/// ```
/// use millstream_sdk::accumulate::{Extreme, Least};
///
/// let mut min: Extreme<i64, Least> = Extreme::default();
/// min.add(5);
/// assert_eq!(min.value(), Some(5));
/// ```
#[derive(Clone, Debug)]
pub struct Extreme<T, D> {
    tracked: Tracked<Best<T, D>>,
}

impl<T: Scalar, D: Direction> Extreme<T, D> {
    /// Takes a value in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Max;
    /// let mut max = Max::default();
    /// max.add(f64::NAN);
    /// assert_eq!(max.value(), None);
    /// ```
    pub fn add(&mut self, value: T) {
        if let Some(rank) = value.rank() {
            self.tracked.pending().offer(rank);
        }
    }

    /// The extreme value; none before any value came in.
    ///
    /// ```
    /// # use millstream_sdk::accumulate::Min;
    /// assert_eq!(Min::<i64>::default().value(), None);
    /// ```
    pub fn value(&self) -> Option<T> {
        self.tracked.total().rank.and_then(T::from_rank)
    }
}

impl<T: Scalar, D: Direction> Default for Extreme<T, D> {
    fn default() -> Self {
        Self {
            tracked: Tracked::default(),
        }
    }
}

accumulate_by_tracking!(Extreme<T, D>, T: Scalar, D: Direction);

/// What an [`Extreme`] may be of: `i64`, also for timestamps, and `f64`.
pub trait Scalar: sealed::Scalar {}

/// Which way an [`Extreme`] goes: [`Least`] or [`Greatest`].
pub trait Direction: sealed::Direction {}

/// The direction of a [`Min`].
#[derive(Clone, Copy, Debug)]
pub enum Least {}

/// The direction of a [`Max`].
#[derive(Clone, Copy, Debug)]
pub enum Greatest {}

mod sealed {
    pub trait Scalar: Copy {
        const IS_FLOAT: bool;
        /// The place among all values, in their order; none where the value takes no part in it.
        fn rank(self) -> Option<i64>;
        fn from_rank(rank: i64) -> Option<Self>;
    }

    pub trait Direction: Clone {
        const IS_GREATEST: bool;
    }
}

impl Scalar for i64 {}

impl sealed::Scalar for i64 {
    const IS_FLOAT: bool = false;

    fn rank(self) -> Option<i64> {
        Some(self)
    }

    fn from_rank(rank: i64) -> Option<Self> {
        Some(rank)
    }
}

impl Scalar for f64 {}

impl sealed::Scalar for f64 {
    const IS_FLOAT: bool = true;

    fn rank(self) -> Option<i64> {
        (!self.is_nan()).then(|| mirror_negative(self.to_bits().cast_signed()))
    }

    fn from_rank(rank: i64) -> Option<Self> {
        let float = Self::from_bits(mirror_negative(rank).cast_unsigned());
        (!float.is_nan()).then_some(float)
    }
}

/// The bits of floats below their sign sort as the floats do, among the negative ones the other way round.
/// Doing it twice undoes it.
fn mirror_negative(bits: i64) -> i64 {
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

impl Direction for Least {}

impl sealed::Direction for Least {
    const IS_GREATEST: bool = false;
}

impl Direction for Greatest {}

impl sealed::Direction for Greatest {
    const IS_GREATEST: bool = true;
}

#[derive(Clone, Debug)]
struct Best<T, D> {
    rank: Option<i64>,
    kind: PhantomData<(T, D)>,
}

impl<T, D> Default for Best<T, D> {
    fn default() -> Self {
        Self {
            rank: None,
            kind: PhantomData,
        }
    }
}

impl<T: Scalar, D: Direction> Best<T, D> {
    fn offer(&mut self, rank: i64) {
        let better = if D::IS_GREATEST { i64::max } else { i64::min };
        self.rank = Some(self.rank.map_or(rank, |best| better(best, rank)));
    }
}

impl<T: Scalar, D: Direction> Tally for Best<T, D> {
    const FORMAT: Format = match (D::IS_GREATEST, T::IS_FLOAT) {
        (false, false) => wire::MIN_I64,
        (false, true) => wire::MIN_F64,
        (true, false) => wire::MAX_I64,
        (true, true) => wire::MAX_F64,
    };

    fn is_zero(&self) -> bool {
        self.rank.is_none()
    }

    fn absorb(&mut self, other: &Self) {
        if let Some(rank) = other.rank {
            self.offer(rank);
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if let Some(rank) = self.rank {
            wire::put_i64(rank, out);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, PartialError> {
        let rank = from.i64()?;
        T::from_rank(rank).ok_or_else(|| from.refuse("not a number"))?;
        Ok(Self {
            rank: Some(rank),
            kind: PhantomData,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accumulate::laws::{Subject, laws};

    impl<D: Direction> Subject for Extreme<i64, D> {
        type Row = i64;
        type Seen = Option<i64>;

        fn row() -> BoxedStrategy<i64> {
            any::<i64>().boxed()
        }

        fn take_in(&mut self, row: &i64) {
            self.add(*row);
        }

        fn seen(&self) -> Option<i64> {
            self.value()
        }
    }

    impl<D: Direction> Subject for Extreme<f64, D> {
        type Row = f64;
        type Seen = Option<u64>;

        fn row() -> BoxedStrategy<f64> {
            prop_oneof![
                any::<f64>(),
                prop::sample::select(vec![0.0, -0.0, f64::NAN])
            ]
            .boxed()
        }

        fn take_in(&mut self, row: &f64) {
            self.add(*row);
        }

        fn seen(&self) -> Option<u64> {
            self.value().map(f64::to_bits)
        }
    }

    mod least_integer {
        use super::*;
        laws!(Min<i64>);
    }
    mod greatest_integer {
        use super::*;
        laws!(Max<i64>);
    }
    mod least_float {
        use super::*;
        laws!(Min<f64>);
    }
    mod greatest_float {
        use super::*;
        laws!(Max<f64>);
    }

    proptest! {
        #[test]
        fn they_are_those_of_the_sorted_values(mut values: Vec<i64>) {
            let (mut min, mut max) = (Min::default(), Max::default());
            for value in &values {
                min.add(*value);
                max.add(*value);
            }
            values.sort_unstable();
            prop_assert_eq!(min.value(), values.first().copied());
            prop_assert_eq!(max.value(), values.last().copied());
        }
    }
}
