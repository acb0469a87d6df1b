//! A map that passes three fields of a click on, for the benchmark.

use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click<'a> {
    event_time: i64,
    user_id: &'a str,
    url: &'a str,
}

#[derive(Output)]
struct Passed<'a> {
    event_time: i64,
    user_id: &'a str,
    url: &'a str,
}

#[derive(Default)]
struct ThreeFields;

#[map]
impl Map for ThreeFields {
    type Row<'a> = Click<'a>;
    type Output<'a> = Passed<'a>;

    fn map<'a>(&'a self, click: Click<'a>, out: &mut Collector<Passed<'a>>) -> RowResult {
        let Click {
            event_time,
            user_id,
            url,
        } = click;
        out.push(Passed {
            event_time,
            user_id,
            url,
        });
        Ok(())
    }
}
