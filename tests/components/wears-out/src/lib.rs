//! A filter that keeps every row but those of the number 0, and panics when it has seen `config.rows` of them: as a function that leaks
//! does, at a row that is innocent.

use std::cell::Cell;

use millstream_sdk::prelude::*;
use serde::Deserialize;

#[derive(Row)]
struct Number {
    n: i64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    rows: u32,
}

struct WearsOut {
    left: Cell<u32>,
}

#[filter]
impl Filter for WearsOut {
    type Config = Settings;
    type Row<'a> = Number;

    fn new(config: Settings) -> Result<Self, Error> {
        Ok(WearsOut {
            left: Cell::new(config.rows),
        })
    }

    fn keep(&self, number: Number) -> RowResult<bool> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.expect("it is worn out"));
        Ok(number.n != 0)
    }
}
