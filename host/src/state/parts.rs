//! What one write adds to a pane and key, cut into chunks that a record of the log can hold.
//!
//! # Layout, version 1
//! A chunk is the value of an entry with the key [`StateKey::Part`]:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 4 | how many chunks the whole has: u32, at least 1 |
//! | all that follow | this chunk's bytes |
//!
//! Chunks are numbered from 0 in their keys, so they lie side by side and in order.
//!
//! # Stories of a crash
//! All chunks of a write are in one transaction, and applied to the store in one batch: there are all of them or none. One that
//! is missing all the same, or that belongs to another whole, means that the state is damaged, and is told as that: half
//! of a partial is never merged.

use super::key::{StateKey, Write};
use crate::format::{FormatError, Reading};
use crate::window::Pane;

const WHAT: &str = "a part of a window";
const VERSION: u8 = 1;
const HEADER: usize = 5;

/// Cuts what a write adds to a pane and key into chunks, and gives `put` the key and value of each. A value has at
/// most `most` bytes, the few of its header included. Returns how many there are: at least one, also of nothing.
pub fn put_parts(
    pane: Pane,
    key: &[u8],
    write: Write,
    bytes: &[u8],
    most: usize,
    put: &mut dyn FnMut(&[u8], &[u8]),
) -> u32 {
    let room = most.saturating_sub(HEADER).max(1);
    let chunks = bytes.len().div_ceil(room).max(1);
    let chunks = u32::try_from(chunks).expect("no partial fills four billion records");
    let (mut name, mut value) = (Vec::new(), Vec::new());
    StateKey::Part {
        pane,
        key: key.to_vec(),
        write,
        chunk: 0,
    }
    .encode(&mut name);
    let prefix = name.len() - size_of::<u32>();
    let mut pieces = bytes.chunks(room);
    for chunk in 0..chunks {
        name.truncate(prefix);
        name.extend_from_slice(&chunk.to_be_bytes());
        value.clear();
        value.push(VERSION);
        value.extend_from_slice(&chunks.to_be_bytes());
        value.extend_from_slice(pieces.next().unwrap_or_default());
        put(&name, &value);
    }
    chunks
}

/// What one write added to a pane and key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// The pane.
    pub pane: Pane,
    /// The key.
    pub key: Vec<u8>,
    /// The write.
    pub write: Write,
    /// In how many chunks it is stored.
    pub chunks: u32,
    /// What was added.
    pub bytes: Vec<u8>,
}

/// Puts parts together again from entries in the order of the store.
#[derive(Debug, Default)]
pub struct PartReader {
    /// A part of which chunks are missing, and how many are there.
    open: Option<(Part, u32)>,
}

impl PartReader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry. Returns the part whose last chunk it is.
    ///
    /// # Errors
    /// If the entry is no chunk of a part, or not the one that must follow.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Part>, FormatError> {
        let damaged = || FormatError::Damaged(WHAT);
        let StateKey::Part {
            pane,
            key,
            write,
            chunk,
        } = StateKey::decode(key)?
        else {
            return Err(damaged());
        };
        let mut reading = Reading::versioned(WHAT, VERSION, value)?;
        let chunks = reading.u32()?;
        let bytes = reading.rest();
        let (part, seen) = match self.open.take() {
            None => {
                let part = Part {
                    pane,
                    key,
                    write,
                    chunks,
                    bytes: bytes.to_vec(),
                };
                (part, 0)
            }
            Some((mut part, seen)) => {
                let whole = (part.pane, &part.key, part.write, part.chunks);
                if whole != (pane, &key, write, chunks) {
                    return Err(damaged());
                }
                part.bytes.extend_from_slice(bytes);
                (part, seen)
            }
        };
        if chunk != seen || chunk >= chunks {
            return Err(damaged());
        }
        if chunk + 1 == chunks {
            return Ok(Some(part));
        }
        self.open = Some((part, seen + 1));
        Ok(None)
    }

    /// Tells that no entry follows.
    ///
    /// # Errors
    /// If the last part is not whole.
    pub fn finish(self) -> Result<(), FormatError> {
        match self.open {
            None => Ok(()),
            Some(_) => Err(FormatError::Damaged(WHAT)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;
    use crate::window::Window;

    type Entries = Vec<(Vec<u8>, Vec<u8>)>;

    fn pane(end: i64) -> Pane {
        Pane::of(Window {
            start: Timestamp(end - 10),
            end: Timestamp(end),
        })
    }

    fn put(entries: &mut Entries, part: &Part, most: usize) -> u32 {
        let Part {
            pane,
            key,
            write,
            bytes,
            ..
        } = part;
        put_parts(*pane, key, *write, bytes, most, &mut |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
        })
    }

    fn read(entries: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<Part>, FormatError> {
        let mut reader = PartReader::new();
        let mut parts = Vec::new();
        for (key, value) in entries {
            parts.extend(reader.push(key, value)?);
        }
        reader.finish()?;
        Ok(parts)
    }

    fn part() -> impl Strategy<Value = Part> {
        let bytes = prop::collection::vec(any::<u8>(), 0..40);
        (0_i64..3, 0_u8..2, 0_u64..3, bytes).prop_map(|(end, key, write, bytes)| Part {
            pane: pane(end),
            key: vec![key],
            write: Write(write),
            chunks: 0,
            bytes,
        })
    }

    proptest! {
        #[test]
        fn parts_in_chunks_come_back(
            parts in prop::collection::btree_map(0_i64..20, part(), 1..6),
            most in 6_usize..30,
        ) {
            let mut entries = Vec::new();
            let mut expected: Vec<Part> = parts
                .into_iter()
                .map(|(end, part)| Part { pane: pane(end), ..part })
                .collect();
            for part in &mut expected {
                part.chunks = put(&mut entries, part, most);
            }
            prop_assert!(entries.iter().all(|(_, value)| value.len() <= most));
            prop_assert!(entries.is_sorted());
            prop_assert_eq!(read(&entries), Ok(expected));
        }

        #[test]
        fn a_part_without_one_of_its_chunks_is_told(
            part in part(), next in part(), at in any::<prop::sample::Index>(),
        ) {
            let mut entries = Vec::new();
            let part = Part { bytes: [&part.bytes[..], b"more than one chunk"].concat(), ..part };
            let chunks = put(&mut entries, &part, 12);
            prop_assert!(chunks > 1);
            entries.remove(at.index(entries.len()));
            prop_assert!(read(&entries).is_err());
            put(&mut entries, &Part { pane: pane(100), ..next }, 12);
            prop_assert!(read(&entries).is_err());
        }

        #[test]
        fn no_bytes_make_reading_panic(entries in prop::collection::vec((part(), any::<Vec<u8>>()), 0..4)) {
            let mut reader = PartReader::new();
            for (part, value) in entries {
                let mut key = Entries::new();
                put(&mut key, &part, 100);
                let _ = reader.push(&key[0].0, &[&[VERSION], &value[..]].concat());
                let _ = reader.push(&value, &value);
            }
        }
    }

    #[test]
    fn a_limit_that_is_too_small_for_anything_still_makes_progress() {
        let mut entries = Vec::new();
        let part = Part {
            pane: pane(0),
            key: vec![],
            write: Write::BASE,
            chunks: 3,
            bytes: b"abc".to_vec(),
        };
        assert_eq!(put(&mut entries, &part, 0), 3);
        assert_eq!(read(&entries), Ok(vec![part]));
    }

    #[test]
    fn the_tasks_own_entry_is_no_part() {
        let mut key = Vec::new();
        StateKey::Task.encode(&mut key);
        assert!(
            PartReader::new()
                .push(&key, &[VERSION, 0, 0, 0, 1])
                .is_err()
        );
    }
}
