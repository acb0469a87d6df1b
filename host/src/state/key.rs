//! The keys of a task's entries, which are also the keys of its records in the changelog.
//!
//! # Constraints
//! Keys sort as what they say does: first the task's own entry, then parts by the end of their window, its start, the key,
//! the write and the chunk. What fires next is therefore found first, and all that belongs to one window, or to one key of
//! it, is one range. A key may hold any bytes, and one may begin with another.
//!
//! # Layout, version 1
//! The first byte is the kind. A format that is incompatible takes kinds that are not used here.
//!
//! | kind | what follows |
//! |---|---|
//! | 0 | nothing: the task's own entry, see [`super::value`] |
//! | 1 | window end: 8 bytes, window start: 8 bytes, key, write: u64, chunk: u32. The value is a chunk of a part, see [`super::parts`] |
//!
//! A time is its i64 with the sign bit flipped, so that times before 1970 come first. In the key each 0 byte is followed by
//! 255, and the key ends with two 0 bytes: so a key comes before those that begin with it, and no key's bytes are taken for
//! the number that follows.

use crate::format::{FormatError, Reading};
use crate::time::Timestamp;
use crate::window::Window;

const TASK: u8 = 0;
const PART: u8 = 1;
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
    /// A chunk of what one write added to a window and key.
    Part {
        /// The window.
        window: Window,
        /// The key; empty for a step without one.
        key: Vec<u8>,
        /// The write.
        write: Write,
        /// The chunk, from 0.
        chunk: u32,
    },
}

impl StateKey {
    /// Appends the key as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            StateKey::Task => out.push(TASK),
            StateKey::Part {
                window,
                key,
                write,
                chunk,
            } => {
                put_key(out, *window, key, END);
                out.extend_from_slice(&write.0.to_be_bytes());
                out.extend_from_slice(&chunk.to_be_bytes());
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
            PART => {
                let end = from_ordered(reading.u64()?);
                let start = from_ordered(reading.u64()?);
                StateKey::Part {
                    window: Window { start, end },
                    key: unescape(&mut reading)?,
                    write: Write(reading.u64()?),
                    chunk: reading.u32()?,
                }
            }
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

fn put_window(out: &mut Vec<u8>, window: Window) {
    out.push(PART);
    out.extend_from_slice(&ordered(window.end).to_be_bytes());
    out.extend_from_slice(&ordered(window.start).to_be_bytes());
}

fn put_key(out: &mut Vec<u8>, window: Window, key: &[u8], end: u8) {
    out.reserve(17 + key.len() + 2 + 12);
    put_window(out, window);
    let mut runs = key.split(|byte| *byte == 0);
    out.extend_from_slice(runs.next().unwrap_or_default());
    for run in runs {
        out.extend_from_slice(&[0, ESCAPED]);
        out.extend_from_slice(run);
    }
    out.extend_from_slice(&[0, end]);
}

/// The range of all parts: from the first key, up to and without the second.
pub fn all_parts() -> (Vec<u8>, Vec<u8>) {
    (vec![PART], vec![PART + 1])
}

/// The range of all parts of a window, whatever their key.
pub fn parts_of_window(window: Window) -> (Vec<u8>, Vec<u8>) {
    let mut from = Vec::new();
    put_window(&mut from, window);
    (from, parts_after_window(window))
}

/// The range of all parts of a window and key.
pub fn parts_of_key(window: Window, key: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut from = Vec::new();
    put_key(&mut from, window, key, END);
    (from, parts_after_key(window, key))
}

/// Where the keys after all parts of a window and key begin.
pub fn parts_after_key(window: Window, key: &[u8]) -> Vec<u8> {
    let mut after = Vec::new();
    put_key(&mut after, window, key, AFTER_END);
    after
}

/// Where the keys after all parts of a window begin.
pub fn parts_after_window(window: Window) -> Vec<u8> {
    let mut after = Vec::new();
    put_window(&mut after, window);
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

    type Part = (Window, Vec<u8>, Write, u32);

    fn part() -> impl Strategy<Value = Part> {
        let write = prop::sample::select(vec![0, 1, 255, 1 << 32, u64::MAX]).prop_map(Write);
        let chunk = prop::sample::select(vec![0, 1, 256, u32::MAX]);
        (window(), key(), write, chunk)
    }

    fn encode((window, key, write, chunk): &Part) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (window, key, write, chunk) = (*window, key.clone(), *write, *chunk);
        StateKey::Part {
            window,
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
        fn keys_sort_as_window_end_start_key_write_and_chunk_do(a in part(), b in part()) {
            // A window sorts by its end, then its start.
            prop_assert_eq!(a.cmp(&b), encode(&a).cmp(&encode(&b)));
        }

        #[test]
        fn keys_come_back(part in part()) {
            let (window, key, write, chunk) = part.clone();
            let expected = StateKey::Part { window, key, write, chunk };
            prop_assert_eq!(StateKey::decode(&encode(&part)), Ok(expected));
        }

        #[test]
        fn a_range_holds_what_it_says_and_nothing_else(part in part(), at in window(), of in key()) {
            let (window, key, ..) = &part;
            let bytes = encode(&part);
            prop_assert!(holds(&all_parts(), &bytes));
            prop_assert_eq!(holds(&parts_of_window(at), &bytes), *window == at);
            prop_assert_eq!(holds(&parts_of_key(at, &of), &bytes), *window == at && *key == of);
            prop_assert_eq!(parts_after_window(at) <= bytes, *window > at);
            prop_assert_eq!(parts_after_key(at, &of) <= bytes, (*window, key) > (at, &of));
        }

        #[test]
        fn no_bytes_make_decoding_panic_and_what_is_read_is_what_was_written(bytes: Vec<u8>, part in any::<bool>()) {
            let bytes = if part { [vec![PART], bytes].concat() } else { bytes };
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
        let error = StateKey::decode(&[2]).unwrap_err();
        assert!(matches!(error, FormatError::Later { version: 2, .. }));
    }
}
