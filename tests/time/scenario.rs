//! What a test plays: a pipeline's settings, and what happens to it in order.

use std::collections::BTreeMap;

use serde_json::{Map, json};
use toml::{Table, Value};

use crate::support;

/// The names of a pipeline and its topics; the group has the pipeline's.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) group: String,
    pub(crate) source: String,
    pub(crate) sink: String,
    pub(crate) late: String,
    pub(crate) dead: String,
}

impl Names {
    /// Names of one scenario in a log of its own, or, with a prefix that nobody else uses, in one that is shared.
    pub(crate) fn new(prefix: &str) -> Self {
        let of = |name: &str| format!("{prefix}{name}");
        Self {
            group: of("p"),
            source: of("rows"),
            sink: of("sink"),
            late: of("late"),
            dead: of("dead"),
        }
    }

    /// The topic through which source tasks reach final ones.
    pub(crate) fn repartition(&self) -> String {
        format!("{}-repartition", self.group)
    }
}

/// Something that happens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Happening {
    /// A record is written.
    Row(Row),
    /// The worker is told to stop, its disk is lost, and another is started.
    Restart,
    /// The group takes the worker's partitions away in the middle of its work: it throws away what it has not committed.
    Expel,
    /// Nothing comes for so many milliseconds by the wall clock.
    Wait(i64),
}

/// A record of the source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) partition: i32,
    /// Its event time.
    pub(crate) at: i64,
    /// Its field `user`, and the record's key.
    pub(crate) user: Option<String>,
    /// Its field `n`.
    pub(crate) n: i64,
    /// Further fields, with whole numbers.
    pub(crate) more: BTreeMap<String, i64>,
}

impl Row {
    /// The record's value.
    pub(crate) fn value(&self) -> Vec<u8> {
        let mut value = Map::new();
        value.insert("at".to_owned(), json!(self.at));
        value.insert("n".to_owned(), json!(self.n));
        if let Some(user) = &self.user {
            value.insert("user".to_owned(), json!(user));
        }
        let more = self.more.iter();
        value.extend(more.map(|(name, number)| (name.clone(), json!(number))));
        serde_json::to_vec(&value).unwrap()
    }
}

/// See the opening of this file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scenario {
    /// What the pipeline file says under `[source]`, less what every scenario has.
    pub(crate) source: Table,
    /// The same for its only step.
    pub(crate) step: Table,
    /// The rows a commit holds at most.
    pub(crate) max_rows: i64,
    pub(crate) happenings: Vec<Happening>,
}

impl Scenario {
    /// The rows in the order in which they are written.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.happenings
            .iter()
            .filter_map(|happening| match happening {
                Happening::Row(row) => Some(row),
                _ => None,
            })
    }

    /// How many partitions the source has.
    pub(crate) fn partitions(&self) -> i32 {
        self.rows().map(|row| row.partition + 1).max().unwrap_or(1)
    }

    /// The pipeline file.
    pub(crate) fn file(&self, names: &Names) -> String {
        let mut source = self.source.clone();
        source.insert("topic".to_owned(), names.source.clone().into());
        source.insert(
            "event_time".to_owned(),
            Value::Table(Table::from_iter([
                ("field".to_owned(), "at".into()),
                ("unit".to_owned(), "ms".into()),
            ])),
        );
        if !source.contains_key("watermark_field") {
            source.entry("allowed_disorder").or_insert("0s".into());
        }
        let mut step = self.step.clone();
        if !step.contains_key("window_apply") {
            step.entry("aggregate").or_insert("sum.wasm".into());
        }
        let fixtures = support::components().join("fixtures");
        for (shown, component) in [
            ("sum.wasm", "frozen-aggregate.wasm"),
            ("list.wasm", "transcript.wasm"),
        ] {
            let path = fixtures.join(component).to_str().unwrap().to_owned();
            let named = step.iter_mut().filter(|(_, v)| v.as_str() == Some(shown));
            named.for_each(|(_, value)| *value = path.clone().into());
        }
        let of = |topic: &String| {
            Value::Table(Table::from_iter([(
                "topic".to_owned(),
                topic.clone().into(),
            )]))
        };
        let table = |text: &str| Value::Table(text.parse().unwrap());
        let file = Table::from_iter([
            ("name".to_owned(), names.group.clone().into()),
            (
                "log".to_owned(),
                table("embedded = \"unused\"\ncreate_topics = true\npartitions = 2"),
            ),
            (
                "commit".to_owned(),
                table(&format!("interval = \"1ms\"\nmax_rows = {}", self.max_rows)),
            ),
            ("source".to_owned(), Value::Table(source)),
            ("sink".to_owned(), of(&names.sink)),
            ("late".to_owned(), of(&names.late)),
            ("dead_letters".to_owned(), of(&names.dead)),
            ("step".to_owned(), Value::Array(vec![Value::Table(step)])),
        ]);
        toml::to_string(&file).unwrap()
    }
}
