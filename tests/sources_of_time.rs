//! Where time comes from besides rows: partitions that fall silent, records from the far future, records that carry watermarks,
//! partitions that are far ahead, and runs that end with what there is.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millstream::log::embedded::EmbeddedLog;
use millstream::log::{Log, TopicPartition};
use millstream::pipeline::Pipeline;
use millstream::plugin::PluginEngine;
use millstream::state::{Committed, InstanceFolder};
use millstream::time::{Clock, SystemClock, Timestamp};
use millstream::worker::{Rollout, Snapshot, Team};
use support::{Record, ToWrite, create, kafka, pipeline, read_all, run_to_end, unique, write};

const MINUTE: i64 = 60_000;
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that the test moves, in microseconds.
#[derive(Clone, Default)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }

    /// Waits, and lets so little time go by meanwhile that it is enough for commits, and for nothing else.
    fn wait(&self, mut is_done: impl FnMut() -> bool) {
        wait(|| {
            self.0.fetch_add(100, Ordering::Relaxed);
            is_done()
        });
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed).cast_signed() / 1_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn pause(&self, duration: Duration) {
        std::thread::park_timeout(duration);
    }
}

/// A pipeline on topics of its own.
struct Job<L> {
    log: L,
    engine: PluginEngine,
    pipeline: Pipeline,
    clicks: String,
    visitors: String,
    dead: String,
    late: String,
    /// Kept from run to run, so that each run's members are those of the one before.
    state: tempfile::TempDir,
}

impl<L: Log> Job<L> {
    /// Counts the visitors of each minute. `source` are further keys of its source, `workers` how many run it.
    fn new(log: L, partitions: i32, workers: usize, source: &str) -> Self {
        let [clicks, visitors, dead, late] = ["clicks", "visitors", "dead", "late"].map(unique);
        create(&log, &clicks, partitions, &[]);
        let engine = support::engine();
        let text = format!(
            r#"
            name = "{}"
            workers = {workers}
            log = {{ embedded = "unused", create_topics = true }}
            sink.topic = "{visitors}"
            dead_letters.topic = "{dead}"
            late.topic = "{late}"
            commit = {{ interval = "1ms" }}

            [source]
            topic = "{clicks}"
            event_time = {{ field = "at", unit = "ms" }}
            {source}

            [[step]]
            aggregate = "{{plugins}}/unique-visitors.wasm"
            window = {{ tumbling = "1m" }}
            "#,
            unique("job")
        );
        Self {
            pipeline: pipeline(&text, &engine),
            log,
            engine,
            clicks,
            visitors,
            dead,
            late,
            state: tempfile::tempdir().unwrap(),
        }
    }

    /// Writes clicks of different users: each a partition, and a time in minutes.
    fn click(&self, clicks: impl IntoIterator<Item = (i32, i64)>) {
        let clicks = clicks.into_iter();
        self.write(clicks.map(|(partition, minute)| (partition, minute * MINUTE, "")));
    }

    /// The same with times in milliseconds and further fields.
    fn write<'a>(&self, clicks: impl IntoIterator<Item = (i32, i64, &'a str)>) {
        let to_write = |(partition, at, more): (i32, i64, &str)| -> ToWrite {
            let user = unique("user");
            let value = format!(r#"{{"at":{at},"user_id":"{user}"{more}}}"#);
            (partition, None, Some(value.into_bytes()), Timestamp(0))
        };
        write(&self.log, &self.clicks, clicks.into_iter().map(to_write));
    }

    /// Runs it by `clock` while `test` does its part.
    fn run<C: Clock + Clone + Send + Sync>(&self, clock: &C, test: impl FnOnce(&Team)) -> Snapshot {
        self.work(clock, Team::new, |team, stop| {
            test(team);
            stop.store(true, Ordering::Relaxed);
        })
    }

    /// Runs it until it ends by itself.
    fn run_until_end(&self) -> Snapshot {
        let team = |workers, stop| Team::new(workers, stop).until_end();
        self.work(&SystemClock::new(), team, |_, _| {})
    }

    fn work<C: Clock + Clone + Send + Sync>(
        &self,
        clock: &C,
        team: impl FnOnce(usize, Arc<AtomicBool>) -> Team,
        test: impl FnOnce(&Team, &AtomicBool),
    ) -> Snapshot {
        let stop = Arc::new(AtomicBool::new(false));
        let config = self.pipeline.config();
        let folder = InstanceFolder::claim(self.state.path(), &config.name).unwrap();
        let team = team(config.workers, Arc::clone(&stop));
        std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                let give_up_after = Some(PATIENCE);
                let rollout = Rollout::fixed(self.pipeline.clone());
                team.run(
                    &rollout,
                    &self.engine,
                    &self.log,
                    clock,
                    &folder,
                    give_up_after,
                )
            });
            // A test that fails must not leave the workers running.
            let guard = StopsAnyway(&stop);
            test(&team, &stop);
            let ended = running.join().unwrap();
            drop(guard);
            ended.unwrap_or_else(|error| panic!("{error}"));
        });
        team.snapshot()
    }

    fn at(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.clicks.as_str(), partition)
    }

    /// Waits until all that is written has been read.
    fn wait_until_read(&self, team: &Team) {
        let bounds = self.log.bounds(&self.clicks).unwrap();
        let ends: Vec<_> = (0..).zip(bounds).collect();
        wait(|| {
            let positions = team.snapshot().positions;
            let is_read = |(partition, bounds): &(i32, millstream::log::Bounds)| {
                let position = positions.get(&self.at(*partition));
                position.is_some_and(|next| *next >= bounds.end)
            };
            ends.iter().all(is_read)
        });
    }

    /// The visitors of each minute, each told once.
    fn visitors(&self) -> BTreeMap<i64, u64> {
        let mut visitors = BTreeMap::new();
        for record in read_all(&self.log, &self.visitors) {
            let json = record.json();
            let minute = json["window_start_ms"].as_i64().unwrap() / MINUTE;
            let twice = visitors.insert(minute, json["unique_visitors"].as_u64().unwrap());
            assert_eq!(twice, None, "minute {minute} came twice");
        }
        visitors
    }

    /// The watermark that is committed for a source partition.
    fn committed(&self, partition: i32) -> Option<Timestamp> {
        let at = [self.at(partition)];
        let offsets = self
            .log
            .group_offsets(&self.pipeline.config().name, &at)
            .unwrap();
        match Committed::parse(&offsets.first()?.metadata).unwrap() {
            Committed::Mark(mark) => Some(mark.watermark),
            other => panic!("{other:?}"),
        }
    }
}

struct StopsAnyway<'a>(&'a AtomicBool);

impl Drop for StopsAnyway<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wait(mut is_done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_done() {
        assert!(begun.elapsed() < PATIENCE, "waited too long");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn minutes(record: &Record) -> i64 {
    record.json()["at"].as_i64().unwrap() / MINUTE
}

fn embedded() -> EmbeddedLog {
    EmbeddedLog::in_memory()
}

#[test]
fn an_idle_partition_follows_the_others_and_is_judged_by_what_it_promised() {
    for workers in [1, 2] {
        let source = "allowed_disorder = \"0s\"\nidle_after = \"30s\"";
        let job = Job::new(embedded(), 2, workers, source);
        let clock = Hands::default();
        job.click([(0, 0), (1, 0)]);
        job.run(&clock, |team| {
            job.wait_until_read(team);
            // One goes on, the other does not.
            let mut minute = 0;
            while job.committed(1) < Some(Timestamp(9 * MINUTE)) {
                minute += 1;
                job.click([(0, minute)]);
                job.wait_until_read(team);
                clock.advance(10);
                assert!(minute < 10_000, "it promises nothing");
            }
            clock.wait(|| read_all(&job.log, &job.visitors).len() >= 9);
            // Promised is promised.
            job.click([(1, 3), (1, minute + 1)]);
            job.wait_until_read(team);
            clock.wait(|| read_all(&job.log, &job.late).len() == 1);
        });
        let late = read_all(&job.log, &job.late);
        assert_eq!(minutes(&late[0]), 3);
        let visitors = job.visitors();
        assert_eq!(visitors[&0], 2);
        assert!((1..9).all(|minute| visitors[&minute] == 1), "{visitors:?}");
    }
}

#[test]
fn where_all_are_idle_time_stands_still() {
    let source = "allowed_disorder = \"0s\"\nidle_after = \"30s\"";
    let job = Job::new(embedded(), 2, 1, source);
    let clock = Hands::default();
    job.click([(0, 5), (1, 0)]);
    job.run(&clock, |team| {
        job.wait_until_read(team);
        for _ in 0..20 {
            clock.advance(60);
            std::thread::park_timeout(Duration::from_millis(10));
        }
    });
    assert_eq!(job.committed(1), Some(Timestamp(0)));
    assert_eq!(job.visitors(), BTreeMap::new());
}

#[test]
fn when_all_have_been_silent_for_long_their_windows_are_closed_once() {
    for workers in [1, 2] {
        let source = "close_idle_after = \"5m\"";
        let job = Job::new(embedded(), 3, workers, source);
        let clock = Hands::default();
        let close = |team: &Team, windows: usize| {
            job.wait_until_read(team);
            wait(|| {
                clock.advance(10);
                read_all(&job.log, &job.visitors).len() == windows
            });
        };
        // The third partition never brings anything.
        job.click([(0, 0), (0, 1), (1, 7)]);
        job.run(&clock, |team| close(team, 3));
        for partition in 0..3 {
            assert_eq!(job.committed(partition), Some(Timestamp(8 * MINUTE)));
        }
        // Another start, another silence: time goes nowhere.
        job.run(&clock, |team| {
            close(team, 3);
            for _ in 0..100 {
                clock.advance(10);
                std::thread::park_timeout(Duration::from_millis(1));
            }
        });
        for partition in 0..3 {
            assert_eq!(job.committed(partition), Some(Timestamp(8 * MINUTE)));
        }
        // What comes later into a window that was closed is late, and everything else is as ever.
        job.click([(2, 7), (2, 8)]);
        job.run(&clock, |team| close(team, 4));
        assert_eq!(read_all(&job.log, &job.late).len(), 1);
        let visitors: Vec<(i64, u64)> = job.visitors().into_iter().collect();
        assert_eq!(visitors, [(0, 1), (1, 1), (7, 1), (8, 1)]);
    }
}

#[test]
fn a_record_from_the_far_future_is_set_aside_and_moves_no_time() {
    let source = "allowed_disorder = \"0s\"\nmax_future = \"1h\"";
    let job = Job::new(embedded(), 1, 1, source);
    let clock = Hands::default();
    clock.advance(60);
    job.click([(0, 1), (0, 62), (0, 1), (0, 61)]);
    let counted = job.run(&clock, |team| job.wait_until_read(team));
    assert_eq!((counted.dead_letters, counted.late), (1, 0));
    let dead = read_all(&job.log, &job.dead);
    assert_eq!(dead[0].origin(), (0, 1));
    assert_eq!(dead[0].header("millstream.step"), "decode");
    let reason = dead[0].header("millstream.reason");
    assert!(
        reason.contains("1970-01-01T01:02:00Z") && reason.contains("max_future"),
        "{reason}"
    );
    assert_eq!(job.visitors(), BTreeMap::from([(1, 2)]));
}

#[test]
fn records_may_carry_how_far_time_has_come() {
    let source = "watermark_field = \"meta.low\"\nmax_future = \"24h\"";
    let job = Job::new(embedded(), 1, 1, source);
    let clock = Hands::default();
    let low = |minute: i64| format!(r#","meta":{{"low":{}}}"#, minute * MINUTE);
    let (one, early, far) = (low(1), low(0), low(3_000));
    job.write([
        (0, 30 * MINUTE, ""),
        (0, 0, ""),
        (0, 2 * MINUTE, &one),
        // Behind what was carried: late. The one after it carries less, and moves nothing.
        (0, 0, ""),
        (0, MINUTE, &early),
        (0, MINUTE, r#","meta":{"low":"soon"}"#),
        (0, MINUTE, r#","meta":{"low":null}"#),
        (0, MINUTE, &far),
    ]);
    let counted = job.run(&clock, |team| job.wait_until_read(team));
    assert_eq!(job.visitors(), BTreeMap::from([(0, 1)]));
    assert_eq!((counted.late, counted.dead_letters), (1, 1));
    assert_eq!(counted.unread_watermarks, 1);
    assert_eq!(job.committed(0), Some(Timestamp(MINUTE)));
    let dead = read_all(&job.log, &job.dead);
    let reason = dead[0].header("millstream.reason");
    assert!(reason.starts_with("its watermark is"), "{reason}");
    // Nothing is lost by a watermark that can't be read.
    job.write([(0, 40 * MINUTE, low(40).as_str())]);
    job.run(&clock, |team| job.wait_until_read(team));
    assert_eq!(
        job.visitors(),
        BTreeMap::from([(0, 1), (1, 3), (2, 1), (30, 1)])
    );
}

#[test]
fn a_partition_that_is_far_ahead_waits_until_the_others_have_caught_up() {
    let source = "allowed_disorder = \"0s\"\nmax_drift = \"10m\"";
    let job = Job::new(embedded(), 2, 1, source);
    let clock = Hands::default();
    job.click([(0, 1), (1, 60)]);
    job.run(&clock, |team| {
        let position = |partition| team.snapshot().positions[&job.at(partition)].0;
        job.wait_until_read(team);
        // Once this has been read both are known.
        job.click([(0, 2)]);
        job.wait_until_read(team);
        // The turn in which it was read is over when it has been committed.
        clock.wait(|| job.committed(0) == Some(Timestamp(2 * MINUTE)));
        job.click([(1, 61)]);
        job.click([(0, 3)]);
        wait(|| position(0) == 3);
        assert_eq!(position(1), 1, "it waits");
        job.click([(0, 54)]);
        wait(|| position(0) == 4);
        assert_eq!(position(1), 1, "it waits until half of it is caught up");
        job.click([(0, 55)]);
        wait(|| position(1) == 2);
        // What is at its end holds nobody back.
        job.click([(1, 100)]);
        job.click([(1, 200)]);
        wait(|| {
            clock.advance(1);
            position(1) == 4
        });
    });
    assert_eq!(read_all(&job.log, &job.late).len(), 0);
}

/// Two partitions that cover different times, and one that has nothing.
fn two_ages<L: Log>(job: &Job<L>) -> BTreeMap<i64, u64> {
    let old = (0..30).map(|minute| (0, minute));
    let new = (100..130).flat_map(|minute| [(1, minute); 2]);
    job.click(old.chain(new));
    let old = (0..30).map(|minute| (minute, 1));
    old.chain((100..130).map(|minute| (minute, 2))).collect()
}

fn runs_that_end<L: Log>(log: &L, workers: usize) {
    for (partitions, source) in [
        (3, ""),
        (3, "max_drift = \"5m\""),
        (2, "idle_after = \"1m\""),
    ] {
        let job = Job::new(log.clone(), partitions, workers, source);
        let mut right = two_ages(&job);
        let counted = job.run_until_end();
        assert_eq!(counted.records, 90);
        assert_eq!(job.visitors(), right);
        // Nothing new, nothing to do.
        assert_eq!(job.run_until_end().results, 0);
        // What a later run brings into a window that was closed is late, whichever partition it is in.
        job.click([(0, 129), (0, 130), (1, 131)]);
        let counted = job.run_until_end();
        assert_eq!((counted.late, counted.late_partials), (1, 0));
        right.extend([(130, 1), (131, 1)]);
        assert_eq!(job.visitors(), right);
        assert_eq!(read_all(&job.log, &job.late).len(), 1);
    }
}

#[test]
fn a_run_may_end_with_what_there_is_and_close_all_windows() {
    for workers in 1..=3 {
        runs_that_end(&embedded(), workers);
    }
}

#[test]
fn a_run_may_end_with_what_there_is_on_kafka() {
    let Some(log) = kafka() else { return };
    for workers in [1, 3] {
        runs_that_end(&log, workers);
    }
}

#[test]
fn one_partition_settles_its_own_windows_and_ends_too() {
    let job = Job::new(embedded(), 1, 2, "");
    job.click([(0, 0), (0, 5)]);
    job.run_until_end();
    assert_eq!(job.visitors(), BTreeMap::from([(0, 1), (5, 1)]));
    assert_eq!(job.committed(0), Some(Timestamp(6 * MINUTE)));
    // A run without an end goes on where it was.
    job.click([(0, 6), (0, 9)]);
    run_to_end(&job.pipeline, &job.engine, &job.log);
    assert_eq!(job.visitors(), BTreeMap::from([(0, 1), (5, 1), (6, 1)]));
}

#[test]
fn an_empty_source_ends_at_once() {
    let job = Job::new(embedded(), 3, 2, "");
    let counted = job.run_until_end();
    assert_eq!((counted.records, counted.results), (0, 0));
}

/// Copies records from one topic to another, and then from there on. What was committed by transactions ends with offsets that
/// no reader gets.
fn copies_end<L: Log>(log: &L) {
    let engine = support::engine();
    let topics = ["first", "second", "third"].map(unique);
    create(log, &topics[0], 3, &[]);
    let record = |n: u8| (i32::from(n % 2), None, Some(vec![n]), Timestamp(1));
    write(log, &topics[0], (0..50).map(record));
    for pair in topics.windows(2) {
        let text = format!(
            r#"
            name = "{}"
            log = {{ embedded = "unused", create_topics = true, partitions = 2 }}
            source = {{ topic = "{}", format = "raw" }}
            sink.topic = "{}"
            dead_letters.topic = "{}"
            "#,
            unique("copy"),
            pair[0],
            pair[1],
            unique("dead"),
        );
        let pipeline = pipeline(&text, &engine);
        let state = tempfile::tempdir().unwrap();
        let folder = InstanceFolder::claim(state.path(), &pipeline.config().name).unwrap();
        let team = Team::new(2, Arc::new(AtomicBool::new(false))).until_end();
        let clock = SystemClock::new();
        let rollout = Rollout::fixed(pipeline);
        team.run(&rollout, &engine, log, &clock, &folder, Some(PATIENCE))
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(team.has_ended());
    }
    let mut copied: Vec<u8> = read_all(log, &topics[2])
        .into_iter()
        .flat_map(|record| record.value.unwrap())
        .collect();
    copied.sort_unstable();
    assert!(copied.into_iter().eq(0..50));
}

#[test]
fn a_pipeline_without_windows_ends_at_the_end() {
    copies_end(&embedded());
    if let Some(log) = kafka() {
        copies_end(&log);
    }
}
