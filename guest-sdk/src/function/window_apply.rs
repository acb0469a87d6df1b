//! Functions of whole windows.

use serde::de::DeserializeOwned;

use super::Error;
use crate::Timestamp;
use crate::bindings::window_apply::exports::millstream::udf::window_apply_function as wire;
use crate::column::wire::{Batch, Produced};
use crate::output::{Collector, Output};
use crate::row::{Row, Rows};

/// A function of all rows of a window at once; exported by [`#[window_apply]`](macro@crate::window_apply).
///
/// The host keeps every row until the window fires. Where the function can be an
/// [`Aggregate`](super::aggregate::Aggregate), that costs far less.
///
/// ```
/// use millstream_sdk::prelude::*;
/// use millstream_sdk::testing::{self, json};
///
/// #[derive(Row)]
/// struct Reading {
///     celsius: f64,
/// }
///
/// #[derive(Output)]
/// struct Median<'a> {
///     sensor: Option<&'a str>,
///     celsius: f64,
/// }
///
/// #[derive(Default)]
/// struct MedianTemperature;
///
/// #[window_apply]
/// impl WindowApply for MedianTemperature {
///     type Row<'a> = Reading;
///     type Output<'a> = Median<'a>;
///
///     fn apply<'a>(
///         &'a self,
///         window: &'a Window,
///         rows: Rows<'a, Reading>,
///         out: &mut Collector<Median<'a>>,
///     ) -> Result<(), Error> {
///         let mut celsius: Vec<f64> = rows.map(|row| row.celsius).collect();
///         celsius.sort_by(f64::total_cmp);
///         out.push(Median { sensor: window.key.as_deref(), celsius: celsius[celsius.len() / 2] });
///         Ok(())
///     }
/// }
///
/// let window = Window {
///     start: Timestamp::from_millis(0),
///     end: Timestamp::from_millis(60_000),
///     key: Some("roof".to_owned()),
/// };
/// let rows = [json!({"celsius": 20.5}), json!({"celsius": 3.0}), json!({"celsius": 21.0})];
/// let result = testing::window_apply::<MedianTemperature>(json!({}), window, &rows);
/// assert_eq!(result.unwrap(), [json!({"sensor": "roof", "celsius": 20.5})]);
/// ```
pub trait WindowApply: Sized + 'static {
    /// What the step's `config` table holds; [`NoConfig`](super::NoConfig) if left out.
    type Config: DeserializeOwned;
    /// What it reads of a row.
    type Row<'a>: Row<'a>;
    /// What it makes of a window; may borrow from the rows, the window and `self`.
    type Output<'a>: Output;

    /// Makes the function, once in each instance; [`Default`] if left out together with [`Config`](Self::Config).
    ///
    /// # Errors
    /// If the configuration makes no sense. The pipeline does not start, and its operator reads why.
    fn new(config: Self::Config) -> Result<Self, Error>;

    /// Computes the results of a window that fires. There is at least one row; within a source partition rows
    /// stand in the order of the log.
    ///
    /// # Errors
    /// An error stops the pipeline. Rows that might be bad are better met by a filter or map step before.
    fn apply<'a>(
        &'a self,
        window: &'a Window,
        rows: Rows<'a, Self::Row<'a>>,
        out: &mut Collector<Self::Output<'a>>,
    ) -> Result<(), Error>;
}

/// A window that fires.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Window {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// Its key as text; nothing where the step has no key.
    pub key: Option<String>,
}

impl From<wire::Window> for Window {
    fn from(window: wire::Window) -> Self {
        Self {
            start: Timestamp::from_millis(window.start),
            end: Timestamp::from_millis(window.end),
            key: window.key,
        }
    }
}

/// Leads the rows of some windows through a function.
pub(crate) fn run<F: WindowApply>(
    function: &F,
    windows: &[Window],
    bounds: &[u32],
    batch: &Batch,
) -> Result<Produced, String> {
    if bounds.len() != windows.len() + 1 {
        return Err(format!(
            "{} bounds for {} windows",
            bounds.len(),
            windows.len()
        ));
    }
    let rows = Rows::<F::Row<'_>>::open(batch).map_err(|error| error.to_string())?;
    let mut out = Collector::new();
    for ((index, window), bounds) in (0..).zip(windows).zip(bounds.windows(2)) {
        let rows = rows
            .slice(bounds[0] as usize..bounds[1] as usize)
            .filter(|rows| rows.len() > 0)
            .ok_or_else(|| format!("the bounds of window {index} hold no rows of the batch"))?;
        out.start(index);
        function
            .apply(window, rows, &mut out)
            .map_err(|error| error.to_string())?;
    }
    Ok(out.finish())
}
