//! A worker's life: it opens its store, joins, runs a lane, and joins again after what may pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::WorkerError;
use super::board::Board;
use super::lane::{Around, Lane, LaneEnd};
use super::progress::{Progress, Status};
use super::rollout::Rollout;
use crate::log::Log;
use crate::pipeline::topics;
use crate::plugin::PluginEngine;
use crate::state::{Store, StoreError};
use crate::time::Clock;

/// The first wait before joining again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A worker that is fenced twice within this time is so by another process. Longer than two processes of one identity take to
/// fence each other in turn.
const FENCED_AGAIN: Duration = Duration::from_secs(60);
/// How often a waiting worker looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Where a worker's local store is.
pub trait Stores {
    /// What it opens.
    type Store: Store;

    /// Opens the store, made where there is none. Called before the worker joins, and again after the store has failed; the one
    /// opened before has been dropped by then.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] makes the worker remove it and try again.
    fn open(&self) -> Result<Self::Store, StoreError>;

    /// Removes the store with all that it has: the log has it too.
    ///
    /// # Errors
    /// If the disk does not let go of it.
    fn remove(&self) -> Result<(), StoreError>;
}

/// Who a worker is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Its name among the members of its group, the same after a restart.
    pub member: String,
    /// How long it tries while the log or the store is away; for ever if `None`.
    pub give_up_after: Option<Duration>,
}

/// Runs some of a pipeline's tasks on one thread.
pub struct Worker<'a, L: Log, C: Clock, S: Stores> {
    rollout: &'a Rollout,
    engine: &'a PluginEngine,
    log: L,
    clock: C,
    stores: S,
    identity: Identity,
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
    board: Arc<Board>,
}

impl<'a, L: Log, C: Clock, S: Stores> Worker<'a, L, C, S> {
    /// A worker that runs what `rollout` says until `stop` is set, the only one of its process.
    #[expect(
        clippy::too_many_arguments,
        reason = "a worker is given its whole world"
    )]
    pub fn new(
        rollout: &'a Rollout,
        engine: &'a PluginEngine,
        log: L,
        clock: C,
        stores: S,
        identity: Identity,
        progress: Arc<Progress>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            rollout,
            engine,
            log,
            clock,
            stores,
            identity,
            progress,
            stop,
            board: Arc::new(Board::new(1, false)),
        }
    }

    /// The same beside others of its process. Where their run has an end it returns when all have come to it.
    #[must_use]
    pub(super) fn beside(mut self, board: Arc<Board>) -> Self {
        self.board = board;
        self
    }

    /// Runs the pipeline. Returns after it was told to stop, or the run has come to its end, and has committed. Blocks its thread.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn run(&self) -> Result<(), WorkerError> {
        let mut away_since: Option<Duration> = None;
        let mut wait = FIRST_WAIT;
        let mut fencings = Fencings::default();
        while !self.stopped() {
            let mut worked = false;
            let error = match self.attempt(&mut worked) {
                Ok(()) => return Ok(()),
                Err(LaneEnd::Failed(WorkerError::Fenced(why)))
                    if !fencings.are_real(self.clock.monotonic()) =>
                {
                    WorkerError::Fenced(why)
                }
                Err(LaneEnd::Failed(error)) => return Err(error),
                Err(LaneEnd::Rejoin(error)) => WorkerError::Log(error),
                Err(LaneEnd::Store(error)) => {
                    if let StoreError::Damaged(what) = &error {
                        tracing::warn!(
                            what,
                            "removing the local state, to build it anew from the log"
                        );
                        self.stores.remove()?;
                    }
                    WorkerError::Store(error)
                }
            };
            let now = self.clock.monotonic();
            if worked {
                // It worked in between: what follows is a new outage.
                (away_since, wait) = (None, FIRST_WAIT);
            }
            let waited = now.saturating_sub(*away_since.get_or_insert(now));
            if self
                .identity
                .give_up_after
                .is_some_and(|most| waited >= most)
            {
                return Err(WorkerError::GaveUp {
                    waited,
                    last: Box::new(error),
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

    /// Opens the store, joins and runs; `worked` tells whether it came as far as reading.
    fn attempt(&self, worked: &mut bool) -> Result<(), LaneEnd> {
        let mut store = self.stores.open()?;
        let target = self.rollout.target();
        let pipeline = &target.base.version.pipeline;
        topics::ensure(pipeline.config(), &self.log)?;
        let topics = &pipeline.config().source.topics;
        let ends = self.board.ends(&self.log, topics)?;
        let around = Around {
            pipeline,
            rollout: self.rollout,
            engine: self.engine,
            log: &self.log,
            clock: &self.clock,
            progress: &self.progress,
            member: &self.identity.member,
            board: &self.board,
            ends,
        };
        let mut lane = Lane::join(&around, &mut store)?;
        let result = lane.run(|| self.stopped() || self.board.is_over());
        *worked = lane.has_worked();
        self.board.leave(&self.identity.member);
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

/// Tells a second process of the same identity from an echo of our own: a request to join that was sent again after its connection
/// had broken makes Kafka fence the member that the first one made. Who joins once more is rid of the echo; of two
/// processes, the one that was fenced first is fenced again by the other, and ends.
#[derive(Default)]
struct Fencings {
    last: Option<Duration>,
}

impl Fencings {
    /// Notes a fencing at a monotonic time, and tells whether the worker has to end.
    fn are_real(&mut self, now: Duration) -> bool {
        let last = self.last.replace(now);
        last.is_some_and(|last| now.saturating_sub(last) < FENCED_AGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_fencing_soon_after_the_first_is_real() {
        let mut fencings = Fencings::default();
        let soon = FENCED_AGAIN - Duration::from_millis(1);
        assert!(!fencings.are_real(Duration::ZERO));
        assert!(!fencings.are_real(FENCED_AGAIN));
        assert!(fencings.are_real(FENCED_AGAIN + soon));
    }
}
