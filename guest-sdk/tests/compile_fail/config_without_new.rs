//! One of `Config` and `new` without the other.
use millstream_sdk::prelude::*;

struct A;

#[filter]
impl Filter for A {
    type Config = NoConfig;
}

struct B;

#[filter]
impl Filter for B {
    fn new(_: NoConfig) -> Result<Self, Error> {
        Ok(B)
    }
}

fn main() {}
