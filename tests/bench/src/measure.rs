//! One measurement: a system does a job from the first click to the last result, which are then compared with what was expected.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::jobs::{Expected, Received};
use crate::process::{Process, Used};
use crate::systems::{Case, Places};
use crate::topics::{Clicks, Topics, drain};

/// How long nothing may come before a run has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the reader of results waits for one.
const LOOK: Duration = Duration::from_millis(20);

/// Of more results than this it is enough to look at their end: what commits leave between them is little.
const MANY: u64 = 100_000;

/// The cores of a case with two workers: that of the broker and of who measures too.
const ALL_CORES: &str = "0,1";

/// What a run has cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// From the start to the last result.
    pub(crate) wall: Duration,
    pub(crate) used: Used,
    /// CPU time from the moment on at which half of the results had been written, committed or not.
    pub(crate) second_half: Duration,
}

/// Where systems run.
pub(crate) struct Bench<'a> {
    pub(crate) topics: &'a Topics,
    pub(crate) places: &'a Places,
    /// The cores of the measured system, as `taskset` reads them.
    pub(crate) cores: &'a str,
}

impl Bench<'_> {
    /// Runs a case on clicks.
    ///
    /// # Errors
    /// If the system ends, does not get on, or writes what was not expected.
    pub(crate) fn run(&self, case: &Case, clicks: &Clicks, expected: &Expected) -> Result<Run> {
        let folder = tempfile::tempdir()?;
        // A name of its own for each run, since the group of an earlier one stands at the end of the clicks.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let sink = format!("{}-out-{}", clicks.topic, now.as_millis());
        self.topics.create(&sink, 1).context("the sink")?;
        let readers = (self.topics.reader(&sink)?, self.topics.eager_reader(&sink)?);
        let said = folder.path().join("said");
        let bootstrap = &self.topics.bootstrap;
        let line = case.line(self.places, bootstrap, clicks, &sink, folder.path())?;
        let begun = Instant::now();
        let cores = match case.workers {
            1 => self.cores,
            _ => ALL_CORES,
        };
        let mut process = Process::start(&case.to_string(), &line, cores, &said)?;
        let run = follow(case, &mut process, readers, begun, expected);
        let ended = process.end();
        let told = || {
            let said = std::fs::read_to_string(&said).unwrap_or_default();
            let last = said.lines().rev().take(15).collect::<Vec<_>>();
            let last: Vec<&str> = last.into_iter().rev().collect();
            format!("{case}; the last that it said:\n{}", last.join("\n"))
        };
        let run = run.with_context(told)?;
        ended.with_context(told)?;
        self.topics.delete_all_of(&sink)?;
        Ok(run)
    }
}

/// The end of the partition that a reader reads.
fn end_of(reader: &BaseConsumer) -> Result<u64> {
    let of = reader.assignment()?;
    let at = of.elements();
    let at = at.first().context("a reader of one partition")?;
    let (_, end) = reader.fetch_watermarks(at.topic(), at.partition(), PATIENCE)?;
    Ok(u64::try_from(end)?)
}

/// Follows a process until all has come.
fn follow(
    case: &Case,
    process: &mut Process,
    (reader, eager): (BaseConsumer, BaseConsumer),
    begun: Instant,
    expected: &Expected,
) -> Result<Run> {
    let mut received = Received::new(case.job);
    let mut last = Instant::now();
    // Results show at a commit, and some systems make few of them: by when half of them show, more than half of the work is done.
    let (mut eager, mut written, mut half) = (Some(eager), 0, Duration::ZERO);
    while received.count() < expected.count() {
        let before = received.count();
        if let Some(reader) = &eager {
            if expected.count() > MANY {
                written = end_of(reader)?;
            } else {
                drain(reader, LOOK, |_| {
                    written += 1;
                    Ok(())
                })?;
            }
            if written * 2 >= expected.count() {
                (eager, half) = (None, process.used()?.cpu);
            }
        }
        drain(&reader, LOOK, |value| received.add(value))?;
        let now = Instant::now();
        if received.count() > before {
            last = now;
        } else if now - last > PATIENCE {
            let (came, count) = (received.count(), expected.count());
            bail!("{came} of {count} records have come, and no more for {PATIENCE:?}");
        }
        process.used()?;
    }
    let (wall, used) = (begun.elapsed(), process.used()?);
    received.judge(expected)?;
    Ok(Run {
        wall,
        used,
        second_half: used.cpu.saturating_sub(half),
    })
}
