//! A default of another type than its field.
use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click {
    #[row(default = "one")]
    count: i64,
}

fn main() {}
