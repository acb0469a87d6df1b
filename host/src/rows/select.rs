//! Rows from rows: some of them, or several lots in one.

use arrow_array::UInt32Array;
use arrow_schema::ArrowError;
use arrow_select::concat::concat;
use arrow_select::take::{TakeOptions, take};

use super::Rows;

impl Rows {
    /// The rows with these indices, in this order; an index may occur any number of times.
    ///
    /// # Errors
    /// If an index is out of bounds, or if a column would take more than 2 GiB.
    pub fn take(&self, indices: &[u32]) -> Result<Rows, ArrowError> {
        let out_of_bounds = |index: &&u32| usize::try_from(**index).map_or(true, |i| i >= self.len);
        if let Some(index) = indices.iter().find(out_of_bounds) {
            let message = format!("row {index} of {} rows", self.len);
            return Err(ArrowError::InvalidArgumentError(message));
        }
        let array = UInt32Array::from_iter_values(indices.iter().copied());
        // Checked above, for rows without columns too.
        let options = TakeOptions {
            check_bounds: false,
        };
        let columns = self
            .columns
            .iter()
            .map(|column| take(column, &array, Some(options.clone())))
            .collect::<Result<_, _>>()?;
        Ok(Rows::new(indices.len(), columns))
    }

    /// The rows of all parts, one after the other. All must be of one schema; no parts make no rows and no columns.
    ///
    /// # Errors
    /// If the parts differ in their columns, or if a column would take more than 2 GiB.
    pub fn concat(parts: &[Rows]) -> Result<Rows, ArrowError> {
        let Some(first) = parts.first() else {
            return Ok(Rows::default());
        };
        let width = first.columns.len();
        if let Some(other) = parts.iter().find(|part| part.columns.len() != width) {
            let message = format!("rows of {width} and {} columns", other.columns.len());
            return Err(ArrowError::InvalidArgumentError(message));
        }
        let columns = (0..width)
            .map(|at| {
                let arrays: Vec<_> = parts.iter().map(|part| &*part.columns[at]).collect();
                concat(&arrays)
            })
            .collect::<Result<_, _>>()?;
        Ok(Rows::new(parts.iter().map(|part| part.len).sum(), columns))
    }
}
