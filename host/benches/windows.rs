//! What kinds of windows cost: CPU for each row with windows that overlap or grow, against tumbling ones; and a million sessions
//! that are open at once, and then end at one step of the watermark. Prints a table; asserts nothing, since machines differ.
//!
//! `cargo bench --workspace --profile dev --bench windows`, with `cargo xtask plugins` before it. The log is the embedded one in
//! memory.

#![allow(clippy::unwrap_used, reason = "a benchmark that can't go on stops")]
#![allow(clippy::print_stdout, reason = "the table is what it is for")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod common;

use std::time::Instant;

use common::{Told, new_log, pipeline, until, write};
use millstream::log::embedded::EmbeddedLog;
use millstream::pipeline::Pipeline;
use millstream::plugin::PluginEngine;
use millstream::worker::Team;

/// Keys of the comparison.
const KEYS: u64 = 100;
/// Sessions that are open at once.
const SESSIONS: u64 = 1_000_000;

/// A log with these rows: each a key and an event time.
fn log_of(rows: impl Iterator<Item = (u64, u64)>) -> EmbeddedLog {
    let log = new_log();
    write(&log, rows, number);
    log
}

/// The field that is summed.
fn number(n: usize) -> String {
    format!("\"n\":{n}")
}

/// The sums of windows like this.
fn sums(engine: &PluginEngine, window: &str) -> Pipeline {
    pipeline(engine, "fixtures/frozen-aggregate.wasm", window)
}

/// Runs a pipeline while `watch` looks on.
fn run(engine: &PluginEngine, pipeline: &Pipeline, log: &EmbeddedLog, watch: impl FnOnce(&Team)) {
    let state = tempfile::tempdir().unwrap();
    common::run(pipeline, engine, log, state.path(), watch);
}

/// CPU time of this process so far, in seconds, in steps of 10 ms; field numbers as proc(5) has them.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1_024
}

/// CPU for each kind of window, with so many rows in so many seconds of event time.
fn compare(engine: &PluginEngine, rows: u64, seconds: u64) {
    println!("{} rows a second, {KEYS} keys:", rows / seconds);
    let mut base = None;
    for window in [
        "{ tumbling = \"60s\" }",
        "{ sliding = \"60s\", slide = \"30s\" }",
        "{ sliding = \"60s\", slide = \"10s\" }",
        "{ sliding = \"60s\", slide = \"1s\" }",
        "{ calendar = \"day\", time_zone = \"Europe/Vienna\" }",
        "{ session = \"500ms\" }",
    ] {
        let log = log_of((0..rows).map(|row| (row * 7 % KEYS, row * seconds * 1_000 / rows)));
        let pipeline = sums(engine, window);
        let before = cpu();
        let mut results = 0;
        run(engine, &pipeline, &log, |team| {
            until(team, |now| now.records >= rows);
            results = team.snapshot().results;
        });
        let used = (cpu() - before) * 1e6 / rows as f64;
        let ratio = used / *base.get_or_insert(used);
        println!(
            "  {window}: {used:.2} CPU s per million rows, {ratio:.2} times tumbling, {results} results"
        );
    }
}

fn main() {
    let told = Told::listen();
    let engine = PluginEngine::new().unwrap();
    compare(&engine, 1_000_000, 600);
    compare(&engine, 3_000_000, 300);

    let log = log_of((0..SESSIONS).map(|key| (key, 0)));
    let pipeline = sums(&engine, "{ session = \"1h\" }");
    run(&engine, &pipeline, &log, |team| {
        let before = resident();
        let began = Instant::now();
        until(team, |now| now.records >= SESSIONS);
        println!(
            "{SESSIONS} open sessions: {} bytes of memory each, opened in {:.1} s",
            resident().saturating_sub(before) / SESSIONS,
            began.elapsed().as_secs_f64()
        );
        told.forget();
        let began = Instant::now();
        write(&log, std::iter::once((0, 10_000_000_000)), number);
        until(team, |now| now.windows_fired >= SESSIONS);
        println!(
            "one step of the watermark ends them all: {:.1} s, committed in between",
            began.elapsed().as_secs_f64()
        );
        for (target, figure) in [("fire", "took_us"), ("commit", "total_us")] {
            let mut took: Vec<u64> = told.of(target).iter().map(|of| of[figure]).collect();
            took.sort_unstable();
            let ms = |percent| common::percentile(&took, percent);
            println!(
                "  {target}: {} times, for {:.1} ms (p50), {:.1} ms (p99), {:.1} ms (longest)",
                took.len(),
                ms(50),
                ms(99),
                ms(100)
            );
        }
    });
}
