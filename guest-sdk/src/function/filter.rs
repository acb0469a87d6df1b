//! Filters.

use serde::de::DeserializeOwned;

use super::{Error, ErrorCollector, RowResult};
use crate::bindings::filter::exports::millstream::udf::filter_function::Selection;
use crate::column::{ContractError, wire::Batch};
use crate::row::{Row, Rows};

/// A function that keeps some of the rows; exported by [`#[filter]`](macro@crate::filter).
///
/// ```
/// use millstream_sdk::prelude::*;
///
/// #[derive(Row)]
/// struct Click<'a> {
///     user_agent: Option<&'a str>,
/// }
///
/// #[derive(Default)]
/// struct Humans;
///
/// #[filter]
/// impl Filter for Humans {
///     type Row<'a> = Click<'a>;
///
///     fn keep(&self, click: Click<'_>) -> RowResult<bool> {
///         let agent = click.user_agent.ok_or("no user agent")?;
///         Ok(!agent.contains("bot"))
///     }
/// }
/// ```
///
/// With a configuration and a look at the whole batch:
///
/// ```
/// use std::collections::HashMap;
///
/// use millstream_sdk::prelude::*;
/// use millstream_sdk::testing::{self, json};
///
/// #[derive(Row)]
/// struct Click<'a> {
///     user_id: &'a str,
/// }
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Limits {
///     most: usize,
/// }
///
/// struct Calm {
///     most: usize,
/// }
///
/// #[filter]
/// impl Filter for Calm {
///     type Config = Limits;
///     type Row<'a> = Click<'a>;
///
///     fn new(limits: Limits) -> Result<Self, Error> {
///         Ok(Calm { most: limits.most })
///     }
///
///     fn keep(&self, click: Click<'_>) -> RowResult<bool> {
///         Ok(!click.user_id.is_empty())
///     }
///
///     fn judge<'a>(&'a self, rows: Rows<'a, Click<'a>>) -> impl FnMut(Click<'a>) -> RowResult<bool> {
///         let mut seen: HashMap<&str, usize> = HashMap::new();
///         for click in rows {
///             *seen.entry(click.user_id).or_default() += 1;
///         }
///         move |click| Ok(seen[click.user_id] <= self.most && self.keep(click)?)
///     }
/// }
///
/// let rows = [json!({"user_id": "a"}), json!({"user_id": "b"}), json!({"user_id": "a"})];
/// let outcome = testing::filter::<Calm>(json!({"most": 1}), &rows);
/// assert_eq!(outcome.kept, [1]);
/// ```
pub trait Filter: Sized + 'static {
    /// What the step's `config` table holds; [`NoConfig`](super::NoConfig) if left out.
    type Config: DeserializeOwned;
    /// What it reads of a row.
    type Row<'a>: Row<'a>;

    /// Makes the function, once in each instance; [`Default`] if left out together with [`Config`](Self::Config).
    ///
    /// # Errors
    /// If the configuration makes no sense. The pipeline does not start, and its operator reads why.
    fn new(config: Self::Config) -> Result<Self, Error>;

    /// Whether to keep a row.
    ///
    /// # Errors
    /// If the row cannot be judged.
    fn keep(&self, row: Self::Row<'_>) -> RowResult<bool>;

    /// Looks at a whole batch and returns the judge of its rows, who is asked once for each, in order. Left
    /// out, [`keep`](Self::keep) is the judge.
    ///
    /// Batches before this one must not matter: after a failure rows come again, in other batches.
    fn judge<'a>(
        &'a self,
        _rows: Rows<'a, Self::Row<'a>>,
    ) -> impl FnMut(Self::Row<'a>) -> RowResult<bool> {
        |row| self.keep(row)
    }
}

/// Leads a batch through a filter.
pub(crate) fn run<F: Filter>(function: &F, batch: &Batch) -> Result<Selection, ContractError> {
    let rows = Rows::<F::Row<'_>>::open(batch)?;
    let mut judge = function.judge(rows.clone());
    let mut kept = Vec::with_capacity(rows.len());
    let mut errors = ErrorCollector::new();
    for (index, row) in (0..batch.rows).zip(rows) {
        match judge(row) {
            Ok(true) => kept.push(index),
            Ok(false) => {}
            Err(error) => errors.push(index, &error),
        }
    }
    Ok(Selection {
        kept,
        errors: errors.finish(),
    })
}
