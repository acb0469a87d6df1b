//! What source tasks send to final tasks: the records of the repartition topic.
//!
//! # Constraints
//! Partials of many windows and keys share a record, since a record costs more than what most of them hold. One that is larger
//! than a record is cut into pieces. A final task takes a watermark for a promise that nothing before it is still to
//! come, so watermarks stand after all partials of their commit. That a partition has ended stands after its watermark: it holds until
//! something else of that partition comes.
//!
//! # Layout, version 1
//! The value of a record is a version, 1, and then entries up to its end. An entry begins with its kind:
//!
//! | kind | what follows |
//! |---|---|
//! | 1: a part | window start and end: i64 each, source: u32, key and bytes, each with its length before it: u32 |
//! | 2: a watermark | length of the topic's name: u32, name: UTF-8, partition: u32, watermark: i64 |
//! | 3: a piece of a part | as a part, but before the bytes: number of the piece and how many there are, u32 each |
//! | 7: a partition that has ended | length of the topic's name: u32, name: UTF-8, partition: u32 |
//!
//! `source` is the number of the source partition that the part comes from. The pieces of a part are in consecutive
//! records of its source, in order, whatever other sources' records lie between.
//!
//! # Stories of a crash
//! All records of a commit are in one transaction, so whoever sees the first piece finds the others. A final task that
//! commits with the first pieces taken and the others not would lose the part; it commits when it holds none
//! ([`Pieces::is_empty`]).

use std::collections::HashMap;

use crate::format::{FormatError, Reading, put_bytes, put_topic_partition, put_window};
use crate::log::TopicPartition;
use crate::time::Timestamp;
use crate::window::Window;

const WHAT: &str = "a record of the repartition topic";
const VERSION: u8 = 1;
const PART: u8 = 1;
const WATERMARK: u8 = 2;
const PIECE: u8 = 3;
const ENDED: u8 = 7;

/// What a part has besides its key and its bytes: kind, window, source, two lengths.
const PART_OVERHEAD: usize = 1 + 16 + 4 + 4 + 4;
const PIECE_OVERHEAD: usize = PART_OVERHEAD + 8;

/// Gathers what one commit sends to one partition, in values that a record can hold.
#[derive(Debug)]
pub struct ExchangeWriter {
    most: usize,
    full: Vec<Vec<u8>>,
    open: Vec<u8>,
    watermarks: Vec<(TopicPartition, Timestamp)>,
    ended: Vec<TopicPartition>,
}

impl ExchangeWriter {
    /// Nothing yet. Values get `most` bytes at most, as long as keys and names leave room for anything else.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            full: Vec::new(),
            open: vec![VERSION],
            watermarks: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Adds what came to a window and key from the source partition of number `source`.
    pub fn part(&mut self, window: Window, key: &[u8], source: u32, bytes: &[u8]) {
        if 1 + PART_OVERHEAD + key.len() + bytes.len() <= self.most {
            self.begin(PART, PART_OVERHEAD + key.len() + bytes.len());
            self.put_head(window, key, source);
            put_bytes(&mut self.open, bytes);
            return;
        }
        let room = self
            .most
            .saturating_sub(1 + PIECE_OVERHEAD + key.len())
            .max(1);
        // Also where there are no bytes, and the key alone is too long.
        let of = bytes.len().div_ceil(room).max(1);
        let of = u32::try_from(of).expect("no partial fills four billion records");
        let mut pieces = bytes.chunks(room);
        for number in 0..of {
            let piece = pieces.next().unwrap_or_default();
            self.begin(PIECE, PIECE_OVERHEAD + key.len() + piece.len());
            self.put_head(window, key, source);
            self.open.extend_from_slice(&number.to_be_bytes());
            self.open.extend_from_slice(&of.to_be_bytes());
            put_bytes(&mut self.open, piece);
        }
    }

    /// Adds the watermark of a source partition.
    pub fn watermark(&mut self, at: &TopicPartition, watermark: Timestamp) {
        self.watermarks.push((at.clone(), watermark));
    }

    /// Adds that nothing more comes from a source partition in this run.
    pub fn ended(&mut self, at: &TopicPartition) {
        self.ended.push(at.clone());
    }

    /// Gives `put` the values, in the order in which they must be sent. The last holds the watermarks, and what has ended.
    pub fn finish(mut self, mut put: impl FnMut(&[u8])) {
        for (at, watermark) in std::mem::take(&mut self.watermarks) {
            self.begin(WATERMARK, 1 + 4 + at.topic.len() + 4 + 8);
            put_topic_partition(&mut self.open, &at);
            self.open.extend_from_slice(&watermark.0.to_be_bytes());
        }
        for at in std::mem::take(&mut self.ended) {
            self.begin(ENDED, 1 + 4 + at.topic.len() + 4);
            put_topic_partition(&mut self.open, &at);
        }
        for value in &self.full {
            put(value);
        }
        if self.open.len() > 1 {
            put(&self.open);
        }
    }

    /// Begins an entry of `length` bytes: in the open value, or in a new one where that is too full.
    fn begin(&mut self, kind: u8, length: usize) {
        if self.open.len() > 1 && self.open.len() + length > self.most {
            let full = std::mem::replace(&mut self.open, vec![VERSION]);
            self.full.push(full);
        }
        self.open.push(kind);
    }

    fn put_head(&mut self, window: Window, key: &[u8], source: u32) {
        put_window(&mut self.open, window);
        self.open.extend_from_slice(&source.to_be_bytes());
        put_bytes(&mut self.open, key);
    }
}

/// An entry of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Exchanged<'a> {
    /// What came to a window and key.
    Part {
        /// The window.
        window: Window,
        /// The key; empty for a step without one.
        key: &'a [u8],
        /// The number of the source partition.
        source: u32,
        /// The partial.
        bytes: &'a [u8],
    },
    /// A piece of what came to a window and key, to be given to [`Pieces::add`].
    Piece {
        /// The window.
        window: Window,
        /// The key; empty for a step without one.
        key: &'a [u8],
        /// The number of the source partition.
        source: u32,
        /// Which piece.
        piece: Piece<'a>,
    },
    /// A source partition's watermark: nothing before it comes after this.
    Watermark(TopicPartition, Timestamp),
    /// Nothing more comes from a source partition in this run.
    Ended(TopicPartition),
}

/// A piece of a partial.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Piece<'a> {
    /// Its number, from 0.
    number: u32,
    /// How many there are.
    of: u32,
    bytes: &'a [u8],
}

/// Reads the entries of a record. After an error there are no more.
#[derive(Debug)]
pub struct ExchangeReader<'a> {
    rest: Result<Reading<'a>, Option<FormatError>>,
}

impl<'a> ExchangeReader<'a> {
    /// Reads a record's value.
    pub fn new(value: &'a [u8]) -> Self {
        Self {
            rest: Reading::versioned(WHAT, VERSION, value).map_err(Some),
        }
    }
}

impl<'a> Iterator for ExchangeReader<'a> {
    type Item = Result<Exchanged<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reading = match &mut self.rest {
            Ok(reading) if reading.is_at_end() => return None,
            Ok(reading) => reading,
            Err(error) => return error.take().map(Err),
        };
        let entry = read_entry(reading);
        if entry.is_err() {
            self.rest = Err(None);
        }
        Some(entry)
    }
}

fn read_entry<'a>(reading: &mut Reading<'a>) -> Result<Exchanged<'a>, FormatError> {
    let kind = reading.u8()?;
    if kind == WATERMARK {
        let at = reading.topic_partition()?;
        return Ok(Exchanged::Watermark(at, reading.timestamp()?));
    }
    if kind == ENDED {
        return Ok(Exchanged::Ended(reading.topic_partition()?));
    }
    if kind != PART && kind != PIECE {
        return Err(reading.damaged());
    }
    let window = reading.window()?;
    let source = reading.u32()?;
    let key = reading.bytes()?;
    if kind == PART {
        let bytes = reading.bytes()?;
        return Ok(Exchanged::Part {
            window,
            key,
            source,
            bytes,
        });
    }
    let piece = Piece {
        number: reading.u32()?,
        of: reading.u32()?,
        bytes: reading.bytes()?,
    };
    Ok(Exchanged::Piece {
        window,
        key,
        source,
        piece,
    })
}

/// Partials of which only some pieces have come, at most one for each source.
#[derive(Debug, Default)]
pub struct Pieces {
    open: HashMap<u32, Open>,
}

#[derive(Debug)]
struct Open {
    window: Window,
    key: Vec<u8>,
    of: u32,
    next: u32,
    bytes: Vec<u8>,
}

impl Pieces {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are none, so that what has been read may be committed.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Adds a piece of what came to a window and key from a source. Returns the whole if it was the last.
    ///
    /// # Errors
    /// If it is not the piece that must follow.
    pub fn add(
        &mut self,
        window: Window,
        key: &[u8],
        source: u32,
        piece: Piece<'_>,
    ) -> Result<Option<Vec<u8>>, FormatError> {
        let Piece { number, of, bytes } = piece;
        let mut open = match self.open.remove(&source) {
            None => Open {
                window,
                key: key.to_vec(),
                of,
                next: 0,
                bytes: Vec::new(),
            },
            Some(open) => open,
        };
        let follows = (open.window, &open.key[..], open.of, open.next) == (window, key, of, number);
        if !follows || number >= of {
            return Err(FormatError::Damaged(WHAT));
        }
        open.bytes.extend_from_slice(bytes);
        open.next += 1;
        if open.next == of {
            return Ok(Some(open.bytes));
        }
        self.open.insert(source, open);
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
