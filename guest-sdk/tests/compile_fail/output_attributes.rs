//! Attributes of outputs that do not exist or do not fit.
use millstream_sdk::prelude::*;

#[derive(Output)]
struct Visitors {
    #[output(rename = "visitors")]
    unique_visitors: i64,
}

#[derive(Output)]
struct Twice {
    visitors: i64,
    #[output(name = "visitors")]
    again: i64,
}

#[derive(Output)]
struct Nothing {}

fn main() {}
