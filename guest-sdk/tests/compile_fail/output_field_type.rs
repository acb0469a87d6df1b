//! A field of a type that outputs do not have.
use millstream_sdk::prelude::*;

#[derive(Output)]
struct Visitors {
    unique_visitors: u64,
    names: Vec<String>,
}

fn main() {}
