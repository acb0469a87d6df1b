//! What integration tests share: where components and a broker are, running a pipeline to the end of its source, and
//! reading what it wrote.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(clippy::print_stdout, reason = "a skipped test says so in plain sight")]

pub(crate) mod broker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millstream::log::kafka::KafkaLog;
use millstream::log::{
    Fetched, Log, Offset, Outbox, Reader, RecordParts, TopicPartition, TopicSpec, Writer,
};
use millstream::pipeline::{Pipeline, config};
use millstream::plugin::{CodeCache, PluginEngine};
use millstream::state::InstanceFolder;
use millstream::time::{Clock, SystemClock, Timestamp};
use millstream::worker::{Rollout, Snapshot, Team, WorkerError};

/// The folder of the components: as `cargo xtask test` has built them, otherwise built now.
pub(crate) fn components() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("MILLSTREAM_PLUGINS") {
            return folder.into();
        }
        // Cargo has given back the lock on its folder by the time that tests run.
        let built = Command::new(env!("CARGO"))
            .args(["xtask", "plugins"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&built.stderr);
        assert!(
            built.status.success(),
            "cargo xtask plugins failed:\n{told}"
        );
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        temporary.parent().unwrap().join("plugins")
    })
}

/// An engine that takes compiled components from the folder that all tests share, so that not every program compiles them again.
pub(crate) fn engine() -> PluginEngine {
    let folder = match std::env::var_os("MILLSTREAM_CODE_CACHE") {
        Some(off) if off == "off" => return PluginEngine::new().unwrap(),
        Some(folder) => PathBuf::from(folder),
        // As .cargo/config.toml says, for a test program that is run by hand.
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("code"),
    };
    let cache = CodeCache::open(&folder).unwrap();
    PluginEngine::new().unwrap().with_cache(cache)
}

/// The broker of `cargo xtask test`, or `None`, said in plain sight, where there is none. Under CI a missing broker fails.
pub(crate) fn kafka() -> Option<KafkaLog> {
    let Ok(address) = std::env::var("MILLSTREAM_TEST_KAFKA") else {
        let skip = std::env::var("MILLSTREAM_SKIP_KAFKA").is_ok_and(|skip| skip == "1");
        assert!(
            skip || std::env::var_os("CI").is_none(),
            "CI is set and MILLSTREAM_TEST_KAFKA is not: run `cargo xtask test`"
        );
        println!("SKIPPED: no Kafka broker (run `cargo xtask test`)");
        return None;
    };
    let settings = BTreeMap::from([("bootstrap.servers".to_owned(), address)]);
    Some(KafkaLog::new(settings).unwrap())
}

/// A name that no other test, and no other run on the same broker, uses.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicI64 = AtomicI64::new(0);
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{name}-{:x}-{}-{count}",
        nanos % (1 << 48),
        std::process::id()
    )
}

/// A pipeline from the text of its file, in which `{plugins}` stands for the folder of the components.
pub(crate) fn pipeline(text: &str, engine: &PluginEngine) -> Pipeline {
    prepare(text, engine).unwrap_or_else(|error| panic!("{error}"))
}

/// The same, or why it is refused.
pub(crate) fn prepare(text: &str, engine: &PluginEngine) -> Result<Pipeline, String> {
    let text = text.replace("{plugins}", components().to_str().unwrap());
    let none = |_: &str| None;
    let no_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let config = config::parse(&text, &none, &no_file).map_err(|error| error.to_string())?;
    Pipeline::prepare(config, engine).map_err(|error| error.to_string())
}

/// Creates a topic.
pub(crate) fn create<L: Log>(log: &L, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    log.create_topic(&TopicSpec {
        name: name.to_owned(),
        partitions,
        settings: settings.iter().map(owned).collect(),
    })
    .unwrap();
}

/// A record to write: partition, key, value, timestamp.
pub(crate) type ToWrite = (i32, Option<Vec<u8>>, Option<Vec<u8>>, Timestamp);

/// Writes records, many at a time.
pub(crate) fn write<L: Log>(log: &L, topic: &str, records: impl IntoIterator<Item = ToWrite>) {
    append(&mut log.writer().unwrap(), topic, records);
}

/// The same with a writer that is there already.
pub(crate) fn append<W: Writer>(
    writer: &mut W,
    topic: &str,
    records: impl IntoIterator<Item = ToWrite>,
) {
    let topic: Arc<str> = topic.into();
    let mut outbox = Outbox::new();
    for (partition, key, value, timestamp) in records {
        outbox.push(
            &topic,
            RecordParts {
                partition: Some(partition),
                timestamp,
                key: key.as_deref(),
                value: value.as_deref(),
                headers: &[],
            },
        );
        if outbox.len() == 20_000 {
            writer.append(&outbox).unwrap();
            outbox.clear();
        }
    }
    writer.append(&outbox).unwrap();
}

/// A record as read.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: Offset,
    pub(crate) timestamp: Timestamp,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: BTreeMap<String, Vec<u8>>,
}

impl Record {
    /// The value as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.value.as_deref().unwrap()).unwrap()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        std::str::from_utf8(value.unwrap_or_else(|| panic!("no header {name}: {self:?}"))).unwrap()
    }

    /// The place of the record that this one was made of.
    pub(crate) fn origin(&self) -> (i32, i64) {
        let number = |name| self.header(name).parse::<i64>().unwrap();
        let partition = i32::try_from(number("millstream.partition")).unwrap();
        (partition, number("millstream.offset"))
    }
}

/// All committed records of a topic.
pub(crate) fn read_all<L: Log>(log: &L, topic: &str) -> Vec<Record> {
    let bounds = log.bounds(topic).unwrap();
    let from: Vec<(i32, Offset)> = (0_i32..).zip(&bounds).map(|(p, b)| (p, b.start)).collect();
    // A transaction's marker takes an offset and is never handed out, so the end is reached one short of it.
    let mut left: BTreeMap<i32, i64> = (0_i32..)
        .zip(&bounds)
        .filter(|(_, bounds)| bounds.end > bounds.start)
        .map(|(partition, bounds)| (partition, bounds.end.0))
        .collect();
    let mut reader = log.reader(topic, &from).unwrap();
    let mut fetched = Fetched::new();
    let mut records = Vec::new();
    let mut quiet = 0;
    while !left.is_empty() && quiet < 10 {
        reader
            .poll(&mut fetched, Duration::from_millis(200))
            .unwrap();
        quiet = if fetched.is_empty() { quiet + 1 } else { 0 };
        for batch in fetched.batches() {
            let partition = batch.partition().partition;
            for row in 0..batch.len() {
                records.push(Record {
                    partition,
                    offset: batch.offset(row),
                    timestamp: batch.timestamp(row),
                    key: batch.key(row).map(<[u8]>::to_vec),
                    value: batch.value(row).map(<[u8]>::to_vec),
                    headers: batch
                        .headers(row)
                        .map(|header| (header.name.to_owned(), header.value.to_vec()))
                        .collect(),
                });
                if left
                    .get(&partition)
                    .is_some_and(|end| batch.offset(row).0 + 1 >= *end)
                {
                    left.remove(&partition);
                }
            }
        }
    }
    records
}

/// Runs a pipeline until it has read all that its source held at the start and fired what that lets fire, stops it and returns
/// what it counted.
pub(crate) fn run_to_end<L: Log>(pipeline: &Pipeline, engine: &PluginEngine, log: &L) -> Snapshot {
    let clock = SystemClock::new();
    run_to_end_by(pipeline, engine, log, clock).unwrap_or_else(|error| panic!("{error}"))
}

/// The same by a clock of the test's, and with what the workers ended with. Local state begins empty.
pub(crate) fn run_to_end_by<L: Log, C: Clock + Clone + Send + Sync>(
    pipeline: &Pipeline,
    engine: &PluginEngine,
    log: &L,
    clock: C,
) -> Result<Snapshot, WorkerError> {
    let mut ends = BTreeMap::new();
    for topic in &pipeline.config().source.topics {
        ends.extend(self::ends(log, topic));
    }
    run_until(pipeline, engine, log, clock, |now| {
        is_read(now, &ends) && now.has_settled()
    })
}

/// The offset behind the last record of each partition of a topic.
pub(crate) fn ends<L: Log>(log: &L, topic: &str) -> BTreeMap<TopicPartition, Offset> {
    let bounds = (0_i32..).zip(log.bounds(topic).unwrap());
    bounds
        .map(|(partition, bounds)| (TopicPartition::new(topic, partition), bounds.end))
        .collect()
}

/// Whether partitions have been read to these ends.
pub(crate) fn is_read(now: &Snapshot, ends: &BTreeMap<TopicPartition, Offset>) -> bool {
    let is_read = |(at, end)| now.positions.get(at).is_some_and(|next| next >= end);
    ends.iter().all(is_read)
}

/// Runs a pipeline until that is done which `is_done` knows of.
pub(crate) fn run_until<L: Log, C: Clock + Clone + Send + Sync>(
    pipeline: &Pipeline,
    engine: &PluginEngine,
    log: &L,
    clock: C,
    is_done: impl Fn(&Snapshot) -> bool,
) -> Result<Snapshot, WorkerError> {
    let stop = Arc::new(AtomicBool::new(false));
    let state = tempfile::tempdir().unwrap();
    let folder = InstanceFolder::claim(state.path(), &pipeline.config().name).unwrap();
    let team = Team::new(pipeline.config().workers, Arc::clone(&stop));
    let rollout = Rollout::fixed(pipeline.clone());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let give_up_after = Some(Duration::from_secs(60));
            team.run(&rollout, engine, log, &clock, &folder, give_up_after)
        });
        while !running.is_finished() {
            if is_done(&team.snapshot()) {
                stop.store(true, Ordering::Relaxed);
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        running.join().unwrap()
    })?;
    Ok(team.snapshot())
}
