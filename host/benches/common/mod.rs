//! What the benchmarks share: a pipeline with one step on a topic with one partition of a log in memory, and how to run it.

#![allow(dead_code, reason = "each benchmark uses its part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream::log::embedded::EmbeddedLog;
use millstream::log::{Log, Outbox, RecordParts, TopicSpec, Writer};
use millstream::pipeline::{Pipeline, config};
use millstream::plugin::PluginEngine;
use millstream::state::InstanceFolder;
use millstream::time::{SystemClock, Timestamp};
use millstream::worker::{Rollout, Snapshot, Team};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The source topic.
pub(crate) const SOURCE: &str = "clicks";

/// An aggregate over windows by the record's key.
pub(crate) fn pipeline(engine: &PluginEngine, aggregate: &str, window: &str) -> Pipeline {
    windows_of(engine, aggregate, window, "key = \"$key\"")
}

/// An aggregate over windows, with more that the step says.
pub(crate) fn windows_of(
    engine: &PluginEngine,
    aggregate: &str,
    window: &str,
    more: &str,
) -> Pipeline {
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
        window = {window}
        {more}
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
    follow(
        &Rollout::fixed(pipeline.clone()),
        engine,
        log,
        folder,
        watch,
    );
}

/// The same with what a rollout says.
pub(crate) fn follow(
    rollout: &Rollout,
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
        let running = scope.spawn(|| team.run(rollout, engine, log, &clock, &folder, None));
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

/// What a worker tells of something that it has done: numbers by name.
pub(crate) type Figures = BTreeMap<&'static str, u64>;

/// What workers have told, by target.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<(String, Figures)>>>);

impl Told {
    /// Listens from now on.
    pub(crate) fn listen() -> Self {
        let told = Self::default();
        let listener = tracing_subscriber::registry().with(told.clone());
        tracing::subscriber::set_global_default(listener).unwrap();
        told
    }

    /// Forgets what has been told.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap().clear();
    }

    /// What has been told of one target.
    pub(crate) fn of(&self, target: &str) -> Vec<Figures> {
        let all = self.0.lock().unwrap();
        let of = all.iter().filter(|(of, _)| of == target);
        of.map(|(_, figures)| figures.clone()).collect()
    }
}

impl<S: tracing::Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        if ["commit", "fire"].contains(&target) {
            let mut numbers = Numbers::default();
            event.record(&mut numbers);
            let mut all = self.0.lock().unwrap();
            all.push((target.to_owned(), numbers.0));
        }
    }
}

#[derive(Default)]
struct Numbers(Figures);

impl Visit for Numbers {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name(), value);
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// A percentile of sorted microseconds, in milliseconds.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len() - 1);
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds are far below 2^52"
    )]
    let millis = sorted[at] as f64 / 1_000.0;
    millis
}
