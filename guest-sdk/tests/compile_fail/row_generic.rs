//! A row with a type parameter.
use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click<T> {
    user_id: T,
}

fn main() {}
