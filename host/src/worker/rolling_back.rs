//! Going back to what is committed, and letting go of what is another's.

use super::lane::{Lane, LaneEnd};
use super::progress::Counts;
use crate::log::{Log, Offset, Session, TopicPartition};
use crate::state::Store;
use crate::time::Clock;
use crate::window::Silence;

impl<L: Log, C: Clock, S: Store> Lane<'_, L, C, S> {
    /// Lets go of tasks that are another's, or soon will be.
    pub(super) fn give_up(&mut self, partitions: &[TopicPartition]) -> Result<(), LaneEnd> {
        self.claims.retain(|claim| !partitions.contains(claim.at()));
        for at in partitions {
            let task = self.tasks.remove(at);
            if let (Some(windows), Some(contents)) = (
                task.and_then(|task| task.windows),
                &mut self.mills.of(at).contents,
            ) {
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
        self.mills.restart(self.around.engine)?;
        let disorder = self.around.pipeline.config().source.allowed_disorder;
        let now = self.around.clock.monotonic();
        self.pacing.roll_back();
        for task in self.tasks.values_mut() {
            task.roll_back(disorder);
            task.silence = Silence::since(now);
            self.around.progress.set_position(&task.at, task.next);
        }
        self.early.forget();
        self.reload()?;
        self.seek()?;
        self.committed_at = now;
        self.show_watermarks();
        Ok(())
    }

    /// Windows are as the store has them, and nothing of them is at hand.
    pub(super) fn reload(&mut self) -> Result<(), LaneEnd> {
        for windows in self
            .tasks
            .values_mut()
            .filter_map(|task| task.windows.as_mut())
        {
            windows.reload(&*self.store)?;
        }
        self.unfired = true;
        self.forget_unsent();
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
        let tasks = &self.tasks;
        for (mill, _) in self.mills.each() {
            if let Some(partials) = &mut mill.partials {
                partials.forget(|at| tasks.get(at).map(|task| task.committed.watermark));
            }
        }
    }
}
