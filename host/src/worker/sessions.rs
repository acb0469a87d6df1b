//! Sessions of a task that are published next, and those that are over.

use super::contents::{AT_ONCE, Contents};
use super::owned::OwnedWindows;
use super::pieces::Due;
use super::scene::Scene;
use super::steps::StepError;
use crate::state::Store;
use crate::time::Timestamp;
use crate::window::{Key, Pane, Window};

impl OwnedWindows {
    /// Sessions that are published next, all before anything else happens.
    pub(super) fn due_sessions<S: Store>(
        &self,
        contents: &Contents,
        store: &S,
    ) -> Result<Vec<Due>, StepError> {
        let owner = self.owner();
        let waiting = [
            contents.slots().first_pending(owner),
            self.cold.first_pending(),
        ];
        let waiting = waiting.into_iter().flatten().map(|pane| pane.since).min();
        let until = self.due_until();
        let is_due = |end: Timestamp| end <= until && waiting.is_none_or(|since| end < since);
        let due = self.sessions.due().take_while(|(span, _)| is_due(span.end));
        self.sessions_due(due.take(AT_ONCE), contents, store)
    }

    /// Sessions that are over next.
    pub(super) fn over_sessions<S: Store>(
        &self,
        contents: &Contents,
        store: &S,
    ) -> Result<Vec<Due>, StepError> {
        let Some((first, _)) = self.sessions.first_published() else {
            return Ok(Vec::new());
        };
        let over = self.sessions.published();
        let over = over.take_while(|(span, _)| span.end == first.end);
        self.sessions_due(over.take(AT_ONCE), contents, store)
    }

    fn sessions_due<'a, S: Store>(
        &'a self,
        sessions: impl Iterator<Item = &'a (Window, Key)>,
        contents: &Contents,
        store: &S,
    ) -> Result<Vec<Due>, StepError> {
        let due = sessions.map(|(span, key)| self.session_due(*span, key, contents, store));
        due.collect()
    }

    /// A session with what there is of it.
    pub(super) fn session_due<S: Store>(
        &self,
        span: Window,
        key: &[u8],
        contents: &Contents,
        store: &S,
    ) -> Result<Due, StepError> {
        let session = self.sessions.get(key, span);
        let panes = session
            .map(|session| session.panes.as_slice())
            .unwrap_or_default();
        let panes = panes.iter().map(|pane| Pane::of(*pane));
        let pieces = self.pieces(panes, key, contents, store)?;
        Ok(Due::new(span, key.into(), pieces))
    }

    /// Forgets sessions, and ends what is written of them.
    pub(super) fn close_sessions<S: Store>(
        &mut self,
        due: &[Due],
        scene: &mut Scene<'_, S>,
    ) -> Result<(), StepError> {
        self.drop_pieces(due.iter().flat_map(Due::of_key), scene)?;
        for due in due {
            if let Some(session) = self.sessions.remove(&due.key, due.window) {
                for pane in session.panes {
                    self.cold.remove_key(pane, &due.key);
                }
            }
            if self.windowing.repeats() {
                self.note_publication(due.window, &due.key, None, scene.outbox, scene.results.now);
            }
        }
        Ok(())
    }
}
