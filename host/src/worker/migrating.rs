//! State is carried over to another version of a function's state: all that the store has of a task goes through the function's
//! `migrate`, is merged, and is written whole, in one transaction with the mark that says so.

use super::contents::{AT_ONCE, Contents};
use super::lane::{Lane, LaneEnd};
use super::owned::{OwnedWindows, bring_back};
use super::pieces::{Keys, Piece};
use super::steps::StepError;
use crate::log::{Log, Outbox, TopicPartition};
use crate::state::{Store, all_parts, all_pending_parts};
use crate::time::{Clock, Timestamp};
use crate::window::Slot;

impl<L: Log, C: Clock, S: Store> Lane<'_, L, C, S> {
    /// Whether a task's state is of another version than its function's, so that nothing may be done with it yet.
    pub(super) fn is_to_migrate(&self, at: &TopicPartition) -> bool {
        let wanted = self.mills.at(at).shape.state_version;
        let task = self.tasks.get(at);
        task.is_some_and(|task| task.windows.is_some() && task.state_version != wanted)
    }

    /// Carries over the state of every task that needs it, each in a transaction of its own. Returns whether all is well: if not,
    /// everything was thrown away, and what has not been carried over is to be later.
    pub(super) fn migrate(&mut self) -> Result<bool, LaneEnd> {
        let tasks = self.tasks.keys().filter(|at| self.is_to_migrate(at));
        let tasks: Vec<TopicPartition> = tasks.cloned().collect();
        for at in tasks {
            // What others have staged is not part of it, and theirs must not be lost with it.
            if !self.commit()? {
                return Ok(false);
            }
            let begun = self.around.clock.monotonic();
            let now = self.around.clock.now();
            let mill = self.mills.of(&at);
            let version = mill.shape.state_version;
            let (Some(task), Some(contents)) = (self.tasks.get_mut(&at), &mut mill.contents) else {
                continue;
            };
            let from = task.state_version;
            let Some(windows) = &mut task.windows else {
                continue;
            };
            contents.read_version(Some(from));
            let migrated = windows.migrate(contents, &*self.store, &mut self.outbox, now);
            contents.read_version(None);
            let migrated = migrated.map_err(|error| self.around.failure(error, None))?;
            task.state_version = version;
            if !self.commit()? {
                return Ok(false);
            }
            let took = self.around.clock.monotonic().saturating_sub(begun);
            tracing::info!(partition = %at, from, to = version, contents = migrated, ?took, "state carried over");
        }
        Ok(true)
    }
}

impl OwnedWindows {
    /// Brings back all that the store has, and stages it whole. Returns how many panes and keys there were.
    ///
    /// # Errors
    /// If the function failed, or the store can't be read.
    fn migrate<S: Store>(
        &mut self,
        contents: &mut Contents,
        store: &S,
        outbox: &mut Outbox,
        now: Timestamp,
    ) -> Result<usize, StepError> {
        let mut panes = self.stored_panes(store, all_parts())?;
        panes.extend(self.stored_panes(store, all_pending_parts())?);
        let mut migrated = 0;
        for (pane, _) in panes {
            let mut keys = Keys::of_store(pane);
            loop {
                let some = keys.take(self, store)?;
                if some.is_empty() {
                    break;
                }
                for some in some.chunks(AT_ONCE) {
                    let mut slots: Vec<Slot> = Vec::with_capacity(some.len());
                    for (key, pieces) in some {
                        for piece in pieces.iter().filter(|piece| !piece.stored.is_empty()) {
                            let slot = contents.slot(self.owner(), pane, key, true);
                            let stored = piece.stored.clone();
                            let slot = Some(slot);
                            bring_back(&Piece { pane, slot, stored }, contents)?;
                            slots.extend(slot);
                        }
                    }
                    self.stage(&slots, contents, store, outbox, now)?;
                    contents.free(&slots)?;
                    migrated += slots.len();
                }
            }
        }
        Ok(migrated)
    }
}
