//! Attributes of rows that do not exist or do not fit.
use millstream_sdk::prelude::*;

#[derive(Row)]
struct Click<'a> {
    #[row(pth = "user.id")]
    user_id: &'a str,
    #[row(path = "user..id")]
    dots: &'a str,
    #[row(path = "$header")]
    header: &'a str,
    #[row(default = 1)]
    count: Option<i64>,
}

#[derive(Row)]
struct Twice<'a> {
    user: &'a str,
    #[row(path = "user")]
    again: &'a str,
}

fn main() {}
