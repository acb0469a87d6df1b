//! Rows in: structs that borrow from the batch.

use std::ops::Range;

use crate::column::{ContractError, FieldSpec, wire::Batch};

/// A row that a function reads; implemented by `#[derive(Row)]`.
///
/// The host delivers exactly the fields of the struct, typed. A field's type is one of `bool`, `i64`, `f64`,
/// [`Timestamp`](crate::Timestamp), `&'a str`, `&'a [u8]`, [`Json<'a>`](crate::Json), or an [`Option`] of one of
/// these. A record that lacks a field that is neither an `Option` nor has a default does not reach the
/// function: it goes to the dead letters.
///
/// | attribute | the field is |
/// |---|---|
/// | `#[row(path = "user.id")]` | read from a nested object, or under a name that is not the field's |
/// | `#[row(path = "$value")]` | a property of the record: `$value`, `$key`, `$topic`, `$partition`, `$offset`, `$timestamp`, `$event_time` |
/// | `#[row(default = 1)]` | filled with the expression where the record lacks it |
///
/// ```
/// use millstream_sdk::prelude::*;
///
/// #[derive(Row)]
/// struct Sale<'a> {
///     #[row(path = "item.sku")]
///     sku: &'a str,
///     price: f64,
///     #[row(default = 1)]
///     quantity: i64,
///     coupon: Option<&'a str>,
///     #[row(path = "$event_time")]
///     at: Timestamp,
///     tags: Option<Json<'a>>,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a row",
    note = "put `#[derive(Row)]` on a struct with named fields"
)]
pub trait Row<'a>: Sized {
    /// The fields that it reads, in the order of the columns.
    const FIELDS: &'static [FieldSpec];
    /// The columns of a batch, checked.
    type Columns: Clone;

    /// Checks the columns of a batch.
    ///
    /// # Errors
    /// If the batch does not keep to the contract.
    fn open(batch: &'a Batch) -> Result<Self::Columns, ContractError>;

    /// Reads a row.
    ///
    /// # Panics
    /// If `row` is not below the batch's number of rows.
    fn read(columns: &Self::Columns, row: usize) -> Self;
}

/// Rows of a batch or window, in order. Cheap to clone, so that they can be gone through more than once.
#[derive(Debug)]
pub struct Rows<'a, R: Row<'a>> {
    columns: R::Columns,
    range: Range<usize>,
}

impl<'a, R: Row<'a>> Rows<'a, R> {
    /// All rows of a batch, once it has been checked.
    pub(crate) fn open(batch: &'a Batch) -> Result<Self, ContractError> {
        let columns = R::open(batch)?;
        if batch.columns.len() != R::FIELDS.len() {
            return Err(ContractError::new(format!(
                "the batch has {} columns for {} fields",
                batch.columns.len(),
                R::FIELDS.len()
            )));
        }
        Ok(Self {
            columns,
            range: 0..batch.rows as usize,
        })
    }

    /// Some of them; nothing if the range is not within them.
    pub(crate) fn slice(&self, range: Range<usize>) -> Option<Self> {
        (range.start <= range.end && range.end <= self.range.len()).then(|| Self {
            columns: self.columns.clone(),
            range: self.range.start + range.start..self.range.start + range.end,
        })
    }
}

impl<'a, R: Row<'a>> Clone for Rows<'a, R> {
    fn clone(&self) -> Self {
        Self {
            columns: self.columns.clone(),
            range: self.range.clone(),
        }
    }
}

impl<'a, R: Row<'a>> Iterator for Rows<'a, R> {
    type Item = R;

    #[inline]
    fn next(&mut self) -> Option<R> {
        let row = self.range.next()?;
        Some(R::read(&self.columns, row))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl<'a, R: Row<'a>> DoubleEndedIterator for Rows<'a, R> {
    fn next_back(&mut self) -> Option<R> {
        let row = self.range.next_back()?;
        Some(R::read(&self.columns, row))
    }
}

impl<'a, R: Row<'a>> ExactSizeIterator for Rows<'a, R> {}
