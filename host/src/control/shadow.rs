//! A shadow: a version that runs beside the one in place, on the same records, as a pipeline of its own, whose results are only compared.
//!
//! It has its own group, state and topics, named `NAME-shadow-DEPLOY`, so that whatever it does, the pipeline beside it is not
//! touched. It begins where the pipeline stands. Windows into which rows may have come before that are not compared. When it is over its
//! topics and its local state are removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::compare::{Comparing, Comparison, Side};
use crate::log::{Fetched, GroupOffset, Log, LogError, Offset, Reader as _, TopicPartition};
use crate::pipeline::config::{Output, PipelineConfig, Window};
use crate::pipeline::{Pipeline, topics};
use crate::plugin::PluginEngine;
use crate::state::{Committed, InstanceFolder};
use crate::time::{Clock as _, SystemClock, Timestamp, millis};
use crate::worker::{Rollout, Team};

/// Why a pipeline can't have a shadow; `None` if it can.
pub(super) fn refusal(config: &PipelineConfig) -> Option<&'static str> {
    let Output::Windows(step) = &config.output else {
        return Some(
            "results are compared window by window, and the pipeline has none: deploy a canary",
        );
    };
    let is_timed = matches!(
        step.window,
        Window::Tumbling { .. }
            | Window::Sliding { .. }
            | Window::Calendar { .. }
            | Window::Session { .. }
    );
    (!is_timed).then_some(
        "a shadow begins in the middle, and windows without a beginning in time can't be compared from there: deploy a canary",
    )
}

/// A shadow at work.
pub(super) struct Shadow<L: Log> {
    /// The deploy that it belongs to.
    pub(super) id: u64,
    log: L,
    clock: SystemClock,
    config: PipelineConfig,
    stop: Arc<AtomicBool>,
    /// What its workers ended with, if they have.
    working: Option<JoinHandle<Result<(), String>>>,
    /// The results of the version in place, and of the shadow.
    results: [L::Reader; 2],
    fetched: Fetched,
    comparing: Comparing,
}

impl<L: Log> Shadow<L> {
    /// Starts a version beside the one in place.
    ///
    /// # Errors
    /// If the log can't be reached, or refuses, which passes where a former shadow of the same deploy still counts as alive.
    pub(super) fn start(
        id: u64,
        pipeline: &Pipeline,
        engine: &PluginEngine,
        log: &L,
    ) -> Result<Self, LogError> {
        let running = pipeline.config();
        let config = apart(running, id);
        // In this order: a result that is written from here on is compared, whichever side is first.
        let ends = |topic: &str| -> Result<Vec<(i32, Offset)>, LogError> {
            let bounds = log.bounds(topic)?;
            Ok((0..).zip(bounds.iter().map(|bounds| bounds.end)).collect())
        };
        let results = log.reader(&running.sink_topic, &ends(&running.sink_topic)?)?;
        topics::ensure(&config, log)?;
        let shadowed = log.reader(&config.sink_topic, &ends(&config.sink_topic)?)?;
        let from = begin(running, &config, log)?;
        let stop = Arc::new(AtomicBool::new(false));
        let team = Team::new(config.workers, Arc::clone(&stop));
        let pipeline = pipeline.with_config(config.clone(), engine);
        let (engine, log_of_team) = (engine.clone(), log.clone());
        let working = std::thread::Builder::new()
            .name(config.name.clone())
            .spawn(move || {
                let config = pipeline.config();
                let folder = InstanceFolder::claim(&config.state.folder, &config.name)
                    .map_err(|error| error.to_string())?;
                let rollout = Rollout::fixed(pipeline);
                let clock = SystemClock::new();
                team.run(&rollout, &engine, &log_of_team, &clock, &folder, None)
                    .map_err(|error| error.to_string())
            })
            .map_err(|error| LogError::Unavailable(format!("no thread can be started: {error}")))?;
        tracing::info!(deploy = id, from = %from, "a shadow runs; windows are compared that begin from then on");
        Ok(Self {
            id,
            log: log.clone(),
            clock: SystemClock::new(),
            config,
            stop,
            working: Some(working),
            results: [results, shadowed],
            fetched: Fetched::new(),
            comparing: Comparing::new(from),
        })
    }

    /// Compares what has come.
    ///
    /// # Errors
    /// If results can't be read.
    pub(super) fn compare(&mut self) -> Result<&Comparison, LogError> {
        let now = self.clock.monotonic();
        for (reader, side) in self.results.iter_mut().zip([Side::Running, Side::Shadow]) {
            reader.poll(&mut self.fetched, Duration::ZERO)?;
            for batch in self.fetched.batches() {
                for row in 0..batch.len() {
                    let value = batch.value(row).unwrap_or_default();
                    self.comparing.add(side, value, now);
                }
            }
        }
        Ok(self.comparing.judge(now))
    }

    /// Why its workers have ended, if they have.
    pub(super) fn ended(&mut self) -> Option<String> {
        let working = self.working.take_if(|working| working.is_finished())?;
        let ended = working
            .join()
            .unwrap_or_else(|_| Err("a bug in the host".to_owned()));
        Some(ended.err().unwrap_or_else(|| "it has ended".to_owned()))
    }

    /// Stops it and removes what it leaves, on a thread of its own: workers take a moment to end.
    pub(super) fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let working = self.working.take();
        let (log, config, id) = (self.log.clone(), self.config.clone(), self.id);
        let remove = move || {
            if let Some(working) = working {
                let _ = working.join();
            }
            let of_config = topics::written(&config).into_iter().map(str::to_owned);
            let all: Vec<String> = of_config.chain(topics::own(&config.name)).collect();
            if let Err(error) = log.delete_topics(&all) {
                tracing::warn!(deploy = id, %error, topics = ?all, "the topics of a shadow are left");
            }
            let folder = config.state.folder.join(&config.name);
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                tracing::warn!(deploy = id, %error, folder = %folder.display(), "the state of a shadow is left");
            }
        };
        if let Err(error) = std::thread::Builder::new().spawn(remove) {
            tracing::warn!(deploy = self.id, %error, "a shadow is left");
        }
    }
}

impl<L: Log> Drop for Shadow<L> {
    /// A process that ends lets it end too, and goes on with it when it is back.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(working) = self.working.take() {
            let _ = working.join();
        }
    }
}

/// The pipeline of a shadow.
fn apart(config: &PipelineConfig, id: u64) -> PipelineConfig {
    let name = format!("{}-shadow-{id}", config.name);
    let mut apart = config.clone();
    apart.log.create_topics = Some(1);
    apart.sink_topic = format!("{name}-results");
    apart.dead_letter_topic = format!("{name}-dead-letters");
    if let Output::Windows(step) = &mut apart.output {
        step.late_topic = format!("{name}-late");
    }
    apart.name = name;
    apart
}

/// Lets the shadow's group begin where the pipeline stands. Returns the instant from which on windows have no rows from before that.
fn begin<L: Log>(
    running: &PipelineConfig,
    shadow: &PipelineConfig,
    log: &L,
) -> Result<Timestamp, LogError> {
    let mut sources: Vec<TopicPartition> = Vec::new();
    for topic in &running.source.topics {
        let partitions = (0_i32..).zip(log.bounds(topic)?);
        sources.extend(partitions.map(|(number, _)| TopicPartition::new(topic.as_str(), number)));
    }
    let stands = log.group_offsets(&running.name, &sources)?;
    let mut from = Timestamp::MIN;
    let mut offsets = Vec::with_capacity(stands.len());
    for stand in stands {
        if let Ok(Committed::Mark(mark)) = Committed::parse(&stand.metadata) {
            from = from.max(mark.highest);
        }
        offsets.push(GroupOffset {
            metadata: Committed::Start.to_json(),
            ..stand
        });
    }
    log.set_group_offsets(&shadow.name, &offsets)?;
    let gap = match &running.output {
        Output::Windows(step) => match &step.window {
            // One that begins sooner may have begun before, for the version in place.
            Window::Session { gap, .. } => millis(*gap),
            _ => 0,
        },
        Output::Rows { .. } => 0,
    };
    Ok(Timestamp(from.0.saturating_add(gap).saturating_add(1)))
}
