//! Functions that fail while a pipeline runs: the rows that make them are found and put aside, all others count once, and what is not a
//! row's fault is blamed on none.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use millstream::log::Log;
use millstream::log::embedded::EmbeddedLog;
use millstream::time::{SystemClock, Timestamp};
use millstream::worker::{Snapshot, WorkerError};
use support::{
    Record, ToWrite, create, kafka, pipeline, read_all, run_to_end, run_to_end_by, unique, write,
};

/// Event time between two rows of a partition, in milliseconds.
const STEP: i64 = 100;
/// The size of a window.
const WINDOW: i64 = 10_000;
/// How many rows a partition has.
const ROWS: i64 = 3_000;

/// A job that adds numbers up by windows, behind a function that fails.
struct Job<'a, L> {
    log: &'a L,
    numbers: String,
    sums: String,
    dead: String,
    file: String,
}

impl<'a, L: Log> Job<'a, L> {
    /// `step` are the keys of the first step.
    fn new(log: &'a L, partitions: i32, workers: usize, step: &str) -> Self {
        let [numbers, sums, dead, late] = ["numbers", "sums", "dead", "late"].map(unique);
        create(log, &numbers, partitions, &[]);
        let file = format!(
            r#"
            name = "{}"
            workers = {workers}
            log = {{ embedded = "unused", create_topics = true }}
            sink.topic = "{sums}"
            dead_letters.topic = "{dead}"
            late.topic = "{late}"

            [source]
            topic = "{numbers}"
            event_time = {{ field = "at", unit = "ms" }}
            allowed_disorder = "0s"

            [[step]]
            {step}

            [[step]]
            aggregate = "{{plugins}}/fixtures/frozen-aggregate.wasm"
            window = {{ tumbling = "10s" }}
            "#,
            unique("job")
        );
        Self {
            log,
            numbers,
            sums,
            dead,
            file,
        }
    }

    /// Writes rows, with these numbers at these places; all others have 1 to 7. Returns the sum of each window without them.
    fn rows(&self, partitions: i32, special: &BTreeMap<(i32, i64), i64>) -> BTreeMap<i64, i64> {
        let mut sums = BTreeMap::new();
        let mut records: Vec<ToWrite> = Vec::new();
        for partition in 0..partitions {
            for row in 0..ROWS {
                let at = row * STEP;
                let special = special.get(&(partition, row));
                let n = special.copied().unwrap_or(row % 7 + 1);
                if special.is_none() {
                    *sums.entry(at / WINDOW * WINDOW).or_default() += n;
                }
                let value = format!(r#"{{"at":{at},"n":{n}}}"#);
                records.push((partition, None, Some(value.into_bytes()), Timestamp(at)));
            }
        }
        write(self.log, &self.numbers, records);
        // The last window stays open.
        sums.pop_last();
        sums
    }

    fn run(&self) -> Snapshot {
        let engine = support::engine();
        run_to_end(&pipeline(&self.file, &engine), &engine, self.log)
    }

    /// What its workers end with.
    fn end(&self) -> WorkerError {
        let engine = support::engine();
        let pipeline = pipeline(&self.file, &engine);
        run_to_end_by(&pipeline, &engine, self.log, SystemClock::new()).unwrap_err()
    }

    /// The sums as they were written, each window once.
    fn sums(&self) -> BTreeMap<i64, i64> {
        let mut sums = BTreeMap::new();
        for record in read_all(self.log, &self.sums) {
            let json = record.json();
            let number = |name: &str| json[name].as_i64().unwrap();
            assert_eq!(number("revision"), 0);
            let before = sums.insert(number("window_start_ms"), number("sum"));
            assert_eq!(before, None, "a window was written twice");
        }
        sums
    }

    fn dead(&self) -> BTreeMap<(i32, i64), Record> {
        let dead = read_all(self.log, &self.dead);
        let count = dead.len();
        let dead: BTreeMap<_, _> = dead.into_iter().map(|one| (one.origin(), one)).collect();
        assert_eq!(dead.len(), count, "a row is dead twice");
        dead
    }
}

const PANICS: &str = r#"map = "{plugins}/fixtures/panics.wasm"
            limits = { call = "300ms", memory = "16MiB" }"#;

/// Every way to fail, on two partitions: at the ends, side by side, and alone.
fn special() -> BTreeMap<(i32, i64), i64> {
    let fails = [
        ((0, 0), 13),
        ((0, 700), 14),
        ((0, 1_023), 13),
        ((0, 1_024), 13),
        ((1, 350), 15),
        ((1, 351), 13),
        ((1, 352), 16),
        ((1, 2_998), 13),
        // Refused, which is no failure.
        ((1, 40), -5),
    ];
    BTreeMap::from(fails)
}

fn exactly_the_guilty_rows_are_dead<L: Log>(log: &L, workers: usize) {
    let job = Job::new(log, 2, workers, PANICS);
    let special = special();
    let sums = job.rows(2, &special);
    let counted = job.run();
    assert_eq!(job.sums(), sums);
    let dead = job.dead();
    let places: BTreeSet<_> = dead.keys().copied().collect();
    assert_eq!(places, special.keys().copied().collect());
    for (place, n) in special {
        let record = &dead[&place];
        assert_eq!(record.header("millstream.step"), "panics");
        assert_eq!(record.header("millstream.digest").len(), 64);
        assert_eq!(record.json()["n"], n, "the record as it came");
        let says = match n {
            13 => "13 brings bad luck",
            14 => "ran longer than the 300ms",
            15 => "ran out of memory",
            16 => "may not sleep",
            _ => "is below 0",
        };
        let reason = record.header("millstream.reason");
        assert!(reason.contains(says), "{reason}");
    }
    assert_eq!(counted.dead_letters, 9);
    assert_eq!(counted.records, 2 * u64::try_from(ROWS).unwrap());
    assert!(counted.failures >= 8);
}

#[test]
fn exactly_the_guilty_rows_are_dead_on_the_embedded_log() {
    exactly_the_guilty_rows_are_dead(&EmbeddedLog::in_memory(), 1);
    exactly_the_guilty_rows_are_dead(&EmbeddedLog::in_memory(), 2);
}

#[test]
fn exactly_the_guilty_rows_are_dead_on_kafka() {
    if let Some(log) = kafka() {
        exactly_the_guilty_rows_are_dead(&log, 2);
    }
}

#[test]
fn a_step_may_leave_bad_rows_out() {
    let log = EmbeddedLog::in_memory();
    let job = Job::new(&log, 2, 1, &format!("{PANICS}\non_error = \"skip\""));
    let sums = job.rows(2, &special());
    let counted = job.run();
    assert_eq!(job.sums(), sums);
    assert!(job.dead().is_empty());
    assert_eq!((counted.dead_letters, counted.skipped), (0, 9));
}

#[test]
fn a_step_may_end_the_pipeline_at_a_bad_row() {
    let log = EmbeddedLog::in_memory();
    let job = Job::new(&log, 1, 1, &format!("{PANICS}\non_error = \"fail\""));
    job.rows(1, &BTreeMap::from([((0, 1_500), 13)]));
    let end = job.end();
    assert!(matches!(end, WorkerError::Row { .. }), "{end}");
    let told = end.to_string();
    for word in ["step panics", "offset 1500", "13 brings bad luck"] {
        assert!(told.contains(word), "{told}");
    }
    let job = Job::new(&log, 1, 1, &format!("{PANICS}\non_error = \"fail\""));
    job.rows(1, &BTreeMap::from([((0, 2_000), -5)]));
    let told = job.end().to_string();
    for word in ["step panics", "offset 2000", "-5 is below 0"] {
        assert!(told.contains(word), "{told}");
    }
}

#[test]
fn a_function_that_fails_too_often_is_stopped() {
    let log = EmbeddedLog::in_memory();
    let step = PANICS.replace("16MiB\"", "16MiB\", failures_per_minute = 3");
    let job = Job::new(&log, 1, 1, &step);
    job.rows(1, &(0..20).map(|row| ((0, row * 100), 13)).collect());
    let end = job.end();
    assert!(
        matches!(&end, WorkerError::Budget { budget: 3, .. }),
        "{end}"
    );
    assert!(end.to_string().contains("offsets 300 to 300"), "{end}");
    // What was found before that is dead, and committed.
    assert!(job.dead().len() <= 3);
}

#[test]
fn a_function_that_wears_out_blames_no_row() {
    let log = EmbeddedLog::in_memory();
    for rows in [1_500, 3] {
        let step = format!(
            "filter = \"{{plugins}}/fixtures/wears-out.wasm\"\nconfig = {{ rows = {rows} }}"
        );
        let job = Job::new(&log, 2, 1, &step);
        let sums = job.rows(2, &BTreeMap::new());
        let counted = job.run();
        assert!(job.dead().is_empty(), "{rows}");
        assert_eq!(job.sums(), sums, "{rows}");
        assert!(counted.failures > 0);
    }
}

#[test]
fn a_function_that_fails_without_a_row_to_blame_ends_the_pipeline() {
    let log = EmbeddedLog::in_memory();
    let mut job = Job::new(&log, 1, 1, PANICS);
    job.file = job.file.replace("frozen-aggregate", "fails-late");
    // In the fourth window.
    let mut sums = job.rows(1, &BTreeMap::from([((0, 333), 1_000_000)]));
    let end = job.end();
    assert!(matches!(&end, WorkerError::Plugin { .. }), "{end}");
    for word in ["step fails-late", "was not foreseen"] {
        assert!(end.to_string().contains(word), "{end}");
    }
    // What was before that is written at most once, whatever was tried again, and no row is dead.
    sums.retain(|start, _| *start < 3 * WINDOW);
    assert!(job.sums().iter().all(|(at, sum)| sums.get(at) == Some(sum)));
    assert!(job.dead().is_empty());
}
