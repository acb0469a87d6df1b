//! `millstream state show`: where each task of a pipeline stands, and what it holds.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::contents::{self, Contents};
use crate::cli::out::Format;
use crate::cli::place::{AnyLog, open};
use crate::cli::{Failure, out};
use crate::log::{Log, TopicPartition};
use crate::outside::{Standing, Task};
use crate::pipeline::config::{self, PipelineConfig};
use crate::pipeline::topics;
use crate::state::{Committed, Mark, MemoryStore, Stages};
use crate::time::{SystemClock, Timestamp};

/// Show where each task of a pipeline stands and what it holds
///
/// All of it comes from the log, so it is the same on every machine, and the pipeline may be running: what is shown is what
/// was committed last. The windows, keys and bytes of a task are read from its changelog, which takes a while if there is
/// much.
///
/// A task is named by the partition that it reads. Its changelog is shown as `begin..end`: the offset at which the history of
/// its state begins, and the one that the next change gets.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file
    #[arg(value_name = "PIPELINE.toml")]
    file: PathBuf,
    /// How it is shown; as JSON, one object a task
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::load(&args.file)?;
    match open(&config.log.place)? {
        AnyLog::Kafka(log) => show(args, &config, &log),
        AnyLog::Embedded(log) => show(args, &config, &log),
    }
}

fn show<L: Log>(args: &Args, config: &PipelineConfig, log: &L) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let standing = Standing::read(config, log, &clock)?;
    let mut rows: Vec<Row> = standing.tasks().map(Row::of).collect();
    let topic = topics::changelog(config);
    for (id, task) in standing.stateful() {
        let Some(row) = rows.iter_mut().find(|row| row.at == task.at) else {
            continue;
        };
        let Some(origin) = row.mark.as_ref().and_then(|mark| mark.state.as_ref()) else {
            continue;
        };
        let at = TopicPartition::new(topic.as_str(), id.partition);
        let Some(bounds) = standing.changelog_of(id) else {
            row.note = Some(format!("its changelog {at} does not exist"));
            continue;
        };
        row.changelog = Some((origin.base.0, bounds.end.0));
        let mut store = MemoryStore::new();
        let read = contents::load(log, &at, (origin, bounds), id, &mut store, &clock)
            .and_then(|()| Contents::of(&store, id).map_err(|error| damaged(&at, &error)));
        match read {
            Ok(contents) => row.contents = Some(contents),
            // One task that can't be read is no reason to be silent about the others.
            Err(failure) => row.note = Some(failure.to_string()),
        }
    }
    out::stdout(|out| match args.output {
        Format::Text => text(&standing, &rows, out),
        Format::Json => rows
            .iter()
            .try_for_each(|row| writeln!(out, "{}", row.json(&standing))),
    })
}

fn damaged(at: &TopicPartition, error: &dyn std::fmt::Display) -> Failure {
    Failure::Log(format!("{at} is damaged: {error}"))
}

/// What is shown of a task.
struct Row {
    at: TopicPartition,
    offset: Option<i64>,
    lag: Option<i64>,
    mark: Option<Mark>,
    changelog: Option<(i64, i64)>,
    contents: Option<Contents>,
    /// What is out of the ordinary.
    note: Option<String>,
}

impl Row {
    fn of(task: &Task) -> Self {
        let (mark, note) = match task.mark() {
            None => (None, Some("nothing committed yet".to_owned())),
            Some(Ok(Committed::Mark(mark))) => (Some(mark), None),
            Some(Ok(Committed::Start)) => (None, Some("begins here at the next run".to_owned())),
            Some(Ok(Committed::Importing)) => (
                None,
                Some("an import was not finished: import again, or reset".to_owned()),
            ),
            Some(Err(error)) => (None, Some(error.to_string())),
        };
        Self {
            at: task.at.clone(),
            offset: task.committed.as_ref().map(|committed| committed.offset.0),
            lag: task.lag(),
            mark,
            changelog: None,
            contents: None,
            note,
        }
    }

    /// Of a source task its own watermark, of a final one the lowest of those that it waits for.
    fn watermark(&self) -> Option<Timestamp> {
        let own = self.mark.as_ref().map(|mark| mark.watermark);
        let known = |at: &Timestamp| *at != Timestamp::MIN;
        own.filter(known)
            .or_else(|| self.contents.as_ref()?.watermark().filter(known))
    }

    fn cells(&self) -> [String; 8] {
        let number = |n: Option<i64>| n.map_or("-".to_owned(), |n| n.to_string());
        let counted = |of: fn(&Contents) -> usize| {
            let contents = self.contents.as_ref();
            contents.map_or("-".to_owned(), |contents| of(contents).to_string())
        };
        [
            self.at.to_string(),
            number(self.offset),
            number(self.lag),
            self.watermark()
                .map_or("-".to_owned(), |watermark| watermark.to_string()),
            self.changelog
                .map_or("-".to_owned(), |(base, end)| format!("{base}..{end}")),
            counted(|contents| contents.windows),
            counted(|contents| contents.keys),
            counted(|contents| contents.bytes),
        ]
    }

    fn json(&self, standing: &Standing) -> Value {
        let contents = self.contents.as_ref();
        let state = self.mark.as_ref().and_then(|mark| mark.state.as_ref());
        json!({
            "pipeline": standing.group,
            "stages": standing.stages,
            "members": standing.members,
            "topic": *self.at.topic,
            "partition": self.at.partition,
            "offset": self.offset,
            "lag": self.lag,
            "watermark": self.watermark().map(|at| at.0),
            "lineage": state.map(|origin| origin.lineage.as_str()),
            "changelog_begin": self.changelog.map(|(base, _)| base),
            "changelog_end": self.changelog.map(|(_, end)| end),
            "windows": contents.map(|contents| contents.windows),
            "keys": contents.map(|contents| contents.keys),
            "bytes": contents.map(|contents| contents.bytes),
            "note": self.note,
        })
    }
}

const TITLES: [&str; 8] = [
    "task",
    "offset",
    "lag",
    "watermark",
    "changelog",
    "windows",
    "keys",
    "bytes",
];

fn text(standing: &Standing, rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let stages = match standing.stages {
        Stages::None => "no state",
        Stages::One => "one stage",
        Stages::Two => "two stages",
    };
    let members = match standing.members.len() {
        0 => "not running".to_owned(),
        _ => format!("run by {}", standing.members.join(", ")),
    };
    writeln!(out, "pipeline {}: {stages}, {members}", standing.group)?;
    let mut table = vec![TITLES.map(str::to_owned)];
    table.extend(rows.iter().map(Row::cells));
    for line in &table {
        let mut written = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = table.iter().map(|line| line[column].len()).max();
            let width = width.unwrap_or_default();
            written.push_str(&format!("{cell:width$}  "));
        }
        writeln!(out, "{}", written.trim_end())?;
    }
    for row in rows {
        if let Some(note) = &row.note {
            writeln!(out, "{}: {note}", row.at)?;
        }
    }
    Ok(())
}
