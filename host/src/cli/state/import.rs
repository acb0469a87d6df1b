//! `millstream state import`: brings a pipeline to where an exported one stood.
//!
//! # Stories of a crash
//! First each offset is set with a note beside it that an import is going on; then the state is written; then the offsets
//! are set again, with the marks that name what was written. A pipeline that finds the note refuses to start. So a state
//! that is there in half is never taken for one, and importing again begins at the beginning.

mod check;
mod taken;

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{FileReader, Line};
use crate::cli::place::{AnyLog, open};
use crate::cli::{Failure, code, out};
use crate::log::{Bounds, GroupOffset, Log, LogError, Outbox, RecordParts, TopicPartition, Writer};
use crate::outside::{Standing, end_dead, set_offsets};
use crate::pipeline::config;
use crate::pipeline::shape::shape;
use crate::pipeline::{Pipeline, topics};
use crate::state::{Committed, Lineage, Origin, Stage, Stages, TaskId};
use crate::time::{Clock, SystemClock, Timestamp};

use taken::Taken;

/// The most that is written at once.
const MOST_BYTES: usize = 8 << 20;

/// Bring a pipeline to where an exported one stood
///
/// What the pipeline has committed and the windows that it has open are given up for those in the file. Refused while the
/// pipeline runs anywhere, if the file is not whole, if its state was made with other windows or functions, if a source
/// topic has another number of partitions, and if the source has lost the records that come next.
///
/// The name of the pipeline may be another one than that in the file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file
    #[arg(value_name = "PIPELINE.toml")]
    file: PathBuf,
    /// The file that was exported
    #[arg(value_name = "FILE")]
    from: PathBuf,
    /// Do it; without this, only show what would be done
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, code: &code::Options) -> Result<(), Failure> {
    let engine = code.engine()?;
    let pipeline = Pipeline::prepare(config::load(&args.file)?, &engine)?;
    match open(&pipeline.config().log.place)? {
        AnyLog::Kafka(log) => import(args, &pipeline, &log),
        AnyLog::Embedded(log) => import(args, &pipeline, &log),
    }
}

fn import<L: Log>(args: &Args, pipeline: &Pipeline, log: &L) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let standing = Standing::read(pipeline.config(), log, &clock)?;
    standing.must_be_still()?;
    let from = args.from.display();
    let unusable = |why: &dyn std::fmt::Display| Failure::Usage(format!("{from}: {why}"));
    let taken = Taken::read(read(&args.from)?).map_err(|error| unusable(&error))?;
    let now = shape(
        pipeline,
        standing.stages,
        tasks_with_state(&standing, &taken),
    );
    let refused = check::refusals(&taken, &standing, &now);
    if !refused.is_empty() {
        return Err(unusable(&refused.join("\n  ")));
    }
    if args.yes {
        let importing = Importing {
            pipeline,
            log,
            clock: &clock,
            taken: &taken,
        };
        importing.all(&standing, &args.from)?;
    }
    out::stdout(|out| {
        for ((topic, partition), (offset, _)) in &taken.offsets {
            writeln!(out, "{topic}/{partition} -> {offset}")?;
        }
        writeln!(
            out,
            "{} entries of state, {} records between stages",
            taken.counts.entries, taken.counts.partials
        )?;
        if args.yes {
            writeln!(out, "done: the next run goes on from there")
        } else {
            writeln!(out, "nothing has been changed: --yes does it")
        }
    })
}

fn read(file: &Path) -> Result<BufReader<File>, Failure> {
    File::open(file)
        .map(BufReader::new)
        .map_err(|error| Failure::Usage(format!("can't read {}: {error}", file.display())))
}

/// How many tasks with state the pipeline has, or will have: topics of ours that have not been made yet get as many
/// partitions as they had where the state was taken.
fn tasks_with_state(standing: &Standing, taken: &Taken) -> i32 {
    let tasks = match standing.stages {
        Stages::None => return 0,
        Stages::One => standing.sources.len(),
        Stages::Two if standing.finals.is_empty() => return taken.header.shape.partitions,
        Stages::Two => standing.finals.len(),
    };
    i32::try_from(tasks).unwrap_or(i32::MAX)
}

/// An import on its way.
struct Importing<'a, L: Log, C: Clock> {
    pipeline: &'a Pipeline,
    log: &'a L,
    clock: &'a C,
    taken: &'a Taken,
}

impl<L: Log, C: Clock> Importing<'_, L, C> {
    fn all(&self, standing: &Standing, file: &Path) -> Result<(), Failure> {
        let config = self.pipeline.config();
        let group = &standing.group;
        let own = self.make_topics(standing.stages)?;
        end_dead(self.log, group, self.clock)?;
        let mut offsets = self.taken.source_offsets(standing, config.source.start);
        // Where a final task is does not matter before it is set again.
        let partials: Option<Vec<Bounds>> = match standing.stages {
            Stages::Two => Some(self.log.bounds(&topics::repartition(config))?),
            Stages::None | Stages::One => None,
        };
        if let Some(partials) = &partials {
            offsets.extend(self.final_offsets(partials));
        }
        let noted: Vec<GroupOffset> = offsets
            .iter()
            .map(|of| GroupOffset {
                metadata: Committed::Importing.to_json(),
                ..of.clone()
            })
            .collect();
        set_offsets(self.log, group, &noted, self.clock)?;
        // Only now does nothing else write there.
        let changelog = match own {
            true => self.log.bounds(&topics::changelog(config))?,
            false => Vec::new(),
        };
        self.write(file)?;
        self.name_histories(standing.stages, &changelog, &mut offsets);
        Ok(set_offsets(self.log, group, &offsets, self.clock)?)
    }

    /// Makes the topics of ours that are missing. Says whether there is state at all.
    fn make_topics(&self, stages: Stages) -> Result<bool, LogError> {
        let config = self.pipeline.config();
        let partitions = self.taken.header.shape.partitions;
        match stages {
            Stages::None => return Ok(false),
            Stages::One => {}
            Stages::Two => self
                .log
                .create_topic(&topics::repartition_spec(config, partitions))?,
        }
        self.log
            .create_topic(&topics::changelog_spec(config, partitions))?;
        Ok(true)
    }

    /// Final tasks go on at the partials that are written now: those before are of rows that are read again, or not at all.
    fn final_offsets(&self, partials: &[Bounds]) -> Vec<GroupOffset> {
        let topic: Arc<str> = topics::repartition(self.pipeline.config()).into();
        (0..)
            .zip(partials)
            .map(|(partition, bounds)| GroupOffset {
                at: TopicPartition::new(Arc::clone(&topic), partition),
                offset: bounds.written,
                metadata: self
                    .taken
                    .finals
                    .get(&partition)
                    .unwrap_or(&Committed::Start)
                    .to_json(),
            })
            .collect()
    }

    /// Writes entries and partials, as they stand in the file, which is known to be whole.
    fn write(&self, file: &Path) -> Result<(), Failure> {
        let config = self.pipeline.config();
        let changelog: Arc<str> = topics::changelog(config).into();
        let repartition: Arc<str> = topics::repartition(config).into();
        let timestamp = self.clock.now();
        let unusable = |error| Failure::Usage(format!("{}: {error}", file.display()));
        let (_, mut lines) = FileReader::new(read(file)?).map_err(unusable)?;
        let mut writer = self.log.writer()?;
        let mut outbox = Outbox::new();
        while let Some(line) = lines.next().map_err(unusable)? {
            match &line {
                Line::Partial { task, key, value } => outbox.push(
                    &repartition,
                    record(
                        *task,
                        timestamp,
                        key.as_ref().map(|key| &key.0[..]),
                        value.as_ref().map(|value| &value.0[..]),
                    ),
                ),
                Line::Entry { task, key, value } => outbox.push(
                    &changelog,
                    record(*task, timestamp, Some(&key.0), Some(&value.0)),
                ),
                Line::Offset { .. } | Line::Final { .. } | Line::End(_) => {}
            }
            if outbox.byte_len() >= MOST_BYTES {
                writer.append(&outbox)?;
                outbox.clear();
            }
        }
        writer.append(&outbox)?;
        Ok(())
    }

    /// Names the history of each task that has state, which begins where its changelog ended.
    fn name_histories(&self, stages: Stages, changelog: &[Bounds], offsets: &mut [GroupOffset]) {
        let repartition = topics::repartition(self.pipeline.config());
        for of in offsets {
            let stage = match stages {
                Stages::None => continue,
                Stages::One => Stage::Source,
                Stages::Two if *of.at.topic == *repartition => Stage::Final,
                Stages::Two => continue,
            };
            let task = TaskId {
                stage,
                partition: of.at.partition,
            };
            let index = usize::try_from(task.partition).ok();
            let base = index.and_then(|index| changelog.get(index));
            if let (Ok(Committed::Mark(mut mark)), Some(bounds)) =
                (Committed::parse(&of.metadata), base)
            {
                mark.state = mark.state.map(|_| Origin {
                    lineage: Lineage::new(self.clock.now(), "import", task),
                    base: bounds.written,
                });
                of.metadata = mark.to_json();
            }
        }
    }
}

fn record<'a>(
    partition: i32,
    timestamp: Timestamp,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
) -> RecordParts<'a> {
    RecordParts {
        partition: Some(partition),
        timestamp,
        key,
        value,
        headers: &[],
    }
}
