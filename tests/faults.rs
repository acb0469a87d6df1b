//! A pipeline under failures of the log, drawn from a seed: whatever happens to its commits, what it has written in the end is
//! what it would have written had nothing happened.
//!
//! The log under it is the embedded one. Around it stands a log that aborts commits, loses them, carries them out and
//! says that it does not know, or is away. A worker whose commit is in doubt drops all that it has in memory and joins again,
//! as a new process would. Time is a value: it goes on only when somebody waits.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream::generate::{ClickConfig, Clicks, Expected, Oracle};
use millstream::log::embedded::EmbeddedLog;
use millstream::log::{
    Bounds, CommitError, Fetched, GroupOffset, Log, LogError, Membership, Offset, Outbox, Polled,
    Session, TopicInfo, TopicPartition, TopicSpec, Written,
};
use millstream::plugin::PluginEngine;
use millstream::time::{Clock, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::{create, pipeline, read_all, run_to_end_by, write};

/// A clock that goes on by a millisecond whenever it is read, and by what is waited.
#[derive(Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.0.load(Ordering::Relaxed)).unwrap())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn pause(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap();
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

/// What has happened, so that a run that saw nothing happen is not taken for a proof.
#[derive(Clone, Copy, Debug, Default)]
struct Happened {
    aborted: u32,
    lost: u32,
    done_and_in_doubt: u32,
    away: u32,
}

struct Dice {
    rng: ChaCha8Rng,
    /// Out of a hundred commits, this many fail in some way.
    failing: u32,
    happened: Happened,
}

#[derive(Clone)]
struct Faulty {
    inner: EmbeddedLog,
    dice: Arc<Mutex<Dice>>,
}

struct FaultySession {
    inner: <EmbeddedLog as Log>::Session,
    dice: Arc<Mutex<Dice>>,
}

impl Log for Faulty {
    type Session = FaultySession;
    type Reader = <EmbeddedLog as Log>::Reader;
    type Writer = <EmbeddedLog as Log>::Writer;

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        self.inner.topics()
    }

    fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.inner.create_topic(spec)
    }

    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError> {
        self.inner.bounds(topic)
    }

    fn max_record_bytes(&self, topic: &str) -> Result<usize, LogError> {
        self.inner.max_record_bytes(topic)
    }

    fn join(&self, membership: &Membership) -> Result<FaultySession, LogError> {
        let mut dice = self.dice.lock().unwrap();
        if dice.rng.random_range(0..100) < dice.failing {
            dice.happened.away += 1;
            return Err(LogError::Unavailable("away for a while".to_owned()));
        }
        Ok(FaultySession {
            inner: self.inner.join(membership)?,
            dice: Arc::clone(&self.dice),
        })
    }

    fn reader(&self, topic: &str, from: &[(i32, Offset)]) -> Result<Self::Reader, LogError> {
        self.inner.reader(topic, from)
    }

    fn partition_reader(
        &self,
        at: &TopicPartition,
        from: Offset,
    ) -> Result<Self::Reader, LogError> {
        self.inner.partition_reader(at, from)
    }

    fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, String>, LogError> {
        self.inner.topic_settings(topic)
    }

    fn offsets_at(&self, topic: &str, at: Timestamp) -> Result<Vec<Offset>, LogError> {
        self.inner.offsets_at(topic, at)
    }

    fn members(&self, group: &str) -> Result<Vec<String>, LogError> {
        self.inner.members(group)
    }

    fn group_offsets(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<Vec<GroupOffset>, LogError> {
        self.inner.group_offsets(group, of)
    }

    fn set_group_offsets(&self, group: &str, offsets: &[GroupOffset]) -> Result<(), LogError> {
        self.inner.set_group_offsets(group, offsets)
    }

    fn end_transactions(
        &self,
        group: &str,
        dead: &dyn Fn(&str) -> bool,
    ) -> Result<usize, LogError> {
        self.inner.end_transactions(group, dead)
    }

    fn writer(&self) -> Result<Self::Writer, LogError> {
        self.inner.writer()
    }
}

impl Session for FaultySession {
    fn poll(&mut self, into: &mut Fetched, wait: Duration) -> Result<Polled, LogError> {
        self.inner.poll(into, wait)
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.inner.assignment()
    }

    fn committed(&mut self, of: &[TopicPartition]) -> Result<Vec<GroupOffset>, LogError> {
        self.inner.committed(of)
    }

    fn begin(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.inner.begin(from)
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.inner.release(partitions)
    }

    fn seek(&mut self, to: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.inner.seek(to)
    }

    fn commit(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<Written, CommitError> {
        let mut dice = self.dice.lock().unwrap();
        if dice.rng.random_range(0..100) >= dice.failing {
            return self.inner.commit(outbox, offsets);
        }
        match dice.rng.random_range(0..3) {
            0 => {
                dice.happened.aborted += 1;
                Err(CommitError::Aborted("by the dice".to_owned()))
            }
            1 => {
                dice.happened.lost += 1;
                Err(CommitError::Unknown("it was lost on its way".to_owned()))
            }
            _ => {
                dice.happened.done_and_in_doubt += 1;
                self.inner.commit(outbox, offsets)?;
                Err(CommitError::Unknown("the answer was lost".to_owned()))
            }
        }
    }
}

fn file(function: &str) -> String {
    format!(
        r#"
        name = "visitors"
        log = {{ embedded = "unused", create_topics = true }}
        source = {{ topic = "clicks", event_time = {{ field = "event_time", unit = "ms" }}, allowed_disorder = "5s" }}
        sink.topic = "visitors"
        dead_letters.topic = "dead"
        late.topic = "late"
        commit = {{ interval = "10ms", max_rows = 3000 }}

        [[step]]
        filter = "{{plugins}}/bot-filter.wasm"

        [[step]]
        {function}
        window = {{ tumbling = "1m" }}
        "#
    )
}

/// Runs the job on a log that fails as `seed` says, and compares all that was written with what is right.
fn survives(engine: &PluginEngine, function: &str, seed: u64) -> Happened {
    let folder = tempfile::tempdir().unwrap();
    let inner = EmbeddedLog::open(folder.path()).unwrap();
    let log = Faulty {
        inner,
        dice: Arc::new(Mutex::new(Dice {
            rng: ChaCha8Rng::seed_from_u64(seed),
            failing: 40,
            happened: Happened::default(),
        })),
    };
    let partitions = 1 + i32::try_from(seed % 4).unwrap();
    create(&log, "clicks", partitions, &[]);
    let expected = clicks(&log, partitions, seed);

    let pipeline = pipeline(&file(function), engine);
    let counted = run_to_end_by(&pipeline, engine, &log, TestClock::default());
    counted.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    // The commit with which a worker leaves may fail too. The next run, of a log that has recovered, makes up for it.
    log.dice.lock().unwrap().failing = 0;
    run_to_end_by(&pipeline, engine, &log, TestClock::default()).unwrap();

    let mut visitors: BTreeMap<i64, u64> = BTreeMap::new();
    for record in read_all(&log, "visitors") {
        let json = record.json();
        let start = json["window_start_ms"].as_i64().unwrap();
        let twice = visitors.insert(start, json["unique_visitors"].as_u64().unwrap());
        assert_eq!(twice, None, "seed {seed}: the window at {start} came twice");
    }
    let right = expected
        .windows
        .iter()
        .map(|window| (window.start, window.unique_visitors));
    assert_eq!(visitors, right.collect(), "seed {seed}");
    for (topic, places) in [
        ("dead", &expected.malformed_rows),
        ("late", &expected.late_rows),
    ] {
        let mut written: Vec<(i32, i64)> = read_all(&log, topic)
            .iter()
            .map(|record| record.origin())
            .collect();
        written.sort_unstable();
        let mut right: Vec<(i32, i64)> = places
            .iter()
            .map(|at| (at.partition, i64::try_from(at.index).unwrap()))
            .collect();
        right.sort_unstable();
        assert_eq!(written, right, "seed {seed}: {topic}");
    }
    log.dice.lock().unwrap().happened
}

fn clicks<L: Log>(log: &L, partitions: i32, seed: u64) -> Expected {
    let config = ClickConfig {
        events: 30_000,
        rate: 100,
        partitions,
        seed,
        ..ClickConfig::default()
    };
    let mut oracle = Oracle::new(config.window, config.disorder, partitions).unwrap();
    let clicks = Clicks::new(config)
        .unwrap()
        .inspect(|click| oracle.observe(click));
    let records = clicks.map(|click| {
        (
            click.partition,
            Some(click.key),
            click.value,
            Timestamp(click.timestamp),
        )
    });
    write(log, "clicks", records);
    let expected = oracle.expected();
    assert!(!expected.windows.is_empty());
    expected
}

fn over_seeds(function: &str, seeds: std::ops::Range<u64>) {
    let engine = PluginEngine::new().unwrap();
    let mut all = Happened::default();
    for seed in seeds {
        let happened = survives(&engine, function, seed);
        all.aborted += happened.aborted;
        all.lost += happened.lost;
        all.done_and_in_doubt += happened.done_and_in_doubt;
        all.away += happened.away;
    }
    // A proof only if it bit.
    assert!(
        all.aborted > 10 && all.lost > 10 && all.done_and_in_doubt > 10 && all.away > 10,
        "{all:?}"
    );
}

#[test]
fn an_aggregate_is_exact_whatever_becomes_of_its_commits() {
    over_seeds("aggregate = \"{plugins}/unique-visitors.wasm\"", 0..20);
}

#[test]
fn a_window_apply_is_exact_whatever_becomes_of_its_commits() {
    over_seeds(
        "window_apply = \"{plugins}/unique-visitors-window.wasm\"",
        100..110,
    );
}

/// The teeth of the tests above: without what stands beside the offsets, they fail.
#[test]
fn a_log_that_forgets_what_stands_beside_the_offsets_is_noticed() {
    let engine = PluginEngine::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path()).unwrap();
    create(&log, "clicks", 1, &[]);
    let expected = clicks(&log, 1, 5);
    let pipeline = pipeline(
        &file("aggregate = \"{plugins}/unique-visitors.wasm\""),
        &engine,
    );
    run_to_end_by(&pipeline, &engine, &log, TestClock::default()).unwrap();
    let once = read_all(&log, "visitors").len();
    assert_eq!(once, expected.windows.len());

    // A second run adds nothing.
    run_to_end_by(&pipeline, &engine, &log, TestClock::default()).unwrap();
    assert_eq!(read_all(&log, "visitors").len(), once);
    let dead = read_all(&log, "dead").len();

    // Forgetting it reads the rows of the open window again as if for the first time.
    set_back(&log, |committed| {
        assert!(committed[0].metadata.contains("\"v\":1"));
        committed[0].metadata = String::new();
        committed[0].offset = Offset(0);
    });
    run_to_end_by(&pipeline, &engine, &log, TestClock::default()).unwrap();
    assert_eq!(read_all(&log, "visitors").len(), 2 * once);
    assert_eq!(read_all(&log, "dead").len(), 2 * dead);
}

/// Sets what the group of the job has committed, as a tool of the log's would.
fn set_back(log: &EmbeddedLog, change: impl FnOnce(&mut Vec<GroupOffset>)) {
    let partitions = log.topic("clicks").unwrap().unwrap().partitions;
    let of: Vec<_> = (0..partitions)
        .map(|partition| TopicPartition::new("clicks", partition))
        .collect();
    let mut committed = log.group_offsets("visitors", &of).unwrap();
    change(&mut committed);
    log.set_group_offsets("visitors", &committed).unwrap();
}

#[test]
fn rows_of_a_partition_that_is_set_back_are_late_where_their_windows_have_fired() {
    let engine = PluginEngine::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path()).unwrap();
    create(&log, "clicks", 2, &[]);
    let expected = clicks(&log, 2, 5);
    let pipeline = pipeline(
        &file("aggregate = \"{plugins}/unique-visitors.wasm\""),
        &engine,
    );
    run_to_end_by(&pipeline, &engine, &log, TestClock::default()).unwrap();
    let (results, late) = (
        read_all(&log, "visitors").len(),
        read_all(&log, "late").len(),
    );
    set_back(&log, |committed| {
        committed[0].offset = Offset(0);
        committed[0].metadata = String::new();
    });
    run_to_end_by(&pipeline, &engine, &log, TestClock::default()).unwrap();
    assert_eq!(
        read_all(&log, "visitors").len(),
        results,
        "a window fired again"
    );
    let clicks: u64 = expected.windows.iter().map(|window| window.clicks).sum();
    let more = read_all(&log, "late").len() - late;
    assert!(
        more as u64 > clicks / 4,
        "{more} of {clicks} rows were late"
    );
}

#[test]
fn a_topic_that_is_shorter_than_what_was_read_is_refused() {
    let engine = PluginEngine::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path()).unwrap();
    create(&log, "clicks", 1, &[]);
    clicks(&log, 1, 5);
    let pipeline = pipeline(
        &file("aggregate = \"{plugins}/unique-visitors.wasm\""),
        &engine,
    );
    run_to_end_by(&pipeline, &engine, &log, TestClock::default()).unwrap();
    set_back(&log, |committed| {
        committed[0].metadata = r#"{"v":1,"next":99999999}"#.to_owned();
    });
    let refused = run_to_end_by(&pipeline, &engine, &log, TestClock::default());
    let told = refused.expect_err("the log ends before it").to_string();
    assert!(
        told.contains("99999999") && told.contains("created again"),
        "{told}"
    );
}

#[test]
fn a_pipeline_that_starts_at_the_end_keeps_that_place_before_it_has_read_anything() {
    let engine = PluginEngine::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path()).unwrap();
    create(&log, "clicks", 1, &[]);
    let text = file("aggregate = \"{plugins}/unique-visitors.wasm\"");
    let text = text.replace("allowed_disorder", "start = \"latest\", allowed_disorder");
    let pipeline = pipeline(&text, &engine);
    write(&log, "clicks", [(0, None, None, Timestamp(1))]);
    run_to_end_by(&pipeline, &engine, &log, TestClock::default()).unwrap();
    assert_eq!(
        read_all(&log, "dead").len(),
        0,
        "what was there before is not read"
    );
    // Written while nobody runs.
    write(&log, "clicks", [(0, None, None, Timestamp(2))]);
    run_to_end_by(&pipeline, &engine, &log, TestClock::default()).unwrap();
    assert_eq!(read_all(&log, "dead").len(), 1);
}
