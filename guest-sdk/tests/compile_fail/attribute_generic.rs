//! A component that would be many.
use millstream_sdk::prelude::*;

struct Keep<T>(T);

#[filter]
impl<T: Default + 'static> Filter for Keep<T> {}

fn main() {}
