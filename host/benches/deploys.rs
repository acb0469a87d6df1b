//! What a deploy costs those who wait for results: how long after the row that ends a window its results are committed, under a steady
//! load, with nothing deployed and with a deploy every second. Prints a table; asserts nothing, since machines differ.
//!
//! `cargo bench --workspace --profile dev --bench deploys`, with `cargo xtask plugins` before it. The log is the embedded one in memory.

#![allow(clippy::unwrap_used, reason = "a benchmark that can't go on stops")]
#![allow(clippy::print_stdout, reason = "the table is what it is for")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{follow, new_log, percentile, pipeline, until, write};
use millstream::log::embedded::EmbeddedLog;
use millstream::log::{Fetched, Log, Reader};
use millstream::pipeline::Pipeline;
use millstream::plugin::PluginEngine;
use millstream::worker::{Rollout, Running, Target, Version};

/// The size of a window, in milliseconds of event time, which goes with the clock. It has no phase in common with commits and deploys.
const WINDOW: u64 = 73;
/// Rows that come together, and how often they do.
const ROWS: u64 = 100;
const PAUSE: Duration = Duration::from_millis(10);
/// How long each case is measured.
const TIME: Duration = Duration::from_secs(20);
/// How often something is deployed.
const EVERY: Duration = Duration::from_secs(1);

/// The same component as another version.
fn target(pipeline: &Pipeline, generation: u64) -> Target {
    let version = Arc::new(Version {
        generation,
        pipeline: pipeline.clone(),
    });
    Target {
        base: Running {
            version,
            trial: None,
        },
        canary: None,
        can_go_back: BTreeSet::new(),
    }
}

/// The ends of windows whose results have come, each with when the last of them did.
fn results(reader: &mut impl Reader, fetched: &mut Fetched, came: &mut BTreeMap<u64, Instant>) {
    reader.poll(fetched, Duration::ZERO).unwrap();
    let now = Instant::now();
    for batch in fetched.batches() {
        for row in 0..batch.len() {
            let value: serde_json::Value =
                serde_json::from_slice(batch.value(row).unwrap()).unwrap();
            came.insert(value["window_end_ms"].as_u64().unwrap(), now);
        }
    }
}

/// Loads a pipeline for a while and tells how long results took, with so many deploys.
fn measure(engine: &PluginEngine, keys: u64, deploys: bool) -> Vec<u64> {
    let log: EmbeddedLog = new_log();
    let pipeline = pipeline(
        engine,
        "fixtures/frozen-aggregate.wasm",
        &format!("{{ tumbling = \"{WINDOW}ms\" }}"),
    );
    let rollout = Rollout::new(target(&pipeline, 0));
    let state = tempfile::tempdir().unwrap();
    let mut ended: BTreeMap<u64, Instant> = BTreeMap::new();
    let mut came: BTreeMap<u64, Instant> = BTreeMap::new();
    follow(&rollout, engine, &log, state.path(), |team| {
        write(&log, std::iter::once((0, 0)), |n| format!("\"n\":{n}"));
        until(team, |now| now.records > 0);
        let mut reader = log.reader("results", &[]).unwrap();
        let mut fetched = Fetched::new();
        let (began, mut generation, mut written) = (Instant::now(), 0, 0);
        let mut wake = began;
        let mut window = 0;
        while began.elapsed() < TIME {
            let now = u64::try_from(began.elapsed().as_millis()).unwrap();
            if now / WINDOW > window {
                window = now / WINDOW;
                // The window before may have had no row.
                ended.insert(window * WINDOW, Instant::now());
            }
            let rows = (written..written + ROWS).map(|row| (row * 7 % keys, now));
            write(&log, rows, |n| format!("\"n\":{n}"));
            written += ROWS;
            let due = began.elapsed().as_secs() / EVERY.as_secs();
            if deploys && due > generation {
                generation = due;
                rollout.set(target(&pipeline, generation));
            }
            wake += PAUSE;
            while Instant::now() < wake {
                results(&mut reader, &mut fetched, &mut came);
                std::thread::park_timeout(Duration::from_micros(500));
            }
        }
        let last = *ended.keys().next_back().unwrap();
        while !came.contains_key(&last) {
            results(&mut reader, &mut fetched, &mut came);
            std::thread::park_timeout(Duration::from_millis(1));
        }
        until(team, |now| !deploys || now.generation == generation);
    });
    let took = ended
        .iter()
        .filter_map(|(end, at)| Some((came.get(end)?, at)));
    let took = took.map(|(came, at)| came.saturating_duration_since(*at));
    let mut took: Vec<u64> = took
        .map(|took| u64::try_from(took.as_micros()).unwrap())
        .collect();
    took.sort_unstable();
    took
}

fn main() {
    let engine = PluginEngine::new().unwrap();
    for keys in [100, 2_000] {
        for deploys in [false, true] {
            let took = measure(&engine, keys, deploys);
            let ms = |percent| percentile(&took, percent);
            println!(
                "{keys} keys, {}: {} windows, results after {:.1} ms (p50), {:.1} ms (p99), {:.1} ms (longest)",
                if deploys {
                    "a deploy each second"
                } else {
                    "no deploys"
                },
                took.len(),
                ms(50),
                ms(99),
                ms(100)
            );
        }
    }
}
