//! What is at hand of the contents of windows: an aggregate's accumulators in the guest, or rows as bytes in the host.
//!
//! All tasks of a worker share the instance, and so the slots. What is at hand may be less than the whole: an accumulator
//! that begins in a *cold* pane, of which the store may have more, holds only what has come in since. Since
//! accumulators are monoids, the two are merged when the window fires, and not before: no row waits for the store.
//!
//! Everything here is thrown away when a transaction is aborted, and begins again, empty, from what the store has.

use std::collections::BTreeMap;

use arrow_array::BinaryArray;
use arrow_array::builder::BinaryBuilder;

use super::WorkerError;
use super::layout::{How, Layout, Stored};
use super::steps::StepError;
use crate::pipeline::Pipeline;
use crate::plugin::{
    AggregateInstance, GuestFailure, Kind, PluginEngine, RowErrors, WindowApplyInstance,
};
use crate::rows::{Field, Rows, encode_rows};
use crate::state::segments;
use crate::window::{Key, Owner, Pane, Slot, Slots};

/// How many slots a function is asked about in one call, which has to end within its time limit.
pub(super) const AT_ONCE: usize = 1_024;
/// How many bytes of partials are handed to a function in one call.
const MERGE_BYTES: usize = 8 << 20;

/// What is known of a slot in use.
#[derive(Debug)]
pub(super) struct Held {
    /// Whether any row or partial has been accepted: contents without any have no result.
    pub(super) is_filled: bool,
    /// Whether something has come in since the last commit.
    is_dirty: bool,
    pub(super) stored: Stored,
    /// What the store had has been merged in again since the last write: it is among the deltas, so the next write is the whole.
    was_brought_back: bool,
    /// The round in which something came in last.
    touched: u64,
}

/// The window function of a pipeline, running, and what it has at hand.
pub(super) struct Contents {
    /// The function's number.
    function: usize,
    /// The column of each field that the function reads.
    select: Vec<usize>,
    slots: Slots,
    /// By number of the slot.
    held: Vec<Held>,
    /// Slots that may be dirty, in the order in which they became so.
    dirty: Vec<Slot>,
    /// Counts commits.
    round: u64,
    /// Bytes of guest memory in use when accumulators were last put away.
    put_away_at: usize,
    /// What the store has is of this earlier version of the function's state.
    reads_version: Option<u32>,
    running: Running,
}

enum Running {
    Aggregate(AggregateInstance),
    Apply {
        instance: WindowApplyInstance,
        fields: Vec<Field>,
        /// By number of the slot: rows since the last commit, as segments.
        rows: Vec<Vec<u8>>,
    },
}

impl Contents {
    /// Starts the last function of a pipeline, which is its window function.
    ///
    /// # Errors
    /// If it does not start.
    pub(super) fn start(
        pipeline: &Pipeline,
        engine: &PluginEngine,
        select: Vec<usize>,
    ) -> Result<Self, StepError> {
        let at = pipeline.functions().len() - 1;
        let function = &pipeline.functions()[at];
        let failed = StepError::of(at);
        let running = if function.plugin().kind() == Kind::Aggregate {
            Running::Aggregate(function.aggregate(engine).map_err(failed)?)
        } else {
            Running::Apply {
                instance: function.window_apply(engine).map_err(failed)?,
                fields: function.plugin().reads().to_vec(),
                rows: Vec::new(),
            }
        };
        Ok(Self {
            function: at,
            select,
            slots: Slots::new(),
            held: Vec::new(),
            dirty: Vec::new(),
            round: 0,
            put_away_at: 0,
            reads_version: None,
            running,
        })
    }

    /// The function's number.
    pub(super) fn function(&self) -> usize {
        self.function
    }

    /// The slots in use.
    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(super) fn held(&self, slot: Slot) -> &Held {
        &self.held[slot.index()]
    }

    /// The slot of a pane and key. One that begins in a cold pane may have more in the store than is at hand.
    pub(super) fn slot(&mut self, owner: Owner, pane: Pane, key: &[u8], is_cold: bool) -> Slot {
        let (slot, is_new) = self.slots.slot(owner, pane, key);
        if is_new {
            let held = Held {
                is_filled: false,
                is_dirty: false,
                stored: if is_cold {
                    Stored::Unknown(Vec::new())
                } else {
                    Stored::Known(Layout::default())
                },
                was_brought_back: false,
                touched: self.round,
            };
            match self.held.get_mut(slot.index()) {
                Some(place) => *place = held,
                None => self.held.push(held),
            }
        }
        slot
    }

    /// Adds rows, each to its slot; `source` numbers the partition that they come from. Returns those that the function
    /// could not process.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn add(
        &mut self,
        rows: &Rows,
        slots: &[Slot],
        source: u32,
    ) -> Result<RowErrors, StepError> {
        let errors = match &mut self.running {
            Running::Aggregate(instance) => {
                let numbers: Vec<u32> = slots.iter().map(|slot| slot.0).collect();
                instance
                    .accumulate(&numbers, rows, &self.select)
                    .map_err(StepError::of(self.function))?
            }
            Running::Apply {
                rows: kept, fields, ..
            } => {
                let columns = self.select.iter().map(|&at| rows.columns[at].clone());
                let rows = Rows::new(rows.len, columns.collect());
                let mut order: Vec<usize> = (0..slots.len()).collect();
                order.sort_by_key(|&row| slots[row]);
                for run in order.chunk_by(|a, b| slots[*a] == slots[*b]) {
                    let kept = of_slot(kept, slots[run[0]]);
                    segments::push(kept, source, |out| {
                        encode_rows(fields, &rows, run.iter().copied(), out);
                    });
                }
                RowErrors::default()
            }
        };
        let mut refused = errors.0.iter().map(|(row, _)| *row as usize).peekable();
        for (row, slot) in slots.iter().enumerate() {
            if refused.next_if_eq(&row).is_none() {
                self.touch(*slot);
            }
        }
        Ok(errors)
    }

    /// Merges partials, each into its slot, as they came from the first stage.
    ///
    /// # Errors
    /// If the function failed or refuses a partial.
    pub(super) fn merge(&mut self, slots: &[Slot], partials: &[&[u8]]) -> Result<(), StepError> {
        match &mut self.running {
            Running::Aggregate(instance) => {
                merge(instance, slots, partials).map_err(StepError::of(self.function))?;
            }
            Running::Apply { rows, .. } => {
                for (slot, partial) in slots.iter().zip(partials) {
                    of_slot(rows, *slot).extend_from_slice(partial);
                }
            }
        }
        slots.iter().for_each(|slot| self.touch(*slot));
        Ok(())
    }

    fn touch(&mut self, slot: Slot) {
        let held = &mut self.held[slot.index()];
        held.is_filled = true;
        held.touched = self.round;
        if !held.is_dirty {
            held.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    /// The slots into which something has come since the last commit; some may be named twice.
    pub(super) fn dirty(&self) -> impl Iterator<Item = Slot> + '_ {
        let is_dirty = |slot: &Slot| self.held(*slot).is_dirty;
        self.dirty.iter().copied().filter(is_dirty)
    }

    /// The slots into which something has come since the last commit, by owner. They are clean afterwards.
    pub(super) fn take_dirty(&mut self) -> BTreeMap<Owner, Vec<Slot>> {
        let mut dirty: BTreeMap<Owner, Vec<Slot>> = BTreeMap::new();
        for slot in self.dirty.drain(..) {
            let held = &mut self.held[slot.index()];
            // A slot that was freed and taken again may be listed twice.
            if std::mem::take(&mut held.is_dirty)
                && let Some((owner, ..)) = self.slots.of(slot)
            {
                dirty.entry(owner).or_default().push(slot);
            }
        }
        self.round += 1;
        dirty
    }

    /// What has come into each slot since the last call, as a partial. At most [`AT_ONCE`] slots.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn take_deltas(&mut self, slots: &[Slot]) -> Result<BinaryArray, StepError> {
        match &mut self.running {
            Running::Aggregate(instance) => instance
                .take_deltas(&numbers(slots))
                .map_err(StepError::of(self.function)),
            Running::Apply { rows, .. } => {
                let mut deltas = BinaryBuilder::new();
                for slot in slots {
                    deltas.append_value(std::mem::take(of_slot(rows, *slot)));
                }
                Ok(deltas.finish())
            }
        }
    }

    /// The whole of each slot, as a partial. At most [`AT_ONCE`] slots, of which everything is at hand.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn snapshot(&mut self, slots: &[Slot]) -> Result<BinaryArray, StepError> {
        match &mut self.running {
            Running::Aggregate(instance) => instance
                .snapshot(&numbers(slots))
                .map_err(StepError::of(self.function)),
            Running::Apply { .. } => Err(StepError::Host(WorkerError::Bug(
                "the rows of a window-apply were asked for whole".to_owned(),
            ))),
        }
    }

    /// Merges what the store has into a slot, of which everything is at hand afterwards.
    ///
    /// # Errors
    /// If the function failed or refuses a partial.
    pub(super) fn bring_back(
        &mut self,
        slot: Slot,
        parts: &[&[u8]],
        layout: Layout,
    ) -> Result<(), StepError> {
        let migrated = match self.reads_version {
            Some(from) => Some(self.migrated(from, parts)?),
            None => None,
        };
        if let Running::Aggregate(instance) = &mut self.running {
            let slots = vec![slot; parts.len()];
            let merged = match &migrated {
                Some(parts) => {
                    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                    merge(instance, &slots, &parts)
                }
                None => merge(instance, &slots, parts),
            };
            merged.map_err(StepError::of(self.function))?;
            let held = &mut self.held[slot.index()];
            held.is_filled |= !parts.is_empty();
            held.was_brought_back = !parts.is_empty();
            held.stored = Stored::Known(layout);
        }
        Ok(())
    }

    /// Says of which version of the function's state what the store has is, if it is not the function's own.
    pub(super) fn read_version(&mut self, version: Option<u32>) {
        self.reads_version = version;
    }

    /// Partials of another version of the function's state, as those of its own.
    ///
    /// # Errors
    /// If the function failed or can't read one.
    pub(super) fn migrated(
        &mut self,
        from: u32,
        partials: &[&[u8]],
    ) -> Result<Vec<Vec<u8>>, StepError> {
        let Running::Aggregate(instance) = &mut self.running else {
            let what = "the rows of a window-apply have no version to be carried over from";
            return Err(WorkerError::Bug(what.to_owned()).into());
        };
        let mut migrated = Vec::with_capacity(partials.len());
        for some in partials.chunks(AT_ONCE) {
            let values = BinaryArray::from_iter_values(some);
            let values = instance.migrate(from, &values);
            let values = values.map_err(StepError::of(self.function))?;
            migrated.extend(
                values
                    .iter()
                    .map(|bytes| bytes.unwrap_or_default().to_vec()),
            );
        }
        Ok(migrated)
    }

    /// Merges what the store has into slots that are about to be finished.
    ///
    /// # Errors
    /// If the function failed or refuses a partial.
    pub(super) fn restore(&mut self, slots: &[Slot], parts: &[&[u8]]) -> Result<(), StepError> {
        if let Running::Aggregate(instance) = &mut self.running {
            merge(instance, slots, parts).map_err(StepError::of(self.function))?;
        }
        for slot in slots {
            self.held[slot.index()].is_filled = true;
        }
        Ok(())
    }

    /// How a change to a slot is written whose delta has `delta` bytes.
    pub(super) fn how(&self, slot: Slot, delta: usize) -> How {
        let held = self.held(slot);
        match held.was_brought_back {
            true => How::Whole,
            false => held.stored.how(delta),
        }
    }

    /// Takes note of a write.
    pub(super) fn wrote(&mut self, slot: Slot, change: impl FnOnce(&mut Stored)) {
        let held = &mut self.held[slot.index()];
        held.was_brought_back = false;
        change(&mut held.stored);
    }

    /// Whether this is an aggregate, whose contents can be brought back and written whole.
    pub(super) fn is_aggregate(&self) -> bool {
        matches!(self.running, Running::Aggregate(_))
    }

    /// The function of an aggregate, to finish slots with.
    pub(super) fn aggregate(&mut self) -> Option<&mut AggregateInstance> {
        match &mut self.running {
            Running::Aggregate(instance) => Some(instance),
            Running::Apply { .. } => None,
        }
    }

    /// A window-apply function.
    pub(super) fn apply(&mut self) -> Option<&mut WindowApplyInstance> {
        match &mut self.running {
            Running::Aggregate(_) => None,
            Running::Apply { instance, .. } => Some(instance),
        }
    }

    /// The fields that a window-apply function reads.
    pub(super) fn fields(&self) -> Option<&[Field]> {
        match &self.running {
            Running::Aggregate(_) => None,
            Running::Apply { fields, .. } => Some(fields),
        }
    }

    /// The rows in a slot that have not been committed, as segments; none for an aggregate.
    pub(super) fn rows(&self, slot: Slot) -> &[u8] {
        match &self.running {
            Running::Aggregate(_) => &[],
            Running::Apply { rows, .. } => rows.get(slot.index()).map_or(&[], Vec::as_slice),
        }
    }

    /// Lets go of slots, and of what is in them. Those into which nothing has ever come are unknown to the guest.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn free(&mut self, slots: &[Slot]) -> Result<(), StepError> {
        if let Running::Aggregate(instance) = &mut self.running {
            let begun = |slot: &&Slot| self.held[slot.index()].is_filled;
            let begun: Vec<u32> = slots.iter().filter(begun).map(|slot| slot.0).collect();
            for part in begun.chunks(AT_ONCE) {
                instance.close(part).map_err(StepError::of(self.function))?;
            }
        }
        for slot in slots {
            self.held[slot.index()].is_dirty = false;
            if let Running::Apply { rows, .. } = &mut self.running {
                drop(std::mem::take(of_slot(rows, *slot)));
            }
            self.slots.free(*slot);
        }
        Ok(())
    }

    /// Whether the guest has filled half of the memory that it may have, and more than when accumulators were last put away.
    pub(super) fn is_pressed(&self) -> bool {
        match &self.running {
            Running::Aggregate(instance) => {
                let (used, limit) = instance.memory();
                used >= limit / 2 && used > self.put_away_at
            }
            Running::Apply { .. } => false,
        }
    }

    /// After a commit: puts away what need not be at hand. Of an aggregate under pressure that is the half of its
    /// accumulators into which nothing has come for longest, of a window-apply all, since the store has its rows now. Returns
    /// the panes and keys of which the store now has more than is at hand.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn put_away(&mut self) -> Result<Vec<(Owner, Pane, Key)>, StepError> {
        if self.is_aggregate() && !self.is_pressed() {
            return Ok(Vec::new());
        }
        let in_use = |slot: &Slot| self.slots.of(*slot).is_some();
        let all = (0..).map(Slot).take(self.held.len());
        let mut slots: Vec<Slot> = all.filter(in_use).collect();
        if let Running::Aggregate(instance) = &self.running {
            self.put_away_at = instance.memory().0;
            slots.sort_by_key(|slot| self.held[slot.index()].touched);
            slots.truncate(slots.len().div_ceil(2));
            tracing::debug!(
                accumulators = slots.len(),
                bytes = self.put_away_at,
                "putting away accumulators: the guest's memory is half full"
            );
        }
        let of = slots.iter().filter_map(|slot| self.slots.of(*slot));
        let away = of.map(|(owner, pane, key)| (owner, pane, key.into()));
        let away = away.collect();
        self.free(&slots)?;
        Ok(away)
    }
}

fn numbers(slots: &[Slot]) -> Vec<u32> {
    slots.iter().map(|slot| slot.0).collect()
}

/// The entry of a slot, which begins here if it has not yet.
fn of_slot(rows: &mut Vec<Vec<u8>>, slot: Slot) -> &mut Vec<u8> {
    if rows.len() <= slot.index() {
        rows.resize_with(slot.index() + 1, Vec::new);
    }
    &mut rows[slot.index()]
}

/// Merges partials into slots, so many at once that no call is handed too much.
fn merge(
    instance: &mut AggregateInstance,
    slots: &[Slot],
    partials: &[&[u8]],
) -> Result<(), GuestFailure> {
    let mut from = 0;
    while from < slots.len() {
        let mut to = from;
        let mut bytes = 0;
        while to < slots.len() && to - from < AT_ONCE && (to == from || bytes < MERGE_BYTES) {
            bytes += partials[to].len();
            to += 1;
        }
        let values = BinaryArray::from_iter_values(&partials[from..to]);
        instance.merge(&numbers(&slots[from..to]), &values)?;
        from = to;
    }
    Ok(())
}
