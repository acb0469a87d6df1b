//! `millstream demo`: the whole way from clicks to counts, with the right answer beside each result.
//!
//! `job` is the pipeline that runs, taken from `examples/unique-visitors`; `source` writes clicks as time goes by and tells
//! an oracle of each; `tail` reads what came of them; `judge` compares; `report` is what the terminal shows.

mod job;
mod judge;
mod report;
mod source;
mod tail;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::MultiProgress;
use jiff::SignedDuration;

use super::place::{AnyLog, open};
use super::progress::{Shown, lag};
use super::{Failure, code, logs, out, signals};
use crate::generate::{ClickConfig, Clicks, ConfigError, Oracle};
use crate::log::Log;
use crate::pipeline::Pipeline;
use crate::plugin::PluginEngine;
use crate::state::InstanceFolder;
use crate::time::{Clock, SystemClock};
use crate::worker::{Rollout, Team};
use job::Job;
use judge::{Judge, Outcome, Tally};
use source::Source;
use tail::Tail;

/// How far clicks are out of order. Little, so that results come soon.
const DISORDER: SignedDuration = SignedDuration::from_secs(1);
/// How long one look for results lasts.
const LOOK: Duration = Duration::from_millis(100);
/// How long a log may be away.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// See Millstream work: clicks in, unique visitors out, each result beside the right answer
///
/// Generates clicks in real time, with bots, disorder, late clicks and malformed rows among them; runs the pipeline of
/// examples/unique-visitors on them; and prints each window's count next to the generator's own exact one. Ends by itself, or
/// on Ctrl-C, with a summary. The exit code is 0 only if everything agreed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of the components, which `cargo xtask plugins` builds
    #[arg(long, value_name = "FOLDER", env = "MILLSTREAM_PLUGINS")]
    plugins: PathBuf,
    /// Run on this Kafka cluster, in new topics; without it, on the embedded log in a temporary folder
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// How long clicks are generated
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Clicks a second
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    /// What every random choice of the generator derives from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The size of the windows, such as `5s` or `1m`
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    window: SignedDuration,
    /// Partitions of the topic of clicks
    #[arg(long, default_value_t = 4)]
    partitions: i32,
}

impl Args {
    /// The clicks to generate; when they start is decided when they do.
    fn clicks(&self) -> Result<ClickConfig, Failure> {
        // The first window may be a whole one, and closes once every partition has passed its end by the disorder. A click
        // may itself lie that far back.
        let least = self.window.saturating_add(DISORDER * 2).as_secs() + 1;
        if i64::from(self.seconds) < least {
            return Err(Failure::Usage(format!(
                "--seconds {}: no window of {:#} would close, take at least {least}",
                self.seconds, self.window
            )));
        }
        let config = ClickConfig {
            seed: self.seed,
            events: u64::from(self.seconds) * u64::from(self.rate),
            partitions: self.partitions,
            rate: self.rate,
            disorder: DISORDER,
            window: self.window,
            ..ClickConfig::default()
        };
        // What is unusable is told now, and not once topics have been created.
        Clicks::new(config.clone()).map_err(unusable)?;
        Ok(config)
    }
}

fn unusable(error: ConfigError) -> Failure {
    Failure::Usage(error.to_string())
}

pub(super) fn run(args: &Args, logs: &logs::Options, code: &code::Options) -> Result<(), Failure> {
    let bars = MultiProgress::new();
    logs::start_quiet(logs, &bars)?;
    let config = args.clicks()?;

    // The folder goes when this function ends.
    let (job, _folder) = match &args.kafka {
        Some(servers) => (Job::on_kafka(servers, &args.plugins, &config)?, None),
        None => {
            let folder = tempfile::Builder::new()
                .prefix("millstream-demo-")
                .tempdir()?;
            let job = Job::embedded(folder.path(), &args.plugins, &config)?;
            (job, Some(folder))
        }
    };
    let engine = code.engine()?;
    let pipeline = Pipeline::prepare(job.pipeline.clone(), &engine)?;
    out::stdout(|out| report::opening(out, &job, &config, args.seconds))?;
    let show = Show {
        pipeline: &pipeline,
        engine: &engine,
        clock: SystemClock::new(),
        bars: &bars,
    };
    let outcome = match open(&pipeline.config().log.place)? {
        AnyLog::Kafka(log) => show.run(&job, log, config)?,
        AnyLog::Embedded(log) => show.run(&job, log, config)?,
    };
    out::stdout(|out| report::summary(out, &outcome, &job))?;
    outcome
        .verdict()
        .map_err(|why| Failure::Other(anyhow::anyhow!(why)))
}

/// The running demo.
struct Show<'a> {
    pipeline: &'a Pipeline,
    engine: &'a PluginEngine,
    clock: SystemClock,
    bars: &'a MultiProgress,
}

impl Show<'_> {
    /// Generates all clicks, or those until Ctrl-C, lets the pipeline have them all, and compares.
    fn run<L: Log>(&self, job: &Job, log: L, clicks: ClickConfig) -> Result<Outcome, Failure> {
        let config = self.pipeline.config();
        job.create_topics(&log)?;
        let oracle = Oracle::new(clicks.window, clicks.disorder, clicks.partitions);
        let oracle = Mutex::new(oracle.map_err(unusable)?);
        let interrupted = signals::stop_flag()?;
        // Apart from the flag of signals: once that is set, a signal ends the process at once.
        let over = AtomicBool::new(false);
        let stop_worker = Arc::new(AtomicBool::new(false));
        let team = Arc::new(Team::new(config.workers, Arc::clone(&stop_worker)));
        let folder = InstanceFolder::claim(&config.state.folder, &config.name)?;
        let mut results = Results {
            tail: Tail::new(&log, &config.sink_topic)?,
            judge: Judge::new(),
        };
        let topics = &config.source.topics;
        let shown = Shown::start(Arc::clone(&team), log.clone(), topics.clone(), self.bars)?;
        let start = jiff::Timestamp::from_millisecond(self.clock.now().0)
            .map_err(|error| anyhow::anyhow!("the machine's clock is off: {error}"))?;
        let clicks = Clicks::new(ClickConfig { start, ..clicks }).map_err(unusable)?;
        let rollout = Rollout::fixed(self.pipeline.clone());
        let started = Instant::now();

        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let give_up_after = Some(GIVE_UP_AFTER);
                team.run(
                    &rollout,
                    self.engine,
                    &log,
                    &self.clock,
                    &folder,
                    give_up_after,
                )
            });
            let source = scope.spawn(|| {
                let stop = || interrupted.load(Ordering::Relaxed) || over.load(Ordering::Relaxed);
                Source::new(clicks, job.source_topic()).write(&log, &self.clock, &oracle, stop)
            });
            let has_all = || {
                let now = team.snapshot();
                source.is_finished() && lag(&now, &log, topics) == Some(0) && now.has_settled()
            };
            let mut watched = Ok(());
            while watched.is_ok() && !worker.is_finished() && !has_all() {
                watched = self.look(&mut results, &oracle);
            }
            over.store(true, Ordering::Relaxed);
            stop_worker.store(true, Ordering::Relaxed);
            let worked = worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let written = source
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            worked?;
            written?;
            watched
        })?;
        let elapsed = started.elapsed();
        drop(shown);

        let done = team.snapshot();
        while results.tail.has_more(done.results) {
            self.look(&mut results, &oracle)?;
        }
        let expected = lock(&oracle).expected();
        let count = |topic: &str, right: u64| -> Result<Tally, Failure> {
            let mut tail = Tail::new(&log, topic)?;
            while tail.has_more(right) {
                tail.poll(LOOK)?;
            }
            Ok(Tally {
                found: tail.read(),
                right,
            })
        };
        Ok(Outcome {
            elapsed,
            rows: expected.rows,
            windows: results.judge.finish(&expected.windows),
            still_open: expected.open.len(),
            dead_letters: count(&config.dead_letter_topic, expected.malformed)?,
            late: count(job.late_topic(), expected.late)?,
            filtered: done.filtered,
        })
    }

    /// Waits a little for results, and shows those that came.
    fn look<L: Log>(
        &self,
        results: &mut Results<L>,
        oracle: &Mutex<Oracle>,
    ) -> Result<(), Failure> {
        let values = results.tail.poll(LOOK)?;
        if values.is_empty() {
            return Ok(());
        }
        // The oracle was told of a click before the log was: it knows every window that can have fired.
        let closed = lock(oracle).closed();
        let now = self.clock.now();
        for value in values {
            let row = results.judge.judge(&value, &closed)?;
            self.bars
                .suspend(|| out::stdout(|out| report::row(out, &row, now)))?;
        }
        Ok(())
    }
}

/// The results as they come.
struct Results<L: Log> {
    tail: Tail<L>,
    judge: Judge,
}

fn lock(oracle: &Mutex<Oracle>) -> std::sync::MutexGuard<'_, Oracle> {
    oracle.lock().unwrap_or_else(PoisonError::into_inner)
}
