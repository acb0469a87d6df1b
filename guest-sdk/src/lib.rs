//! What authors of Millstream functions depend on.

pub mod accumulate;

pub use accumulate::{Accumulator, PartialError};
