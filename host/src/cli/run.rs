//! `millstream run`: one pipeline in the foreground.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use indicatif::MultiProgress;
use jiff::SignedDuration;

use super::place::{AnyLog, open};
use super::progress::Shown;
use super::{Failure, code, logs, signals, state};
use crate::control::{FollowError, Followed, catch_up};
use crate::log::Log;
use crate::outside;
use crate::pipeline::{Pipeline, config};
use crate::plugin::PluginEngine;
use crate::registry::Trust;
use crate::state::InstanceFolder;
use crate::time::{Clock as _, SystemClock};
use crate::worker::{Team, WorkerError};

/// How long to wait before the log is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Run a pipeline until it is told to stop, or to its end
///
/// SIGTERM or Ctrl-C: no more rows are taken, what is done is committed, and the process ends with code 0. A second signal
/// ends it at once. Either way the next run goes on where this one had committed, with nothing lost and nothing
/// written twice. While the log is away it is tried again, for ever or for --give-up-after.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file
    #[arg(value_name = "PIPELINE.toml")]
    file: PathBuf,
    /// How long to wait for a log that is away, such as `30s`; for ever without it
    #[arg(long, value_name = "DURATION")]
    give_up_after: Option<SignedDuration>,
    /// How many threads run it, instead of what the file says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// End when everything is read that the source holds at the start: all windows are closed, and the process ends with code 0
    #[arg(long)]
    until_end: bool,
    /// Where to begin, if the pipeline has never committed anything; a time is RFC 3339, offsets are topic/partition=offset
    /// with commas between, or a file of such. Goes before `start` in the file
    #[arg(long, value_name = "earliest|latest|TIME|OFFSETS|FILE")]
    from: Option<state::Beginning>,
}

pub(super) fn run(args: &Args, logs: &logs::Options, code: &code::Options) -> Result<(), Failure> {
    // First of all, so that a signal while components are compiled is an orderly end too.
    let stop = signals::stop_flag()?;
    let bars = MultiProgress::new();
    logs::start(logs, &bars)?;
    let give_up_after = match args.give_up_after.map(Duration::try_from) {
        None => None,
        Some(Ok(duration)) => Some(duration),
        Some(Err(_)) => {
            return Err(Failure::Usage(
                "--give-up-after: less than nothing".to_owned(),
            ));
        }
    };
    let mut config = config::load(&args.file)?;
    if let Some(workers) = args.workers {
        config.workers = workers.into();
    }
    let engine = code.engine()?;
    let pipeline = Pipeline::prepare(config, &engine)?;
    for function in pipeline.functions() {
        let plugin = function.plugin();
        tracing::info!(
            step = function.name(),
            plugin = plugin.who(),
            digest = plugin.digest(),
            "loaded"
        );
    }
    match open(&pipeline.config().log.place)? {
        AnyLog::Kafka(log) => {
            begin(args, &pipeline, &log)?;
            work(args, &pipeline, &engine, log, stop, give_up_after, &bars)
        }
        AnyLog::Embedded(log) => {
            begin(args, &pipeline, &log)?;
            work(args, &pipeline, &engine, log, stop, give_up_after, &bars)
        }
    }
}

fn begin<L: Log>(args: &Args, pipeline: &Pipeline, log: &L) -> Result<(), Failure> {
    match &args.from {
        None => Ok(()),
        Some(from) => {
            let from = from.read()?;
            Ok(outside::begin(
                &from,
                pipeline.config(),
                log,
                &SystemClock::new(),
            )?)
        }
    }
}

fn work<L: Log>(
    args: &Args,
    pipeline: &Pipeline,
    engine: &PluginEngine,
    log: L,
    stop: Arc<AtomicBool>,
    give_up_after: Option<Duration>,
    bars: &MultiProgress,
) -> Result<(), Failure> {
    let config = pipeline.config();
    let folder = InstanceFolder::claim(&config.state.folder, &config.name)?;
    let mut team = Team::new(config.workers, Arc::clone(&stop));
    if args.until_end {
        team = team.until_end();
    }
    let team = Arc::new(team);
    let topics = config.source.topics.clone();
    let shown = Shown::start(Arc::clone(&team), log.clone(), topics, bars)?;
    let clock = SystemClock::new();
    let instance = folder.instance();
    let followed = follow(&log, pipeline, engine, instance, &stop, give_up_after)?;
    let result = match followed {
        None => Ok(()),
        Some(Followed {
            rollout, follower, ..
        }) => std::thread::scope(|scope| {
            let (done, until_done) = mpsc::channel::<()>();
            scope.spawn(move || follower.run(&until_done));
            let result = team.run(&rollout, engine, &log, &clock, &folder, give_up_after);
            drop(done);
            result
        }),
    };
    drop(shown);
    let done = team.snapshot();
    tracing::info!(
        records = done.records,
        windows_fired = done.windows_fired,
        results = done.results,
        late = done.late,
        dead_letters = done.dead_letters,
        commits = done.commits,
        "{}",
        if team.has_ended() {
            "read to the end"
        } else {
            "stopped"
        }
    );
    Ok(result?)
}

/// Reads what has been deployed into the pipeline. While the log is away it tries again, as workers do; `None` if it was told to stop
/// meanwhile.
fn follow<'a, L: Log>(
    log: &L,
    pipeline: &Pipeline,
    engine: &'a PluginEngine,
    instance: &str,
    stop: &AtomicBool,
    give_up_after: Option<Duration>,
) -> Result<Option<Followed<'a, L>>, Failure> {
    let clock = SystemClock::new();
    while !stop.load(Ordering::Relaxed) {
        let last = match catch_up(log, pipeline.clone(), engine, instance, &Trust::default()) {
            Ok(followed) => return Ok(Some(followed)),
            Err(FollowError::Log(error)) if error.is_retriable() => WorkerError::Log(error),
            Err(FollowError::Log(error)) => return Err(WorkerError::from(error).into()),
            Err(error) => return Err(Failure::Plugin(error.to_string())),
        };
        tracing::warn!(error = %last, again_in = ?AGAIN, "trying again");
        let waited = clock.monotonic();
        if give_up_after.is_some_and(|most| waited >= most) {
            return Err(WorkerError::GaveUp {
                waited,
                last: Box::new(last),
            }
            .into());
        }
        clock.pause(AGAIN);
    }
    Ok(None)
}
