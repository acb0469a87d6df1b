//! A state that today's state can't be made of.
use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click {}

#[derive(Accumulator, Default)]
struct Old {
    clicks: Count,
}

#[derive(Output)]
struct Clicks {
    clicks: i64,
}

#[derive(Default)]
struct Counting;

#[aggregate(state_version = 2, migrates(1 = Old))]
impl Aggregate for Counting {
    type Row<'a> = Click;
    type State = Count;
    type Output<'a> = Clicks;

    fn add(&self, clicks: &mut Count, _: Click) -> RowResult {
        clicks.add(1);
        Ok(())
    }

    fn result(&self, _: &Count, out: &mut Collector<Clicks>) {
        out.push(Clicks { clicks: 0 });
    }
}

fn main() {}
