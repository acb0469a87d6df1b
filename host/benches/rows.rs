//! So many rows of the main job, from the embedded log in memory to results: what `cargo xtask instructions` counts the instructions of.
//!
//! It says nothing of time. The difference between two runs with other numbers of rows is what rows cost.

#![allow(clippy::unwrap_used, reason = "a benchmark that can't go on stops")]

mod common;

use millstream::plugin::{CodeCache, PluginEngine};

fn main() {
    let rows: u64 =
        std::env::var("MILLSTREAM_BENCH_ROWS").map_or(20_000, |rows| rows.parse().unwrap());
    let cache = std::env::var_os("MILLSTREAM_CODE_CACHE").unwrap();
    let engine = PluginEngine::new().unwrap();
    let engine = engine.with_cache(CodeCache::open(cache.as_ref()).unwrap());
    let minute = r#"{ tumbling = "1m" }"#;
    let pipeline = common::windows_of(&engine, "unique-visitors.wasm", minute, "");
    let log = common::new_log();
    // Ten minutes, whatever the number of rows; one user in twenty comes again.
    let at = |row: u64| row * 600_000 / rows;
    common::write(&log, (0..rows).map(|row| (row, at(row))), |row| {
        format!(
            "\"user_id\":\"user-{:07}\",\"url\":\"/products/0042\",\"status\":200",
            row % 950
        )
    });
    let folder = tempfile::tempdir().unwrap();
    common::run(&pipeline, &engine, &log, folder.path(), |team| {
        common::until(team, |now| now.records == rows);
    });
}
