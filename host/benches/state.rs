//! What state costs, with a million open keys: how long a commit stops the worker, how much it writes for each key that changed, and
//! how fast a lost store is built anew. Prints a table; asserts nothing, since machines differ.
//!
//! `cargo bench --workspace --profile dev --bench state`, with `cargo xtask plugins` before it. The log is the embedded one in memory, so that
//! what is measured is the worker and its store, not a disk or a network under the log.

#![allow(clippy::unwrap_used, reason = "a benchmark that can't go on stops")]
#![allow(clippy::print_stdout, reason = "the table is what it is for")]

mod common;

use std::time::Instant;

use common::{SOURCE, Told, new_log, percentile, pipeline, run, until};
use millstream::log::TopicPartition;
use millstream::log::embedded::EmbeddedLog;
use millstream::plugin::PluginEngine;
use millstream::worker::Team;

/// Keys in the one open window.
const KEYS: u64 = 1_000_000;
/// Keys that change between two commits, in the steady part.
const CHANGES: u64 = 2_000;
/// Commits that are measured.
const ROUNDS: u64 = 300;

/// Writes clicks on the keys given.
fn write(log: &EmbeddedLog, keys: impl Iterator<Item = u64>) {
    let user = |number| format!("\"user_id\":\"user-{number}\"");
    common::write(log, keys.map(|key| (key, 1_000)), user);
}

fn wait_until(team: &Team, offset: u64) {
    let at = TopicPartition::new(SOURCE, 0);
    until(team, |now| {
        let next = now.positions.get(&at).map_or(-1, |next| next.0);
        u64::try_from(next).is_ok_and(|next| next >= offset) && now.records >= offset
    });
}

fn main() {
    let told = Told::listen();
    let engine = PluginEngine::new().unwrap();
    let pipeline = pipeline(&engine, "unique-visitors.wasm", "{ tumbling = \"1h\" }");
    let log = new_log();
    write(&log, 0..KEYS);
    let state = tempfile::tempdir().unwrap();

    run(&pipeline, &engine, &log, state.path(), |team| {
        let began = Instant::now();
        wait_until(team, KEYS);
        println!(
            "filled with {KEYS} keys in {:.1} s",
            began.elapsed().as_secs_f64()
        );
        told.forget();
        for round in 0..ROUNDS {
            // Spread over all keys, none twice in a round: the stride has no factor in common with their number.
            let first = CHANGES * round;
            write(
                &log,
                (first..first + CHANGES).map(|number| number * 617_371 % KEYS),
            );
            wait_until(team, KEYS + first + CHANGES);
        }
    });
    let measured = told.of("commit");
    let mut totals: Vec<u64> = measured.iter().map(|commit| commit["total_us"]).collect();
    totals.sort_unstable();
    let mut staging: Vec<u64> = measured.iter().map(|commit| commit["staging_us"]).collect();
    staging.sort_unstable();
    let records: u64 = measured.iter().map(|commit| commit["records"]).sum();
    let bytes: u64 = measured.iter().map(|commit| commit["bytes"]).sum();
    // Each commit also writes the task's own record.
    let changed = records - measured.len() as u64;
    println!(
        "{} commits, {} changed keys in each on average",
        measured.len(),
        changed / measured.len() as u64
    );
    for (what, sorted) in [
        ("a commit stops the worker for", &totals),
        ("of which staging takes", &staging),
    ] {
        println!(
            "{what}: p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms",
            percentile(sorted, 50),
            percentile(sorted, 99),
            percentile(sorted, 100)
        );
    }
    println!(
        "changelog: {} bytes for each changed key, its name of 11 bytes included",
        bytes / changed.max(1)
    );

    let lost = tempfile::tempdir().unwrap();
    let began = Instant::now();
    run(&pipeline, &engine, &log, lost.path(), |team| {
        until(team, |now| !now.positions.is_empty());
        let seconds = began.elapsed().as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of keys is far below 2^52"
        )]
        let rate = KEYS as f64 / seconds;
        println!(
            "a lost store of {KEYS} keys was built anew in {seconds:.1} s: {rate:.0} keys a second"
        );
    });
}
