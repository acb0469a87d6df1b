//! A lane follows the rollout: it goes over to another version at a commit, and judges one that is on trial.
//!
//! What a version has at hand is never handed to another: at a commit all of it is in the store, and the version after begins
//! with that, as after a restart. So each row goes through one version, whatever the moment of the change.

use std::time::Duration;

use super::WorkerError;
use super::lane::{Lane, LaneEnd};
use super::mill::Mills;
use super::quarantine::Quarantine;
use super::rollout::Report;
use crate::log::{Log, TopicPartition};
use crate::plugin::GuestFailure;
use crate::state::Store;
use crate::time::Clock;

/// How long a worker that has found a version bad waits for another target before it goes on as if the version were not on trial:
/// whoever decides may be away.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(10);

impl<L: Log, C: Clock, S: Store> Lane<'_, L, C, S> {
    /// Goes over to the newest target, unless it is at work. Where only half of something has come, that is left for the next turn.
    pub(super) fn follow(&mut self) -> Result<(), LaneEnd> {
        let number = self.around.rollout.changes();
        if number == self.mills.number {
            return Ok(());
        }
        let target = self.around.rollout.target();
        if self.mills.are(&target) {
            self.mills.watch(&target, number);
            self.condemned = None;
            return Ok(());
        }
        if self.holds_pieces() {
            return Ok(());
        }
        // If it fails everything is thrown away, which is as good a moment. The version to leave may never commit again: it has failed its
        // trial.
        self.commit()?;
        let begun = self.around.clock.monotonic();
        match Mills::start(self.around, &self.topology) {
            Ok(mills) => self.mills = mills,
            Err(error @ WorkerError::Start { .. }) => {
                let canary = target.canary.as_ref().map(|(running, _)| running);
                let newest = canary.unwrap_or(&target.base);
                if newest.trial.is_none() {
                    return Err(error.into());
                }
                self.mills.number = number;
                self.call_back(Report::Bad {
                    generation: newest.version.generation,
                    reason: error.to_string(),
                });
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.condemned = None;
        // Rows that one version fails at another may not.
        self.quarantine = Quarantine::default();
        self.reload()?;
        self.show_watermarks();
        let took = self.around.clock.monotonic().saturating_sub(begun);
        let generation = self.mills.generation();
        tracing::info!(generation, ?took, "another version is in place");
        Ok(())
    }

    /// Whether the worker waits for another target, since the version that it has is bad.
    pub(super) fn waits(&mut self) -> bool {
        let Some((since, number)) = self.condemned else {
            return false;
        };
        let waited = self.around.clock.monotonic().saturating_sub(since);
        if number == self.around.rollout.changes() {
            if waited < PATIENCE {
                self.around.clock.pause(LOOK);
                return true;
            }
            tracing::warn!("no other version came; going on with the one that failed its trial");
            self.mills.end_trials();
        }
        self.condemned = None;
        false
    }

    /// A function failed at rows of a partition. Whether that condemns its version: then it is reported, and whatever it has done since
    /// the last commit is to be thrown away.
    pub(super) fn condemn(
        &mut self,
        at: &TopicPartition,
        function: usize,
        failure: &GuestFailure,
    ) -> bool {
        let functions = self.around.pipeline.functions();
        self.condemn_step(at, functions[function].name(), failure)
    }

    /// The same, of a step by its name.
    pub(super) fn condemn_step(
        &mut self,
        at: &TopicPartition,
        step: &str,
        failure: &GuestFailure,
    ) -> bool {
        let mill = self.mills.at(at);
        let Some(trial) = &mill.running.trial else {
            return false;
        };
        if trial.step != step || trial.limits.failures > 0 {
            return false;
        }
        let generation = mill.generation();
        let reason = failure.to_string();
        self.call_back(Report::Bad { generation, reason });
        true
    }

    /// Whether a version fails its trial by what it has made of its rows, these included that are about to be committed. Then it is
    /// reported, and they are to be thrown away.
    pub(super) fn fails_trial(&mut self) -> bool {
        let bad = self.mills.all().find_map(|mill| {
            let reason = self.around.rollout.verdict(&mill.running, mill.tally)?;
            let generation = mill.generation();
            Some(Report::Bad { generation, reason })
        });
        let Some(bad) = bad else { return false };
        self.call_back(bad);
        true
    }

    /// Whether a step that fails too often may ask for the version before.
    pub(super) fn can_go_back(&self, step: &str) -> bool {
        self.around.rollout.target().can_go_back.contains(step)
    }

    /// Reports what calls for another version, and waits for it.
    pub(super) fn call_back(&mut self, report: Report) {
        tracing::warn!(?report, "calling for another version");
        self.around.rollout.report(report);
        let now = self.around.clock.monotonic();
        self.condemned = Some((now, self.mills.number));
    }

    /// Partials have come of a version that this worker does not have yet: they come again when it may have.
    pub(super) fn wait_for_version(&mut self) -> Result<bool, LaneEnd> {
        if self.commit()? {
            self.seek()?;
        }
        self.around.clock.pause(LOOK);
        Ok(false)
    }
}
