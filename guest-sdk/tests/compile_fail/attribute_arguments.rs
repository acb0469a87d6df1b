//! Arguments that attributes do not take.
use millstream_sdk::prelude::*;

#[filter(state_version = 2)]
impl Filter for A {}

#[aggregate(version = 2)]
impl Aggregate for B {}

#[aggregate(state_version = "2")]
impl Aggregate for C {}

fn main() {}
