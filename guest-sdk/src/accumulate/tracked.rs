//! What most accumulators are: a value that adds up, kept as what was committed and what has come in since.
//!
//! A row touches only the pending part, so that adding stays one operation, and the delta is that part. The two
//! are put together where the whole is asked for.

use super::PartialError;
use super::wire::{Format, Reader};

/// A commutative monoid that can be written and read: `Default::default()` is zero.
pub(super) trait Tally: Default + Clone {
    /// The format of its partials.
    const FORMAT: Format;

    /// Whether it equals zero, and so need not be written.
    fn is_zero(&self) -> bool;

    /// Adds another one.
    fn absorb(&mut self, other: &Self);

    /// Appends its bytes, behind the format's tag.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads what [`encode`](Self::encode) wrote.
    fn decode(from: &mut Reader<'_>) -> Result<Self, PartialError>;
}

/// A [`Tally`] that knows what has come in since the last delta.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracked<T> {
    settled: T,
    pending: T,
}

impl<T: Tally> Tracked<T> {
    /// Where rows and partials go.
    pub(super) fn pending(&mut self) -> &mut T {
        &mut self.pending
    }

    /// All that has ever come in.
    pub(super) fn total(&self) -> T {
        let mut total = self.settled.clone();
        total.absorb(&self.pending);
        total
    }

    pub(super) fn snapshot(&self, out: &mut Vec<u8>) {
        write(&self.total(), out);
    }

    pub(super) fn take_delta(&mut self, out: &mut Vec<u8>) {
        write(&self.pending, out);
        self.settled.absorb(&self.pending);
        self.pending = T::default();
    }

    pub(super) fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
        if let Some(mut reader) = T::FORMAT.open(partial)? {
            let tally = T::decode(&mut reader)?;
            reader.end()?;
            self.pending.absorb(&tally);
        }
        Ok(())
    }
}

fn write<T: Tally>(tally: &T, out: &mut Vec<u8>) {
    if !tally.is_zero() {
        T::FORMAT.begin(out);
        tally.encode(out);
    }
}

/// Implements [`Accumulator`](super::Accumulator) for a struct around a [`Tracked`] field named `tracked`.
macro_rules! accumulate_by_tracking {
    ($accumulator:ty $(, $($generics:tt)+)?) => {
        impl $(<$($generics)+>)? $crate::accumulate::Accumulator for $accumulator {
            fn snapshot(&self, out: &mut Vec<u8>) {
                self.tracked.snapshot(out);
            }

            fn take_delta(&mut self, out: &mut Vec<u8>) {
                self.tracked.take_delta(out);
            }

            fn merge(&mut self, partial: &[u8]) -> Result<(), $crate::accumulate::PartialError> {
                self.tracked.merge(partial)
            }
        }
    };
}
pub(super) use accumulate_by_tracking;
