//! What the function makes of windows and keys: the results of an aggregate's accumulators, or of a window-apply's rows.

use super::WorkerError;
use super::contents::Contents;
use super::overlap::merge_pieces;
use super::owned::{OwnedWindows, bring_back};
use super::pieces::Due;
use super::steps::StepError;
use crate::plugin::{AppliedWindow, Produced};
use crate::rows::{Rows, decode_rows};
use crate::state::segments;
use crate::window::{Pane, Slot};

impl OwnedWindows {
    /// The results of an aggregate's windows and keys. Sources are indices into `due`.
    pub(super) fn finish(
        &self,
        due: &[Due],
        contents: &mut Contents,
    ) -> Result<Produced, StepError> {
        let failed = StepError::of(contents.function());
        // What is in several pieces, or only in the store, gets a slot for the time of this call.
        let mut guests: Vec<(usize, Slot)> = Vec::with_capacity(due.len());
        let mut borrowed: Vec<Slot> = Vec::new();
        let (mut scattered, mut pieces) = (Vec::new(), Vec::new());
        let (mut slots, mut parts): (Vec<Slot>, Vec<&[u8]>) = (Vec::new(), Vec::new());
        for (at, due) in due.iter().enumerate() {
            if let ([only], []) = (due.pieces.as_slice(), due.parts.as_slice())
                && let Some(slot) = only.slot
            {
                bring_back(only, contents)?;
                if contents.held(slot).is_filled {
                    guests.push((at, slot));
                }
                continue;
            }
            let scratch = Pane::scratch(due.window);
            let scratch = contents.slot(self.owner(), scratch, &due.key, false);
            borrowed.push(scratch);
            scattered.push((at, scratch));
            pieces.extend(due.pieces.iter().map(|piece| (scratch, piece)));
            slots.resize(slots.len() + due.parts.len(), scratch);
            parts.extend(due.parts.iter().map(Vec::as_slice));
        }
        contents.restore(&slots, &parts)?;
        merge_pieces(pieces.into_iter(), contents)?;
        let is_filled = |(_, slot): &(usize, Slot)| contents.held(*slot).is_filled;
        guests.extend(scattered.into_iter().filter(is_filled));
        // Results come in the order of `due`.
        guests.sort_unstable_by_key(|(at, _)| *at);
        let asked: Vec<u32> = guests.iter().map(|(_, slot)| slot.0).collect();
        let instance = contents.aggregate().ok_or_else(another_kind)?;
        let mut produced = match asked.as_slice() {
            [] => Produced::default(),
            asked => instance.finish(asked).map_err(failed)?,
        };
        for source in &mut produced.source {
            let at = guests[*source as usize].0;
            *source = u32::try_from(at).expect("a slice has fewer than 2^32 keys");
        }
        contents.free(&borrowed)?;
        Ok(produced)
    }

    /// The results of a window-apply's windows and keys. Sources are indices into `due`.
    pub(super) fn apply(
        &self,
        due: &[Due],
        contents: &mut Contents,
        is_keyed: bool,
    ) -> Result<Produced, StepError> {
        let function = contents.function();
        let mut windows = Vec::new();
        let mut sources = Vec::new();
        let mut bounds = vec![0];
        let mut parts = Vec::new();
        for (at, due) in due.iter().enumerate() {
            let mut segments = Vec::new();
            for piece in &due.pieces {
                let hot = piece.slot.map(|slot| contents.rows(slot));
                let stored = piece.stored.iter().map(|(_, _, bytes)| bytes.as_slice());
                for bytes in stored.chain(hot) {
                    for segment in segments::read(bytes) {
                        segments.push(segment.map_err(|error| self.damaged(&error))?);
                    }
                }
            }
            // Within each source partition in the order of the log, whatever the order in which they came together.
            segments.sort_by_key(|(source, _)| *source);
            let rows: Vec<&[u8]> = segments.into_iter().map(|(_, rows)| rows).collect();
            let fields = contents.fields().ok_or_else(another_kind)?;
            let rows = decode_rows(fields, &rows).map_err(|error| self.damaged(&error))?;
            if rows.is_empty() {
                continue;
            }
            let end = bounds[bounds.len() - 1] + u32::try_from(rows.len).map_err(bug)?;
            bounds.push(end);
            parts.push(rows);
            sources.push(u32::try_from(at).map_err(bug)?);
            windows.push(AppliedWindow {
                start: due.window.start.0,
                end: due.window.end.0,
                key: is_keyed.then(|| String::from_utf8_lossy(&due.key).into_owned()),
            });
        }
        if windows.is_empty() {
            return Ok(Produced::default());
        }
        let rows = Rows::concat(&parts).map_err(bug)?;
        let instance = contents.apply().ok_or_else(another_kind)?;
        let produced = instance.apply(&windows, &bounds, &rows);
        let mut produced = produced.map_err(StepError::of(function))?;
        for source in &mut produced.source {
            *source = sources[*source as usize];
        }
        Ok(produced)
    }
}

fn another_kind() -> StepError {
    StepError::Host(WorkerError::Bug(
        "a window function of another kind".to_owned(),
    ))
}

fn bug(error: impl ToString) -> StepError {
    StepError::Host(WorkerError::Bug(error.to_string()))
}
