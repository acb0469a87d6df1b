//! What happens when: windows that fire, rows that have waited, contents that are over. Everything happens in the order of its
//! instant, and when the lowest watermark has reached that; so it does not depend on how fast which partition is.
//!
//! Of what is due at the same instant, rows that have waited come first, since the windows that end then still take them; then windows
//! fire; then what is over goes. Each step is a portion, so that no move of the watermark stalls the worker or has to be staged as
//! one.

use super::contents::Contents;
use super::owned::OwnedWindows;
use super::pieces::{Due, Keys, Piece};
use super::results::Fired;
use super::scene::Scene;
use super::steps::StepError;
use super::windowing::{Kind, TOTAL};
use crate::state::Store;
use crate::time::Timestamp;
use crate::window::{Key, Pane, Publicity, Window};

/// Something that happens to all keys of some panes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Event {
    /// Rows that have waited for this instant count now.
    Pending(Timestamp),
    /// This window is published.
    Fire(Window),
    /// The sessions that end first are published.
    FireSessions,
    /// What is in this pane is over.
    Close(Window),
    /// The sessions that were published first are over.
    CloseSessions,
}

/// An event that is happening, and the keys that it has not happened to.
#[derive(Debug)]
pub(super) struct Firing {
    event: Event,
    keys: Keys,
}

impl OwnedWindows {
    /// Lets some of what is due happen, and stages what comes of it. `None` if nothing is due.
    ///
    /// # Errors
    /// If the function failed, the store can't be read, or a result is larger than the sink takes.
    pub(super) fn fire<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
    ) -> Result<Option<Fired>, StepError> {
        let firing = match self.firing.take() {
            Some(firing) => firing,
            None => {
                let lowest = self.watermarks.lowest();
                let until = self.due_until();
                let Some(event) = self
                    .next_event(scene.contents)
                    .filter(|(at, _)| *at <= until)
                else {
                    self.fired = self.fired.max(lowest);
                    return Ok(None);
                };
                let (at, event) = event;
                self.pass(at, event);
                let keys = self.keys_of(event, scene.contents);
                Firing { event, keys }
            }
        };
        let Firing { event, mut keys } = firing;
        let mut fired = Fired::default();
        match event {
            Event::FireSessions => {
                fired.add(self.withdraw_grown(scene)?);
                let due = self.due_sessions(scene.contents, scene.store)?;
                fired.add(self.publish(&due, true, scene)?);
                if self.windowing.ends_when_fired() {
                    self.close_sessions(&due, scene)?;
                    return Ok(Some(fired));
                }
                for due in &due {
                    self.sessions
                        .publish(&due.key, due.window, Publicity::Published);
                }
                return Ok(Some(fired));
            }
            Event::CloseSessions => {
                let due = self.over_sessions(scene.contents, scene.store)?;
                self.close_sessions(&due, scene)?;
                return Ok(Some(fired));
            }
            Event::Pending(since) => {
                let taken = keys.take(self, scene.store)?;
                fired = if self.windowing.has_sessions() {
                    self.join_pending(since, taken, scene)?
                } else {
                    self.count_pending(since, taken, scene)?
                };
            }
            Event::Fire(window) => {
                let taken = keys.take(self, scene.store)?;
                fired = self.fire_window(window, taken, scene)?;
            }
            Event::Close(_) => {
                let over = keys.take(self, scene.store)?;
                let over = over
                    .iter()
                    .flat_map(|(key, pieces)| pieces.iter().map(|piece| (&**key, piece)));
                self.drop_pieces(over, scene)?;
            }
        }
        if !(keys.is_over(self) && self.end_event(event, scene)?) {
            self.firing = Some(Firing { event, keys });
        }
        Ok(Some(fired))
    }

    /// Up to when everything is due.
    pub(super) fn due_until(&self) -> Timestamp {
        match (self.watermarks.have_ended(), self.windowing.has_sessions()) {
            (false, _) => self.watermarks.lowest(),
            // Nothing more comes: rows that wait for the very end need not, nor sessions whose rows have long gaps of their own.
            (true, false) => Timestamp(self.watermarks.lowest().0.saturating_add(1)),
            (true, true) => Timestamp::MAX,
        }
    }

    /// Everything before an event has happened: a window without contents had none to show when it was due.
    fn pass(&mut self, at: Timestamp, event: Event) {
        let before = match event {
            Event::Close(_) | Event::CloseSessions => at,
            // Windows that end at this very instant are still to come.
            _ => Timestamp(at.0.saturating_sub(1)),
        };
        self.fired = self.fired.max(before);
    }

    /// What happens next, and when.
    fn next_event(&self, contents: &Contents) -> Option<(Timestamp, Event)> {
        let owner = self.owner();
        let pending = [
            contents.slots().first_pending(owner),
            self.cold.first_pending(),
        ];
        let pending = pending.into_iter().flatten().min();
        let pending = pending.map(|pane| (pane.since, Event::Pending(pane.since)));
        let (fire, close) = if self.windowing.has_sessions() {
            let due = self.sessions.first_due();
            let over = self.sessions.first_published();
            (
                due.map(|(span, _)| (span.end, Event::FireSessions)),
                over.map(|(span, _)| (self.windowing.over_at(span.end), Event::CloseSessions)),
            )
        } else {
            let window = self.next_window(contents);
            (
                window.map(|window| (window.end, Event::Fire(window))),
                self.next_close(contents),
            )
        };
        // What is kept for rows that come late is kept for the next run too, when nothing more comes in this one.
        let close = close.filter(|(at, _)| *at <= self.watermarks.lowest());
        // Of equal instants the first one.
        let events = pending.into_iter().chain(fire).chain(close);
        events.min_by_key(|(at, _)| *at)
    }

    /// The window with contents that fires next.
    fn next_window(&self, contents: &Contents) -> Option<Window> {
        let assigner = self.windowing.assigner()?;
        let from = Timestamp(self.fired.0.saturating_sub(assigner.reach()));
        let next = |pane: Window| {
            let mut windows = assigner.windows_of(pane);
            windows.find(|window| window.end > self.fired)
        };
        let first = |panes: &mut dyn Iterator<Item = Window>| {
            panes.filter(|pane| *pane != TOTAL).find_map(next)
        };
        let hot = first(&mut contents.slots().between(self.owner(), from, Timestamp::MAX));
        let cold = first(&mut self.cold.between(from, Timestamp::MAX));
        let next = hot.into_iter().chain(cold).min();
        // A window that was firing when the task was taken over is not over, whatever is left of its contents.
        let unfinished = self.after.as_ref().map(|(window, _)| *window);
        unfinished.into_iter().chain(next).min()
    }

    /// The pane that is over next, where that is not when its window fires.
    fn next_close(&self, contents: &Contents) -> Option<(Timestamp, Event)> {
        if self.windowing.ends_when_fired() {
            return None;
        }
        let hot = contents.slots().first_after(self.owner(), Timestamp::MIN);
        let cold = self.cold.between(Timestamp::MIN, Timestamp::MAX).next();
        let pane = hot.into_iter().chain(cold).min()?;
        Some((self.windowing.closed_at(pane), Event::Close(pane)))
    }

    /// The keys to which an event happens.
    fn keys_of(&mut self, event: Event, contents: &Contents) -> Keys {
        match event {
            Event::Close(pane) => {
                let pane = std::iter::once(Pane::of(pane));
                Keys::of(self, pane, None, contents)
            }
            Event::Fire(window) => {
                let after = self.after.as_ref().filter(|(firing, _)| *firing == window);
                let after = after.map(|(_, key)| key.as_slice());
                let panes = self.panes_of(window, contents).into_iter();
                if !self.shares_panes(contents) {
                    return Keys::of(self, panes.map(Pane::of), after, contents);
                }
                self.overlap.fires(window, after);
                let new = panes.filter(|pane| !self.overlap.knows(*pane));
                Keys::of(self, new.map(Pane::of), after, contents).with_overlap()
            }
            Event::Pending(since) => {
                let panes = self.waiting_for(since, contents);
                Keys::of(self, panes.into_iter(), None, contents)
            }
            Event::FireSessions | Event::CloseSessions => {
                Keys::of(self, std::iter::empty(), None, contents)
            }
        }
    }

    /// Whether what windows have in common is merged once for all of them.
    fn shares_panes(&self, contents: &Contents) -> bool {
        self.windowing.overlaps() && contents.is_aggregate()
    }

    /// The panes with contents that a window has.
    pub(super) fn panes_of(&self, window: Window, contents: &Contents) -> Vec<Window> {
        let Window { start, end } = window;
        let hot = contents.slots().between(self.owner(), start, end);
        let mut panes: Vec<Window> = hot.chain(self.cold.between(start, end)).collect();
        panes.sort_unstable();
        panes.dedup();
        panes
    }

    /// The panes whose rows wait for this instant.
    fn waiting_for(&self, since: Timestamp, contents: &Contents) -> Vec<Pane> {
        let hot = contents.slots().waiting(self.owner(), since);
        let mut panes: Vec<Pane> = hot.chain(self.cold.waiting(since)).collect();
        panes.sort_unstable();
        panes.dedup();
        panes
    }

    /// Publishes a window for some keys.
    fn fire_window<S: Store>(
        &mut self,
        window: Window,
        taken: Vec<(Key, Vec<Piece>)>,
        scene: &mut Scene<'_, S>,
    ) -> Result<Fired, StepError> {
        let last = taken.last().map(|(key, _)| key.to_vec());
        let due: Vec<Due> = if self.shares_panes(scene.contents) {
            self.due_of_overlap(window, taken, scene)?
        } else {
            let due = taken.into_iter();
            due.map(|(key, pieces)| Due::new(window, key, pieces))
                .collect()
        };
        if matches!(self.windowing.kind, Kind::TotalByTime(_)) {
            return self.publish_totals(due, scene);
        }
        let fired = self.publish(&due, true, scene)?;
        if self.windowing.ends_when_fired() {
            self.drop_pieces(due.iter().flat_map(Due::of_key), scene)?;
            for due in &due {
                if self.windowing.repeats() {
                    self.note_publication(window, &due.key, None, scene.outbox, scene.results.now);
                }
            }
        } else if let Some(last) = last {
            self.after = Some((window, last));
        }
        Ok(fired)
    }

    /// Adds what has come to what there has ever been of each key, and publishes that.
    pub(super) fn publish_totals<S: Store>(
        &mut self,
        due: Vec<Due>,
        scene: &mut Scene<'_, S>,
    ) -> Result<Fired, StepError> {
        let total = Pane::of(TOTAL);
        let into = due
            .iter()
            .map(|due| (total, &*due.key, due.pieces.as_slice()));
        self.move_pieces(into, scene)?;
        let totals = due.into_iter().map(|due| {
            let pieces = self.pieces(
                std::iter::once(total),
                &due.key,
                scene.contents,
                scene.store,
            )?;
            Ok(Due { pieces, ..due })
        });
        let totals: Vec<Due> = totals.collect::<Result<_, StepError>>()?;
        self.publish(&totals, true, scene)
    }

    /// The event has happened to all keys. Returns whether that is all of it.
    fn end_event<S: Store>(
        &mut self,
        event: Event,
        scene: &mut Scene<'_, S>,
    ) -> Result<bool, StepError> {
        match event {
            Event::Pending(since) => {
                self.cold.remove_waiting(since);
                self.end_held(since, scene.outbox, scene.results.now);
            }
            Event::Fire(window) => {
                self.fired = self.fired.max(window.end);
                self.after = None;
                self.overlap.passed(window);
                if self.windowing.ends_when_fired() {
                    self.cold.remove_pane(Pane::of(window));
                }
            }
            Event::Close(pane) => {
                self.cold.remove_pane(Pane::of(pane));
                if self.windowing.repeats() {
                    // What a window that ends before this has published, nobody asks for again.
                    let at = self.windowing.closed_at(pane).0;
                    let end = at.saturating_sub(self.windowing.lateness);
                    let (store, now) = (scene.store, scene.results.now);
                    return Ok(self.end_publications(Timestamp(end), store, scene.outbox, now)?);
                }
            }
            Event::FireSessions | Event::CloseSessions => {}
        }
        Ok(true)
    }

    /// Lets go of contents, each of a key, and stages the end of their records.
    pub(super) fn drop_pieces<'p, S: Store>(
        &mut self,
        pieces: impl Iterator<Item = (&'p [u8], &'p Piece)>,
        scene: &mut Scene<'_, S>,
    ) -> Result<(), StepError> {
        let mut slots = Vec::new();
        for (key, piece) in pieces {
            let records = piece.records(scene.contents);
            self.end_records(
                piece.pane,
                key,
                records.into_iter(),
                scene.outbox,
                scene.results.now,
            );
            slots.extend(piece.slot);
        }
        scene.contents.free(&slots)
    }
}
