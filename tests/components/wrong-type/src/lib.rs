//! A filter that reads `user_id` as a number, where the records of our examples have text.

use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click {
    user_id: i64,
}

#[derive(Default)]
struct RegisteredUsers;

#[filter]
impl Filter for RegisteredUsers {
    type Row<'a> = Click;

    fn keep(&self, click: Click) -> RowResult<bool> {
        Ok(click.user_id > 0)
    }
}
