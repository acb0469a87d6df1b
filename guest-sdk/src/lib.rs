//! What authors of Millstream functions depend on.
//!
//! A function is a crate that compiles to one WebAssembly component of one kind. Its author writes three things:
//! a struct for the rows that it reads, an implementation of the kind's trait, and the kind's attribute on it.
//!
//! | kind | trait and attribute | does |
//! |---|---|---|
//! | filter | [`Filter`], [`#[filter]`](macro@filter) | keeps some of the rows |
//! | map | [`Map`], [`#[map]`](macro@map) | turns each row into any number of rows |
//! | aggregate | [`Aggregate`], [`#[aggregate]`](macro@aggregate) | folds the rows of each window and key |
//! | window-apply | [`WindowApply`], [`#[window_apply]`](macro@window_apply) | sees all rows of a window at once |
//!
//! ```
//! use std::collections::HashSet;
//!
//! use millstream_sdk::prelude::*;
//! use millstream_sdk::testing::{self, json};
//!
//! #[derive(Row)]
//! struct Click<'a> {
//!     user_id: &'a str,
//! }
//!
//! #[derive(Output)]
//! struct Visitors {
//!     unique_visitors: i64,
//! }
//!
//! #[derive(Default)]
//! struct UniqueVisitors;
//!
//! #[window_apply]
//! impl WindowApply for UniqueVisitors {
//!     type Row<'a> = Click<'a>;
//!     type Output<'a> = Visitors;
//!
//!     fn apply<'a>(
//!         &self,
//!         _: &Window,
//!         rows: Rows<'a, Click<'a>>,
//!         out: &mut Collector<Visitors>,
//!     ) -> Result<(), Error> {
//!         let users: HashSet<&str> = rows.map(|click| click.user_id).collect();
//!         out.push(Visitors { unique_visitors: i64::try_from(users.len())? });
//!         Ok(())
//!     }
//! }
//!
//! let window = Window { start: Timestamp::from_millis(0), end: Timestamp::from_millis(60_000), key: None };
//! let clicks = [json!({"user_id": "a"}), json!({"user_id": "b"}), json!({"user_id": "a"})];
//! let rows = testing::window_apply::<UniqueVisitors>(json!({}), window, &clicks).unwrap();
//! assert_eq!(rows, [json!({"unique_visitors": 2})]);
//! ```
//!
//! # The crate of a function
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"] # the component; and a library, so that tests can use it
//!
//! [dependencies]
//! millstream-sdk = "0.1"
//! ```
//! It is built with `cargo build --target wasm32-wasip2`. Its name and version are those of the crate, and it
//! exports one function: a second attribute in the same crate fails to link. Everything compiles natively too, so
//! `cargo test` needs no host; see [`testing`].
//!
//! # What it is not
//! The SDK has no clock, no files, no network and no randomness: rows and configuration are all that a function
//! knows, so that a replay gives the same answer. It keeps nothing between batches, except in the states of an
//! aggregate.

pub mod accumulate;
mod column;
mod function;
mod json;
pub mod log;
pub mod metrics;
mod output;
mod parts;
pub mod prelude;
mod row;
pub mod testing;
mod timestamp;

#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod component;

pub use accumulate::{Accumulator, PartialError};
pub use function::aggregate::Aggregate;
pub use function::filter::Filter;
pub use function::map::Map;
pub use function::window_apply::{Window, WindowApply};
pub use function::{Error, NoConfig, RowResult};
pub use json::Json;
pub use output::{Collector, Output};
pub use row::{Row, Rows};
pub use timestamp::Timestamp;

pub use millstream_sdk_macros::{Accumulator, Output, Row, aggregate, filter, map, window_apply};

/// What the attributes and derives expand to.
#[doc(hidden)]
pub mod expanded {
    pub use crate::column::build::{ColumnBuilder, IntoColumn};
    pub use crate::column::read::FromColumn;
    pub use crate::column::{ContractError, FieldSpec, wire};
    pub use crate::parts::{PartsWriter, split_parts};
}

/// The examples of the guide for authors, compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/writing-plugins.md")]
struct WritingPlugins;
