//! What authors of Millstream functions depend on.

pub mod accumulate;
pub mod bindings;

pub use accumulate::{Accumulator, PartialError};
