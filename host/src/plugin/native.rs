//! Functions of those who embed the host: Rust that is compiled into the same program, trusted as the host itself is. They go through the
//! same windows, state and commits as components do, without a sandbox, so nothing bounds what they take.

use std::fmt;
use std::sync::Arc;

use arrow_array::BinaryArray;

use super::{Produced, RowErrors};
use crate::rows::{Field, Rows};

/// An aggregate in Rust. What its calls are given and give is as in the contract of components (`docs/contract.md`); what it gives is
/// not checked.
pub trait NativeAggregate: Send {
    /// Adds each row to the accumulator in its slot; `select` names the column of each field that it reads.
    fn accumulate(&mut self, slots: &[u32], rows: &Rows, select: &[usize]) -> RowErrors;

    /// Merges partial `i` into `slots[i]`.
    ///
    /// # Errors
    /// Why a partial is none of its own.
    fn merge(&mut self, slots: &[u32], partials: &BinaryArray) -> Result<(), String>;

    /// For each slot what has come into it since the last call, as a partial.
    fn take_deltas(&mut self, slots: &[u32]) -> BinaryArray;

    /// For each slot the whole accumulator, as a partial.
    fn snapshot(&mut self, slots: &[u32]) -> BinaryArray;

    /// The results of the slots; their sources are indices into `slots`.
    fn finish(&mut self, slots: &[u32]) -> Produced;

    /// Ends the slots.
    fn close(&mut self, slots: &[u32]);
}

/// How an instance of an aggregate in Rust is made.
type Start = dyn Fn() -> Box<dyn NativeAggregate> + Send + Sync;

/// What an aggregate in Rust says of itself, and how an instance is made.
#[derive(Clone)]
pub struct NativeFunction {
    /// Its name, as a component would have it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The fields that it reads.
    pub reads: Vec<Field>,
    /// The fields that it produces.
    pub produces: Vec<Field>,
    /// The version of its partials.
    pub state_version: u32,
    /// Makes an instance, empty.
    pub start: Arc<Start>,
}

impl fmt::Debug for NativeFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}
