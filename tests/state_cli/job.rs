//! A pipeline in a folder of its own, and the program run on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use millstream::log::embedded::EmbeddedLog;
use millstream::log::kafka::KafkaLog;
use millstream::pipeline::shape::shape;
use millstream::pipeline::{Pipeline, config};
use millstream::state::{Shape, Stages};
use serde_json::Value;

use crate::PARTITIONS;
use crate::support::{components, kafka, unique};

/// The table of an embedded log beside the pipeline file.
pub(crate) const EMBEDDED: &str = "embedded = \"log\"";

/// A pipeline file in a folder of its own, with what the tests have to know of it.
pub(crate) struct Job {
    folder: tempfile::TempDir,
    pub(crate) name: String,
    pub(crate) clicks: String,
}

impl Job {
    /// On a log that `log` names, a table of the file.
    fn new(log: &str) -> Self {
        let job = Self {
            folder: tempfile::tempdir().unwrap(),
            name: unique("job"),
            clicks: unique("clicks"),
        };
        job.write(log, "1m");
        job
    }

    /// On an embedded log, with these names of the pipeline and its source.
    pub(crate) fn named(name: &str, clicks: &str) -> Self {
        let job = Self {
            folder: tempfile::tempdir().unwrap(),
            name: name.to_owned(),
            clicks: clicks.to_owned(),
        };
        job.write(EMBEDDED, "1m");
        job
    }

    /// Writes the pipeline file, with this log and these windows.
    pub(crate) fn write(&self, log: &str, window: &str) {
        let (name, clicks, plugins) = (&self.name, &self.clicks, components().display());
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
        std::fs::write(self.file(), text).unwrap();
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path("pipeline.toml")
    }

    pub(crate) fn embedded(&self) -> EmbeddedLog {
        EmbeddedLog::open(&self.path("log")).unwrap()
    }

    fn pipeline(&self) -> Pipeline {
        let engine = crate::support::engine();
        Pipeline::prepare(config::load(&self.file()).unwrap(), &engine).unwrap()
    }

    pub(crate) fn shape(&self) -> Shape {
        shape(&self.pipeline(), Stages::Two, PARTITIONS)
    }

    /// `millstream` with these words, in the folder of the pipeline file. `FILE` stands for that file.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        let word = |word: &&str| match *word {
            "FILE" => "pipeline.toml".to_owned(),
            word => word.to_owned(),
        };
        command
            .args(words.iter().map(word))
            .current_dir(self.folder.path());
        command
    }

    fn millstream(&self, words: &[&str]) -> Output {
        let mut command = self.command(words);
        command.env("MILLSTREAM_LOG", "warn").output().unwrap()
    }

    /// What it prints when all is well.
    pub(crate) fn said(&self, words: &[&str]) -> String {
        let output = self.millstream(words);
        let troubles = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {troubles}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says when it fails with this exit code.
    pub(crate) fn refused(&self, code: i32, words: &[&str]) -> String {
        let output = self.millstream(words);
        let troubles = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {troubles}");
        troubles
    }

    /// What `state show` says of each task, by the partition that it reads: `in/0`, and `final/0` of the second stage.
    pub(crate) fn shown(&self) -> BTreeMap<String, Value> {
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

pub(crate) fn on_embedded() -> Job {
    Job::new(EMBEDDED)
}

pub(crate) fn on_kafka() -> Option<(Job, KafkaLog)> {
    let log = kafka()?;
    Some((Job::new(&kafka_table()), log))
}

/// The table of a log on the broker of the tests.
pub(crate) fn kafka_table() -> String {
    let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    format!("kafka = {{ \"bootstrap.servers\" = \"{address}\" }}")
}

/// The lines of an exported file, but for what is another in each export: when it was taken, from which pipeline, and where
/// the histories begin.
pub(crate) fn lines(file: &Path) -> Vec<Value> {
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
