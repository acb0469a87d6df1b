//! A function that is neither made from a configuration nor by default.
use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click {}

struct KeepAll {
    limit: i64,
}

#[filter]
impl Filter for KeepAll {
    type Row<'a> = Click;

    fn keep(&self, _: Click) -> RowResult<bool> {
        Ok(self.limit > 0)
    }
}

fn main() {}
