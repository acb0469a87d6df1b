//! What open windows hold: an aggregate's accumulators in the guest, or the rows themselves in the host.

use std::collections::BTreeMap;

use super::WorkerError;
use super::steps::StepError;
use crate::pipeline::Pipeline;
use crate::plugin::{
    AggregateInstance, AppliedWindow, Kind, PluginEngine, Produced, RowErrors, WindowApplyInstance,
};
use crate::rows::Rows;
use crate::window::{KeySlot, Slot, Window};

/// How many keys a function finishes in one call.
const FINISH_AT_ONCE: usize = 1_024;

/// Rows of the host with the slot of each.
type Kept = Vec<(Rows, Vec<Slot>)>;

/// The window function of a pipeline, running, and what it has gathered.
pub(super) struct Contents {
    /// The function's number.
    function: usize,
    /// The column of each field that the function reads.
    select: Vec<usize>,
    running: Running,
}

enum Running {
    /// `accepted` counts the rows in each slot: a window in which every row was in error has no result.
    Aggregate {
        instance: AggregateInstance,
        accepted: Vec<u64>,
    },
    /// The rows have only the columns that the function reads.
    Apply {
        instance: WindowApplyInstance,
        kept: BTreeMap<Window, Kept>,
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
            Running::Aggregate {
                instance: function.aggregate(engine).map_err(failed)?,
                accepted: Vec::new(),
            }
        } else {
            Running::Apply {
                instance: function.window_apply(engine).map_err(failed)?,
                kept: BTreeMap::new(),
            }
        };
        Ok(Self {
            function: at,
            select,
            running,
        })
    }

    /// The function's number.
    pub(super) fn function(&self) -> usize {
        self.function
    }

    /// Adds rows, each to its window and slot. Returns those that the function could not process.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn add(
        &mut self,
        rows: &Rows,
        windows: &[Window],
        slots: &[Slot],
    ) -> Result<RowErrors, StepError> {
        match &mut self.running {
            Running::Aggregate { instance, accepted } => {
                let slots: Vec<u32> = slots.iter().map(|slot| slot.0).collect();
                let errors = instance
                    .accumulate(&slots, rows, &self.select)
                    .map_err(StepError::of(self.function))?;
                let highest = slots.iter().max().map_or(0, |slot| *slot as usize + 1);
                accepted.resize(accepted.len().max(highest), 0);
                for slot in &slots {
                    accepted[*slot as usize] += 1;
                }
                for (row, _) in &errors.0 {
                    accepted[slots[*row as usize] as usize] -= 1;
                }
                Ok(errors)
            }
            Running::Apply { kept, .. } => {
                let columns = self.select.iter().map(|&at| rows.columns[at].clone());
                let rows = Rows::new(rows.len, columns.collect());
                for (window, indices) in by_window(windows) {
                    let slots = indices.iter().map(|&row| slots[row as usize]).collect();
                    let part = rows.take(&indices).map_err(bug)?;
                    kept.entry(window).or_default().push((part, slots));
                }
                Ok(RowErrors::default())
            }
        }
    }

    /// The results of a window, and its end: its slots are free afterwards. Sources are indices into `keys`.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn finish(
        &mut self,
        window: Window,
        keys: &[KeySlot],
        keyed: bool,
    ) -> Result<Vec<Produced>, StepError> {
        let failed = StepError::of(self.function);
        match &mut self.running {
            Running::Aggregate { instance, accepted } => {
                let counts = &*accepted;
                let rows_in = |at: &usize| counts[keys[*at].1.0 as usize];
                let live: Vec<usize> = (0..keys.len()).filter(|at| rows_in(at) > 0).collect();
                let mut results = Vec::new();
                for part in live.chunks(FINISH_AT_ONCE) {
                    let slots: Vec<u32> = part.iter().map(|&at| keys[at].1.0).collect();
                    let produced = instance.finish(&slots).map_err(&failed)?;
                    results.push(sourced(produced, part));
                }
                let slots: Vec<u32> = keys.iter().map(|(_, slot)| slot.0).collect();
                instance.close(&slots).map_err(&failed)?;
                slots.iter().for_each(|slot| accepted[*slot as usize] = 0);
                Ok(results)
            }
            Running::Apply { instance, kept } => {
                let kept = kept.remove(&window).unwrap_or_default();
                let (rows, bounds) = grouped(&kept, keys)?;
                let all: Vec<usize> = (0..keys.len()).collect();
                let mut results = Vec::new();
                for part in all.chunks(FINISH_AT_ONCE) {
                    let (first, last) = (part[0], part[part.len() - 1] + 1);
                    let (start, end) = (bounds[first], bounds[last]);
                    let windows: Vec<AppliedWindow> = keys[first..last]
                        .iter()
                        .map(|(key, _)| AppliedWindow {
                            start: window.start.0,
                            end: window.end.0,
                            key: keyed.then(|| String::from_utf8_lossy(key).into_owned()),
                        })
                        .collect();
                    let offsets: Vec<u32> = bounds[first..=last]
                        .iter()
                        .map(|bound| bound - start)
                        .collect();
                    let indices: Vec<u32> = (start..end).collect();
                    let part_rows = rows.take(&indices).map_err(bug)?;
                    let produced = instance
                        .apply(&windows, &offsets, &part_rows)
                        .map_err(&failed)?;
                    results.push(sourced(produced, part));
                }
                Ok(results)
            }
        }
    }
}

/// The same rows with their sources as indices of what `part` stands for.
fn sourced(mut produced: Produced, part: &[usize]) -> Produced {
    for source in &mut produced.source {
        *source = u32::try_from(part[*source as usize]).expect("slots are numbered in 32 bits");
    }
    produced
}

/// The rows of each window, in the order given.
fn by_window(windows: &[Window]) -> BTreeMap<Window, Vec<u32>> {
    let mut rows: BTreeMap<Window, Vec<u32>> = BTreeMap::new();
    for (row, window) in windows.iter().enumerate() {
        let row = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
        rows.entry(*window).or_default().push(row);
    }
    rows
}

/// All rows of a window, key after key in the order of `keys`, and where each key begins. Within a key the order in which
/// the rows came is kept.
fn grouped(kept: &[(Rows, Vec<Slot>)], keys: &[KeySlot]) -> Result<(Rows, Vec<u32>), WorkerError> {
    let parts: Vec<Rows> = kept.iter().map(|(rows, _)| rows.clone()).collect();
    let rows = Rows::concat(&parts).map_err(bug)?;
    let rank: BTreeMap<Slot, usize> = keys
        .iter()
        .enumerate()
        .map(|(at, (_, slot))| (*slot, at))
        .collect();
    let ranks: Vec<usize> = kept
        .iter()
        .flat_map(|(_, slots)| slots)
        .map(|slot| rank[slot])
        .collect();
    let mut order: Vec<u32> =
        (0..u32::try_from(ranks.len()).map_err(|_| bug("a window has 2^32 rows"))?).collect();
    order.sort_by_key(|&row| ranks[row as usize]);
    let mut bounds = vec![0; keys.len() + 1];
    for rank in ranks {
        bounds[rank + 1] += 1;
    }
    for at in 1..bounds.len() {
        bounds[at] += bounds[at - 1];
    }
    Ok((rows.take(&order).map_err(bug)?, bounds))
}

fn bug(error: impl ToString) -> WorkerError {
    WorkerError::Bug(error.to_string())
}
