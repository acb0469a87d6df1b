//! A field of a type that rows do not have.
use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click {
    count: u64,
    name: Option<String>,
}

fn main() {}
