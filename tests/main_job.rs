//! The main job on both logs: unique visitors per minute, from generated clicks to results, against the generator's own
//! answer.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(clippy::print_stdout, reason = "a skipped test says so in plain sight")]

mod support;

use std::collections::BTreeSet;
use std::process::Command;

use millstream::generate::{ClickConfig, Clicks, Expected, Oracle};
use millstream::log::Log;
use millstream::log::embedded::EmbeddedLog;
use millstream::time::Timestamp;
use support::{create, kafka, pipeline, read_all, run_to_end, unique, write};

const EVENTS: u64 = 200_000;

/// The topics of one run.
struct Topics {
    clicks: String,
    visitors: String,
    dead: String,
    late: String,
}

fn file(name: &str, topics: &Topics, run: &Run) -> String {
    let Topics {
        clicks,
        visitors,
        dead,
        late,
    } = topics;
    let Run {
        workers, delivery, ..
    } = run;
    format!(
        r#"
        name = "{name}"
        workers = {workers}
        commit.delivery = "{delivery}"
        log = {{ embedded = "unused", create_topics = true }}
        source = {{ topic = "{clicks}", event_time = {{ field = "event_time", unit = "ms" }}, allowed_disorder = "5s" }}
        sink.topic = "{visitors}"
        dead_letters.topic = "{dead}"
        late.topic = "{late}"

        [[step]]
        filter = "{{plugins}}/bot-filter.wasm"

        [[step]]
        aggregate = "{{plugins}}/unique-visitors.wasm"
        window = {{ tumbling = "1m" }}
        "#
    )
}

/// How the job is run.
struct Run {
    partitions: i32,
    workers: usize,
    delivery: &'static str,
}

impl Run {
    fn new(partitions: i32, workers: usize) -> Self {
        Self {
            partitions,
            workers,
            delivery: "exactly-once",
        }
    }

    fn at_least_once() -> Self {
        Self {
            delivery: "at-least-once",
            ..Self::new(4, 2)
        }
    }
}

/// Writes generated clicks to a topic and returns the right answer.
fn clicks<L: Log>(log: &L, topic: &str, partitions: i32) -> Expected {
    let config = ClickConfig {
        events: EVENTS,
        partitions,
        seed: 11,
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
    write(log, topic, records);
    let expected = oracle.expected();
    assert!(
        expected.windows.len() > 2,
        "too few windows to mean anything"
    );
    assert!(expected.late > 0 && expected.malformed > 0 && expected.bots > 0);
    expected
}

/// Runs the job and compares all that it wrote with what is right.
fn the_main_job<L: Log>(log: &L, run: &Run) -> Topics {
    let name = unique("visitors");
    let topics = Topics {
        clicks: unique("clicks"),
        visitors: unique("visitors"),
        dead: unique("dead"),
        late: unique("late"),
    };
    create(log, &topics.clicks, run.partitions, &[]);
    let expected = clicks(log, &topics.clicks, run.partitions);
    let engine = support::engine();
    let pipeline = pipeline(&file(&name, &topics, run), &engine);
    let counted = run_to_end(&pipeline, &engine, log);

    let mut results: Vec<(i64, i64, u64)> = Vec::new();
    for record in read_all(log, &topics.visitors) {
        let json = record.json();
        let number = |name: &str| json[name].as_i64().unwrap();
        assert_eq!(json["revision"], 0);
        let start = Timestamp(number("window_start_ms"));
        assert_eq!(json["window_start"], start.to_string());
        assert_eq!(record.timestamp.0, number("window_end_ms") - 1);
        assert_eq!(record.key, Some(start.to_string().into_bytes()));
        let visitors = u64::try_from(number("unique_visitors")).unwrap();
        results.push((start.0, number("window_end_ms"), visitors));
    }
    results.sort_unstable();
    let right: Vec<(i64, i64, u64)> = expected
        .windows
        .iter()
        .map(|window| (window.start, window.end, window.unique_visitors))
        .collect();
    assert_eq!(results, right);

    // The topic was empty and is written without transactions, so a record's number is its offset.
    let places = |places: &[millstream::generate::Place]| -> BTreeSet<(i32, i64)> {
        places
            .iter()
            .map(|at| (at.partition, i64::try_from(at.index).unwrap()))
            .collect()
    };
    let dead = read_all(log, &topics.dead);
    let dead_places: BTreeSet<(i32, i64)> = dead.iter().map(|record| record.origin()).collect();
    assert_eq!(
        dead.len(),
        dead_places.len(),
        "a dead letter was written twice"
    );
    assert_eq!(dead_places, places(&expected.malformed_rows));
    let late = read_all(log, &topics.late);
    let late_places: BTreeSet<(i32, i64)> = late.iter().map(|record| record.origin()).collect();
    assert_eq!(
        late.len(),
        late_places.len(),
        "a late row was written twice"
    );
    assert_eq!(late_places, places(&expected.late_rows));
    for record in late.iter().chain(&dead) {
        assert_eq!(record.header("millstream.topic"), topics.clicks);
        assert!(!record.header("millstream.reason").is_empty());
    }

    assert_eq!(counted.records, expected.rows);
    assert_eq!(counted.late, expected.late);
    assert_eq!(counted.dead_letters, expected.malformed);
    assert_eq!(counted.filtered, expected.bots);
    topics
}

fn on_the_embedded_log(run: &Run) {
    let folder = tempfile::tempdir().unwrap();
    the_main_job(&EmbeddedLog::open(folder.path()).unwrap(), run);
}

#[test]
fn every_window_is_right_on_the_embedded_log_with_1_partition() {
    on_the_embedded_log(&Run::new(1, 1));
}

#[test]
fn every_window_is_right_on_the_embedded_log_with_4_partitions() {
    on_the_embedded_log(&Run::new(4, 1));
}

#[test]
fn three_workers_give_the_answer_of_one_on_the_embedded_log() {
    on_the_embedded_log(&Run::new(4, 3));
}

#[test]
fn at_least_once_is_exact_as_long_as_nothing_fails() {
    on_the_embedded_log(&Run::at_least_once());
    if let Some(log) = kafka() {
        the_main_job(&log, &Run::at_least_once());
    }
}

#[test]
fn three_workers_give_the_answer_of_one_on_kafka() {
    if let Some(log) = kafka() {
        the_main_job(&log, &Run::new(4, 3));
    }
}

#[test]
fn every_window_is_right_on_kafka_with_1_partition() {
    if let Some(log) = kafka() {
        the_main_job(&log, &Run::new(1, 1));
    }
}

#[test]
fn every_window_is_right_on_kafka_with_4_partitions_and_kafkas_own_consumer_reads_the_same() {
    let Some(log) = kafka() else { return };
    let topics = the_main_job(&log, &Run::new(4, 1));
    let Some(libs) = std::env::var_os("MILLSTREAM_KAFKA_LIBS") else {
        println!("SKIPPED: Kafka's console consumer (MILLSTREAM_KAFKA_LIBS is not set)");
        return;
    };
    let ours = read_all(&log, &topics.visitors);
    let output = Command::new("java")
        .arg("-cp")
        .arg(std::path::Path::new(&libs).join("*"))
        .args([
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            "--bootstrap-server",
            &std::env::var("MILLSTREAM_TEST_KAFKA").unwrap(),
            "--topic",
            &topics.visitors,
            "--from-beginning",
            "--isolation-level",
            "read_committed",
            "--max-messages",
            &ours.len().to_string(),
            "--timeout-ms",
            "30000",
        ])
        .output()
        .unwrap();
    let mut theirs: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let mut ours: Vec<String> = ours
        .into_iter()
        .map(|record| String::from_utf8(record.value.unwrap()).unwrap())
        .collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(theirs, ours, "{}", String::from_utf8_lossy(&output.stderr));
}
