//! Accumulators that are not structs of accumulators.
use millstream_sdk::prelude::*;

#[derive(Accumulator, Default)]
struct Nothing;

#[derive(Accumulator, Default)]
enum Either {
    #[default]
    Left,
}

fn main() {}
