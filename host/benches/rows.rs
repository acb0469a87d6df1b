//! Rows of the main job, from the embedded log in memory to results: what `cargo xtask instructions` counts the instructions of.
//!
//! It says nothing of time. Both logs are always written, and one of them is read: the difference between two runs is what the rows
//! cost that the one has more than the other.

#![allow(clippy::unwrap_used, reason = "a benchmark that can't go on stops")]

mod common;

use millstream::log::embedded::EmbeddedLog;
use millstream::plugin::{CodeCache, PluginEngine};

/// A log with so many rows over ten minutes; one user in twenty comes again.
fn log_of(rows: u64) -> EmbeddedLog {
    let log = common::new_log();
    let at = |row: u64| row * 600_000 / rows;
    common::write(&log, (0..rows).map(|row| (row, at(row))), |row| {
        let user = row % 950;
        format!("\"user_id\":\"user-{user:07}\",\"url\":\"/products/0042\",\"status\":200")
    });
    log
}

fn main() {
    let number = |name: &str| -> u64 { std::env::var(name).unwrap().parse().unwrap() };
    let (few, many) = (
        number("MILLSTREAM_BENCH_FEW"),
        number("MILLSTREAM_BENCH_MANY"),
    );
    let cache = std::env::var_os("MILLSTREAM_CODE_CACHE").unwrap();
    let engine = PluginEngine::new().unwrap();
    let engine = engine.with_cache(CodeCache::open(cache.as_ref()).unwrap());
    let minute = r#"{ tumbling = "1m" }"#;
    let pipeline = common::windows_of(&engine, "unique-visitors.wasm", minute, "");
    let logs = [log_of(few), log_of(many)];
    let (log, rows) = match std::env::var_os("MILLSTREAM_BENCH_READS_MANY") {
        Some(_) => (&logs[1], many),
        None => (&logs[0], few),
    };
    let folder = tempfile::tempdir().unwrap();
    common::run(&pipeline, &engine, log, folder.path(), |team| {
        common::until(team, |now| now.records == rows);
    });
}
