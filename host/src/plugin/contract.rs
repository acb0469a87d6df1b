//! The contract of `wit/` in Rust: its types as they go into a component and as they come out.
//!
//! Written out rather than generated, because rows go in as borrowed slices (one copy into the guest, none before it),
//! which wasmtime's generator can't express for types that several interfaces share. wasmtime checks each function's type
//! against these when it is called; the names of the WIT files are kept.

use wasmtime::component::{ComponentType, Lift, Lower};

/// The version of the contract that this host speaks.
pub(super) const VERSION: &str = "0.1.1";

/// The interface that every component exports.
pub(super) const PLUGIN: &str = "millstream:udf/plugin";
/// The interface that every component may import.
pub(super) const LOG: &str = "millstream:udf/log";
/// The interface by which a component counts and measures, which it may import.
pub(super) const METRICS: &str = "millstream:udf/metrics";
/// The interface by which an aggregate reads partials of other versions, which it may export.
pub(super) const MIGRATION: &str = "millstream:udf/aggregate-migration";
/// The interface that holds the types.
pub(super) const TYPES: &str = "millstream:udf/types";

#[derive(Clone, Copy, ComponentType, Debug, Eq, Lift, PartialEq)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting only")]
pub(super) enum FieldType {
    #[component(name = "bool")]
    Bool,
    #[component(name = "int64")]
    Int64,
    #[component(name = "float64")]
    Float64,
    #[component(name = "timestamp")]
    Timestamp,
    #[component(name = "text")]
    Text,
    #[component(name = "bytes")]
    Bytes,
    #[component(name = "json")]
    Json,
}

#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct Field {
    pub(super) name: String,
    #[component(name = "type")]
    pub(super) ty: FieldType,
    pub(super) optional: bool,
}

#[derive(Clone, Copy, ComponentType, Debug, Eq, Lift, PartialEq)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting only")]
pub(super) enum Kind {
    #[component(name = "filter")]
    Filter,
    #[component(name = "map")]
    Map,
    #[component(name = "aggregate")]
    Aggregate,
    #[component(name = "window-apply")]
    WindowApply,
}

#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct Description {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) kind: Kind,
    pub(super) reads: Vec<Field>,
    pub(super) produces: Vec<Field>,
    #[component(name = "state-version")]
    pub(super) state_version: u32,
}

#[derive(Clone, Copy, ComponentType, Debug, Eq, Lift, PartialEq)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting only")]
pub(super) enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

// Into the guest.

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct VarValuesIn<'a> {
    pub(super) offsets: &'a [i32],
    pub(super) data: &'a [u8],
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(variant)]
pub(super) enum ValuesIn<'a> {
    #[component(name = "bool")]
    Bool(&'a [u8]),
    #[component(name = "int64")]
    Int64(&'a [i64]),
    #[component(name = "float64")]
    Float64(&'a [f64]),
    #[component(name = "timestamp")]
    Timestamp(&'a [i64]),
    #[component(name = "text")]
    Text(VarValuesIn<'a>),
    #[component(name = "bytes")]
    Bytes(VarValuesIn<'a>),
    #[component(name = "json")]
    Json(VarValuesIn<'a>),
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct ColumnIn<'a> {
    pub(super) validity: Option<&'a [u8]>,
    pub(super) values: ValuesIn<'a>,
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct BatchIn<'a> {
    pub(super) rows: u32,
    pub(super) columns: &'a [ColumnIn<'a>],
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct WindowIn<'a> {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) key: Option<&'a str>,
}

// Out of the guest: nothing here has been checked.

#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct VarValuesOut {
    pub(super) offsets: Vec<i32>,
    pub(super) data: Vec<u8>,
}

#[derive(ComponentType, Debug, Lift)]
#[component(variant)]
pub(super) enum ValuesOut {
    #[component(name = "bool")]
    Bool(Vec<u8>),
    #[component(name = "int64")]
    Int64(Vec<i64>),
    #[component(name = "float64")]
    Float64(Vec<f64>),
    #[component(name = "timestamp")]
    Timestamp(Vec<i64>),
    #[component(name = "text")]
    Text(VarValuesOut),
    #[component(name = "bytes")]
    Bytes(VarValuesOut),
    #[component(name = "json")]
    Json(VarValuesOut),
}

#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct ColumnOut {
    pub(super) validity: Option<Vec<u8>>,
    pub(super) values: ValuesOut,
}

#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct RowErrorsOut {
    pub(super) rows: Vec<u32>,
    pub(super) messages: VarValuesOut,
}

#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct ProducedOut {
    pub(super) source: Vec<u32>,
    pub(super) columns: Vec<ColumnOut>,
}

#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct SelectionOut {
    pub(super) kept: Vec<u32>,
    pub(super) errors: RowErrorsOut,
}

#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct MappedOut {
    pub(super) rows: ProducedOut,
    pub(super) errors: RowErrorsOut,
}
