//! Rows that are not structs with named fields.
use millstream_sdk::prelude::*;

#[derive(Row)]
struct Tuple<'a>(&'a str);

#[derive(Row)]
enum Either {
    Left,
    Right,
}

fn main() {}
