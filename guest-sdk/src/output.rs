//! Rows out: structs that are taken apart into columns.

use std::marker::PhantomData;

use crate::column::build::ColumnBuilder;
use crate::column::{FieldSpec, wire::Produced};

/// A row that a function produces; implemented by `#[derive(Output)]`.
///
/// A field's type is one of `bool`, `i64` or a smaller integer, `f64`, [`Timestamp`](crate::Timestamp), `&str`,
/// `String`, `Cow<str>`, `&[u8]`, `Vec<u8>`, [`Json`](crate::Json), [`serde_json::Value`], or an [`Option`] of one of
/// these. `#[output(name = "...")]` gives a field another name than the struct has.
///
/// ```
/// use millstream_sdk::prelude::*;
///
/// #[derive(Output)]
/// struct Page<'a> {
///     path: &'a str,
///     #[output(name = "class")]
///     kind: Option<String>,
///     views: i64,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an output",
    note = "put `#[derive(Output)]` on a struct with named fields"
)]
pub trait Output {
    /// The fields that it produces, in the order of the columns.
    const FIELDS: &'static [FieldSpec];

    /// Appends the row to columns built for [`FIELDS`](Self::FIELDS).
    fn write(&self, columns: &mut [ColumnBuilder]);
}

/// Takes the rows that a function produces.
#[derive(Debug)]
pub struct Collector<O> {
    from: u32,
    source: Vec<u32>,
    columns: Vec<ColumnBuilder>,
    output: PhantomData<fn(O)>,
}

impl<O: Output> Collector<O> {
    pub(crate) fn new() -> Self {
        Self {
            from: 0,
            source: Vec::new(),
            columns: O::FIELDS.iter().map(ColumnBuilder::new).collect(),
            output: PhantomData,
        }
    }

    /// Takes a row.
    #[inline]
    pub fn push(&mut self, row: O) {
        row.write(&mut self.columns);
        self.source.push(self.from);
    }

    /// Says what the rows that follow come from.
    pub(crate) fn start(&mut self, from: u32) {
        self.from = from;
    }

    pub(crate) fn len(&self) -> usize {
        self.source.len()
    }

    /// Gives up the last rows until `rows` are left.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.source.truncate(rows);
        for column in &mut self.columns {
            column.truncate(rows);
        }
    }

    pub(crate) fn finish(self) -> Produced {
        Produced {
            source: self.source,
            columns: self
                .columns
                .into_iter()
                .map(ColumnBuilder::finish)
                .collect(),
        }
    }
}

impl<O: Output> Extend<O> for Collector<O> {
    fn extend<I: IntoIterator<Item = O>>(&mut self, rows: I) {
        for row in rows {
            self.push(row);
        }
    }
}
