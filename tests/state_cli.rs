//! `millstream state` and `millstream run --from`, on both logs: state that is written as the worker writes it is shown, moved
//! and given up.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use millstream::log::embedded::EmbeddedLog;
use millstream::log::kafka::KafkaLog;
use millstream::log::{
    Delivery, Fetched, GroupOffset, Log, Membership, Offset, Outbox, Polled, RecordParts, Session,
    TopicPartition,
};
use millstream::pipeline::shape::shape;
use millstream::pipeline::{Pipeline, config, topics};
use millstream::plugin::PluginEngine;
use millstream::state::{
    ExchangeWriter, Lineage, Mark, Origin, Shape, Stage, Stages, StateKey, TaskId, TaskState,
    Write, put_parts,
};
use millstream::time::Timestamp;
use millstream::window::Window;
use serde_json::{Value, json};
use support::{components, create, kafka, unique, write};

/// How many partitions the source has, and so how many final tasks there are.
const PARTITIONS: i32 = 2;
/// How many records each of them has.
const RECORDS: i64 = 10;
const MINUTE: i64 = 60_000;

/// A pipeline file in a folder of its own, with what the tests have to know of it.
struct Job {
    folder: tempfile::TempDir,
    name: String,
    clicks: String,
}

impl Job {
    /// On a log that `log` names, a table of the file.
    fn new(log: &str, window: &str) -> Self {
        let job = Self {
            folder: tempfile::tempdir().unwrap(),
            name: unique("job"),
            clicks: unique("clicks"),
        };
        job.write("pipeline.toml", &job.name, log, window);
        job
    }

    fn write(&self, file: &str, name: &str, log: &str, window: &str) {
        let (clicks, plugins) = (&self.clicks, components().display());
        let text = format!(
            r#"
            name = "{name}"
            source.topic = "{clicks}"
            sink.topic = "{clicks}-visitors"
            dead_letters.topic = "{clicks}-dead"
            late.topic = "{clicks}-late"
            log = {{ {log}, create_topics = true }}
            [[step]]
            aggregate = "{plugins}/unique-visitors.wasm"
            window = {{ tumbling = "{window}" }}
            "#
        );
        std::fs::write(self.path(file), text).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn file(&self) -> PathBuf {
        self.path("pipeline.toml")
    }

    fn embedded(&self) -> EmbeddedLog {
        EmbeddedLog::open(&self.path("log")).unwrap()
    }

    fn pipeline(&self) -> Pipeline {
        let engine = PluginEngine::new().unwrap();
        Pipeline::prepare(config::load(&self.file()).unwrap(), &engine).unwrap()
    }

    fn shape(&self) -> Shape {
        shape(&self.pipeline(), Stages::Two, PARTITIONS)
    }

    /// Runs `millstream` with these words, of which `FILE` stands for the pipeline file.
    fn millstream(&self, words: &[&str]) -> Output {
        let file = self.file();
        let words = words.iter().map(|word| match *word {
            "FILE" => file.as_os_str(),
            word => word.as_ref(),
        });
        Command::new(env!("CARGO_BIN_EXE_millstream"))
            .args(words)
            .current_dir(self.folder.path())
            .env("MILLSTREAM_LOG", "warn")
            .output()
            .unwrap()
    }

    fn said(&self, words: &[&str]) -> String {
        let output = self.millstream(words);
        let troubles = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {troubles}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, code: i32, words: &[&str]) -> String {
        let output = self.millstream(words);
        let troubles = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {troubles}");
        troubles
    }

    /// What `state show` says of each task, by the partition that it reads: `in/0`, and `final/0` of the second stage.
    fn shown(&self) -> BTreeMap<String, Value> {
        let said = self.said(&["state", "show", "FILE", "--output", "json"]);
        let task = |line: &str| -> (String, Value) {
            let task: Value = serde_json::from_str(line).unwrap();
            let stage = match task["topic"].as_str().unwrap() {
                topic if topic == self.clicks => "in",
                _ => "final",
            };
            (format!("{stage}/{}", task["partition"]), task)
        };
        said.lines().map(task).collect()
    }
}

fn on_embedded() -> Job {
    Job::new("embedded = \"log\"", "1m")
}

fn on_kafka() -> Option<(Job, KafkaLog)> {
    let log = kafka()?;
    let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    let settings = format!(
        "kafka = {{ \"bootstrap.servers\" = \"{address}\", \"session.timeout.ms\" = 6000 }}"
    );
    Some((Job::new(&settings, "1m"), log))
}

fn source<L: Log>(job: &Job, log: &L) {
    create(log, &job.clicks, PARTITIONS, &[]);
    let record = |n: i64| {
        let partition = i32::try_from(n).unwrap() % PARTITIONS;
        (partition, None, Some(b"{}".to_vec()), Timestamp(n * 1_000))
    };
    write(log, &job.clicks, (0..RECORDS * 2).map(record));
}

/// What a worker of this pipeline would have written in one commit: both source partitions at 4, the final task 0 with two keys
/// in one window and a third in another, and partials for the final task 1, of which it has not read the last.
fn worked<L: Log>(job: &Job, log: &L) {
    source(job, log);
    let config = config::load(&job.file()).unwrap();
    for spec in [
        topics::changelog_spec(&config, PARTITIONS),
        topics::repartition_spec(&config, PARTITIONS),
    ] {
        log.create_topic(&spec).unwrap();
    }
    let mut session = join(job, log);
    let mut outbox = Outbox::new();
    let changelog: Arc<str> = topics::changelog(&config).into();
    let mut put = |task: i32, key: &[u8], value: &[u8]| {
        outbox.push(&changelog, record(task, Some(key), value));
    };
    for task in 0..PARTITIONS {
        let state = TaskState {
            next_write: Write(9),
            fired: Timestamp(MINUTE),
            watermarks: vec![
                (
                    TopicPartition::new(job.clicks.as_str(), 0),
                    Timestamp(5_000),
                ),
                (
                    TopicPartition::new(job.clicks.as_str(), 1),
                    Timestamp(7_000),
                ),
            ],
        };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        StateKey::Task.encode(&mut key);
        state.encode(&mut value);
        put(task, &key, &value);
    }
    let windows = [(1, "a"), (1, "b"), (2, "a")];
    for (minute, key) in windows {
        put_parts(
            window(minute),
            key.as_bytes(),
            Write(1),
            &[7; 100],
            64,
            &mut |key, value| put(0, key, value),
        );
    }
    let repartition: Arc<str> = topics::repartition(&config).into();
    for source in 0..2_u32 {
        let mut exchange = ExchangeWriter::new(1_000);
        exchange.part(window(3), b"c", source, b"partial");
        exchange.finish(|value| outbox.push(&repartition, record(1, None, value)));
    }
    let offset = |topic: &str, partition, offset, state| GroupOffset {
        at: TopicPartition::new(topic, partition),
        offset: Offset(offset),
        metadata: Mark {
            watermark: Timestamp(5_000),
            shape: job.shape(),
            state,
        }
        .to_json(),
    };
    let origin = |partition| {
        let task = TaskId {
            stage: Stage::Final,
            partition,
        };
        Some(Origin {
            lineage: Lineage::new(Timestamp(0), "test", task),
            base: Offset(0),
        })
    };
    let offsets: Vec<GroupOffset> = (0..PARTITIONS)
        .flat_map(|partition| {
            let read = i64::from(partition);
            [
                offset(&job.clicks, partition, 4, None),
                offset(&repartition, partition, read, origin(partition)),
            ]
        })
        .collect();
    session.commit(&outbox, &offsets).unwrap();
}

fn window(minute: i64) -> Window {
    Window {
        start: Timestamp(minute * MINUTE),
        end: Timestamp((minute + 1) * MINUTE),
    }
}

fn record<'a>(partition: i32, key: Option<&'a [u8]>, value: &'a [u8]) -> RecordParts<'a> {
    RecordParts {
        partition: Some(partition),
        timestamp: Timestamp(0),
        key,
        value: Some(value),
        headers: &[],
    }
}

/// A member of the group to which all partitions have been assigned.
fn join<L: Log>(job: &Job, log: &L) -> L::Session {
    let mut session = log
        .join(&Membership {
            group: job.name.clone(),
            member: "test-0".to_owned(),
            topics: vec![job.clicks.clone(), format!("{}-repartition", job.name)],
            delivery: Delivery::ExactlyOnce,
        })
        .unwrap();
    let mut fetched = Fetched::new();
    let all = usize::try_from(PARTITIONS * 2).unwrap();
    while session.assignment().len() < all {
        match session
            .poll(&mut fetched, Duration::from_millis(100))
            .unwrap()
        {
            Polled::Records | Polled::Assigned(_) => {}
            Polled::Revoked(given_up) | Polled::Lost(given_up) => {
                session.release(&given_up).unwrap();
            }
        }
    }
    session
}

/// The lines of an exported file, but for what is another in each export: when it was taken, from which pipeline, and where
/// the histories begin.
fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for name in ["taken", "pipeline"] {
            line.as_object_mut().unwrap().remove(name);
        }
        if let Some(mark) = line.pointer_mut("/final/mark/state") {
            *mark = Value::Null;
        }
        line
    };
    text.lines().map(line).collect()
}

/// What is to be seen of [`worked`], on either log.
fn is_shown(job: &Job) {
    let tasks = job.shown();
    assert_eq!(tasks.len(), 4);
    let source = &tasks["in/1"];
    assert_eq!((&source["offset"], &source["lag"]), (&json!(4), &json!(6)));
    assert_eq!(source["watermark"], 5_000);
    assert_eq!(source["stages"], "two");
    assert_eq!(source["windows"], Value::Null);
    let first = &tasks["final/0"];
    assert_eq!((&first["windows"], &first["keys"]), (&json!(2), &json!(3)));
    assert_eq!(first["bytes"], 300);
    assert_eq!(first["changelog_begin"], 0);
    let second = &tasks["final/1"];
    assert_eq!(
        (&second["windows"], &second["offset"]),
        (&json!(0), &json!(1))
    );

    let text = job.said(&["state", "show", "FILE"]);
    let (first, table) = text.split_once('\n').unwrap();
    assert!(
        first.starts_with(&format!("pipeline {}: two stages", job.name)),
        "{text}"
    );
    assert!(table.starts_with("task "), "{text}");
    assert_eq!(table.lines().count(), 5, "{text}");
}

/// Exports, imports into a pipeline of another name on the same log, and exports that.
fn is_moved(job: &mut Job, log_table: &str) {
    job.said(&["state", "export", "FILE", "taken.ndjson"]);
    let again = job.refused(1, &["state", "export", "FILE", "taken.ndjson"]);
    assert!(again.contains("taken.ndjson"), "{again}");

    let other = unique("other");
    job.write("pipeline.toml", &other, log_table, "1m");
    job.name = other;
    let shown = job.said(&["state", "import", "FILE", "taken.ndjson"]);
    assert!(shown.contains("nothing has been changed"), "{shown}");
    assert!(job.shown().values().all(|task| task["offset"].is_null()));
    let done = job.said(&["state", "import", "FILE", "taken.ndjson", "--yes"]);
    assert!(done.contains("done"), "{done}");
    job.said(&["state", "export", "FILE", "again.ndjson"]);
    assert_eq!(
        lines(&job.path("taken.ndjson")),
        lines(&job.path("again.ndjson"))
    );
    // Once more over what is there now: a new history, and nothing of the one before.
    job.said(&["state", "import", "FILE", "taken.ndjson", "--yes"]);
    job.said(&["state", "export", "FILE", "third.ndjson"]);
    assert_eq!(
        lines(&job.path("taken.ndjson")),
        lines(&job.path("third.ndjson"))
    );
    let task = &job.shown()["final/0"];
    assert!(task["changelog_begin"].as_i64().unwrap() > 0, "{task}");
    assert_eq!(task["keys"], 3);
}

#[test]
fn what_tasks_hold_is_shown() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    is_shown(&job);
}

#[test]
fn exported_state_is_imported_as_it_was() {
    let mut job = on_embedded();
    worked(&job, &job.embedded());
    is_moved(&mut job, "embedded = \"log\"");
}

#[test]
fn state_is_shown_and_moved_on_kafka() {
    let Some((mut job, log)) = on_kafka() else {
        return;
    };
    worked(&job, &log);
    is_shown(&job);
    let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    let settings = format!("kafka = {{ \"bootstrap.servers\" = \"{address}\" }}");
    is_moved(&mut job, &settings);
}

#[test]
fn a_reset_sets_offsets_and_forgets_what_is_on_its_way() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    let shown = job.said(&["state", "reset", "FILE", "--to", "earliest"]);
    assert!(shown.contains(&format!("{}/0", job.clicks)), "{shown}");
    assert!(shown.contains("4 -> 0"), "{shown}");
    assert!(shown.contains("nothing has been changed"), "{shown}");
    assert_eq!(job.shown()["in/0"]["offset"], 4);

    job.said(&["state", "reset", "FILE", "--to", "earliest", "--yes"]);
    let tasks = job.shown();
    for (task, offset) in [("in/0", 0), ("in/1", 0), ("final/0", 0), ("final/1", 2)] {
        let task = &tasks[task];
        assert_eq!(task["offset"], offset, "{task}");
        assert_eq!(task["note"], "begins here at the next run", "{task}");
        assert!(
            task["watermark"].is_null() && task["keys"].is_null(),
            "{task}"
        );
    }
    let nothing = job.refused(4, &["state", "export", "FILE", "taken.ndjson"]);
    assert!(nothing.contains("has not committed anything"), "{nothing}");
}

#[test]
fn a_reset_goes_to_a_time_or_to_offsets() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    let offsets = |to: &str| {
        job.said(&["state", "reset", "FILE", "--to", to, "--yes"]);
        let tasks = job.shown();
        [&tasks["in/0"], &tasks["in/1"]].map(|task| task["offset"].as_i64().unwrap())
    };
    // Records 0, 2, 4 are in partition 0, those between in partition 1, a second apart.
    assert_eq!(offsets("1970-01-01T00:00:05Z"), [3, 2]);
    assert_eq!(offsets("1971-01-01T00:00:00Z"), [RECORDS, RECORDS]);
    assert_eq!(offsets("latest"), [RECORDS, RECORDS]);
    let clicks = &job.clicks;
    assert_eq!(offsets(&format!("{clicks}/0=1,{clicks}/1=2")), [1, 2]);
    let noted = format!("# noted\n{clicks}/0=3\n{clicks}/1=0\n");
    std::fs::write(job.path("offsets"), noted).unwrap();
    assert_eq!(offsets("offsets"), [3, 0]);

    let to = format!("{clicks}/0={},other/0=1", RECORDS + 1);
    let refused = job.refused(2, &["state", "reset", "FILE", "--to", &to, "--yes"]);
    for part in [
        "has no offset 11",
        "other/0 is not a partition",
        "/1 is left out",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    job.refused(
        2,
        &["state", "reset", "FILE", "--to", "no-such-file", "--yes"],
    );
    assert_eq!(job.shown()["in/0"]["offset"], 3, "nothing was set");
}

#[test]
fn a_pipeline_that_has_committed_is_not_given_another_beginning() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    let refused = job.refused(2, &["run", "FILE", "--from", "earliest"]);
    assert!(refused.contains("millstream state reset"), "{refused}");
    assert_eq!(job.shown()["in/0"]["offset"], 4);
}

#[test]
fn state_of_other_windows_is_refused() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    job.said(&["state", "export", "FILE", "taken.ndjson"]);
    job.write("pipeline.toml", &job.name, "embedded = \"log\"", "5m");
    let refused = job.refused(2, &["state", "import", "FILE", "taken.ndjson", "--yes"]);
    assert!(
        refused.contains("the window was tumbling 1m, now tumbling 5m"),
        "{refused}"
    );
}

#[test]
fn a_file_that_was_cut_off_changes_nothing() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    job.said(&["state", "export", "FILE", "taken.ndjson"]);
    let whole = std::fs::read_to_string(job.path("taken.ndjson")).unwrap();
    let cut = &whole[..whole.len() * 2 / 3];
    std::fs::write(job.path("cut.ndjson"), cut).unwrap();
    let before = job.shown();
    let refused = job.refused(2, &["state", "import", "FILE", "cut.ndjson", "--yes"]);
    assert!(refused.contains("cut.ndjson: line "), "{refused}");
    assert_eq!(job.shown(), before);
}

#[test]
fn a_pipeline_that_is_running_is_looked_at_and_not_changed() {
    let Some((job, log)) = on_kafka() else {
        return;
    };
    worked(&job, &log);
    job.said(&["state", "export", "FILE", "taken.ndjson"]);
    let session = join(&job, &log);
    for words in [
        &["state", "reset", "FILE", "--to", "earliest", "--yes"][..],
        &["state", "import", "FILE", "taken.ndjson", "--yes"],
    ] {
        let refused = job.refused(4, words);
        assert!(
            refused.contains(&format!("{}-test-0", job.name)),
            "{refused}"
        );
    }
    let task = &job.shown()["in/0"];
    assert_eq!(task["offset"], 4);
    assert_eq!(task["members"], json!([format!("{}-test-0", job.name)]));
    drop(session);
}
