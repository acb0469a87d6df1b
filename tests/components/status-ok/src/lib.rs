//! A filter that keeps clicks with status 200, for the benchmark.

use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click {
    status: i64,
}

#[derive(Default)]
struct StatusOk;

#[filter]
impl Filter for StatusOk {
    type Row<'a> = Click;

    fn keep(&self, click: Click) -> RowResult<bool> {
        Ok(click.status == 200)
    }
}
