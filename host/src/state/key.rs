//! The keys of a task's entries, which are also the keys of its records in the changelog.
//!
//! # Constraints
//! Keys sort as what they say does: first the task's own entry, then parts by the end of their span, its start, the key,
//! the write and the chunk. What fires next is therefore found first, and all that belongs to one pane, or to one key of
//! it, is one range. A key may hold any bytes, and one may begin with another.
//!
//! # Layout, version 1
//! The first byte is the kind. A format that is incompatible takes kinds that are not used here.
//!
//! | kind | what follows |
//! |---|---|
//! | 0 | nothing: the task's own entry, see [`super::value`] |
//! | 1 | span end: 8 bytes, span start: 8 bytes, key, write: u64, chunk: u32. The value is a chunk of a part, see [`super::parts`] |
//! | 2 | since: 8 bytes, and then as kind 1: a part whose rows wait until then |
//! | 3 | window end, window start, key: what has been published of it, see [`super::entries`] |
//! | 4 | the end and start of a session's name, key: a session |
//! | 5 | key: how many rows it has had, where windows are counted |
//! | 6 | since, number of the source partition: u32, offset: 8 bytes: a record that is kept whole, since it may yet be late |
//!
//! A time is its i64 with the sign bit flipped, so that times before 1970 come first. In the key each 0 byte is followed by
//! 255, and the key ends with two 0 bytes: so a key comes before those that begin with it, and no key's bytes are taken for
//! the number that follows.

use crate::format::{FormatError, Reading};
use crate::log::Offset;
use crate::time::Timestamp;
use crate::window::{Pane, Window};

const TASK: u8 = 0;
const PART: u8 = 1;
const PENDING_PART: u8 = 2;
const PUBLISHED: u8 = 3;
const SESSION: u8 = 4;
const COUNTER: u8 = 5;
const HELD: u8 = 6;
/// What is written after a 0 byte of a key, and what ends one. Between the two is what comes after every end.
const ESCAPED: u8 = 255;
const END: u8 = 0;
const AFTER_END: u8 = 1;

const WHAT: &str = "a key of the state";

/// The number of a write to a window and key, from 1, ascending over all writes of a task. 0 is the base: what earlier
/// writes have been folded into.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Write(pub u64);

impl Write {
    /// What earlier writes have been folded into.
    pub const BASE: Write = Write(0);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Write {
        Write(self.0.saturating_add(1))
    }
}

/// The key of an entry. Ordered as its bytes are.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum StateKey {
    /// The task's own entry: its [`TaskState`](super::TaskState).
    Task,
    /// A chunk of what one write added to a pane and key.
    Part {
        /// The pane.
        pane: Pane,
        /// The key; empty for a step without one.
        key: Vec<u8>,
        /// The write.
        write: Write,
        /// The chunk, from 0.
        chunk: u32,
    },
    /// What has been published of a window and key: a [`Published`](super::Published).
    Published {
        /// The window.
        window: Window,
        /// The key; empty for a step without one.
        key: Vec<u8>,
    },
    /// A [`Session`](crate::window::Session).
    Session {
        /// Its name: the span of its first pane.
        name: Window,
        /// The key; empty for a step without one.
        key: Vec<u8>,
    },
    /// A [`Counter`](super::Counter).
    Counter {
        /// The key; empty for a step without one.
        key: Vec<u8>,
    },
    /// A [`HeldRow`](super::HeldRow).
    Held {
        /// When it is decided.
        since: Timestamp,
        /// The number of the source partition.
        source: u32,
        /// Where the record stands in it.
        offset: Offset,
    },
}

impl StateKey {
    /// Appends the key as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            StateKey::Task => out.push(TASK),
            StateKey::Part {
                pane,
                key,
                write,
                chunk,
            } => {
                put_pane(out, *pane);
                put_key(out, key, END);
                out.extend_from_slice(&write.0.to_be_bytes());
                out.extend_from_slice(&chunk.to_be_bytes());
            }
            StateKey::Published { window, key } => {
                out.push(PUBLISHED);
                put_span(out, *window);
                put_key(out, key, END);
            }
            StateKey::Session { name, key } => {
                out.push(SESSION);
                put_span(out, *name);
                put_key(out, key, END);
            }
            StateKey::Counter { key } => {
                out.push(COUNTER);
                put_key(out, key, END);
            }
            StateKey::Held {
                since,
                source,
                offset,
            } => {
                out.push(HELD);
                put_time(out, *since);
                out.extend_from_slice(&source.to_be_bytes());
                put_time(out, Timestamp(offset.0));
            }
        }
    }

    /// Reads what [`StateKey::encode`] wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reading = Reading::new(WHAT, bytes);
        let key = match reading.u8()? {
            TASK => StateKey::Task,
            kind @ (PART | PENDING_PART) => {
                let since = match kind {
                    PART => Timestamp::MIN,
                    _ => read_time(&mut reading)?,
                };
                let span = read_span(&mut reading)?;
                let pane = Pane { since, span };
                if kind == PENDING_PART && !pane.is_pending() {
                    return Err(reading.damaged());
                }
                StateKey::Part {
                    pane,
                    key: unescape(&mut reading)?,
                    write: Write(reading.u64()?),
                    chunk: reading.u32()?,
                }
            }
            PUBLISHED => StateKey::Published {
                window: read_span(&mut reading)?,
                key: unescape(&mut reading)?,
            },
            SESSION => StateKey::Session {
                name: read_span(&mut reading)?,
                key: unescape(&mut reading)?,
            },
            COUNTER => StateKey::Counter {
                key: unescape(&mut reading)?,
            },
            HELD => StateKey::Held {
                since: read_time(&mut reading)?,
                source: reading.u32()?,
                offset: Offset(read_time(&mut reading)?.0),
            },
            kind => {
                return Err(FormatError::Later {
                    what: WHAT,
                    version: kind.into(),
                });
            }
        };
        reading.end()?;
        Ok(key)
    }
}

fn read_time(reading: &mut Reading<'_>) -> Result<Timestamp, FormatError> {
    reading.u64().map(from_ordered)
}

fn read_span(reading: &mut Reading<'_>) -> Result<Window, FormatError> {
    let end = read_time(reading)?;
    let start = read_time(reading)?;
    Ok(Window { start, end })
}

fn unescape(reading: &mut Reading<'_>) -> Result<Vec<u8>, FormatError> {
    let mut key = Vec::new();
    loop {
        match reading.u8()? {
            0 => match reading.u8()? {
                ESCAPED => key.push(0),
                END => return Ok(key),
                _ => return Err(reading.damaged()),
            },
            byte => key.push(byte),
        }
    }
}

/// A time as a number that sorts without a sign.
fn ordered(at: Timestamp) -> u64 {
    at.0.cast_unsigned() ^ (1 << 63)
}

fn from_ordered(number: u64) -> Timestamp {
    Timestamp((number ^ (1 << 63)).cast_signed())
}

fn put_time(out: &mut Vec<u8>, at: Timestamp) {
    out.extend_from_slice(&ordered(at).to_be_bytes());
}

fn put_span(out: &mut Vec<u8>, span: Window) {
    put_time(out, span.end);
    put_time(out, span.start);
}

fn put_pane(out: &mut Vec<u8>, pane: Pane) {
    if pane.is_pending() {
        out.push(PENDING_PART);
        put_time(out, pane.since);
    } else {
        out.push(PART);
    }
    put_span(out, pane.span);
}

fn put_key(out: &mut Vec<u8>, key: &[u8], end: u8) {
    out.reserve(key.len() + 2 + 12);
    let mut runs = key.split(|byte| *byte == 0);
    out.extend_from_slice(runs.next().unwrap_or_default());
    for run in runs {
        out.extend_from_slice(&[0, ESCAPED]);
        out.extend_from_slice(run);
    }
    out.extend_from_slice(&[0, end]);
}

/// A range of keys: from the first, up to and without the second.
pub type KeyRange = (Vec<u8>, Vec<u8>);

/// The range of all parts whose rows do not wait.
pub fn all_parts() -> KeyRange {
    (vec![PART], vec![PART + 1])
}

/// The range of all parts whose rows wait.
pub fn all_pending_parts() -> KeyRange {
    (vec![PENDING_PART], vec![PENDING_PART + 1])
}

/// The range of all that stands beside the parts: publications, sessions, counters, and records that are kept whole.
pub fn all_entries() -> KeyRange {
    (vec![PUBLISHED], vec![HELD + 1])
}

/// The range of what has been published of windows that end before `end`.
pub fn published_before(end: Timestamp) -> KeyRange {
    let mut to = vec![PUBLISHED];
    put_time(&mut to, end);
    (vec![PUBLISHED], to)
}

/// The range of all sessions, counters, and records that are kept whole.
pub fn all_kept_in_memory() -> KeyRange {
    (vec![SESSION], vec![HELD + 1])
}

/// The range of all parts of a pane, whatever their key.
pub fn parts_of_pane(pane: Pane) -> KeyRange {
    let mut from = Vec::new();
    put_pane(&mut from, pane);
    (from, parts_after_pane(pane))
}

/// The range of all parts of a pane and key.
pub fn parts_of_key(pane: Pane, key: &[u8]) -> KeyRange {
    let mut from = Vec::new();
    put_pane(&mut from, pane);
    put_key(&mut from, key, END);
    (from, parts_after_key(pane, key))
}

/// Where the keys after all parts of a pane and key begin.
pub fn parts_after_key(pane: Pane, key: &[u8]) -> Vec<u8> {
    let mut after = Vec::new();
    put_pane(&mut after, pane);
    put_key(&mut after, key, AFTER_END);
    after
}

/// Where the keys after all parts of a pane begin.
pub fn parts_after_pane(pane: Pane) -> Vec<u8> {
    let mut after = Vec::new();
    put_pane(&mut after, pane);
    // The next number of as many bytes. The kind comes first and is not the highest, so there is one.
    for byte in after.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    after
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use proptest::prelude::*;

    use super::*;

    /// Few values, so that keys often share all but their end; and the ends of what a number holds.
    fn time() -> impl Strategy<Value = Timestamp> {
        prop::sample::select(vec![i64::MIN, -256, -1, 0, 1, 255, i64::MAX]).prop_map(Timestamp)
    }

    fn window() -> impl Strategy<Value = Window> {
        (time(), time()).prop_map(|(start, end)| Window { start, end })
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop::sample::select(vec![0, 1, b'a', 254, 255]);
        prop::collection::vec(byte, 0..4)
    }

    fn pane() -> impl Strategy<Value = Pane> {
        (time(), window()).prop_map(|(since, span)| Pane { since, span })
    }

    type Part = (Pane, Vec<u8>, Write, u32);

    fn part() -> impl Strategy<Value = Part> {
        let write = prop::sample::select(vec![0, 1, 255, 1 << 32, u64::MAX]).prop_map(Write);
        let chunk = prop::sample::select(vec![0, 1, 256, u32::MAX]);
        (pane(), key(), write, chunk)
    }

    fn encode((pane, key, write, chunk): &Part) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (pane, key, write, chunk) = (*pane, key.clone(), *write, *chunk);
        StateKey::Part {
            pane,
            key,
            write,
            chunk,
        }
        .encode(&mut bytes);
        bytes
    }

    fn holds((from, to): &(Vec<u8>, Vec<u8>), key: &[u8]) -> bool {
        from.as_slice() <= key && key < to.as_slice()
    }

    proptest! {
        #[test]
        fn keys_sort_as_pane_key_write_and_chunk_do(a in part(), b in part()) {
            // A pane sorts by when it counts, then by the end and the start of its span.
            prop_assert_eq!(a.cmp(&b), encode(&a).cmp(&encode(&b)));
        }

        #[test]
        fn keys_come_back(part in part()) {
            let (pane, key, write, chunk) = part.clone();
            let expected = StateKey::Part { pane, key, write, chunk };
            prop_assert_eq!(StateKey::decode(&encode(&part)), Ok(expected));
        }

        #[test]
        fn a_range_holds_what_it_says_and_nothing_else(part in part(), at in pane(), of in key()) {
            let (pane, key, ..) = &part;
            let bytes = encode(&part);
            prop_assert_eq!(holds(&all_parts(), &bytes), !pane.is_pending());
            prop_assert_eq!(holds(&all_pending_parts(), &bytes), pane.is_pending());
            prop_assert!(!holds(&all_entries(), &bytes));
            prop_assert_eq!(holds(&parts_of_pane(at), &bytes), *pane == at);
            prop_assert_eq!(holds(&parts_of_key(at, &of), &bytes), *pane == at && *key == of);
            prop_assert_eq!(parts_after_pane(at) <= bytes, *pane > at);
            prop_assert_eq!(parts_after_key(at, &of) <= bytes, (*pane, key) > (at, &of));
        }

        #[test]
        fn entries_beside_the_parts_come_back_and_sort_by_when_they_matter(
            window in window(), other in window(), key in key(), source: u32, offset: i64,
        ) {
            let encode = |key: &StateKey| {
                let mut bytes = Vec::new();
                key.encode(&mut bytes);
                bytes
            };
            let published = |window| StateKey::Published { window, key: key.clone() };
            for entry in [
                published(window),
                StateKey::Session { name: window, key: key.clone() },
                StateKey::Counter { key: key.clone() },
                StateKey::Held { since: window.end, source, offset: Offset(offset) },
            ] {
                let bytes = encode(&entry);
                prop_assert!(holds(&all_entries(), &bytes));
                let in_memory = !matches!(entry, StateKey::Published { .. });
                prop_assert_eq!(holds(&all_kept_in_memory(), &bytes), in_memory);
                prop_assert_eq!(StateKey::decode(&bytes), Ok(entry));
            }
            let before = holds(&published_before(other.end), &encode(&published(window)));
            prop_assert_eq!(before, window.end < other.end);
        }

        #[test]
        fn no_bytes_make_decoding_panic_and_what_is_read_is_what_was_written(bytes: Vec<u8>, part in prop::option::of(TASK..=HELD)) {
            let bytes = match part {
                Some(kind) => [vec![kind], bytes].concat(),
                None => bytes,
            };
            if let Ok(key) = StateKey::decode(&bytes) {
                let mut again = Vec::new();
                key.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }

        #[test]
        fn a_key_that_is_cut_off_is_told(part in part(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&part);
            prop_assert!(StateKey::decode(&bytes[..cut.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn the_tasks_own_entry_is_before_all_parts() {
        let mut task = Vec::new();
        StateKey::Task.encode(&mut task);
        assert_eq!(StateKey::decode(&task), Ok(StateKey::Task));
        assert!(task < all_parts().0);
    }

    #[test]
    fn a_kind_that_is_not_known_is_a_later_builds() {
        let error = StateKey::decode(&[HELD + 1]).unwrap_err();
        assert!(matches!(error, FormatError::Later { version: 7, .. }));
    }
}
