//! What is published of a window and key: which revision of its result that is, and what is written of it.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array};

use super::WorkerError;
use super::owned::OwnedWindows;
use super::pieces::Due;
use super::scene::{Results, Scene};
use super::steps::StepError;
use super::windowing::{Kind, TOTAL};
use super::write::{ResultRow, Shown};
use crate::log::Outbox;
use crate::pipeline::config::Updates;
use crate::rows::{Field, FieldType, Rows, decode_rows, encode_rows};
use crate::state::{Published, Store};
use crate::time::Timestamp;
use crate::window::Window;

/// What publishing brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fired {
    /// Windows, each key counted.
    pub(super) windows: usize,
    /// Result records.
    pub(super) results: usize,
    /// Those of them that take an earlier one back.
    pub(super) retractions: usize,
    /// Those of them that may still change.
    pub(super) early: usize,
    /// Rows that turned out to be late.
    pub(super) late: usize,
}

impl Fired {
    pub(super) fn add(&mut self, more: Fired) {
        self.windows += more.windows;
        self.results += more.results;
        self.retractions += more.retractions;
        self.early += more.early;
        self.late += more.late;
    }
}

impl OwnedWindows {
    /// Publishes some windows and keys: results as they are now. At most [`AT_ONCE`]. `is_final` says that they are not early.
    ///
    /// # Errors
    /// If the function failed, the store can't be read, or a result is larger than the sink takes.
    pub(super) fn publish<S: Store>(
        &mut self,
        due: &[Due],
        is_final: bool,
        scene: &mut Scene<'_, S>,
    ) -> Result<Fired, StepError> {
        let produced = if scene.contents.is_aggregate() {
            self.finish(due, scene.contents)?
        } else {
            self.apply(due, scene.contents, scene.results.key.is_some())?
        };
        let mut fired = Fired::default();
        let mut from = 0;
        let mut bounds: Option<(Window, Timestamp, Shown)> = None;
        for (at, due) in due.iter().enumerate() {
            let count = produced.source[from..]
                .iter()
                .take_while(|source| **source as usize == at)
                .count();
            let rows = from..from + count;
            from += count;
            let shown = match &bounds {
                Some((window, at, shown)) if (*window, *at) == (due.window, due.at) => {
                    shown.clone()
                }
                _ => {
                    let shown = self.shown(due.window, due.at);
                    bounds = Some((due.window, due.at, shown.clone()));
                    shown
                }
            };
            let one = Publication {
                due,
                shown,
                is_final: self.windowing.early.map(|_| is_final),
                rows: &produced.rows,
                range: rows,
            };
            fired.add(self.publish_one(&one, scene)?);
        }
        Ok(fired)
    }

    fn publish_one<S: Store>(
        &mut self,
        one: &Publication<'_>,
        scene: &mut Scene<'_, S>,
    ) -> Result<Fired, StepError> {
        let Due { window, key, .. } = one.due;
        let results = scene.results;
        let is_early = one.is_final == Some(false);
        let mut fired = Fired {
            windows: usize::from(!is_early),
            ..Fired::default()
        };
        // All publications of what has no end are known under one name.
        let name = match self.windowing.kind {
            Kind::TotalByCount { .. } | Kind::TotalByTime(_) => TOTAL,
            _ => *window,
        };
        let before = match self.windowing.repeats() {
            true => self.published(name, key, scene.store)?,
            false => None,
        };
        let revision = before.as_ref().map_or(0, |before| before.revision + 1);
        let write = |outbox: &mut Outbox, rows: &Rows, row| {
            let result = ResultRow {
                shown: &one.shown,
                key: results.key.map(|ty| (&**key, ty)),
                fields: results.fields,
                rows,
                row,
                revision,
                is_final: one.is_final,
                is_retraction: false,
            };
            let written = results.writing.result(outbox, &result);
            written.map_err(|why| WorkerError::Commit(format!("window {window}: {why}")))
        };
        let old = match &before {
            Some(before) if self.windowing.keeps_rows() => self.decoded(before, results.fields)?,
            _ => Rows::default(),
        };
        match (self.windowing.updates, &before) {
            (Updates::Discarding, Some(_)) => {
                let changed = difference(results.fields, one, &old).map_err(StepError::Host)?;
                for row in 0..changed.len {
                    write(scene.outbox, &changed, row)?;
                    fired.results += 1;
                }
            }
            (updates, before) => {
                if let (Updates::Retracting, Some(before)) = (updates, before) {
                    self.retract(before, &old, key, &results, scene.outbox)?;
                    fired.retractions += old.len;
                }
                for row in one.range.clone() {
                    write(scene.outbox, one.rows, row)?;
                    fired.results += 1;
                }
            }
        }
        fired.results += fired.retractions;
        fired.early = if is_early { fired.results } else { 0 };
        if self.windowing.repeats() {
            let mut rows = Vec::new();
            if self.windowing.keeps_rows() {
                encode_rows(results.fields, one.rows, one.range.clone(), &mut rows);
            }
            let published = Some(Published {
                revision,
                window: *window,
                at: one.due.at,
                is_final: !is_early,
                rows,
            });
            self.note_publication(name, key, published, scene.outbox, results.now);
        }
        Ok(fired)
    }

    /// Takes back what was published of sessions that have grown or were joined since.
    ///
    /// # Errors
    /// If the store can't be read, or a result is larger than the sink takes.
    pub(super) fn withdraw_grown<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
    ) -> Result<Fired, StepError> {
        let results = scene.results;
        let mut fired = Fired::default();
        for (span, key) in self.sessions.take_withdrawn() {
            let Some(before) = self.published(span, &key, scene.store)? else {
                continue;
            };
            let rows = self.decoded(&before, results.fields)?;
            self.retract(&before, &rows, &key, &results, scene.outbox)?;
            self.note_publication(span, &key, None, scene.outbox, results.now);
            fired.results += rows.len;
            fired.retractions += rows.len;
        }
        Ok(fired)
    }

    /// Writes rows that were published once more, as taken back.
    fn retract(
        &self,
        before: &Published,
        rows: &Rows,
        key: &[u8],
        results: &Results<'_>,
        outbox: &mut Outbox,
    ) -> Result<(), StepError> {
        let shown = self.shown(before.window, before.at);
        for row in 0..rows.len {
            let result = ResultRow {
                shown: &shown,
                key: results.key.map(|ty| (key, ty)),
                fields: results.fields,
                rows,
                row,
                revision: before.revision,
                is_final: self.windowing.early.map(|_| before.is_final),
                is_retraction: true,
            };
            let written = results.writing.result(outbox, &result);
            let window = before.window;
            written.map_err(|why| WorkerError::Commit(format!("window {window}: {why}")))?;
        }
        Ok(())
    }

    fn decoded(&self, published: &Published, fields: &[Field]) -> Result<Rows, WorkerError> {
        let rows = decode_rows(fields, &[&published.rows]);
        rows.map_err(|error| self.damaged(&error))
    }

    /// How a window is shown in its results; `at` is the event time of its last row, where rows are counted.
    fn shown(&self, window: Window, at: Timestamp) -> Shown {
        match self.windowing.kind {
            Kind::Timed(_) => Shown::span(window),
            // Inside, its end is the first instant at which a row would not join any more.
            Kind::Session { .. } => Shown::span(Window {
                end: Timestamp(window.end.0 - 1),
                ..window
            }),
            Kind::TotalByTime(_) => Shown::until(window.end),
            Kind::Count { .. } => Shown::rows(window.start.0, window.end.0 - 1, at),
            Kind::TotalByCount { .. } => Shown::rows(0, window.end.0 - 1, at),
        }
    }
}

/// What is published of one window and key.
struct Publication<'a> {
    due: &'a Due,
    shown: Shown,
    /// Whether it may not change; `None` where that is not written.
    is_final: Option<bool>,
    /// Its result, among others.
    rows: &'a Rows,
    range: Range<usize>,
}

/// What has changed between two results of at most one row of numbers; where there is no row, each number counts as 0.
fn difference(fields: &[Field], new: &Publication<'_>, old: &Rows) -> Result<Rows, WorkerError> {
    let now = new.range.clone().next();
    if new.range.len() > 1 || old.len > 1 {
        return Err(WorkerError::Commit(format!(
            "window {}: its result has several rows, and updates = \"discarding\" compares one with one",
            new.due.window
        )));
    }
    let was = (old.len == 1).then_some(0);
    if now.is_none() && was.is_none() {
        return Ok(Rows::default());
    }
    let column = |at: usize, field: &Field| -> ArrayRef {
        let (new, old) = (new.rows.columns.get(at), old.columns.get(at));
        let value = |column: Option<&ArrayRef>, row: Option<usize>| {
            column
                .zip(row)
                .filter(|(column, row)| column.is_valid(*row))
                .map(|(c, r)| (c.clone(), r))
        };
        let (new, old) = (value(new, now), value(old, was));
        match field.ty {
            FieldType::Float64 => {
                let of = |cell: Option<(ArrayRef, usize)>| {
                    cell.map_or(0.0, |(c, r)| c.as_primitive::<Float64Type>().value(r))
                };
                Arc::new(Float64Array::from(vec![of(new) - of(old)]))
            }
            _ => {
                let of = |cell: Option<(ArrayRef, usize)>| {
                    cell.map_or(0, |(c, r)| c.as_primitive::<Int64Type>().value(r))
                };
                Arc::new(Int64Array::from(vec![of(new).wrapping_sub(of(old))]))
            }
        }
    };
    let columns = fields
        .iter()
        .enumerate()
        .map(|(at, field)| column(at, field));
    Ok(Rows::new(1, columns.collect()))
}
