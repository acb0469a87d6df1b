//! Millstream reads Kafka topics, runs event-time windows over them and calls user functions that are WebAssembly
//! components.
//!
//! The modules follow the path of a record: [`log`] fetches it, [`decode`] turns it into columns ([`rows`]). [`service`] runs many
//! pipelines in one process, with plugins from the [`registry`], and [`server`] is its HTTP API.

pub mod cli;
pub mod control;
pub mod decode;
pub mod fail_point;
pub mod format;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod generate;
pub mod log;
mod outside;
pub mod pipeline;
pub mod plugin;
pub mod registry;
pub mod rows;
pub mod sample;
pub mod server;
pub mod service;
pub mod state;
pub mod time;
pub mod window;
pub mod worker;
