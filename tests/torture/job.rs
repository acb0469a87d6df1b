//! The pipelines that are tortured: their files, their topics and their state folders.

use std::path::{Path, PathBuf};

use millstream::log::Log;
use millstream::log::kafka::KafkaLog;

use crate::plan::PARTITIONS;
use crate::support::{components, create, unique};

/// How many partitions results, dead letters and late rows have.
const OUTPUT_PARTITIONS: i32 = 2;

/// What a pipeline works out. All of them have two stages: their windows span the partitions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Unique visitors of each window, by an aggregate.
    Global,
    /// The same for each country.
    ByCountry,
    /// Unique visitors of each window, from all its rows at once.
    GlobalRows,
}

impl Kind {
    /// Every one.
    pub(crate) const ALL: [Kind; 3] = [Kind::Global, Kind::ByCountry, Kind::GlobalRows];

    /// Whether there is a result for each country.
    pub(crate) fn is_keyed(self) -> bool {
        self == Kind::ByCountry
    }

    /// What messages and files call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Global => "visitors",
            Kind::ByCountry => "countries",
            Kind::GlobalRows => "rows",
        }
    }

    fn step(self) -> &'static str {
        match self {
            Kind::Global => "aggregate = \"{plugins}/unique-visitors.wasm\"",
            Kind::ByCountry => "aggregate = \"{plugins}/unique-visitors.wasm\"\nkey = \"country\"",
            Kind::GlobalRows => "window_apply = \"{plugins}/unique-visitors-window.wasm\"",
        }
    }
}

/// A pipeline and its topics.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    /// The pipeline's name, which is its group's too.
    pub(crate) name: String,
    pub(crate) results: String,
    pub(crate) dead: String,
    pub(crate) late: String,
    /// The text of its file, but for the state folder.
    text: String,
}

impl Job {
    /// A pipeline over `clicks`, whose hosts reach the log at `address`.
    pub(crate) fn new(kind: Kind, clicks: &str, window: &str, address: &str) -> Self {
        let name = unique(kind.name());
        let topic = |what: &str| format!("{name}.{what}");
        let (results, dead, late) = (topic("results"), topic("dead"), topic("late"));
        let step = kind.step();
        // A session that lasts as short as the broker allows, and clients that come back soon: what is tried is the same,
        // and more of it fits into a minute.
        let text = format!(
            r#"
name = "{name}"
source = {{ topic = "{clicks}", event_time = {{ field = "event_time", unit = "ms" }}, allowed_disorder = "2s" }}
sink.topic = "{results}"
dead_letters.topic = "{dead}"
late.topic = "{late}"

[log.kafka]
"bootstrap.servers" = "{address}"
"session.timeout.ms" = 6000
"reconnect.backoff.max.ms" = 1000

[[step]]
filter = "{{plugins}}/bot-filter.wasm"

[[step]]
{step}
window = {{ tumbling = "{window}" }}
"#
        );
        let text = text.replace("{plugins}", components().to_str().unwrap());
        Self {
            kind,
            name,
            results,
            dead,
            late,
            text,
        }
    }

    /// Creates the topics that the pipeline does not make itself.
    pub(crate) fn create_topics(&self, log: &impl Log) {
        for topic in [&self.results, &self.dead, &self.late] {
            create(log, topic, OUTPUT_PARTITIONS, &[]);
        }
    }

    /// The topic that holds its state, whose writers tell who had which task.
    pub(crate) fn changelog(&self) -> String {
        format!("{}-changelog", self.name)
    }

    /// Every topic that its transactions write to.
    pub(crate) fn written(&self) -> [String; 5] {
        [
            self.results.clone(),
            self.dead.clone(),
            self.late.clone(),
            self.changelog(),
            format!("{}-repartition", self.name),
        ]
    }

    /// Writes the pipeline file of a host with this state folder.
    pub(crate) fn write_file(&self, folder: &Path, state: &Path) -> PathBuf {
        let file = folder.join("pipeline.toml");
        let state = state.to_str().unwrap();
        let text = format!("{}\n[state]\nfolder = \"{state}\"\n", self.text);
        std::fs::write(&file, text).unwrap();
        file
    }
}

/// Creates the topic of the clicks, with a name of its own.
pub(crate) fn create_clicks(log: &KafkaLog) -> String {
    let clicks = unique("clicks");
    create(log, &clicks, PARTITIONS, &[]);
    clicks
}
