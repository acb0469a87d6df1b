//! Aggregates.

use serde::de::DeserializeOwned;

use super::{Error, RowResult};
use crate::accumulate::Accumulator;
use crate::output::{Collector, Output};
use crate::row::Row;

/// A function that folds the rows of each window and key; exported by [`#[aggregate]`](macro@crate::aggregate).
///
/// The fold must not depend on the order of the rows: that is what the [`Accumulator`] is for.
///
/// ```
/// use millstream_sdk::prelude::*;
/// use millstream_sdk::testing::{self, json};
///
/// #[derive(Row)]
/// struct Sale {
///     cents: i64,
/// }
///
/// #[derive(Output)]
/// struct Summary {
///     sales: i64,
///     cents: i64,
/// }
///
/// #[derive(Default)]
/// struct Revenue;
///
/// #[aggregate(state_version = 1)]
/// impl Aggregate for Revenue {
///     type Row<'a> = Sale;
///     type State = Totals;
///     type Output<'a> = Summary;
///
///     fn add(&self, totals: &mut Totals, sale: Sale) -> RowResult {
///         if sale.cents < 0 {
///             return Err(format!("a sale of {} cents", sale.cents).into());
///         }
///         totals.sales.add(1);
///         totals.cents.add(sale.cents);
///         Ok(())
///     }
///
///     fn result(&self, totals: &Totals, out: &mut Collector<Summary>) {
///         out.push(Summary { sales: totals.sales.whole, cents: totals.cents.whole });
///     }
/// }
///
/// #[derive(Accumulator, Default)]
/// struct Totals {
///     sales: Sum,
///     cents: Sum,
/// }
///
/// # #[derive(Default)]
/// # struct Sum { whole: i64, delta: i64 }
/// # impl Sum { fn add(&mut self, n: i64) { self.whole += n; self.delta += n; } }
/// # fn put(n: i64, out: &mut Vec<u8>) { if n != 0 { out.extend(n.to_le_bytes()); } }
/// # impl Accumulator for Sum {
/// #     fn snapshot(&self, out: &mut Vec<u8>) { put(self.whole, out) }
/// #     fn take_delta(&mut self, out: &mut Vec<u8>) { put(std::mem::take(&mut self.delta), out) }
/// #     fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
/// #         if partial.is_empty() { return Ok(()); }
/// #         let bytes = partial.try_into().map_err(|_| PartialError("a sum is 8 bytes".into()))?;
/// #         self.add(i64::from_le_bytes(bytes));
/// #         Ok(())
/// #     }
/// # }
/// let rows = [json!({"cents": 5}), json!({"cents": -1}), json!({"cents": 7})];
/// let outcome = testing::aggregate::<Revenue>(json!({}), &rows);
/// assert_eq!(outcome.rows, [json!({"sales": 2, "cents": 12})]);
/// assert_eq!(outcome.errors, [(1, "a sale of -1 cents".to_owned())]);
/// ```
pub trait Aggregate: Sized + 'static {
    /// What the step's `config` table holds; [`NoConfig`](super::NoConfig) if left out.
    type Config: DeserializeOwned;
    /// What it reads of a row.
    type Row<'a>: Row<'a>;
    /// What it gathers rows in: one for each window and key. Change its encoding, and
    /// `#[aggregate(state_version = 2)]` keeps the new version from reading what the old one wrote.
    type State: Accumulator;
    /// What it makes of the state; may borrow from the state and from `self`.
    type Output<'a>: Output;

    /// Makes the function, once in each instance; [`Default`] if left out together with [`Config`](Self::Config).
    ///
    /// # Errors
    /// If the configuration makes no sense. The pipeline does not start, and its operator reads why.
    fn new(config: Self::Config) -> Result<Self, Error>;

    /// Adds a row.
    ///
    /// # Errors
    /// If the row cannot be added. It must then have left the state as it was: judge first, add after.
    fn add(&self, state: &mut Self::State, row: Self::Row<'_>) -> RowResult;

    /// Produces the rows of a window and key. It may be asked again, after more rows.
    fn result<'a>(&'a self, state: &'a Self::State, out: &mut Collector<Self::Output<'a>>);
}
