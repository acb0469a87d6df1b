//! `millstream check`: everything about a pipeline that can be known before it starts.

use std::io::{self, Write};
use std::path::PathBuf;

use indicatif::MultiProgress;

use super::place::{AnyLog, open};
use super::{Failure, code, logs, out};
use crate::log::{Log, LogError};
use crate::pipeline::config::Output;
use crate::pipeline::{Pipeline, config, topics};
use crate::rows::Field;

/// Check a pipeline without running it
///
/// Reads the file, admits the components, checks that each step gets the fields it wants, starts each function with its
/// configuration, and looks whether the topics exist. Prints what would run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file
    #[arg(value_name = "PIPELINE.toml")]
    file: PathBuf,
    /// Do not look for the topics
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(args: &Args, logs: &logs::Options, code: &code::Options) -> Result<(), Failure> {
    logs::start(logs, &MultiProgress::new())?;
    let config = config::load(&args.file)?;
    let engine = code.engine()?;
    let pipeline = Pipeline::prepare(config, &engine)?;
    out::stdout(|out| describe(&pipeline, out))?;
    if !args.offline {
        let found = match open(&pipeline.config().log.place)? {
            AnyLog::Kafka(log) => look(&pipeline, &log)?,
            AnyLog::Embedded(log) => look(&pipeline, &log)?,
        };
        out::stdout(|out| found.iter().try_for_each(|line| writeln!(out, "{line}")))?;
    }
    out::stdout(|out| writeln!(out, "ok"))
}

/// What would run.
fn describe(pipeline: &Pipeline, out: &mut dyn Write) -> io::Result<()> {
    let config = pipeline.config();
    writeln!(out, "pipeline {}", config.name)?;
    writeln!(
        out,
        "  reads {} as {:?}",
        config.source.topics.join(", "),
        config.source.format
    )?;
    writeln!(out, "  decodes {}", list(&pipeline.plan().decoded))?;
    for function in pipeline.functions() {
        let plugin = function.plugin();
        writeln!(
            out,
            "  step {}: {} {} (sha256 {})",
            function.name(),
            plugin.kind().world(),
            plugin.who(),
            plugin.digest()
        )?;
        writeln!(out, "    reads {}", list(plugin.reads()))?;
        if !plugin.produces().is_empty() {
            writeln!(out, "    produces {}", list(plugin.produces()))?;
        }
    }
    if let Output::Windows(step) = &config.output {
        let key = step
            .key
            .as_deref()
            .map_or("over all rows".to_owned(), |key| format!("keyed by {key}"));
        writeln!(out, "  windows: {}, {key}", step.window)?;
    }
    writeln!(out, "  writes {}", topics::written(config).join(", "))
}

fn list(fields: &[Field]) -> String {
    if fields.is_empty() {
        return "nothing".to_owned();
    }
    fields
        .iter()
        .map(Field::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether each topic exists, or would be created. Creates none.
fn look<L: Log>(pipeline: &Pipeline, log: &L) -> Result<Vec<String>, LogError> {
    let config = pipeline.config();
    let mut found = Vec::new();
    for name in &config.source.topics {
        let topic = log
            .topic(name)?
            .ok_or_else(|| LogError::NoTopic(name.clone()))?;
        found.push(format!("  topic {name}: {} partitions", topic.partitions));
    }
    for name in topics::written(config) {
        match (log.topic(name)?, config.log.create_topics) {
            (Some(topic), _) => {
                found.push(format!("  topic {name}: {} partitions", topic.partitions))
            }
            (None, Some(partitions)) => {
                found.push(format!(
                    "  topic {name}: will be created with {partitions} partitions"
                ));
            }
            (None, None) => return Err(LogError::NoTopic(name.to_owned())),
        }
    }
    Ok(found)
}
