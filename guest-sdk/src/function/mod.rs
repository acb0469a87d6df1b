//! The four kinds of function: for each the trait that an author implements, and how a batch is led through it; and how an
//! aggregate reads the partials of its earlier versions.

pub(crate) mod aggregate;
pub(crate) mod filter;
pub(crate) mod map;
pub(crate) mod migration;
pub(crate) mod slots;
pub(crate) mod window_apply;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::column::build::{no_values, push_bytes};
use crate::column::wire::RowErrors;

/// Why a function refused a row or its configuration: any error, or a message (`Err("no price".into())`).
pub type Error = Box<dyn std::error::Error>;

/// What becomes of a row. A row in error goes to the dead letters with the message; the others go on.
pub type RowResult<T = ()> = Result<T, Error>;

/// The configuration of a function that has none: any key is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Reads a configuration and makes a function of it.
pub(crate) fn configure<C: DeserializeOwned, F>(
    config: &str,
    new: impl FnOnce(C) -> Result<F, Error>,
) -> Result<F, String> {
    let config = serde_json::from_str(config).map_err(|error| format!("config: {error}"))?;
    new(config).map_err(|error| format!("config: {error}"))
}

/// The rows in error of a batch, in the order in which they are found.
pub(crate) struct ErrorCollector(RowErrors);

impl ErrorCollector {
    pub(crate) fn new() -> Self {
        Self(RowErrors {
            rows: Vec::new(),
            messages: no_values(),
        })
    }

    pub(crate) fn push(&mut self, row: u32, error: &Error) {
        self.0.rows.push(row);
        push_bytes(&mut self.0.messages, error.to_string().as_bytes());
    }

    pub(crate) fn finish(self) -> RowErrors {
        self.0
    }
}
