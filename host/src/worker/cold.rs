//! Of which contents the local store may have more than is at hand. Pure.

use std::collections::{BTreeSet, HashSet};

use crate::time::Timestamp;
use crate::window::{Key, Pane, Window};

/// The panes of a task that are *cold*: what the store has of them is brought together with what is at hand when it is needed, and not
/// before.
#[derive(Debug, Default)]
pub(super) struct Cold {
    panes: BTreeSet<Pane>,
    /// Of sessions, whose panes are many and mostly of one key: each with its key.
    keys: Option<HashSet<(Window, Key)>>,
}

impl Cold {
    /// None. `by_key` if windows are sessions.
    pub(super) fn new(by_key: bool) -> Self {
        Self {
            panes: BTreeSet::new(),
            keys: by_key.then(HashSet::new),
        }
    }

    /// Whether the store may have more of a pane and key.
    pub(super) fn contains(&self, pane: Pane, key: &[u8]) -> bool {
        match &self.keys {
            Some(keys) if !pane.is_pending() => {
                !keys.is_empty() && keys.contains(&(pane.span, key.into()))
            }
            _ => self.panes.contains(&pane),
        }
    }

    /// Whether the store may have more of a pane, whatever the key. Not for sessions.
    pub(super) fn contains_pane(&self, pane: Pane) -> bool {
        self.panes.contains(&pane)
    }

    /// Takes note that it may.
    pub(super) fn insert(&mut self, pane: Pane, key: &[u8]) {
        match &mut self.keys {
            Some(keys) if !pane.is_pending() => drop(keys.insert((pane.span, key.into()))),
            _ => drop(self.panes.insert(pane)),
        }
    }

    /// Takes note that it has nothing of a pane any more.
    pub(super) fn remove_pane(&mut self, pane: Pane) {
        self.panes.remove(&pane);
    }

    /// Takes note that it has nothing of a pane of a session any more.
    pub(super) fn remove_key(&mut self, pane: Window, key: &[u8]) {
        if let Some(keys) = &mut self.keys {
            keys.remove(&(pane, key.into()));
        }
    }

    /// The panes whose rows do not wait and that end after `from`, up to and with `to`. Not for sessions.
    pub(super) fn between(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Window> + '_ {
        let first = Window {
            start: Timestamp::MAX,
            end: from,
        };
        let last = Window {
            start: Timestamp::MAX,
            end: to,
        };
        use std::ops::Bound::{Excluded, Included};
        let is_empty = from >= to;
        let range = (
            Excluded(Pane::of(first)),
            Included(Pane::of(last.max(first))),
        );
        let panes = (!is_empty).then(|| self.panes.range(range));
        panes.into_iter().flatten().map(|pane| pane.span)
    }

    /// The panes whose rows wait for this instant.
    pub(super) fn waiting(&self, since: Timestamp) -> impl Iterator<Item = Pane> + '_ {
        let first = Pane {
            since,
            span: Window::FIRST,
        };
        let panes = self.panes.range(first..);
        panes.copied().take_while(move |pane| pane.since == since)
    }

    /// Takes note that the store has nothing of the panes whose rows waited for this instant any more.
    pub(super) fn remove_waiting(&mut self, since: Timestamp) {
        self.panes.retain(|pane| pane.since != since);
    }

    /// The pane whose rows wait and count first.
    pub(super) fn first_pending(&self) -> Option<Pane> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = Excluded(Pane::of(Window::LAST));
        self.panes.range((after, Unbounded)).next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pane(start: i64, since: i64) -> Pane {
        Pane {
            since: Timestamp(since),
            span: Window {
                start: Timestamp(start),
                end: Timestamp(start + 10),
            },
        }
    }

    #[test]
    fn panes_are_found_by_their_ends_and_waiting_ones_by_when_they_count() {
        let mut cold = Cold::new(false);
        let waiting = pane(0, 50);
        for at in [pane(0, i64::MIN), pane(10, i64::MIN), pane(0, 70), waiting] {
            cold.insert(at, b"k");
        }
        let ends = |from, to| {
            let found = cold.between(Timestamp(from), Timestamp(to));
            found.map(|span| span.end.0).collect::<Vec<_>>()
        };
        assert_eq!(ends(i64::MIN, i64::MAX), [10, 20]);
        assert_eq!(ends(10, 20), [20]);
        assert_eq!(ends(20, 20), Vec::<i64>::new());
        assert_eq!(cold.first_pending(), Some(waiting));
        assert!(cold.contains(pane(0, i64::MIN), b"another"));
    }

    #[test]
    fn panes_of_sessions_are_cold_for_one_key() {
        let mut cold = Cold::new(true);
        let at = pane(0, i64::MIN);
        cold.insert(at, b"k");
        assert!(cold.contains(at, b"k") && !cold.contains(at, b"l"));
        cold.remove_key(at.span, b"k");
        assert!(!cold.contains(at, b"k"));
        cold.insert(pane(0, 5), b"k");
        assert!(cold.contains(pane(0, 5), b"l"));
    }
}
