//! `millstream serve` as a process: what is asked of it through the API and its client, what survives a crash, who may do
//! what, and how it says no.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod api;
mod change;
mod deploys;
mod life;
mod load;
mod replay;
mod results;
mod rig;
mod secure;
mod signed;
