//! Filters and maps: rows in, rows out, and the rows that could not be processed.

use super::WorkerError;
use crate::log::RecordBatch;
use crate::pipeline::Pipeline;
use crate::pipeline::plan::StepPlan;
use crate::plugin::{FilterInstance, GuestFailure, MapInstance, PluginEngine, RowErrors};
use crate::rows::Rows;
use crate::time::Timestamp;

/// Rows on their way through the steps, and what is known of each besides its columns.
#[derive(Debug)]
pub(super) struct Flow<'a> {
    /// The records that they come from.
    pub(super) batch: &'a RecordBatch,
    pub(super) rows: Rows,
    /// The record of each row, ascending: a map may have made several rows of one.
    pub(super) origin: Vec<u32>,
    pub(super) times: Vec<Timestamp>,
    /// The watermark of the partition before each row's record: what the row is judged by.
    pub(super) watermarks: Vec<Timestamp>,
}

impl<'a> Flow<'a> {
    /// The flow that consists of `rows`, each of which comes from the row of this flow that `source` names.
    fn derived(&self, rows: Rows, source: &[u32]) -> Flow<'a> {
        Flow {
            batch: self.batch,
            rows,
            origin: gather(&self.origin, source),
            times: gather(&self.times, source),
            watermarks: gather(&self.watermarks, source),
        }
    }

    /// The rows of these indices.
    ///
    /// # Errors
    /// If the columns can't be put together, which is a bug.
    pub(super) fn take(&self, indices: &[u32]) -> Result<Flow<'a>, WorkerError> {
        Ok(self.derived(take(&self.rows, indices)?, indices))
    }
}

fn gather<T: Copy>(values: &[T], indices: &[u32]) -> Vec<T> {
    indices.iter().map(|&at| values[at as usize]).collect()
}

fn take(rows: &Rows, indices: &[u32]) -> Result<Rows, WorkerError> {
    rows.take(indices)
        .map_err(|error| WorkerError::Bug(error.to_string()))
}

/// A record that could not be processed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Rejected {
    /// The record's row in its batch.
    pub(super) record: u32,
    /// The number of the function that rejected it; `None` if it was not decoded.
    pub(super) function: Option<usize>,
    pub(super) reason: String,
}

/// Takes note of the rows that a function could not process. A record of which a map made several rows is rejected once.
pub(super) fn reject(
    errors: RowErrors,
    origin: &[u32],
    function: usize,
    rejected: &mut Vec<Rejected>,
) {
    let first = rejected.len();
    for (row, reason) in errors.0 {
        let record = origin[row as usize];
        if rejected[first..]
            .last()
            .is_none_or(|last| last.record != record)
        {
            rejected.push(Rejected {
                record,
                function: Some(function),
                reason,
            });
        }
    }
}

/// A running filter or map.
enum Running {
    Filter {
        instance: FilterInstance,
        select: Vec<usize>,
    },
    Map {
        instance: MapInstance,
        select: Vec<usize>,
        keep: Vec<usize>,
    },
}

/// Why a step did not go through.
#[derive(Debug)]
pub(super) enum StepError {
    /// A function failed: its number, and how.
    Function(usize, Box<GuestFailure>),
    /// Something else, which is not the function's fault.
    Host(WorkerError),
}

impl StepError {
    /// For `map_err`: function number `at` failed.
    pub(super) fn of(at: usize) -> impl Fn(GuestFailure) -> StepError {
        move |failure| StepError::Function(at, Box::new(failure))
    }
}

impl From<WorkerError> for StepError {
    fn from(error: WorkerError) -> Self {
        StepError::Host(error)
    }
}

/// The row steps of a pipeline, running.
pub(super) struct RowSteps(Vec<Running>);

/// What the row steps made of some rows.
pub(super) struct Stepped<'a> {
    pub(super) flow: Flow<'a>,
    /// How many rows filters did not keep.
    pub(super) filtered: usize,
}

impl RowSteps {
    /// Starts an instance for each step.
    ///
    /// # Errors
    /// With the first that does not start.
    pub(super) fn start(pipeline: &Pipeline, engine: &PluginEngine) -> Result<Self, StepError> {
        let functions = pipeline.functions();
        let steps = pipeline.plan().steps.iter().enumerate().map(|(at, plan)| {
            let function = &functions[at];
            Ok(match plan {
                StepPlan::Filter { select } => Running::Filter {
                    instance: function.filter(engine).map_err(StepError::of(at))?,
                    select: select.clone(),
                },
                StepPlan::Map { select, keep } => Running::Map {
                    instance: function.map(engine).map_err(StepError::of(at))?,
                    select: select.clone(),
                    keep: keep.clone(),
                },
            })
        });
        Ok(Self(steps.collect::<Result<_, StepError>>()?))
    }

    /// Takes rows through all steps.
    ///
    /// # Errors
    /// If a function failed.
    pub(super) fn run<'a>(
        &mut self,
        mut flow: Flow<'a>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<Stepped<'a>, StepError> {
        let mut filtered = 0;
        for (at, step) in self.0.iter_mut().enumerate() {
            if flow.rows.is_empty() {
                break;
            }
            flow = match step {
                Running::Filter { instance, select } => {
                    let selection = instance
                        .filter(&flow.rows, select)
                        .map_err(StepError::of(at))?;
                    filtered += flow.rows.len - selection.kept.len() - selection.errors.0.len();
                    reject(selection.errors, &flow.origin, at, rejected);
                    if selection.kept.len() == flow.rows.len {
                        flow
                    } else {
                        flow.take(&selection.kept)?
                    }
                }
                Running::Map {
                    instance,
                    select,
                    keep,
                } => {
                    let (produced, errors) = instance
                        .map(&flow.rows, select)
                        .map_err(StepError::of(at))?;
                    reject(errors, &flow.origin, at, rejected);
                    let mut rows = produced.rows;
                    if !keep.is_empty() {
                        let kept = keep.iter().map(|&column| flow.rows.columns[column].clone());
                        let kept = Rows::new(flow.rows.len, kept.collect());
                        rows.columns.extend(take(&kept, &produced.source)?.columns);
                    }
                    flow.derived(rows, &produced.source)
                }
            };
        }
        Ok(Stepped { flow, filtered })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_became_several_rows_is_rejected_once() {
        let mut rejected = Vec::new();
        let errors = |rows: &[u32]| {
            RowErrors(
                rows.iter()
                    .map(|row| (*row, format!("row {row}")))
                    .collect(),
            )
        };
        reject(errors(&[0, 1, 3]), &[7, 7, 8, 9], 0, &mut rejected);
        reject(errors(&[0]), &[9], 1, &mut rejected);
        let told: Vec<_> = rejected
            .iter()
            .map(|r| (r.record, r.function, r.reason.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (7, Some(0), "row 0"),
                (9, Some(0), "row 3"),
                (9, Some(1), "row 0")
            ]
        );
    }
}
