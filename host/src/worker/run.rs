//! A worker's life: it joins, runs a lane, and joins again after what may pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::WorkerError;
use super::lane::{Around, Lane, LaneEnd};
use super::progress::{Progress, Status};
use crate::log::Log;
use crate::pipeline::{Pipeline, topics};
use crate::plugin::PluginEngine;
use crate::time::Clock;

/// The first wait before joining again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How often a waiting worker looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a pipeline on one thread.
pub struct Worker<'a, L: Log, C: Clock> {
    pipeline: &'a Pipeline,
    engine: &'a PluginEngine,
    log: L,
    clock: C,
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
    give_up_after: Option<Duration>,
}

impl<'a, L: Log, C: Clock> Worker<'a, L, C> {
    /// A worker that runs until `stop` is set. While the log is away it tries again, for ever or for `give_up_after`.
    pub fn new(
        pipeline: &'a Pipeline,
        engine: &'a PluginEngine,
        log: L,
        clock: C,
        progress: Arc<Progress>,
        stop: Arc<AtomicBool>,
        give_up_after: Option<Duration>,
    ) -> Self {
        Self {
            pipeline,
            engine,
            log,
            clock,
            progress,
            stop,
            give_up_after,
        }
    }

    /// Runs the pipeline. Returns after it was told to stop and has committed. Blocks its thread.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn run(&self) -> Result<(), WorkerError> {
        let mut away_since: Option<Duration> = None;
        let mut wait = FIRST_WAIT;
        while !self.stopped() {
            let mut worked = false;
            let error = match self.lane(&mut worked) {
                Ok(()) => return Ok(()),
                Err(LaneEnd::Failed(error)) => return Err(error),
                Err(LaneEnd::Rejoin(error)) => error,
            };
            let now = self.clock.monotonic();
            if worked {
                // It worked in between: what follows is a new outage.
                (away_since, wait) = (None, FIRST_WAIT);
            }
            let waited = now.saturating_sub(*away_since.get_or_insert(now));
            if self.give_up_after.is_some_and(|most| waited >= most) {
                return Err(WorkerError::GaveUp {
                    waited,
                    last: error,
                });
            }
            tracing::warn!(%error, again_in = ?wait, "trying again");
            self.progress
                .set_status(Status::Unavailable(error.to_string()));
            self.wait(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Ok(())
    }

    /// Joins and runs; `worked` tells whether it came as far as reading.
    fn lane(&self, worked: &mut bool) -> Result<(), LaneEnd> {
        topics::ensure(self.pipeline.config(), &self.log)?;
        let around = Around {
            pipeline: self.pipeline,
            engine: self.engine,
            log: &self.log,
            clock: &self.clock,
            progress: &self.progress,
        };
        let mut lane = Lane::join(&around)?;
        let result = lane.run(|| self.stopped());
        *worked = lane.has_recovered();
        result
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits, but not for longer than it takes to see that the worker is to stop.
    fn wait(&self, duration: Duration) {
        let until = self.clock.monotonic() + duration;
        while self.clock.monotonic() < until && !self.stopped() {
            self.clock.pause(LOOK);
        }
    }
}
