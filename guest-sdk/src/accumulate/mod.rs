//! Accumulators: commutative monoids whose partials travel.
//!
//! A window and key gather rows in an [`Accumulator`]. The host commits what changed as partials, and merges
//! partials to recover, to join session windows and to spread one window over many machines. It may do so in
//! any order and grouping; the laws below make the answer the same each time.

mod count;
mod counts;
mod exact_set;
mod exact_sum;
mod extremes;
mod hyper_log_log;
mod keys;
#[cfg(test)]
mod laws;
mod mean_var;
mod per_key;
mod quantiles;
mod sum_f64;
mod sum_i64;
mod table;
mod tracked;
mod wire;

use std::fmt;

pub use count::Count;
pub use counts::Counts;
pub use exact_set::ExactSet;
pub use extremes::{Direction, Extreme, Greatest, Least, Max, Min, Scalar};
pub use hyper_log_log::HyperLogLog;
pub use keys::Key;
pub use mean_var::MeanVar;
pub use per_key::PerKey;
pub use quantiles::Quantiles;
pub use sum_f64::SumF64;
pub use sum_i64::SumI64;

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
