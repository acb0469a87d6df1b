//! What a function's file needs: `use millstream_sdk::prelude::*;`.

pub use crate::accumulate::*;
pub use crate::{
    Accumulator, Aggregate, Collector, Error, Filter, Json, Map, NoConfig, Output, Row, RowResult,
    Rows, Timestamp, Window, WindowApply, aggregate, filter, log, map, metrics, window_apply,
};
