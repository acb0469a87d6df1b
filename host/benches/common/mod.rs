//! What the benchmarks share: a pipeline with one step on a topic with one partition of a log in memory, and how to run it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream::log::embedded::EmbeddedLog;
use millstream::log::{Log, Outbox, RecordParts, TopicSpec, Writer};
use millstream::pipeline::{Pipeline, config};
use millstream::plugin::PluginEngine;
use millstream::state::InstanceFolder;
use millstream::time::{SystemClock, Timestamp};
use millstream::worker::{Snapshot, Team};

/// The source topic.
pub(crate) const SOURCE: &str = "clicks";

/// An aggregate over windows by the record's key.
pub(crate) fn pipeline(engine: &PluginEngine, aggregate: &str, window: &str) -> Pipeline {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins");
    let text = format!(
        r#"
        name = "bench"
        log = {{ embedded = "unused", create_topics = true }}
        source = {{ topic = "{SOURCE}", event_time = {{ field = "at", unit = "ms" }}, allowed_disorder = "0s" }}
        sink.topic = "results"
        dead_letters.topic = "dead"
        late.topic = "late"
        [[step]]
        aggregate = "{}/{aggregate}"
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

/// A log with an empty source topic.
pub(crate) fn new_log() -> EmbeddedLog {
    let log = EmbeddedLog::in_memory();
    log.create_topic(&TopicSpec {
        name: SOURCE.to_owned(),
        partitions: 1,
        settings: Default::default(),
    })
    .unwrap();
    log
}

/// Writes rows, each a key and an event time, with one more field made from the number of the row.
pub(crate) fn write(
    log: &EmbeddedLog,
    rows: impl Iterator<Item = (u64, u64)>,
    field: impl Fn(usize) -> String,
) {
    let topic: Arc<str> = SOURCE.into();
    let mut writer = log.writer().unwrap();
    let mut outbox = Outbox::new();
    for (number, (key, at)) in rows.enumerate() {
        let key = format!("key-{key:07}");
        let value = format!("{{\"at\":{at},{}}}", field(number));
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

/// Runs a pipeline with the state in `folder` while `watch` does something with it.
pub(crate) fn run(
    pipeline: &Pipeline,
    engine: &PluginEngine,
    log: &EmbeddedLog,
    folder: &Path,
    watch: impl FnOnce(&Team),
) {
    let stop = Arc::new(AtomicBool::new(false));
    let team = Team::new(1, Arc::clone(&stop));
    let folder = InstanceFolder::claim(folder, "bench").unwrap();
    let clock = SystemClock::new();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| team.run(pipeline, engine, log, &clock, &folder, None));
        watch(&team);
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap().unwrap();
    });
}

/// Waits until the team has come so far.
pub(crate) fn until(team: &Team, is_so: impl Fn(&Snapshot) -> bool) {
    while !is_so(&team.snapshot()) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
