//! A map that passes `user_id` on as text, where `wrong-type` reads a number.

use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click<'a> {
    user_id: &'a str,
}

#[derive(Output)]
struct User<'a> {
    user_id: &'a str,
}

#[derive(Default)]
struct TextUser;

#[map]
impl Map for TextUser {
    type Row<'a> = Click<'a>;
    type Output<'a> = User<'a>;

    fn map<'a>(&'a self, Click { user_id }: Click<'a>, out: &mut Collector<User<'a>>) -> RowResult {
        out.push(User { user_id });
        Ok(())
    }
}
