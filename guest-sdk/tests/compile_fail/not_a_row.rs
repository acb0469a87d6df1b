//! A row and an output without their derives.
use millstream_sdk::prelude::*;

struct Click;

struct Visit;

#[derive(Default)]
struct Visits;

#[map]
impl Map for Visits {
    type Row<'a> = Click;
    type Output<'a> = Visit;

    fn map<'a>(&'a self, _: Click, _: &mut Collector<Visit>) -> RowResult {
        Ok(())
    }
}

fn main() {}
