//! Rows that have waited because windows of theirs had been published: what happens when their instant has come.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::contents::AT_ONCE;
use super::owned::{OwnedWindows, bring_back};
use super::pieces::{Due, Piece};
use super::results::Fired;
use super::scene::Scene;
use super::steps::StepError;
use crate::state::Store;
use crate::time::Timestamp;
use crate::window::{Key, Pane, Publicity, Sessions, Slot, Window};

impl OwnedWindows {
    /// What has waited for `since` becomes part of the panes of all other rows, for some keys. Windows that have been published and
    /// still count are published again, each once.
    ///
    /// # Errors
    /// If the function failed, the store can't be read, or a result is larger than the sink takes.
    pub(super) fn count_pending<S: Store>(
        &mut self,
        since: Timestamp,
        taken: Vec<(Key, Vec<Piece>)>,
        scene: &mut Scene<'_, S>,
    ) -> Result<Fired, StepError> {
        let into = taken.iter().flat_map(|(key, pieces)| {
            let to = |piece: &Piece| Pane::of(piece.pane.span);
            pieces
                .iter()
                .map(move |piece| (to(piece), &**key, std::slice::from_ref(piece)))
        });
        self.move_pieces(into, scene)?;
        let Some(assigner) = self.windowing.assigner() else {
            return Ok(Fired::default());
        };
        let is_published =
            |window: &Window| window.end < since && self.windowing.over_at(window.end) >= since;
        let mut again: BTreeMap<Window, BTreeSet<&Key>> = BTreeMap::new();
        for (key, pieces) in &taken {
            for piece in pieces {
                self.overlap.changed(piece.pane.span, key);
                let windows = assigner.windows_of(piece.pane.span);
                for window in windows.filter(is_published) {
                    again.entry(window).or_default().insert(key);
                }
            }
        }
        let mut fired = Fired::default();
        for (window, keys) in again {
            let panes = self.panes_of(window, scene.contents);
            let due = keys.into_iter().map(|key| {
                let panes = panes.iter().map(|pane| Pane::of(*pane));
                let pieces = self.pieces(panes, key, scene.contents, scene.store)?;
                Ok(Due::new(window, key.clone(), pieces))
            });
            let due: Vec<Due> = due.collect::<Result<_, StepError>>()?;
            fired.add(self.publish(&due, true, scene)?);
        }
        Ok(fired)
    }

    /// Merges pieces into the contents of other panes of their keys, and ends them.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn move_pieces<'a, S: Store>(
        &mut self,
        pieces: impl Iterator<Item = (Pane, &'a [u8], &'a [Piece])>,
        scene: &mut Scene<'_, S>,
    ) -> Result<(), StepError> {
        let (mut slots, mut parts): (Vec<Slot>, Vec<Cow<'_, [u8]>>) = (Vec::new(), Vec::new());
        let (mut wholes, mut into) = (Vec::new(), Vec::new());
        let mut moved = Vec::new();
        for (to, key, pieces) in pieces {
            let is_cold = self.cold.contains(to, key);
            let to = scene.contents.slot(self.owner(), to, key, is_cold);
            for piece in pieces {
                moved.push((key, piece));
                bring_back(piece, scene.contents)?;
                if let (Some(slot), true) = (piece.slot, scene.contents.is_aggregate()) {
                    // All of it is at hand.
                    if scene.contents.held(slot).is_filled {
                        wholes.push(slot);
                        into.push(to);
                    }
                    continue;
                }
                let stored = piece.stored.iter();
                let stored = stored.map(|(_, _, bytes)| Cow::Borrowed(bytes.as_slice()));
                let hot = piece
                    .slot
                    .map(|slot| Cow::Owned(scene.contents.rows(slot).to_vec()));
                parts.extend(stored.chain(hot));
                slots.resize(parts.len(), to);
            }
        }
        let parts: Vec<&[u8]> = parts.iter().map(AsRef::as_ref).collect();
        scene.contents.merge(&slots, &parts)?;
        for (wholes, into) in wholes.chunks(AT_ONCE).zip(into.chunks(AT_ONCE)) {
            let bytes = scene.contents.snapshot(wholes)?;
            let bytes: Vec<&[u8]> = bytes.iter().map(Option::unwrap_or_default).collect();
            scene.contents.merge(into, &bytes)?;
        }
        self.drop_pieces(moved.into_iter(), scene)
    }

    /// Rows that have waited for `since` join the sessions of their keys.
    ///
    /// # Errors
    /// If the function failed, the store can't be read, or a result is larger than the sink takes.
    pub(super) fn join_pending<S: Store>(
        &mut self,
        since: Timestamp,
        taken: Vec<(Key, Vec<Piece>)>,
        scene: &mut Scene<'_, S>,
    ) -> Result<Fired, StepError> {
        let mut fired = Fired::default();
        for (key, pieces) in taken {
            let joined = self.join_of_key(since, &key, pieces, scene);
            fired.add(joined?);
        }
        Ok(fired)
    }

    /// Rows of a key that have waited for `since` join its sessions, each piece a span of its own. First those that are not late by
    /// themselves, then the others as long as one joins. What is late in the end is written as that.
    fn join_of_key<S: Store>(
        &mut self,
        since: Timestamp,
        key: &[u8],
        pieces: Vec<Piece>,
        scene: &mut Scene<'_, S>,
    ) -> Result<Fired, StepError> {
        let is_late = |span: Window| self.windowing.over_at(span.end) < since;
        let (mut waiting, in_time): (Vec<Piece>, Vec<Piece>) = pieces
            .into_iter()
            .partition(|piece| is_late(piece.pane.span));
        let mut joined: Vec<(Window, Piece)> = Vec::new();
        let mut join = |sessions: &mut Sessions, piece: Piece| {
            joined.push((sessions.join(key, piece.pane.span), piece));
        };
        let mut in_time = in_time;
        in_time.sort_by_key(|piece| piece.pane.span.start);
        for piece in in_time {
            join(&mut self.sessions, piece);
        }
        waiting.sort_by_key(|piece| piece.pane.span.start);
        loop {
            let overlaps = |piece: &Piece| self.sessions.overlaps(key, piece.pane.span);
            let Some(at) = waiting.iter().position(overlaps) else {
                break;
            };
            let piece = waiting.remove(at);
            join(&mut self.sessions, piece);
        }
        let mut fired = Fired::default();
        fired.add(self.withdraw_grown(scene)?);
        let into = joined
            .iter()
            .map(|(to, piece)| (Pane::of(*to), key, std::slice::from_ref(piece)));
        self.move_pieces(into, scene)?;
        // A session that was published and has not grown is published again.
        let spans = joined.iter().filter_map(|(to, _)| {
            let session = self.sessions.of_pane(key, *to)?;
            (session.publicity == Publicity::Published).then_some(session.span)
        });
        let spans: BTreeSet<Window> = spans.collect();
        for span in spans {
            let due = self.session_due(span, key, scene.contents, scene.store)?;
            fired.add(self.publish(&[due], true, scene)?);
        }
        for piece in &waiting {
            for row in self.held.of(since, key, piece.pane.span) {
                scene.results.writing.late_row(scene.outbox, row);
                fired.late += 1;
            }
        }
        self.drop_pieces(waiting.iter().map(|piece| (key, piece)), scene)?;
        Ok(fired)
    }
}
