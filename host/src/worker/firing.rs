//! A lane's windows fire: what is due in the order of time, what is full, and what is shown early.

use std::collections::BTreeSet;
use std::time::Duration;

use super::committing::micros;
use super::lane::{Lane, LaneEnd};
use super::mill::Mill;
use super::pieces::Due;
use super::scene::{Results, Scene};
use super::steps::StepError;
use super::windowing::Kind;
use crate::log::{Log, Offset, Outbox, TopicPartition};
use crate::pipeline::plan::OutputPlan;
use crate::state::Store;
use crate::time::{Clock, Timestamp};
use crate::window::{Key, Pane, Window};

/// How long windows of a task fire at a stretch, in time and in slices, before the lane looks what else there is to do.
const STRETCH: Duration = Duration::from_millis(20);
const SLICES: usize = 8;
/// When so many bytes are staged while windows fire they are committed: a commit stops the worker for longer the more it holds.
const MOST_STAGED: usize = 1 << 20;
/// After so many turns in which windows were left to fire no more is read until they all have, so that what is read does not pile up
/// before what is written.
const MOST_TURNS: u32 = 50;

impl<L: Log, C: Clock, S: Store> Lane<'_, L, C, S> {
    /// Fires what is due in the windows of a task, committing in between where much is staged. What takes too long is left for
    /// the next turn: nothing that comes meanwhile can get into a window that is due. Returns whether all is well: if not,
    /// everything was thrown away.
    pub(super) fn fire(&mut self, at: &TopicPartition) -> Result<bool, LaneEnd> {
        if self.is_to_migrate(at) {
            // Its windows can't be read before.
            self.unfired = true;
            return Ok(true);
        }
        let begun = self.around.clock.monotonic();
        for slice in 0.. {
            let took = self.around.clock.monotonic().saturating_sub(begun);
            if took >= STRETCH || slice >= SLICES {
                let took_us = micros(took);
                tracing::debug!(target: "fire", partition = %at, took_us, "left the rest for the next turn");
                self.unfired = true;
                return Ok(true);
            }
            let Some(task) = self.tasks.get_mut(at) else {
                return Ok(true);
            };
            let next = task.next;
            let now = self.around.clock.now();
            let scene = scene(self.mills.of(at), &*self.store, &mut self.outbox, now);
            let (Some(windows), Some(mut scene)) = (&mut task.windows, scene) else {
                return Ok(true);
            };
            let fired = windows.fire(&mut scene).map_err(|error| {
                let before = Offset(next.0 - 1);
                self.around.failure(error, Some((at, before, before)))
            })?;
            let Some(fired) = fired else { return Ok(true) };
            self.counts.fired(&fired);
            let is_much = self.outbox.byte_len() >= MOST_STAGED;
            if (is_much || self.is_full()) && !self.commit()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether windows have been left to fire for so long that they come first.
    pub(super) fn has_backlog(&self) -> bool {
        self.turns_unfired >= MOST_TURNS
    }

    /// Goes on with windows that were left to fire, or were due when everything was thrown away.
    pub(super) fn fire_again(&mut self) -> Result<(), LaneEnd> {
        if !std::mem::take(&mut self.unfired) {
            self.turns_unfired = 0;
            return Ok(());
        }
        self.turns_unfired += 1;
        let tasks: Vec<TopicPartition> = self.tasks.keys().cloned().collect();
        for at in tasks {
            if !self.fire(&at)? {
                break;
            }
        }
        self.show_watermarks();
        Ok(())
    }

    /// Publishes counted windows that are full.
    pub(super) fn fire_counted(
        &mut self,
        at: &TopicPartition,
        full: Vec<(Window, Key, Timestamp)>,
    ) -> Result<(), LaneEnd> {
        let Some(task) = self.tasks.get_mut(at).filter(|_| !full.is_empty()) else {
            return Ok(());
        };
        let now = self.around.clock.now();
        let scene = scene(self.mills.of(at), &*self.store, &mut self.outbox, now);
        let (Some(windows), Some(mut scene)) = (&mut task.windows, scene) else {
            return Ok(());
        };
        // One after the other: a key may have filled several.
        let mut fire = |(window, key, time): (Window, Key, Timestamp)| {
            let pane = std::iter::once(Pane::of(window));
            let pieces = windows.pieces(pane, &key, scene.contents, scene.store)?;
            let due = Due {
                at: time,
                ..Due::new(window, key, pieces)
            };
            if matches!(windows.windowing.kind, Kind::TotalByCount { .. }) {
                return windows.publish_totals(vec![due], &mut scene);
            }
            let due = [due];
            let fired = windows.publish(&due, true, &mut scene)?;
            let [due] = &due;
            windows.drop_pieces(due.of_key(), &mut scene)?;
            Ok(fired)
        };
        for full in full {
            let fired: Result<_, StepError> = fire(full);
            let before = Offset(task.next.0 - 1);
            let failed = |error| self.around.failure(error, Some((at, before, before)));
            self.counts.fired(&fired.map_err(failed)?);
        }
        Ok(())
    }

    /// Publishes windows as they are now, if it is time for early results. Called when a commit is being staged, before changes of
    /// state are.
    pub(super) fn publish_early(&mut self) -> Result<(), LaneEnd> {
        let Some(early) = self.early_results() else {
            return Ok(());
        };
        for contents in self.mills.all().filter_map(|mill| mill.contents.as_ref()) {
            for slot in contents.dirty() {
                if let Some((owner, pane, key)) = contents.slots().of(slot)
                    && !pane.is_pending()
                {
                    self.early.note(owner, pane.span, key);
                }
            }
        }
        let now = self.around.clock.monotonic();
        let changed = match self.early.is_due(early, now) {
            true => self.early.take(now),
            false => BTreeSet::new(),
        };
        let now = self.around.clock.now();
        for task in self.tasks.values_mut() {
            let mill = self.mills.of(&task.at);
            let scene = scene(mill, &*self.store, &mut self.outbox, now);
            let (Some(windows), Some(mut scene)) = (&mut task.windows, scene) else {
                continue;
            };
            let owner = windows.owner();
            let of = changed.range((owner, Window::FIRST, Key::default())..);
            let of = of.take_while(|(of, ..)| *of == owner);
            let of: Vec<_> = of.map(|(_, pane, key)| (*pane, key)).collect();
            let fired = windows.publish_early(&of, &mut scene);
            let fired = fired.map_err(|error| self.around.failure(error, None))?;
            self.counts.fired(&fired);
        }
        Ok(())
    }
}

/// What windows of a version's work with; `None` where it has no window step.
fn scene<'a, S>(
    mill: &'a mut Mill,
    store: &'a S,
    outbox: &'a mut Outbox,
    now: Timestamp,
) -> Option<Scene<'a, S>> {
    let OutputPlan::Windows { key, fields, .. } = &mill.running.version.pipeline.plan().output
    else {
        return None;
    };
    Some(Scene {
        contents: mill.contents.as_mut()?,
        store,
        results: Results {
            writing: &mill.writing,
            key: key.map(|(_, ty)| ty),
            fields,
            now,
        },
        outbox,
    })
}
