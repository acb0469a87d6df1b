//! `millstream state export`: all that a pipeline needs to go on from where it stands, in one file.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::contents;
use super::file::{Bytes, Counts, FileWriter, Header, Line};
use crate::cli::place::{AnyLog, open};
use crate::cli::{Failure, out};
use crate::log::{Log, TopicPartition};
use crate::outside::{Standing, Task};
use crate::pipeline::config::{self, PipelineConfig};
use crate::pipeline::topics;
use crate::state::{
    Committed, MemoryStore, Shape, StateKey, Store, StoreError, TaskId, all_entries, all_parts,
    all_pending_parts,
};
use crate::time::{Clock, SystemClock};

/// How often to begin again when the pipeline has committed in the meantime.
const ATTEMPTS: usize = 3;

/// Write the state of a pipeline to a file
///
/// The file has the offsets that the pipeline has committed, its watermarks, all windows that are open and what is on its way
/// between its stages: enough to go on from there, or to come back to it, with `millstream state import`. It does not have
/// the records of the source.
///
/// All of it is of one moment. A pipeline that is running commits all the time, so stop it first; one that has nothing
/// to do can be exported while it runs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file
    #[arg(value_name = "PIPELINE.toml")]
    file: PathBuf,
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    into: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::load(&args.file)?;
    match open(&config.log.place)? {
        AnyLog::Kafka(log) => export(&args.into, &config, &log),
        AnyLog::Embedded(log) => export(&args.into, &config, &log),
    }
}

fn export<L: Log>(into: &Path, config: &PipelineConfig, log: &L) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let mut before = Standing::read(config, log, &clock)?;
    for _ in 0..ATTEMPTS {
        let folder = into.parent().filter(|folder| *folder != Path::new(""));
        let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
            .map_err(|error| cant_write(into, &error))?;
        let counts = write(BufWriter::new(&file), config, log, &before, &clock)?;
        let after = Standing::read(config, log, &clock)?;
        if has_moved(&before, &after) {
            tracing::info!("the pipeline has committed in the meantime: beginning again");
            before = after;
            continue;
        }
        file.as_file().sync_all()?;
        file.persist_noclobber(into)
            .map_err(|error| cant_write(into, &error.error))?;
        return out::stdout(|out| {
            writeln!(
                out,
                "{}: {} partitions, {} entries of state, {} records between stages",
                into.display(),
                counts.offsets,
                counts.entries,
                counts.partials
            )
        });
    }
    Err(Failure::Log(format!(
        "the pipeline {} commits while its state is read: stop it, then export again",
        config.name
    )))
}

fn cant_write(file: &Path, error: &io::Error) -> Failure {
    Failure::Other(anyhow::anyhow!("can't write {}: {error}", file.display()))
}

/// Whether a commit came between two looks at a pipeline. Records that only came into the source are none.
fn has_moved(before: &Standing, after: &Standing) -> bool {
    let committed = |standing: &Standing| -> Vec<_> {
        let tasks = standing.tasks();
        tasks.map(|task| task.committed.clone()).collect()
    };
    let own = |standing: &Standing| {
        let partials = standing.finals.iter().map(|task| task.bounds.end);
        let changelog = standing.changelog.iter().map(|bounds| bounds.end);
        partials.chain(changelog).collect::<Vec<_>>()
    };
    committed(before) != committed(after) || own(before) != own(after)
}

/// The mark of a task, for the file.
///
/// # Errors
/// If it is none of this build's, or of an import that was not finished.
fn mark(task: &Task) -> Result<Option<Committed>, Failure> {
    match task.mark() {
        None => Ok(None),
        Some(Ok(Committed::Importing)) => Err(Failure::Log(format!(
            "{}: an import was not finished: there is no state to export",
            task.at
        ))),
        Some(Ok(mark)) => Ok(Some(mark)),
        Some(Err(error)) => Err(Failure::Log(format!("{}: {error}", task.at))),
    }
}

/// What the state was made with: the same in the marks of all tasks.
fn shape(standing: &Standing) -> Result<Shape, Failure> {
    let mut shape = None;
    for task in standing.tasks() {
        let Some(Committed::Mark(mark)) = mark(task)? else {
            continue;
        };
        if shape.get_or_insert_with(|| mark.shape.clone()) != &mark.shape {
            return Err(Failure::Log(format!(
                "{}: its state was made with another pipeline file than that of the other partitions: let the pipeline \
                 run until all of them have committed",
                task.at
            )));
        }
    }
    shape.ok_or_else(|| {
        Failure::Log(format!(
            "the pipeline {} has not committed anything: there is no state to export",
            standing.group
        ))
    })
}

/// What stands beside an offset, for the file.
fn value(mark: &Committed) -> serde_json::Value {
    // It is JSON by what it promises.
    serde_json::from_str(&mark.to_json()).unwrap_or_default()
}

fn write<L: Log>(
    out: impl Write,
    config: &PipelineConfig,
    log: &L,
    standing: &Standing,
    clock: &impl Clock,
) -> Result<Counts, Failure> {
    let shape = shape(standing)?;
    let count = |topic: &String| {
        let of_topic = |task: &&Task| *task.at.topic == **topic;
        let count = standing.sources.iter().filter(of_topic).count();
        (topic.clone(), i32::try_from(count).unwrap_or(i32::MAX))
    };
    let header = Header::new(
        config.name.clone(),
        clock.now().to_string(),
        config.source.topics.iter().map(count).collect(),
        shape,
    );
    let mut file = FileWriter::new(out, &header)?;
    for task in &standing.sources {
        if let (Some(mark), Some(committed)) = (mark(task)?, &task.committed) {
            file.line(&Line::Offset {
                topic: task.at.topic.to_string(),
                partition: task.at.partition,
                offset: committed.offset.0,
                mark: value(&mark),
            })?;
        }
    }
    for task in &standing.finals {
        if let Some(mark) = mark(task)? {
            file.line(&Line::Final {
                task: task.at.partition,
                mark: value(&mark),
            })?;
        }
    }
    for task in &standing.finals {
        partials(&mut file, log, task, clock)?;
    }
    for (id, task) in standing.stateful() {
        if let Some(Committed::Mark(mark)) = mark(task)?
            && let Some(origin) = &mark.state
        {
            let at = TopicPartition::new(topics::changelog(config), id.partition);
            let bounds = standing.changelog_of(id).ok_or_else(|| {
                Failure::Log(format!("the changelog {at} of {} does not exist", task.at))
            })?;
            let mut store = MemoryStore::new();
            contents::load(log, &at, (origin, bounds), id, &mut store, clock)?;
            entries(&mut file, &store, id).map_err(|error| match error {
                EntriesError::File(error) => Failure::from(error),
                EntriesError::State(error) => Failure::Log(format!("{at}: {error}")),
            })?;
        }
    }
    Ok(file.end()?)
}

/// What a final task has still to read.
fn partials<L: Log, W: Write>(
    file: &mut FileWriter<W>,
    log: &L,
    task: &Task,
    clock: &impl Clock,
) -> Result<(), Failure> {
    let from = task
        .committed
        .as_ref()
        .map_or(task.bounds.start, |committed| committed.offset);
    if from < task.bounds.start {
        return Err(Failure::Log(format!(
            "{} has no records before offset {}, and the pipeline is at {from}: what lay between has been deleted",
            task.at, task.bounds.start
        )));
    }
    let range = (from, task.bounds.end);
    contents::read(log, &task.at, range, clock, &mut |entry| {
        let bytes = |bytes: Option<&[u8]>| bytes.map(|bytes| Bytes(bytes.to_vec()));
        Ok(file.line(&Line::Partial {
            task: task.at.partition,
            key: bytes(entry.key),
            value: bytes(entry.value),
        })?)
    })
}

enum EntriesError {
    File(io::Error),
    State(StoreError),
}

impl From<StoreError> for EntriesError {
    fn from(error: StoreError) -> Self {
        EntriesError::State(error)
    }
}

/// The entries of a task: its own, then its parts, which is the order of their keys.
fn entries<W: Write>(
    file: &mut FileWriter<W>,
    store: &MemoryStore,
    task: TaskId,
) -> Result<(), EntriesError> {
    let mut write = |key: &[u8], value: &[u8]| {
        file.line(&Line::Entry {
            task: task.partition,
            key: Bytes(key.to_vec()),
            value: Bytes(value.to_vec()),
        })
    };
    let mut key = Vec::new();
    StateKey::Task.encode(&mut key);
    if let Some(value) = store.get(task, &key)? {
        write(&key, &value).map_err(EntriesError::File)?;
    }
    for (from, to) in [all_parts(), all_pending_parts(), all_entries()] {
        let mut written = Ok(());
        store.scan(task, &from, &to, &mut |key, value| {
            written = write(key, value);
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        written.map_err(EntriesError::File)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Bounds, GroupOffset, Offset};
    use crate::state::Stages;

    fn standing(offset: i64, source_end: i64, changelog_end: i64) -> Standing {
        let at = TopicPartition::new("in", 0);
        let bounds = |end| Bounds {
            start: Offset(0),
            end: Offset(end),
            written: Offset(end),
        };
        Standing {
            group: "p".to_owned(),
            stages: Stages::One,
            members: Vec::new(),
            sources: vec![Task {
                at: at.clone(),
                bounds: bounds(source_end),
                committed: Some(GroupOffset {
                    at,
                    offset: Offset(offset),
                    metadata: String::new(),
                }),
            }],
            finals: Vec::new(),
            changelog: vec![bounds(changelog_end)],
        }
    }

    #[test]
    fn a_commit_in_the_meantime_is_seen_and_new_rows_are_none() {
        let before = standing(5, 9, 3);
        assert!(!has_moved(&before, &standing(5, 12, 3)));
        assert!(has_moved(&before, &standing(6, 9, 3)));
        assert!(has_moved(&before, &standing(5, 9, 4)), "state alone");
    }
}
