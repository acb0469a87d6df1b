//! Event time, judged: windows, late rows, revisions and retractions of the real engine against a plain batch program that reads
//! like the rules, and against what is written down in `cases/` and on the page `docs/time.md`.
//!
//! - [`scenario`]: a pipeline's settings and what happens to it, in a text that people can read (`text`, `instants`).
//! - [`rig`]: runs a scenario on the real engine, with components, the log in memory (`fed_log`) and a clock of its own.
//! - [`lines`]: what a run has written, a line a record; two runs are equal if their lines are.
//! - [`oracle`]: the same lines, worked out from all rows at once, by sorting, grouping and scanning (`rules`, `sessions`).
//! - [`judge`] compares; [`view`]: what somebody sees who reads results one after the other ([`reading`]), for runs with early ones.
//! - [`cases`], [`page`], [`random`], [`teams`]: the tests.
//!
//! `cargo xtask test --test time` runs them, and with `PROPTEST_CASES=1000` before it more random ones. One that fails is made smaller and
//! printed as a case: with a name and its `results` it can go into a file of `cases/`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod cases;
mod fed_log;
mod instants;
mod judge;
mod lines;
mod oracle;
mod page;
mod random;
#[path = "../oracles/reading.rs"]
mod reading;
mod rig;
mod rules;
mod scenario;
mod sessions;
#[path = "../oracles/spans.rs"]
mod spans;
#[path = "../support/mod.rs"]
mod support;
mod teams;
mod text;
mod view;
