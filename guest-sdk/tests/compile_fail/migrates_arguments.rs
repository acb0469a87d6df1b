//! Versions to migrate that are none.
use millstream_sdk::prelude::*;

#[aggregate(migrates(1 = Old))]
impl Aggregate for A {}

#[aggregate(state_version = 2, from(1 = Old))]
impl Aggregate for B {}

#[aggregate(state_version = 2, migrates(2 = Old))]
impl Aggregate for C {}

#[aggregate(state_version = 3, migrates(2 = Old, 1 = Older))]
impl Aggregate for D {}

#[aggregate(state_version = 2, migrates())]
impl Aggregate for E {}

#[aggregate(state_version = 2, migrates(1 = Old), more)]
impl Aggregate for F {}

fn main() {}
