//! Early results: what windows that are still open have now.

use std::collections::BTreeSet;
use std::time::Duration;

use super::contents::AT_ONCE;
use super::owned::OwnedWindows;
use super::pieces::Due;
use super::results::Fired;
use super::scene::Scene;
use super::steps::StepError;
use crate::pipeline::config;
use crate::state::Store;
use crate::window::{Key, Owner, Pane, Publicity, Window};

/// What has changed since results were last shown, and when that was.
pub(super) struct Early {
    changed: BTreeSet<(Owner, Window, Key)>,
    shown_at: Duration,
}

impl Early {
    /// Nothing has changed.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            changed: BTreeSet::new(),
            shown_at: now,
        }
    }

    /// Takes note of a change.
    pub(super) fn note(&mut self, owner: Owner, pane: Window, key: &[u8]) {
        self.changed.insert((owner, pane, key.into()));
    }

    /// Whether it is time to show what has changed.
    pub(super) fn is_due(&self, when: config::Early, now: Duration) -> bool {
        let is_time = match when {
            config::Early::OnUpdate => true,
            config::Early::Every(every) => now.saturating_sub(self.shown_at) >= every,
        };
        is_time && !self.changed.is_empty()
    }

    /// What has changed; it is shown now.
    pub(super) fn take(&mut self, now: Duration) -> BTreeSet<(Owner, Window, Key)> {
        self.shown_at = now;
        std::mem::take(&mut self.changed)
    }

    /// Forgets what has changed: it was thrown away, and comes again.
    pub(super) fn forget(&mut self) {
        self.changed.clear();
    }
}

impl OwnedWindows {
    /// Publishes what open windows have now, of panes and keys that have changed. Early results of sessions that have grown are taken
    /// back, whether or not it is time for others.
    ///
    /// # Errors
    /// If the function failed, the store can't be read, or a result is larger than the sink takes.
    pub(super) fn publish_early<S: Store>(
        &mut self,
        changed: &[(Window, &Key)],
        scene: &mut Scene<'_, S>,
    ) -> Result<Fired, StepError> {
        let mut fired = self.withdraw_grown(scene)?;
        let mut windows: BTreeSet<(Window, &Key)> = BTreeSet::new();
        for (pane, key) in changed {
            if let Some(session) = self.sessions.of_pane(key, *pane) {
                if session.publicity != Publicity::Published {
                    windows.insert((session.span, key));
                }
            } else if let Some(assigner) = self.windowing.assigner() {
                let open = assigner.windows_of(*pane);
                let open = open.filter(|window| window.end > self.fired);
                windows.extend(open.map(|window| (window, *key)));
            }
        }
        let windows: Vec<(Window, &Key)> = windows.into_iter().collect();
        for some in windows.chunks(AT_ONCE) {
            let due = some.iter().map(|(window, key)| {
                if self.windowing.has_sessions() {
                    return self.session_due(*window, key, scene.contents, scene.store);
                }
                let panes = self
                    .panes_of(*window, scene.contents)
                    .into_iter()
                    .map(Pane::of);
                let pieces = self.pieces(panes, key, scene.contents, scene.store)?;
                Ok(Due::new(*window, (*key).clone(), pieces))
            });
            let due: Vec<Due> = due.collect::<Result<_, StepError>>()?;
            fired.add(self.publish(&due, false, scene)?);
            for due in &due {
                self.sessions
                    .publish(&due.key, due.window, Publicity::Shown);
            }
        }
        Ok(fired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn results_are_shown_when_something_has_changed_and_it_is_time() {
        let every = config::Early::Every(Duration::from_secs(5));
        let [zero, four, five] = [0, 4, 5].map(Duration::from_secs);
        let mut early = Early::new(zero);
        assert!(!early.is_due(every, five), "nothing has changed");
        let pane = Window {
            start: Timestamp(0),
            end: Timestamp(10),
        };
        early.note(Owner(0), pane, b"k");
        assert!(!early.is_due(every, four) && early.is_due(every, five));
        assert!(early.is_due(config::Early::OnUpdate, zero));
        assert_eq!(early.take(five).len(), 1);
        assert!(!early.is_due(config::Early::OnUpdate, five));
    }
}
