//! Maps.

use serde::de::DeserializeOwned;

use super::{Error, ErrorCollector, RowResult};
use crate::bindings::map::exports::millstream::udf::map_function::Mapped;
use crate::column::{ContractError, wire::Batch};
use crate::output::{Collector, Output};
use crate::row::{Row, Rows};

/// A function that turns each row into any number of rows; exported by [`#[map]`](macro@crate::map).
///
/// ```
/// use millstream_sdk::prelude::*;
/// use millstream_sdk::testing::{self, json};
///
/// #[derive(Row)]
/// struct Request<'a> {
///     url: &'a str,
/// }
///
/// #[derive(Output)]
/// struct Target<'a> {
///     path: &'a str,
///     query: Option<&'a str>,
/// }
///
/// #[derive(Default)]
/// struct SplitUrl;
///
/// #[map]
/// impl Map for SplitUrl {
///     type Row<'a> = Request<'a>;
///     type Output<'a> = Target<'a>;
///
///     fn map<'a>(&'a self, row: Request<'a>, out: &mut Collector<Target<'a>>) -> RowResult {
///         let (path, query) = match row.url.split_once('?') {
///             Some((path, query)) => (path, Some(query)),
///             None => (row.url, None),
///         };
///         out.push(Target { path, query });
///         Ok(())
///     }
/// }
///
/// let outcome = testing::map::<SplitUrl>(json!({}), &[json!({"url": "/a?b=1"})]);
/// assert_eq!(outcome.rows, [json!({"path": "/a", "query": "b=1"})]);
/// ```
pub trait Map: Sized + 'static {
    /// What the step's `config` table holds; [`NoConfig`](super::NoConfig) if left out.
    type Config: DeserializeOwned;
    /// What it reads of a row.
    type Row<'a>: Row<'a>;
    /// What it makes of it; may borrow from the row and from `self`.
    type Output<'a>: Output;

    /// Makes the function, once in each instance; [`Default`] if left out together with [`Config`](Self::Config).
    ///
    /// # Errors
    /// If the configuration makes no sense. The pipeline does not start, and its operator reads why.
    fn new(config: Self::Config) -> Result<Self, Error>;

    /// Maps a row, of which alone the answer may depend.
    ///
    /// # Errors
    /// If the row cannot be mapped. It then produces nothing: what it has pushed is given up.
    fn map<'a>(&'a self, row: Self::Row<'a>, out: &mut Collector<Self::Output<'a>>) -> RowResult;
}

/// Leads a batch through a map.
pub(crate) fn run<F: Map>(function: &F, batch: &Batch) -> Result<Mapped, ContractError> {
    let rows = Rows::<F::Row<'_>>::open(batch)?;
    let mut out = Collector::new();
    let mut errors = ErrorCollector::new();
    for (index, row) in (0..batch.rows).zip(rows) {
        let before = out.len();
        out.start(index);
        if let Err(error) = function.map(row, &mut out) {
            out.truncate(before);
            errors.push(index, &error);
        }
    }
    Ok(Mapped {
        rows: out.finish(),
        errors: errors.finish(),
    })
}
