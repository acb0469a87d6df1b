//! What kinds of windows cost: CPU for each row with windows that overlap or grow, against tumbling ones; and a million sessions
//! that are open at once, and then end at one step of the watermark. Prints a table; asserts nothing, since machines differ.
//!
//! `cargo bench --workspace --profile dev --bench windows`, with `cargo xtask plugins` before it. The log is the embedded one in
//! memory.

#![allow(clippy::unwrap_used, reason = "a benchmark that can't go on stops")]
#![allow(clippy::print_stdout, reason = "the table is what it is for")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream::log::embedded::EmbeddedLog;
use millstream::log::{Log, Outbox, RecordParts, TopicSpec, Writer};
use millstream::pipeline::{Pipeline, config};
use millstream::plugin::PluginEngine;
use millstream::state::InstanceFolder;
use millstream::time::{SystemClock, Timestamp};
use millstream::worker::{Snapshot, Team};

/// Rows of the comparison, spread over ten minutes.
const ROWS: u64 = 1_000_000;
/// Keys of the comparison.
const KEYS: u64 = 100;
/// Sessions that are open at once.
const SESSIONS: u64 = 1_000_000;

fn pipeline(engine: &PluginEngine, window: &str) -> Pipeline {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins");
    let text = format!(
        r#"
        name = "bench"
        log = {{ embedded = "unused", create_topics = true }}
        source = {{ topic = "clicks", event_time = {{ field = "at", unit = "ms" }}, allowed_disorder = "0s" }}
        sink.topic = "sums"
        dead_letters.topic = "dead"
        late.topic = "late"
        [[step]]
        aggregate = "{}/fixtures/frozen-aggregate.wasm"
        key = "$key"
        window = {window}
        limits = {{ memory = "2GiB", call = "30s" }}
        "#,
        plugins.display()
    );
    let none = |_: &str| None;
    let no_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    Pipeline::prepare(config::parse(&text, &none, &no_file).unwrap(), engine).unwrap()
}

/// A log with these rows: each a key and an event time.
fn log_of(rows: impl Iterator<Item = (u64, u64)>) -> EmbeddedLog {
    let log = EmbeddedLog::in_memory();
    log.create_topic(&TopicSpec {
        name: "clicks".to_owned(),
        partitions: 1,
        settings: Default::default(),
    })
    .unwrap();
    write(&log, rows);
    log
}

fn write(log: &EmbeddedLog, rows: impl Iterator<Item = (u64, u64)>) {
    let topic: Arc<str> = "clicks".into();
    let mut writer = log.writer().unwrap();
    let mut outbox = Outbox::new();
    for (number, (key, at)) in rows.enumerate() {
        let key = format!("key-{key:07}");
        let value = format!("{{\"at\":{at},\"n\":{number}}}");
        let parts = RecordParts {
            partition: Some(0),
            timestamp: Timestamp(at.cast_signed()),
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[],
        };
        outbox.push(&topic, parts);
        if outbox.len() == 50_000 {
            writer.append(&outbox).unwrap();
            outbox.clear();
        }
    }
    writer.append(&outbox).unwrap();
}

/// Runs a pipeline while `watch` looks on.
fn run(engine: &PluginEngine, pipeline: &Pipeline, log: &EmbeddedLog, watch: impl FnOnce(&Team)) {
    let state = tempfile::tempdir().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let team = Team::new(1, Arc::clone(&stop));
    let folder = InstanceFolder::claim(state.path(), "bench").unwrap();
    let clock = SystemClock::new();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| team.run(pipeline, engine, log, &clock, &folder, None));
        watch(&team);
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap().unwrap();
    });
}

fn until(team: &Team, is_so: impl Fn(&Snapshot) -> bool) {
    while !is_so(&team.snapshot()) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
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

fn main() {
    let engine = PluginEngine::new().unwrap();
    let mut base = None;
    for window in [
        "{ tumbling = \"60s\" }",
        "{ sliding = \"60s\", slide = \"30s\" }",
        "{ sliding = \"60s\", slide = \"10s\" }",
        "{ sliding = \"60s\", slide = \"1s\" }",
        "{ calendar = \"day\", time_zone = \"Europe/Vienna\" }",
        "{ session = \"500ms\" }",
    ] {
        let log = log_of((0..ROWS).map(|row| (row * 7 % KEYS, row * 600_000 / ROWS)));
        let pipeline = pipeline(&engine, window);
        let before = cpu();
        let mut results = 0;
        run(&engine, &pipeline, &log, |team| {
            until(team, |now| now.records >= ROWS);
            results = team.snapshot().results;
        });
        let used = cpu() - before;
        let ratio = used / *base.get_or_insert(used);
        println!(
            "{window}: {used:.2} CPU s per million rows, {ratio:.2} times tumbling, {results} results"
        );
    }

    let log = log_of((0..SESSIONS).map(|key| (key, 0)));
    let pipeline = pipeline(&engine, "{ session = \"1h\" }");
    run(&engine, &pipeline, &log, |team| {
        let before = resident();
        let began = Instant::now();
        until(team, |now| now.records >= SESSIONS);
        println!(
            "{SESSIONS} open sessions: {} bytes of memory each, opened in {:.1} s",
            resident().saturating_sub(before) / SESSIONS,
            began.elapsed().as_secs_f64()
        );
        let began = Instant::now();
        write(&log, std::iter::once((0, 10_000_000_000)));
        until(team, |now| now.windows_fired >= SESSIONS);
        println!(
            "one step of the watermark ends them all: {:.1} s, committed in between",
            began.elapsed().as_secs_f64()
        );
    });
}
