//! Components: admission, instances, and rows across their border.
//!
//! The only folder that names wasmtime. What leaves it is ours: [`Plugin`] is an admitted component,
//! [`FilterInstance`] and its like are one running copy of it each. Everything that a component returns is treated as
//! hostile and checked in `incoming` before anybody sees it.

mod admission;
mod aggregate;
mod cache;
mod carried;
mod contract;
mod engine;
mod failure;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod imports;
mod incoming;
mod inspection;
mod instance;
mod meter;
mod native;
mod outgoing;
mod reference;
mod running;
mod sandbox;

pub(crate) use admission::digest_of;
pub use admission::{AdmissionError, Kind, MAX_FILE_BYTES, Plugin, granted};
pub use aggregate::AggregateInstance;
pub use cache::CodeCache;
pub use carried::SampleFiles;
pub use engine::PluginEngine;
pub use failure::{GuestFailure, GuestFault};
pub use incoming::{Produced, RowErrors, Selection};
pub use instance::{AppliedWindow, FilterInstance, MapInstance, WindowApplyInstance};
pub use meter::{BUCKETS, Histogram, Lost, Meters, Place, Reading};
pub use native::{NativeAggregate, NativeFunction};
pub use reference::{NoReference, Reference};
pub use sandbox::Limits;
