//! Sessions: spans of one key that grow together. Pure.
//!
//! A row covers the time from its own up to its gap later. Rows of a key whose spans overlap are one session, so the sessions of a key
//! never do. Contents stay in the panes in which they came to lie when sessions join; the session lists them.

use std::collections::{BTreeSet, HashMap};

use foldhash::quality::FixedState;

use super::Window;

/// A key as text; empty for a step without key.
pub type Key = Box<[u8]>;

/// A session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// From its first row to the gap after its last.
    pub span: Window,
    /// The spans of the panes that hold its contents, at least one. The first is also its name among the sessions of its key: it never
    /// changes as long as there is the session.
    pub panes: Vec<Window>,
    /// What has been published, for the span that it has.
    pub publicity: Publicity,
}

/// What has been published of a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Publicity {
    /// Nothing.
    Open,
    /// An early result: it is still to be published.
    Shown,
    /// Its result.
    Published,
}

/// A session that has changed, or is no more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Changed {
    /// Its key.
    pub key: Key,
    /// Its name; see [`Session::panes`].
    pub name: Window,
    /// Whether it was there when changes were last asked for.
    pub was_there: bool,
}

/// The sessions of a task.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    /// By key, then by the start of their spans.
    keys: HashMap<Key, Vec<Session>, FixedState>,
    /// Those that have not been published, in the order in which they fire.
    due: BTreeSet<(Window, Key)>,
    /// Those that have.
    published: BTreeSet<(Window, Key)>,
    /// What has happened to which since this was last asked.
    changed: Vec<Changed>,
    /// Spans of which something had been published, and that no session has any more.
    withdrawn: Vec<(Window, Key)>,
}

impl Sessions {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a session as it was stored.
    pub fn load(&mut self, key: &[u8], session: Session) {
        let index = match session.publicity {
            Publicity::Published => &mut self.published,
            Publicity::Open | Publicity::Shown => &mut self.due,
        };
        index.insert((session.span, key.into()));
        let sessions = self.keys.entry(key.into()).or_default();
        let at = sessions.partition_point(|other| other.span.start < session.span.start);
        sessions.insert(at, session);
    }

    /// Joins a span with the sessions of its key that it overlaps; makes one where there is none. Returns the pane to which its rows go.
    pub fn join(&mut self, key: &[u8], span: Window) -> Window {
        let Some(sessions) = self.keys.get_mut(key) else {
            self.keys.insert(key.into(), vec![Session::new(span)]);
            self.begin(key, span);
            return span;
        };
        let from = sessions.partition_point(|session| session.span.end <= span.start);
        let count = sessions[from..]
            .iter()
            .take_while(|session| session.span.start < span.end)
            .count();
        if count == 1 && covers(sessions[from].span, span) {
            return sessions[from].panes[0];
        }
        if count == 0 {
            sessions.insert(from, Session::new(span));
            self.begin(key, span);
            return span;
        }
        let mut joined = Session {
            span,
            panes: Vec::new(),
            publicity: Publicity::Open,
        };
        for session in sessions.drain(from..from + count) {
            let at = (session.span, Key::from(key));
            match session.publicity {
                Publicity::Published => self.published.remove(&at),
                Publicity::Open | Publicity::Shown => self.due.remove(&at),
            };
            if session.publicity != Publicity::Open {
                self.withdrawn.push(at);
            }
            self.changed.push(Changed::of(key, session.panes[0]));
            joined.span.start = joined.span.start.min(session.span.start);
            joined.span.end = joined.span.end.max(session.span.end);
            joined.panes.extend(session.panes);
        }
        self.due.insert((joined.span, key.into()));
        let pane = joined.panes[0];
        sessions.insert(from, joined);
        pane
    }

    /// Takes note of a new session.
    fn begin(&mut self, key: &[u8], span: Window) {
        self.due.insert((span, key.into()));
        self.changed.push(Changed {
            was_there: false,
            ..Changed::of(key, span)
        });
    }

    /// The spans of which something had been published, and that no session has any more, since the last call; each with its key.
    pub fn take_withdrawn(&mut self) -> Vec<(Window, Key)> {
        std::mem::take(&mut self.withdrawn)
    }

    /// Whether a span overlaps a session of its key.
    pub fn overlaps(&self, key: &[u8], span: Window) -> bool {
        let sessions = self.keys.get(key);
        sessions.is_some_and(|sessions| {
            let at = sessions.partition_point(|session| session.span.end <= span.start);
            sessions
                .get(at)
                .is_some_and(|session| session.span.start < span.end)
        })
    }

    /// The session of a key that has this span.
    pub fn get(&self, key: &[u8], span: Window) -> Option<&Session> {
        let sessions = self.keys.get(key)?;
        let at = sessions.partition_point(|session| session.span.start < span.start);
        sessions.get(at).filter(|session| session.span == span)
    }

    /// The session of a key that has this pane.
    pub fn of_pane(&self, key: &[u8], pane: Window) -> Option<&Session> {
        let sessions = self.keys.get(key)?;
        sessions.iter().find(|session| covers(session.span, pane))
    }

    /// The session of this name, if there still is one.
    pub fn named(&self, key: &[u8], name: Window) -> Option<&Session> {
        self.of_pane(key, name)
            .filter(|session| session.panes[0] == name)
    }

    /// Those that are to be published, in that order.
    pub fn due(&self) -> impl Iterator<Item = &(Window, Key)> {
        self.due.iter()
    }

    /// Those that have been published, those first that end first.
    pub fn published(&self) -> impl Iterator<Item = &(Window, Key)> {
        self.published.iter()
    }

    /// The first that is to be published.
    pub fn first_due(&self) -> Option<&(Window, Key)> {
        self.due.first()
    }

    /// The first that has been published.
    pub fn first_published(&self) -> Option<&(Window, Key)> {
        self.published.first()
    }

    /// Takes note of what has been published of a session.
    pub fn publish(&mut self, key: &[u8], span: Window, publicity: Publicity) {
        let at = (span, Key::from(key));
        if publicity == Publicity::Published && self.due.remove(&at) {
            self.published.insert(at);
        }
        if let Some(session) = self.get_mut(key, span)
            && session.publicity != publicity
        {
            session.publicity = publicity;
            let name = session.panes[0];
            self.changed.push(Changed::of(key, name));
        }
    }

    fn get_mut(&mut self, key: &[u8], span: Window) -> Option<&mut Session> {
        let sessions = self.keys.get_mut(key)?;
        sessions.iter_mut().find(|session| session.span == span)
    }

    /// Removes a session, and returns it.
    pub fn remove(&mut self, key: &[u8], span: Window) -> Option<Session> {
        let sessions = self.keys.get_mut(key)?;
        let at = sessions.iter().position(|session| session.span == span)?;
        let session = sessions.remove(at);
        if sessions.is_empty() {
            self.keys.remove(key);
        }
        self.due.remove(&(span, key.into()));
        self.published.remove(&(span, key.into()));
        self.changed.push(Changed::of(key, session.panes[0]));
        Some(session)
    }

    /// Those that have changed, or are no more, since the last call, each once, by their keys and names.
    pub fn take_changed(&mut self) -> Vec<Changed> {
        let mut changed = std::mem::take(&mut self.changed);
        // Of what has happened to one, what came first tells whether it was there.
        changed.sort_by(|a, b| (&a.key, a.name).cmp(&(&b.key, b.name)));
        changed.dedup_by(|later, first| later.key == first.key && later.name == first.name);
        changed
    }

    /// Each, with its key, in no order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Session)> {
        self.keys
            .iter()
            .flat_map(|(key, sessions)| sessions.iter().map(|session| (&**key, session)))
    }
}

impl Changed {
    fn of(key: &[u8], name: Window) -> Self {
        Self {
            key: key.into(),
            name,
            was_there: true,
        }
    }
}

impl Session {
    fn new(span: Window) -> Self {
        Self {
            span,
            panes: vec![span],
            publicity: Publicity::Open,
        }
    }
}

fn covers(outer: Window, inner: Window) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    fn span(start: i64, end: i64) -> Window {
        Window {
            start: Timestamp(start),
            end: Timestamp(end),
        }
    }

    /// By their keys.
    fn spans(sessions: &Sessions) -> Vec<Window> {
        let mut all: Vec<_> = sessions.iter().collect();
        all.sort_by_key(|(key, session)| (*key, session.span.start));
        all.iter().map(|(_, session)| session.span).collect()
    }

    #[test]
    fn a_span_that_bridges_two_published_sessions_withdraws_both() {
        let mut sessions = Sessions::new();
        for at in [span(0, 10), span(20, 30)] {
            sessions.join(b"k", at);
            sessions.publish(b"k", at, Publicity::Published);
        }
        assert_eq!(sessions.first_due(), None);
        assert_eq!(sessions.join(b"k", span(5, 10)), span(0, 10), "it stays");
        assert_eq!(sessions.take_withdrawn(), []);
        assert_eq!(sessions.join(b"k", span(9, 21)), span(0, 10));
        let key = Key::from(*b"k");
        let both = [(span(0, 10), key.clone()), (span(20, 30), key.clone())];
        assert_eq!(sessions.take_withdrawn(), both);
        let one = sessions.get(b"k", span(0, 30)).cloned();
        let panes = vec![span(0, 10), span(20, 30)];
        assert_eq!(one.map(|session| session.panes), Some(panes));
        assert_eq!(sessions.first_due(), Some(&(span(0, 30), key)));
    }

    #[test]
    fn a_session_that_was_shown_early_is_withdrawn_when_it_grows_and_is_still_due() {
        let mut sessions = Sessions::new();
        sessions.join(b"", span(0, 10));
        sessions.publish(b"", span(0, 10), Publicity::Shown);
        sessions.join(b"", span(5, 15));
        assert_eq!(sessions.take_withdrawn(), [(span(0, 10), Key::default())]);
        assert_eq!(sessions.first_due(), Some(&(span(0, 15), Key::default())));
    }

    #[test]
    fn what_only_touches_is_another_session() {
        let mut sessions = Sessions::new();
        sessions.join(b"", span(0, 10));
        sessions.join(b"", span(10, 20));
        assert_eq!(spans(&sessions), [span(0, 10), span(10, 20)]);
    }

    #[test]
    fn of_one_that_has_come_and_gone_between_two_questions_is_told_that_it_was_never_there() {
        let mut sessions = Sessions::new();
        let told = |sessions: &mut Sessions| {
            let changed = sessions.take_changed();
            let told = changed.into_iter();
            told.map(|one| (one.name, one.was_there))
                .collect::<Vec<_>>()
        };
        sessions.join(b"", span(0, 10));
        sessions.join(b"", span(20, 30));
        assert_eq!(
            told(&mut sessions),
            [(span(0, 10), false), (span(20, 30), false)]
        );
        sessions.join(b"", span(40, 50));
        sessions.remove(b"", span(40, 50));
        // A name of its own again.
        sessions.join(b"", span(40, 50));
        sessions.remove(b"", span(40, 50));
        sessions.join(b"", span(25, 35));
        sessions.remove(b"", span(0, 10));
        let expected = [
            (span(0, 10), true),
            (span(20, 30), true),
            (span(40, 50), false),
        ];
        assert_eq!(told(&mut sessions), expected);
        assert_eq!(told(&mut sessions), []);
    }

    proptest! {
        /// Against the definition: spans of a key that overlap, directly or through others, are one.
        #[test]
        fn whatever_the_order_the_sessions_are_the_same(
            rows in prop::collection::vec((0_u8..2, -50_i64..50, 1_i64..9), 1..40),
        ) {
            let mut sessions = Sessions::new();
            for (key, at, gap) in &rows {
                let pane = sessions.join(&[*key], span(*at, at + gap));
                prop_assert!(sessions.of_pane(&[*key], pane).is_some());
            }
            let mut expected = Vec::new();
            for key in 0..2 {
                let mut sorted: Vec<_> = rows.iter().filter(|row| row.0 == key).collect();
                sorted.sort_by_key(|row| row.1);
                let first = expected.len();
                for (_, at, gap) in sorted {
                    match expected[first..].last_mut() {
                        Some(Window { end, .. }) if *at < end.0 => *end = (*end).max(Timestamp(at + gap)),
                        _ => expected.push(span(*at, at + gap)),
                    }
                }
            }
            prop_assert_eq!(spans(&sessions), expected);
            let panes: usize = sessions.iter().map(|(_, session)| session.panes.len()).sum();
            let due = sessions.due.len();
            prop_assert!(panes >= due);
            prop_assert_eq!(due, spans(&sessions).len());
        }
    }
}
