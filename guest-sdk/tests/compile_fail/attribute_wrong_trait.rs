//! An attribute on an implementation of another kind's trait.
use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click {}

#[derive(Default)]
struct KeepAll;

#[map]
impl Filter for KeepAll {
    type Row<'a> = Click;

    fn keep(&self, _: Click) -> RowResult<bool> {
        Ok(true)
    }
}

fn main() {}
