//! Who is measured, and how each is started.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use crate::jobs::{GAP, Job};
use crate::topics::Clicks;

/// What stands in a row of the table.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum System {
    /// Functions as components, in batches.
    Millstream,
    /// The same engine, with the function as Rust in the host.
    NativeFunction,
    /// Functions as components, a call for each record.
    PerRecord,
    /// The same, with JSON parsed in the component.
    JsonInGuest,
    /// A program by hand, on batches of rdkafka.
    Native,
    /// The same, one message at a time.
    NativeSingly,
    /// Flink's DataStream with an incremental aggregate.
    Flink,
    /// The same with a set made of all rows, as in textbooks.
    FlinkTextbook,
    /// Kafka Streams' Processor API.
    KafkaStreams,
    /// Bytewax.
    Bytewax,
}

/// What is promised of results after a crash.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Case {
    pub(crate) job: Job,
    pub(crate) partitions: u32,
    /// Of Millstream; each has a core. The second is that of the broker.
    pub(crate) workers: u32,
    pub(crate) system: System,
    pub(crate) guarantee: Guarantee,
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The host.
    pub(crate) millstream: PathBuf,
    /// The components.
    pub(crate) plugins: PathBuf,
    /// The peers' programs.
    pub(crate) peers: PathBuf,
    /// The peers' sources, where their settings are.
    pub(crate) sources: PathBuf,
}

impl System {
    pub(crate) fn is_peer(self) -> bool {
        use System::*;
        matches!(self, Flink | FlinkTextbook | KafkaStreams | Bytewax)
    }

    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Guarantee {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Guarantee::ExactlyOnce => "exactly-once",
            Guarantee::AtLeastOnce => "at-least-once",
        }
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} p{} w{} {}",
            self.job.name(),
            self.system.name(),
            self.partitions,
            self.workers,
            self.guarantee.name()
        )
    }
}

impl Case {
    /// The command line that does the case on these clicks, with results in `sink` and files in `folder`.
    ///
    /// # Errors
    /// If a file can't be written.
    pub(crate) fn line(
        &self,
        places: &Places,
        bootstrap: &str,
        clicks: &Clicks,
        sink: &str,
        folder: &Path,
    ) -> Result<Vec<String>> {
        let text = |path: PathBuf| path.display().to_string();
        let mut line = match self.system {
            System::Millstream | System::PerRecord | System::JsonInGuest => {
                let file = self.file(places, bootstrap, clicks, sink, folder)?;
                let host = text(places.millstream.clone());
                return Ok(vec![host, "run".to_owned(), file]);
            }
            System::NativeFunction => {
                let file = self.file(places, bootstrap, clicks, sink, folder)?;
                let mut line = vec![text(std::env::current_exe()?), "engine".to_owned()];
                for (flag, value) in [
                    ("--pipeline", &*file),
                    ("--bootstrap", bootstrap),
                    ("--state", &text(folder.join("state"))),
                ] {
                    line.extend([flag.to_owned(), value.to_owned()]);
                }
                return Ok(line);
            }
            System::Native | System::NativeSingly => {
                let mut line = vec![text(std::env::current_exe()?), "native".to_owned()];
                if self.system == System::NativeSingly {
                    line.push("--singly".to_owned());
                }
                for (flag, value) in [
                    ("--bootstrap", bootstrap),
                    ("--source", &clicks.topic),
                    ("--sink", sink),
                    ("--job", &self.job.name()),
                    ("--partitions", &clicks.partitions.to_string()),
                ] {
                    line.extend([flag.to_owned(), value.to_owned()]);
                }
                return Ok(line);
            }
            System::Flink | System::FlinkTextbook => self.java(places, "flink", "FlinkPeer"),
            System::KafkaStreams => self.java(places, "kafka-streams", "StreamsPeer"),
            System::Bytewax => vec![
                text(places.peers.join("bytewax/bin/python")),
                text(places.sources.join("bytewax/peer.py")),
            ],
        };
        let job = match self.system {
            System::FlinkTextbook => "headline-textbook".to_owned(),
            _ => self.job.name(),
        };
        for (flag, value) in [
            ("--bootstrap", bootstrap),
            ("--source", &clicks.topic),
            ("--sink", sink),
            ("--job", &job),
            ("--guarantee", self.guarantee.name()),
            ("--partitions", &clicks.partitions.to_string()),
            ("--state", &folder.display().to_string()),
        ] {
            line.extend([flag.to_owned(), value.to_owned()]);
        }
        Ok(line)
    }

    fn java(&self, places: &Places, name: &str, class: &str) -> Vec<String> {
        let built = places.peers.join(name);
        let (jar, libs) = (built.join(format!("{name}.jar")), built.join("libs"));
        let options = places.sources.join(name).join("jvm.options");
        vec![
            "java".to_owned(),
            format!("@{}", options.display()),
            "-cp".to_owned(),
            format!("{}:{}/*", jar.display(), libs.display()),
            format!("millstream.bench.{class}"),
        ]
    }

    /// Writes the pipeline file of the job; where it is.
    fn file(
        &self,
        places: &Places,
        bootstrap: &str,
        clicks: &Clicks,
        sink: &str,
        folder: &Path,
    ) -> Result<String> {
        let file = folder.join("pipeline.toml");
        fs::write(
            &file,
            self.pipeline(places, bootstrap, clicks, sink, folder),
        )?;
        Ok(file.display().to_string())
    }

    /// The text of that.
    fn pipeline(
        &self,
        places: &Places,
        bootstrap: &str,
        clicks: &Clicks,
        sink: &str,
        folder: &Path,
    ) -> String {
        let plugins = places.plugins.display();
        let step = |kind: &str, plugin: &str, more: &str| {
            format!("[[step]]\n{kind} = \"{plugins}/{plugin}.wasm\"\n{more}\n")
        };
        let minute = r#"window = { tumbling = "1m" }"#;
        let visitors = match self.system {
            System::JsonInGuest => "fixtures/json-in-guest",
            _ => "unique-visitors",
        };
        let good = || step("filter", "fixtures/status-ok", "");
        let steps = match self.job {
            Job::Identity => String::new(),
            Job::FilterMap => good() + &step("map", "fixtures/three-fields", ""),
            Job::Headline => step("aggregate", visitors, minute),
            Job::Keyed => step(
                "aggregate",
                "row-count",
                &format!("key = \"url\"\n{minute}"),
            ),
            Job::WindowApply => step("window_apply", "unique-visitors-window", minute),
            Job::ThreeSteps => {
                good()
                    + &step("map", "fixtures/three-fields", "")
                    + &step("aggregate", "unique-visitors", minute)
            }
            Job::Sliding => step(
                "aggregate",
                "row-count",
                r#"window = { sliding = "60s", slide = "1s" }"#,
            ),
            Job::Session => step(
                "aggregate",
                "row-count",
                &format!("key = \"user_id\"\nwindow = {{ session = \"{GAP}ms\" }}"),
            ),
        };
        let has_windows = !matches!(self.job, Job::Identity | Job::FilterMap);
        let late = match has_windows {
            true => format!("late.topic = \"{sink}.late\"\n"),
            false => String::new(),
        };
        let source = match (has_windows, self.system) {
            (false, _) => "",
            // Records are dated with their event times.
            (true, System::JsonInGuest) => "allowed_disorder = \"1s\"\n",
            (true, _) => {
                "event_time = { field = \"event_time\", unit = \"ms\" }\nallowed_disorder = \"1s\"\n"
            }
        };
        let format = if self.job == Job::Identity {
            "raw"
        } else {
            "json"
        };
        let mut file = format!("name = \"{sink}\"\nworkers = {}\n", self.workers);
        if self.system == System::PerRecord {
            file.push_str("batch_rows = 1\n");
        }
        let guarantee = self.guarantee.name();
        let (topic, folder) = (&clicks.topic, folder.display());
        write!(
            file,
            "log = {{ kafka = {{ \"bootstrap.servers\" = \"{bootstrap}\" }}, create_topics = true }}\n\
             sink.topic = \"{sink}\"\n\
             dead_letters.topic = \"{sink}.dead\"\n\
             {late}\
             state.folder = \"{folder}/state\"\n\
             commit.delivery = \"{guarantee}\"\n\
             [source]\n\
             topic = \"{topic}\"\n\
             format = \"{format}\"\n\
             {source}\
             {steps}"
        )
        .expect("a string takes what is written");
        file
    }
}
