//! A filter that panics at a row of the user `poison`, as a function with a bug does at a row that nobody had foreseen.

use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click<'a> {
    user_id: &'a str,
}

#[derive(Default)]
struct Poison;

#[filter]
impl Filter for Poison {
    type Row<'a> = Click<'a>;

    fn keep(&self, click: Click<'_>) -> RowResult<bool> {
        assert!(click.user_id != "poison", "this row was not foreseen");
        Ok(true)
    }
}
