//! A map that does not say what it produces.
use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click {}

#[derive(Default)]
struct Nothing;

#[map]
impl Map for Nothing {
    type Row<'a> = Click;

    fn map<'a>(&'a self, _: Click, _: &mut Collector<Self::Output<'a>>) -> RowResult {
        Ok(())
    }
}

fn main() {}
