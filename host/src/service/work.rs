//! One run of a pipeline on its own thread: its components admitted, its log opened, its workers at work until they are told to
//! end or one fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::lag::lag;
use super::logs::{Logs, kafka};
use super::machine::End;
use super::prepare::Configured;
use super::view::StepView;
use crate::control::{Control, Followed, catch_up};
use crate::log::Log;
use crate::pipeline::Pipeline;
use crate::pipeline::config::LogPlace;
use crate::plugin::PluginEngine;
use crate::registry::Trust;
use crate::state::InstanceFolder;
use crate::time::SystemClock;
use crate::worker::{Snapshot, Team, WorkerError};

/// How often the log is asked how far its topics reach.
const MEASURED: Duration = Duration::from_secs(5);
/// What [`Run::lag`] holds while the lag is not known.
const UNKNOWN: u64 = u64::MAX;

/// A run, as others see it while it goes on.
pub(super) struct Run {
    /// Tells the workers to end.
    stop: Arc<AtomicBool>,
    team: OnceLock<Arc<Team>>,
    control: OnceLock<Arc<Control>>,
    lag: AtomicU64,
}

/// Why a run ended that was not told to.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) end: End,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(error: impl ToString) -> Self {
        Self {
            end: End::Failed,
            message: error.to_string(),
        }
    }
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        let end = match error {
            WorkerError::Fenced(_) => End::Fenced,
            _ => End::Failed,
        };
        Self {
            end,
            message: error.to_string(),
        }
    }
}

impl Run {
    pub(super) fn new() -> Self {
        Self {
            stop: Arc::new(AtomicBool::new(false)),
            team: OnceLock::new(),
            control: OnceLock::new(),
            lag: AtomicU64::new(UNKNOWN),
        }
    }

    /// Tells the workers to commit what is done and end.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What has been counted; `None` before there are workers.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        self.team.get().map(|team| team.snapshot())
    }

    /// Its deploys, as soon as they are known.
    pub(super) fn control(&self) -> Option<&Arc<Control>> {
        self.control.get()
    }

    /// Its steps as they are now, as soon as they are known.
    pub(super) fn steps(&self) -> Option<Vec<StepView>> {
        self.control().map(|control| steps(&control.running()))
    }

    /// How many records have not been read, by the last measurement.
    pub(super) fn lag(&self) -> Option<u64> {
        let lag = self.lag.load(Ordering::Relaxed);
        (lag != UNKNOWN).then_some(lag)
    }

    /// Runs a pipeline. `prepared` is the same pipeline if it has been prepared already. Blocks its thread; returns when the workers
    /// have ended and the log and the state are closed.
    ///
    /// # Errors
    /// If it does not start, or a worker fails.
    pub(super) fn work(
        &self,
        configured: Configured,
        prepared: Option<Pipeline>,
        engine: &PluginEngine,
        trust: &Trust,
        logs: &Arc<Logs>,
    ) -> Result<(), Failure> {
        let Configured { config, plugins } = configured;
        let pipeline = match prepared {
            Some(pipeline) => pipeline,
            None => Pipeline::prepare(config, engine).map_err(Failure::new)?,
        };
        are_as_named(&pipeline, &plugins)?;
        if self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        match pipeline.config().log.place.clone() {
            LogPlace::Embedded(folder) => {
                let lease = logs.lease(&folder).map_err(Failure::new)?;
                self.team_work(pipeline, engine, trust, lease.log())
            }
            LogPlace::Kafka(settings) => {
                let log = kafka(&settings).map_err(Failure::new)?;
                self.team_work(pipeline, engine, trust, &log)
            }
        }
    }

    fn team_work<L: Log>(
        &self,
        pipeline: Pipeline,
        engine: &PluginEngine,
        trust: &Trust,
        log: &L,
    ) -> Result<(), Failure> {
        let config = pipeline.config().clone();
        let folder =
            InstanceFolder::claim(&config.state.folder, &config.name).map_err(Failure::new)?;
        let team = Arc::new(Team::new(config.workers, Arc::clone(&self.stop)));
        let Followed {
            control,
            rollout,
            follower,
        } = catch_up(log, pipeline, engine, folder.instance(), trust).map_err(Failure::new)?;
        let _ = self.control.set(control);
        let _ = self.team.set(Arc::clone(&team));
        std::thread::scope(|scope| {
            let (done, until_done) = mpsc::channel::<()>();
            let topics = &config.source.topics;
            let watched = Arc::clone(&team);
            scope.spawn(move || self.measure(&watched, log, topics, &until_done));
            let (followed, until_followed) = mpsc::channel::<()>();
            scope.spawn(move || follower.run(&until_followed));
            let clock = SystemClock::new();
            let result = team.run(&rollout, engine, log, &clock, &folder, None);
            drop((done, followed));
            Ok(result?)
        })
    }

    /// Measures the lag now and then, until the other end of `until_done` is dropped.
    fn measure<L: Log>(
        &self,
        team: &Team,
        log: &L,
        topics: &[String],
        until_done: &mpsc::Receiver<()>,
    ) {
        while until_done.recv_timeout(MEASURED) == Err(RecvTimeoutError::Timeout) {
            let lag = lag(&team.snapshot(), log, topics);
            self.lag.store(lag.unwrap_or(UNKNOWN), Ordering::Relaxed);
        }
    }
}

/// Whether each plugin of the registry is the component that was pushed: what was changed on the disk is not run.
fn are_as_named(pipeline: &Pipeline, plugins: &BTreeMap<String, String>) -> Result<(), Failure> {
    for function in pipeline.functions() {
        // The registry calls a component's file by its digest.
        let stem = function.config().component.file_stem().unwrap_or_default();
        let named = plugins.values().find(|digest| stem == digest.as_str());
        let came = function.plugin().digest();
        if named.is_some_and(|digest| digest != came) {
            return Err(Failure::new(format!(
                "step {}: the component of {} was changed on the disk (its sha256 is now {came}): delete the plugin and push \
                 it again",
                function.name(),
                function.plugin().who()
            )));
        }
    }
    Ok(())
}

fn steps(pipeline: &Pipeline) -> Vec<StepView> {
    let step = |function: &crate::pipeline::Function| StepView {
        name: function.name().to_owned(),
        plugin: function.plugin().who(),
        kind: function.plugin().kind().world().to_owned(),
        sha256: function.plugin().digest().to_owned(),
    };
    pipeline.functions().iter().map(step).collect()
}
