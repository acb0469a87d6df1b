//! Going back to what is committed, and letting go of what is another's.

use super::WorkerError;
use super::contents::Contents;
use super::lane::{Around, Lane, LaneEnd};
use super::progress::Counts;
use super::steps::{RowSteps, StepError};
use crate::log::{Log, Offset, Session, TopicPartition};
use crate::pipeline::Pipeline;
use crate::pipeline::plan::OutputPlan;
use crate::plugin::PluginEngine;
use crate::state::Store;
use crate::time::Clock;
use crate::window::Silence;

impl<L: Log, C: Clock, S: Store> Lane<'_, L, C, S> {
    /// Lets go of tasks that are another's, or soon will be.
    pub(super) fn give_up(&mut self, partitions: &[TopicPartition]) -> Result<(), LaneEnd> {
        self.claims.retain(|claim| !partitions.contains(claim.at()));
        for at in partitions {
            let task = self.tasks.remove(at);
            if let (Some(windows), Some(contents)) =
                (task.and_then(|t| t.windows), &mut self.contents)
            {
                let slots = contents.slots().slots_of(windows.owner());
                contents
                    .free(&slots)
                    .map_err(|error| self.around.failure(error, None))?;
            }
            self.around.progress.forget_position(at);
            self.quarantine.forget(at);
        }
        self.show_watermarks();
        self.forget_unsent();
        self.pacing.give_up(partitions);
        self.session.release(partitions)?;
        Ok(())
    }

    /// Throws away all that is staged and at hand, and goes on from what is committed.
    pub(super) fn roll_back(&mut self) -> Result<(), LaneEnd> {
        self.outbox.clear();
        self.counts = Counts::default();
        self.uncommitted = 0;
        let Around {
            pipeline, engine, ..
        } = self.around;
        (self.steps, self.contents) = functions(pipeline, engine)?;
        let disorder = pipeline.config().source.allowed_disorder;
        let now = self.around.clock.monotonic();
        self.pacing.roll_back();
        for task in self.tasks.values_mut() {
            task.roll_back(disorder);
            task.silence = Silence::since(now);
            if let Some(windows) = &mut task.windows {
                windows.reload(&*self.store)?;
            }
            self.around.progress.set_position(&task.at, task.next);
        }
        self.unfired = true;
        self.early.forget();
        if let Some(partials) = &mut self.partials {
            partials.roll_back();
        }
        self.forget_unsent();
        self.seek()?;
        self.committed_at = now;
        self.show_watermarks();
        Ok(())
    }

    /// Fetches on from where each task is.
    pub(super) fn seek(&mut self) -> Result<(), LaneEnd> {
        let tasks = self.tasks.values();
        let to = tasks.map(|task| (task.at.clone(), task.next));
        let to: Vec<(TopicPartition, Offset)> = to.collect();
        self.session.seek(&to)?;
        Ok(())
    }

    /// What has been sent of watermarks is what is committed, and only of partitions that are ours.
    fn forget_unsent(&mut self) {
        if let Some(partials) = &mut self.partials {
            let tasks = &self.tasks;
            partials.forget(|at| tasks.get(at).map(|task| task.committed.watermark));
        }
    }
}

/// Fresh instances of a pipeline's functions.
pub(super) fn functions(
    pipeline: &Pipeline,
    engine: &PluginEngine,
) -> Result<(RowSteps, Option<Contents>), WorkerError> {
    let start = || {
        let contents = match &pipeline.plan().output {
            OutputPlan::Windows { select, .. } => {
                Some(Contents::start(pipeline, engine, select.clone())?)
            }
            OutputPlan::Records { .. } | OutputPlan::Rows { .. } => None,
        };
        Ok((RowSteps::start(pipeline, engine)?, contents))
    };
    start().map_err(|error| match error {
        StepError::Host(error) => error,
        StepError::Function(function, source) => WorkerError::Start {
            step: pipeline.functions()[function].name().to_owned(),
            source,
        },
    })
}
