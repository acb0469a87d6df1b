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
//! | 4, 5: a part whose rows wait, and a piece of one | since: i64, and then as 1 and 3 |
//! | 6: a record that may be late | source: u32, and a held row as [`super::entries`] says, with its length before it: u32 |
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

use super::entries::HeldRow;
use crate::format::{FormatError, Reading, put_bytes, put_topic_partition, put_window};
use crate::log::TopicPartition;
use crate::time::Timestamp;
use crate::window::Pane;

const WHAT: &str = "a record of the repartition topic";
const VERSION: u8 = 1;
const PART: u8 = 1;
const WATERMARK: u8 = 2;
const PIECE: u8 = 3;
const PENDING_PART: u8 = 4;
const PENDING_PIECE: u8 = 5;
const HELD: u8 = 6;
const ENDED: u8 = 7;

/// What a part has besides its key and its bytes: kind, since where its rows wait, span, source, two lengths.
fn overhead(pane: Pane) -> usize {
    let since = if pane.is_pending() { 8 } else { 0 };
    1 + since + 16 + 4 + 4 + 4
}

/// What a piece has besides: its number, and how many there are.
const PIECE_MORE: usize = 8;

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

    /// Adds what came to a pane and key from the source partition of number `source`.
    pub fn part(&mut self, pane: Pane, key: &[u8], source: u32, bytes: &[u8]) {
        let overhead = overhead(pane);
        if 1 + overhead + key.len() + bytes.len() <= self.most {
            let kind = if pane.is_pending() {
                PENDING_PART
            } else {
                PART
            };
            self.begin(kind, overhead + key.len() + bytes.len());
            self.put_head(pane, key, source);
            put_bytes(&mut self.open, bytes);
            return;
        }
        let room = self
            .most
            .saturating_sub(1 + overhead + PIECE_MORE + key.len())
            .max(1);
        // Also where there are no bytes, and the key alone is too long.
        let of = bytes.len().div_ceil(room).max(1);
        let of = u32::try_from(of).expect("no partial fills four billion records");
        let mut pieces = bytes.chunks(room);
        for number in 0..of {
            let piece = pieces.next().unwrap_or_default();
            let kind = if pane.is_pending() {
                PENDING_PIECE
            } else {
                PIECE
            };
            self.begin(kind, overhead + PIECE_MORE + key.len() + piece.len());
            self.put_head(pane, key, source);
            self.open.extend_from_slice(&number.to_be_bytes());
            self.open.extend_from_slice(&of.to_be_bytes());
            put_bytes(&mut self.open, piece);
        }
    }

    /// Adds a record that may be late, from the source partition of number `source`. Its value is left out where it is larger than
    /// a record.
    pub fn held(&mut self, source: u32, row: &HeldRow) {
        let mut bytes = Vec::new();
        row.encode(&mut bytes);
        if 1 + 1 + 4 + 4 + bytes.len() > self.most {
            let shorter = HeldRow {
                omitted: row
                    .record_value
                    .as_ref()
                    .map_or(0, |value| value.len() as u64),
                record_value: None,
                ..row.clone()
            };
            bytes.clear();
            shorter.encode(&mut bytes);
        }
        self.begin(HELD, 1 + 4 + 4 + bytes.len());
        self.open.extend_from_slice(&source.to_be_bytes());
        put_bytes(&mut self.open, &bytes);
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

    fn put_head(&mut self, pane: Pane, key: &[u8], source: u32) {
        if pane.is_pending() {
            self.open.extend_from_slice(&pane.since.0.to_be_bytes());
        }
        put_window(&mut self.open, pane.span);
        self.open.extend_from_slice(&source.to_be_bytes());
        put_bytes(&mut self.open, key);
    }
}

/// An entry of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Exchanged<'a> {
    /// What came to a pane and key.
    Part {
        /// The pane.
        pane: Pane,
        /// The key; empty for a step without one.
        key: &'a [u8],
        /// The number of the source partition.
        source: u32,
        /// The partial.
        bytes: &'a [u8],
    },
    /// A piece of what came to a pane and key, to be given to [`Pieces::add`].
    Piece {
        /// The pane.
        pane: Pane,
        /// The key; empty for a step without one.
        key: &'a [u8],
        /// The number of the source partition.
        source: u32,
        /// Which piece.
        piece: Piece<'a>,
    },
    /// A record that may be late, and the number of its source partition.
    Held(u32, HeldRow),
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
    if kind == HELD {
        let source = reading.u32()?;
        return Ok(Exchanged::Held(source, HeldRow::decode(reading.bytes()?)?));
    }
    if kind == ENDED {
        return Ok(Exchanged::Ended(reading.topic_partition()?));
    }
    let since = match kind {
        PART | PIECE => Timestamp::MIN,
        PENDING_PART | PENDING_PIECE => reading.timestamp()?,
        _ => return Err(reading.damaged()),
    };
    let span = reading.window()?;
    let pane = Pane { since, span };
    let source = reading.u32()?;
    let key = reading.bytes()?;
    if kind == PART || kind == PENDING_PART {
        let bytes = reading.bytes()?;
        return Ok(Exchanged::Part {
            pane,
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
        pane,
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
    pane: Pane,
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

    /// Adds a piece of what came to a pane and key from a source. Returns the whole if it was the last.
    ///
    /// # Errors
    /// If it is not the piece that must follow.
    pub fn add(
        &mut self,
        pane: Pane,
        key: &[u8],
        source: u32,
        piece: Piece<'_>,
    ) -> Result<Option<Vec<u8>>, FormatError> {
        let Piece { number, of, bytes } = piece;
        let mut open = match self.open.remove(&source) {
            None => Open {
                pane,
                key: key.to_vec(),
                of,
                next: 0,
                bytes: Vec::new(),
            },
            Some(open) => open,
        };
        let follows = (open.pane, &open.key[..], open.of, open.next) == (pane, key, of, number);
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
