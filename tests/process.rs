//! `millstream run` as a process: signals, exit codes, what it says when the log is not there, a SIGKILL in the middle of a
//! window, and several processes that run one pipeline.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use millstream::generate::{ClickConfig, Clicks, Expected, Oracle};
use millstream::log::embedded::EmbeddedLog;
use millstream::log::kafka::KafkaLog;
use millstream::log::{Fetched, Log, Reader};
use millstream::time::Timestamp;
use support::{components, create, kafka, read_all, unique, write};

/// A port of this machine on which nothing listens: the discard service.
const NOBODY: &str = "127.0.0.1:9";

struct Job {
    folder: tempfile::TempDir,
    clicks: String,
    visitors: String,
    dead: String,
    late: String,
}

impl Job {
    /// A pipeline file in a folder of its own. `log` is its log table.
    fn new(log: &str) -> Self {
        let job = Self {
            folder: tempfile::tempdir().unwrap(),
            clicks: unique("clicks"),
            visitors: unique("visitors"),
            dead: unique("dead"),
            late: unique("late"),
        };
        let (name, plugins) = (unique("job"), components().display());
        let Job {
            clicks,
            visitors,
            dead,
            late,
            ..
        } = &job;
        let text = format!(
            r#"
            name = "{name}"
            source = {{ topic = "{clicks}", event_time = {{ field = "event_time", unit = "ms" }}, allowed_disorder = "5s" }}
            sink.topic = "{visitors}"
            dead_letters.topic = "{dead}"
            late.topic = "{late}"
            [log]
            {log}
            create_topics = true
            [[step]]
            filter = "{plugins}/bot-filter.wasm"
            [[step]]
            aggregate = "{plugins}/unique-visitors.wasm"
            window = {{ tumbling = "1m" }}
            "#
        );
        std::fs::write(job.file(), text).unwrap();
        job
    }

    fn on_kafka() -> Self {
        let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
        Self::new(&format!(
            "kafka = {{ \"bootstrap.servers\" = \"{address}\" }}"
        ))
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("pipeline.toml")
    }

    fn start(&self, arguments: &[&str]) -> Running {
        start(&self.file(), arguments)
    }
}

fn start(file: &Path, arguments: &[&str]) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .arg("run")
        .arg(file)
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    Running { child, stderr }
}

/// A running process; it does not outlive the test.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    /// Reads what it says until a line has `part` in it.
    fn until(&mut self, part: &str) -> String {
        let mut said = String::new();
        let mut line = String::new();
        while self.stderr.read_line(&mut line).unwrap() > 0 {
            said.push_str(&line);
            if line.contains(part) {
                return line;
            }
            line.clear();
        }
        panic!("it ended and never said {part:?}: {said}");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", signal, &id])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Its exit code and what it has still said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        while self.stderr.read_line(&mut said).unwrap() > 0 {}
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn clicks<L: Log>(log: &L, topic: &str, events: u64) -> Expected {
    let config = ClickConfig {
        events,
        partitions: 4,
        seed: 3,
        ..ClickConfig::default()
    };
    let mut oracle = Oracle::new(config.window, config.disorder, 4).unwrap();
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
    oracle.expected()
}

/// Waits until a topic holds so many records.
fn wait_for(log: &KafkaLog, topic: &str, records: usize) {
    let mut reader = log.reader(topic, &[]).unwrap();
    let mut fetched = Fetched::new();
    let mut seen = 0;
    while seen < records {
        reader.poll(&mut fetched, Duration::from_secs(1)).unwrap();
        seen += fetched.len();
    }
}

fn visitors<L: Log>(log: &L, topic: &str) -> BTreeMap<i64, u64> {
    let mut visitors = BTreeMap::new();
    for record in read_all(log, topic) {
        let json = record.json();
        let start = json["window_start_ms"].as_i64().unwrap();
        let twice = visitors.insert(start, json["unique_visitors"].as_u64().unwrap());
        assert_eq!(twice, None, "the window at {start} came twice");
    }
    visitors
}

fn right(expected: &Expected) -> BTreeMap<i64, u64> {
    expected
        .windows
        .iter()
        .map(|window| (window.start, window.unique_visitors))
        .collect()
}

#[test]
fn a_process_killed_in_the_middle_of_a_window_loses_and_repeats_nothing() {
    let Some(log) = kafka() else { return };
    let job = Job::on_kafka();
    create(&log, &job.clicks, 4, &[]);
    create(&log, &job.visitors, 1, &[]);
    create(&log, &job.dead, 1, &[]);
    create(&log, &job.late, 1, &[]);
    let expected = clicks(&log, &job.clicks, 200_000);

    // One that is killed after its first result, one that is killed as soon as it has rows, one that is let finish.
    let mut first = job.start(&[]);
    wait_for(&log, &job.visitors, 1);
    first.signal("KILL");
    first.child.wait().unwrap();
    let mut second = job.start(&[]);
    second.until("reading");
    second.signal("KILL");
    second.child.wait().unwrap();
    let third = job.start(&[]);
    wait_for(&log, &job.visitors, expected.windows.len());
    wait_for(&log, &job.dead, expected.malformed_rows.len());
    third.signal("TERM");
    let (code, said) = third.end();
    assert_eq!(code, Some(0), "{said}");

    assert_eq!(visitors(&log, &job.visitors), right(&expected));
    let mut dead: Vec<_> = read_all(&log, &job.dead)
        .iter()
        .map(|r| r.origin())
        .collect();
    dead.sort_unstable();
    let places = expected.malformed_rows.iter();
    let mut right: Vec<_> = places
        .map(|at| (at.partition, i64::try_from(at.index).unwrap()))
        .collect();
    right.sort_unstable();
    assert_eq!(dead, right);
}

#[test]
fn two_processes_share_a_pipeline_and_one_that_ends_is_replaced() {
    let Some(log) = kafka() else { return };
    let job = Job::on_kafka();
    create(&log, &job.clicks, 4, &[]);
    let mut older = job.start(&["--workers", "2"]);
    job.wait_until_it_reads(&log, &mut older);
    let mut newer = job.start(&[]);
    newer.until("reading");
    let expected = clicks(&log, &job.clicks, 100_000);
    wait_for(&log, &job.visitors, expected.windows.len() / 2);
    // Its session ends by a timeout, and the other one goes on where it had committed.
    older.signal("KILL");
    older.child.wait().unwrap();
    wait_for(&log, &job.visitors, expected.windows.len());
    newer.signal("TERM");
    let (code, said) = newer.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(visitors(&log, &job.visitors), right(&expected));
}

#[test]
fn of_two_processes_that_are_the_same_member_one_goes_on() {
    let Some(log) = kafka() else { return };
    let job = Job::on_kafka();
    create(&log, &job.clicks, 4, &[]);
    let mut older = job.start(&[]);
    job.wait_until_it_reads(&log, &mut older);

    let copy = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(job.file()).unwrap();
    std::fs::write(copy.path().join("pipeline.toml"), text).unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(job.folder.path().join(".millstream"))
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    let mut newer = start(&copy.path().join("pipeline.toml"), &[]);
    newer.until("reading");
    let (code, said) = older.end();
    assert_eq!(code, Some(5), "{said}");
    assert!(
        said.contains("another process runs this pipeline now"),
        "{said}"
    );
    newer.signal("INT");
    let (code, said) = newer.end();
    assert_eq!(code, Some(0), "{said}");
}

/// That every window has been told, also those that no further row closes.
fn is_whole(visitors: &BTreeMap<i64, u64>, expected: &Expected) {
    let right = right(expected);
    let closed = right.iter().map(|(start, count)| (start, Some(count)));
    assert!(closed.eq(right.keys().map(|start| (start, visitors.get(start)))));
    assert!(visitors.len() > right.len(), "the last windows stayed open");
}

#[test]
fn a_run_until_the_end_ends_by_itself() {
    let job = Job::new("embedded = \"log\"");
    let folder = job.folder.path().join("log");
    let log = EmbeddedLog::open(&folder).unwrap();
    create(&log, &job.clicks, 4, &[]);
    let expected = clicks(&log, &job.clicks, 20_000);
    drop(log);
    let (code, said) = job.start(&["--until-end", "--workers", "2"]).end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("read to the end"), "{said}");
    let log = EmbeddedLog::open(&folder).unwrap();
    is_whole(&visitors(&log, &job.visitors), &expected);
}

#[test]
fn two_processes_come_to_the_end_together() {
    let Some(log) = kafka() else { return };
    let job = Job::on_kafka();
    create(&log, &job.clicks, 4, &[]);
    let expected = clicks(&log, &job.clicks, 100_000);
    let both = [2, 1].map(|workers| job.start(&["--until-end", "--workers", &workers.to_string()]));
    for process in both {
        let (code, said) = process.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("read to the end"), "{said}");
    }
    is_whole(&visitors(&log, &job.visitors), &expected);
}

#[test]
fn a_pipeline_that_its_state_cannot_follow_is_refused_with_what_differs() {
    let job = Job::new("embedded = \"log\"");
    let folder = job.folder.path().join("log");
    let log = EmbeddedLog::open(&folder).unwrap();
    create(&log, &job.clicks, 4, &[]);
    clicks(&log, &job.clicks, 2_000);
    drop(log);
    let mut running = job.start(&[]);
    running.until("reading");
    running.signal("TERM");
    let (code, said) = running.end();
    assert_eq!(code, Some(0), "{said}");
    let text = std::fs::read_to_string(job.file()).unwrap();
    let text = text.replace("tumbling = \"1m\"", "tumbling = \"5m\"");
    std::fs::write(job.file(), text).unwrap();
    let (code, said) = job.start(&[]).end();
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("tumbling 1m") && said.contains("tumbling 5m"),
        "{said}"
    );
    assert!(said.contains("millstream state reset"), "{said}");
}

impl Job {
    /// Returns when the process reads; the sink's topic exists by then.
    fn wait_until_it_reads(&self, log: &KafkaLog, running: &mut Running) {
        running.until("reading");
        assert!(log.topic(&self.visitors).unwrap().is_some());
    }
}

#[test]
fn a_broker_that_is_not_there_is_tried_again_until_told_otherwise() {
    let job = Job::new(&format!(
        "kafka = {{ \"bootstrap.servers\" = \"{NOBODY}\" }}"
    ));
    let (code, said) = job.start(&["--give-up-after", "1s"]).end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("trying again"), "{said}");
    assert!(said.contains("gave up after"), "{said}");

    let mut patient = job.start(&[]);
    patient.until("trying again");
    patient.signal("TERM");
    let (code, said) = patient.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let job = Job::new(&format!(
        "kafka = {{ \"bootstrap.servers\" = \"{NOBODY}\" }}"
    ));
    let mut running = job.start(&[]);
    running.until("loaded");
    // It is inside a request that takes seconds to fail.
    while running.child.try_wait().unwrap().is_none() {
        running.signal("INT");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
}

#[test]
fn a_source_topic_that_does_not_exist_is_named() {
    let job = Job::new("embedded = \"log\"");
    EmbeddedLog::open(&job.folder.path().join("log")).unwrap();
    let (code, said) = job.start(&[]).end();
    assert_eq!(code, Some(4), "{said}");
    assert!(
        said.contains(&job.clicks) && said.contains("does not exist"),
        "{said}"
    );
}

#[test]
fn a_plugin_that_is_not_there_and_a_misspelt_key_have_their_own_exit_codes() {
    let job = Job::new("embedded = \"log\"");
    let text = std::fs::read_to_string(job.file()).unwrap();
    std::fs::write(
        job.file(),
        text.replace("bot-filter.wasm", "no-filter.wasm"),
    )
    .unwrap();
    let (code, said) = job.start(&[]).end();
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("no-filter.wasm") && said.contains("no such file"),
        "{said}"
    );
    std::fs::write(job.file(), text.replace("tumbling", "tumblnig")).unwrap();
    let (code, said) = job.start(&[]).end();
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("tumblnig") && said.contains("tumbling"),
        "{said}"
    );
    let missing = Path::new("no-pipeline.toml");
    let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .arg("run")
        .arg(missing)
        .output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}
