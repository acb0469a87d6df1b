//! The accumulators of an instance, in slots that the host numbers.

use super::ErrorCollector;
use super::aggregate::Aggregate;
use crate::accumulate::Accumulator;
use crate::column::build::{end_row, no_values};
use crate::column::{
    ContractError,
    wire::{Batch, Produced, RowErrors, VarValues},
};
use crate::output::Collector;
use crate::row::Rows;

/// An aggregate with its accumulators.
///
/// A slot begins, empty, when [`accumulate`](Self::accumulate) or [`merge`](Self::merge) first names it, and ends with
/// [`close`](Self::close). The numbers in use are dense, so that a slot is an index.
pub(crate) struct Slots<F: Aggregate> {
    function: F,
    slots: Vec<Option<F::State>>,
}

impl<F: Aggregate> Slots<F> {
    pub(crate) fn new(function: F) -> Self {
        Self {
            function,
            slots: Vec::new(),
        }
    }

    pub(crate) fn accumulate(
        &mut self,
        slots: &[u32],
        batch: &Batch,
    ) -> Result<RowErrors, ContractError> {
        expect_one_each("slots", slots.len(), batch.rows as usize)?;
        let mut rows = (0..batch.rows).zip(Rows::<F::Row<'_>>::open(batch)?);
        let mut errors = ErrorCollector::new();
        // Most rows go where the one before went.
        for run in slots.chunk_by(|one, next| one == next) {
            let state = begin(&mut self.slots, run[0]);
            for (index, row) in rows.by_ref().take(run.len()) {
                if let Err(error) = self.function.add(state, row) {
                    errors.push(index, &error);
                }
            }
        }
        Ok(errors.finish())
    }

    pub(crate) fn merge(&mut self, slots: &[u32], partials: &VarValues) -> Result<(), MergeError> {
        expect_one_each("offsets", partials.offsets.len(), slots.len() + 1)?;
        for (bounds, &slot) in partials.offsets.windows(2).zip(slots) {
            let partial = slice(partials, bounds[0], bounds[1]).ok_or_else(|| {
                ContractError::new("the offsets of the partials do not lie in their data")
            })?;
            begin(&mut self.slots, slot)
                .merge(partial)
                .map_err(|error| MergeError(format!("slot {slot}: {error}")))?;
        }
        Ok(())
    }

    pub(crate) fn take_deltas(&mut self, slots: &[u32]) -> Result<VarValues, ContractError> {
        let mut partials = no_values();
        for &slot in slots {
            let state = self
                .slots
                .get_mut(slot as usize)
                .and_then(Option::as_mut)
                .ok_or_else(|| no_slot(slot))?;
            state.take_delta(&mut partials.data);
            end_row(&mut partials);
        }
        Ok(partials)
    }

    pub(crate) fn snapshot(&self, slots: &[u32]) -> Result<VarValues, ContractError> {
        let mut partials = no_values();
        for &slot in slots {
            self.state(slot)?.snapshot(&mut partials.data);
            end_row(&mut partials);
        }
        Ok(partials)
    }

    pub(crate) fn finish(&self, slots: &[u32]) -> Result<Produced, ContractError> {
        let mut out = Collector::new();
        for (index, &slot) in (0..).zip(slots) {
            out.start(index);
            self.function.result(self.state(slot)?, &mut out);
        }
        Ok(out.finish())
    }

    pub(crate) fn close(&mut self, slots: &[u32]) -> Result<(), ContractError> {
        for &slot in slots {
            let state = self
                .slots
                .get_mut(slot as usize)
                .filter(|state| state.is_some());
            *state.ok_or_else(|| no_slot(slot))? = None;
        }
        let in_use = self.slots.iter().rposition(Option::is_some);
        self.slots.truncate(in_use.map_or(0, |last| last + 1));
        Ok(())
    }

    fn state(&self, slot: u32) -> Result<&F::State, ContractError> {
        let state = self.slots.get(slot as usize).and_then(Option::as_ref);
        state.ok_or_else(|| no_slot(slot))
    }
}

/// Why partials could not be merged. The host gives up the instance, so what had been merged before does not
/// matter.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct MergeError(pub(crate) String);

impl From<ContractError> for MergeError {
    fn from(error: ContractError) -> Self {
        Self(error.0)
    }
}

/// The accumulator of a slot, which begins here if it has not yet.
fn begin<S: Default>(slots: &mut Vec<Option<S>>, slot: u32) -> &mut S {
    let slot = slot as usize;
    if slot >= slots.len() {
        slots.resize_with(slot + 1, || None);
    }
    slots[slot].get_or_insert_default()
}

/// The bytes between two offsets, if they lie in the data.
pub(super) fn slice(values: &VarValues, start: i32, end: i32) -> Option<&[u8]> {
    values
        .data
        .get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

fn no_slot(slot: u32) -> ContractError {
    ContractError::new(format!("slot {slot} is not in use"))
}

fn expect_one_each(what: &str, got: usize, expected: usize) -> Result<(), ContractError> {
    if got == expected {
        return Ok(());
    }
    Err(ContractError::new(format!(
        "{got} {what} where {expected} are due"
    )))
}
