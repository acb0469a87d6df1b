//! Rows as columns: what decoding makes, functions take and return, and windows keep.
//!
//! The arrays are Arrow's; [`Field`] says what the contract says of them, which is a little more (`json` is text that
//! is known to be one JSON value).

mod encode;
mod field;
mod json;
mod select;

#[cfg(test)]
mod tests;

use arrow_array::{Array, ArrayRef};

pub use encode::{decode_rows, encode_rows};
pub use field::{Field, FieldType};
pub use json::RowJson;

/// Rows as columns: one array for each field, all of the same length.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// How many rows; also where there are no columns.
    pub len: usize,
    /// One array for each field of a schema that is kept elsewhere.
    pub columns: Vec<ArrayRef>,
}

impl Rows {
    /// Rows of these columns.
    ///
    /// # Panics
    /// In debug builds, if a column has another length.
    pub fn new(len: usize, columns: Vec<ArrayRef>) -> Self {
        debug_assert!(columns.iter().all(|column| column.len() == len));
        Self { len, columns }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
