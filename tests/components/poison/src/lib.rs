//! A filter that panics at a row of the user `poison`, as a function with a bug does at a row that nobody had foreseen; with
//! `config = { calm = true }`, its next release, it drops that row and keeps all others.

use millstream_sdk::prelude::*;
use serde::Deserialize;

#[derive(Row)]
struct Click<'a> {
    user_id: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    calm: bool,
}

struct Poison {
    calm: bool,
}

#[filter]
impl Filter for Poison {
    type Config = Settings;
    type Row<'a> = Click<'a>;

    fn new(config: Settings) -> Result<Self, Error> {
        Ok(Poison { calm: config.calm })
    }

    fn keep(&self, click: Click<'_>) -> RowResult<bool> {
        let is_poison = click.user_id == "poison";
        assert!(self.calm || !is_poison, "this row was not foreseen");
        Ok(!is_poison)
    }
}
