//! Accumulators: commutative monoids whose partials travel.
//!
//! A window and key gather rows in an [`Accumulator`]. The host commits what changed as partials, and merges
//! partials to recover, to join session windows and to spread one window over many machines. It may do so in
//! any order and grouping; the laws below make the answer the same each time.

use std::fmt;

/// What a window and key gather rows in.
///
/// # Laws
/// With `a + b` for merging a partial of `b` into `a`, and `Default::default()` as zero:
/// - zero is neutral, `+` is commutative and associative;
/// - the deltas taken from an accumulator, merged in any grouping, equal its snapshot;
/// - a partial of zero bytes is zero.
///
/// Sketches keep the laws exactly where their method allows it, otherwise within their stated error.
pub trait Accumulator: Default {
    /// Appends the whole as a partial; it may append nothing if nothing has ever come in.
    fn snapshot(&self, out: &mut Vec<u8>);

    /// Appends what has come in, by rows or by [`merge`](Self::merge), since the last call, as a partial;
    /// appends nothing if nothing has.
    fn take_delta(&mut self, out: &mut Vec<u8>);

    /// Merges a partial that [`snapshot`](Self::snapshot) or [`take_delta`](Self::take_delta) wrote.
    ///
    /// # Errors
    /// If `partial` is not one of this type's. It may come from another version of the plugin or from a damaged
    /// log: an implementation checks every length and never panics.
    fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError>;
}

/// A partial that could not be merged, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartialError(pub String);

impl fmt::Display for PartialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PartialError {}
