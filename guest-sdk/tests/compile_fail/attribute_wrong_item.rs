//! Attributes on things that are not implementations of a trait.
use millstream_sdk::prelude::*;

#[aggregate]
struct Visitors;

#[filter]
impl Visitors {
    fn keep(&self) -> bool {
        true
    }
}

fn main() {}
