//! What a task keeps beside the contents of panes: publications that may be repeated, sessions, counters, held rows. All but the
//! publications are in memory as a whole.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::WorkerError;
use super::contents::AT_ONCE;
use super::owned::OwnedWindows;
use crate::log::{Offset, Outbox};
use crate::state::{
    Counter, HeldRow, Published, StateKey, Store, all_kept_in_memory, decode_session,
    encode_session, published_before,
};
use crate::time::Timestamp;
use crate::window::{Changed, Key, Sessions, Window};

use super::gather::Counters;

/// Rows that may be late, by when that is decided, the number of their source partition, and where they stand there.
#[derive(Debug, Default)]
pub(super) struct Held {
    rows: BTreeMap<(Timestamp, u32, Offset), HeldRow>,
    /// Those that have not been written to the changelog.
    unwritten: Vec<(Timestamp, u32, Offset)>,
}

impl Held {
    /// Adds a row from the source partition of this number.
    pub(super) fn add(&mut self, source: u32, row: HeldRow) {
        let at = (row.since(), source, row.offset);
        self.rows.insert(at, row);
        self.unwritten.push(at);
    }

    /// The rows of a key and span that are decided at an instant.
    pub(super) fn of(
        &self,
        since: Timestamp,
        key: &[u8],
        span: Window,
    ) -> impl Iterator<Item = &HeldRow> {
        let from = (since, 0, Offset(i64::MIN));
        let to = (since, u32::MAX, Offset(i64::MAX));
        let rows = self.rows.range(from..=to).map(|(_, row)| row);
        rows.filter(move |row| row.span == span && *row.key == *key)
    }
}

/// What has been published since the last commit; the store has what was before.
#[derive(Debug, Default)]
pub(super) struct Publications {
    recent: BTreeMap<(Window, Key), Option<Published>>,
    /// Up to where publications have been ended that the store still has.
    ended_to: Option<Vec<u8>>,
}

impl Publications {
    /// After a commit: the store has them all.
    pub(super) fn settled(&mut self) {
        self.recent.clear();
        self.ended_to = None;
    }
}

impl OwnedWindows {
    /// What was last published of a window and key.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) fn published<S: Store>(
        &mut self,
        window: Window,
        key: &[u8],
        store: &S,
    ) -> Result<Option<Published>, WorkerError> {
        if let Some(recent) = self.publications.recent.get(&(window, key.into())) {
            return Ok(recent.clone());
        }
        self.name_publication(window, key);
        let stored = store.get(self.task, &self.key)?;
        let stored = stored.map(|bytes| Published::decode(&bytes)).transpose();
        stored.map_err(|error| self.damaged(&error))
    }

    fn name_publication(&mut self, window: Window, key: &[u8]) {
        self.key.clear();
        let key = key.to_vec();
        StateKey::Published { window, key }.encode(&mut self.key);
    }

    /// Stages what is published of a window and key now; `None` if it counts no more.
    pub(super) fn note_publication(
        &mut self,
        window: Window,
        key: &[u8],
        published: Option<Published>,
        outbox: &mut Outbox,
        now: Timestamp,
    ) {
        self.name_publication(window, key);
        let value = published.as_ref().map(|published| {
            let mut value = Vec::new();
            published.encode(&mut value);
            value
        });
        self.changelog.put(outbox, now, &self.key, value.as_deref());
        let at = (window, Key::from(key));
        self.publications.recent.insert(at, published);
    }

    /// Stages the end of some publications of windows that end before `end`. Returns whether there are no more.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) fn end_publications<S: Store>(
        &mut self,
        end: Timestamp,
        store: &S,
        outbox: &mut Outbox,
        now: Timestamp,
    ) -> Result<bool, WorkerError> {
        let recent = self.publications.recent.iter();
        let over =
            recent.filter(|((window, _), published)| published.is_some() && window.end < end);
        let over: Vec<(Window, Key)> = over.map(|(at, _)| at.clone()).collect();
        for (window, key) in over {
            self.note_publication(window, &key, None, outbox, now);
        }
        let (from, to) = published_before(end);
        let from = self.publications.ended_to.clone().unwrap_or(from);
        if from >= to {
            return Ok(true);
        }
        let mut ended: Vec<Vec<u8>> = Vec::new();
        store.scan(self.task, &from, &to, &mut |key, _| {
            ended.push(key.to_vec());
            match ended.len() < AT_ONCE {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        let Some(last) = ended.last() else {
            return Ok(true);
        };
        let mut next = last.clone();
        next.push(0);
        self.publications.ended_to = Some(next);
        for key in &ended {
            self.changelog.put(outbox, now, key, None);
        }
        Ok(ended.len() < AT_ONCE)
    }

    /// Brings what is kept in memory to what the store has.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) fn load_entries<S: Store>(&mut self, store: &S) -> Result<(), WorkerError> {
        self.publications.settled();
        self.sessions = Sessions::new();
        self.counters = Counters::default();
        self.held = Held::default();
        let (from, to) = all_kept_in_memory();
        let (sessions, counters, held) = (&mut self.sessions, &mut self.counters, &mut self.held);
        let mut load = |key: &[u8], value: &[u8]| {
            match StateKey::decode(key)? {
                StateKey::Session { key, .. } => sessions.load(&key, decode_session(value)?),
                StateKey::Counter { key } => {
                    counters.of.insert(key.into(), Counter::decode(value)?);
                }
                StateKey::Held {
                    since,
                    source,
                    offset,
                } => {
                    let row = HeldRow::decode(value)?;
                    held.rows.insert((since, source, offset), row);
                }
                StateKey::Task | StateKey::Part { .. } | StateKey::Published { .. } => {}
            }
            Ok(())
        };
        let mut failed: Option<crate::state::FormatError> = None;
        store.scan(
            self.task,
            &from,
            &to,
            &mut |key, value| match load(key, value) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            },
        )?;
        match failed {
            None => Ok(()),
            Some(error) => Err(self.damaged(&error)),
        }
    }

    /// Stages what has changed of what is kept in memory. Returns whether anything has.
    pub(super) fn stage_entries(&mut self, outbox: &mut Outbox, now: Timestamp) -> bool {
        let before = outbox.len();
        let mut value = Vec::new();
        for Changed {
            key,
            name,
            was_there,
        } in self.sessions.take_changed()
        {
            value.clear();
            let session = self.sessions.named(&key, name);
            let is_there = session.map(|session| encode_session(session, &mut value));
            if is_there.is_none() && !was_there {
                continue;
            }
            self.key.clear();
            let key = key.into_vec();
            StateKey::Session { name, key }.encode(&mut self.key);
            let value = is_there.map(|()| value.as_slice());
            self.changelog.put(outbox, now, &self.key, value);
        }
        let mut changed = std::mem::take(&mut self.counters.changed);
        changed.sort_unstable();
        changed.dedup();
        for key in changed {
            if let Some(counter) = self.counters.of.get(&key) {
                self.key.clear();
                StateKey::Counter { key: key.into() }.encode(&mut self.key);
                value.clear();
                counter.encode(&mut value);
                self.changelog.put(outbox, now, &self.key, Some(&value));
            }
        }
        for at in std::mem::take(&mut self.held.unwritten) {
            if let Some(row) = self.held.rows.get(&at) {
                self.key.clear();
                row.state_key(at.1).encode(&mut self.key);
                value.clear();
                row.encode(&mut value);
                self.changelog.put(outbox, now, &self.key, Some(&value));
            }
        }
        outbox.len() > before
    }

    /// Lets go of the rows that were decided at an instant.
    pub(super) fn end_held(&mut self, since: Timestamp, outbox: &mut Outbox, now: Timestamp) {
        let from = (since, 0, Offset(i64::MIN));
        let to = (since, u32::MAX, Offset(i64::MAX));
        let decided: Vec<_> = self.held.rows.range(from..=to).map(|(at, _)| *at).collect();
        for at in decided {
            let Some(row) = self.held.rows.remove(&at) else {
                continue;
            };
            self.key.clear();
            row.state_key(at.1).encode(&mut self.key);
            self.changelog.put(outbox, now, &self.key, None);
        }
    }
}
