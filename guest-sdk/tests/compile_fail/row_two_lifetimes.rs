//! Two lifetimes, where there is one batch.
use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click<'a, 'b> {
    user_id: &'a str,
    page: &'b str,
}

fn main() {}
