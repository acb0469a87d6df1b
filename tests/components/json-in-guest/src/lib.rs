//! `unique-visitors` as one writes it where the host hands over bytes: the JSON is parsed in the component. For the benchmark.

use millstream_sdk::prelude::*;
use serde::Deserialize;

#[derive(Row)]
struct Record<'a> {
    #[row(path = "$value")]
    value: &'a [u8],
}

#[derive(Deserialize)]
struct Click<'a> {
    user_id: &'a str,
}

#[derive(Output)]
struct Visitors {
    unique_visitors: i64,
}

#[derive(Default)]
struct UniqueVisitors;

#[aggregate]
impl Aggregate for UniqueVisitors {
    type Row<'a> = Record<'a>;
    type State = ExactSet;
    type Output<'a> = Visitors;

    fn add(&self, visitors: &mut ExactSet, record: Record<'_>) -> RowResult {
        let click: Click<'_> = serde_json::from_slice(record.value)?;
        visitors.insert(click.user_id);
        Ok(())
    }

    fn result(&self, visitors: &ExactSet, out: &mut Collector<Visitors>) {
        let unique_visitors = visitors.len() as i64;
        out.push(Visitors { unique_visitors });
    }
}
