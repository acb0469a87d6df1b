//! What a task keeps beside the contents of panes: what has been published, sessions, counted rows, and records that may yet be
//! late.
//!
//! # Layouts, version 1 of each
//! The first byte is the version, 1. `bytes` are a length, u32, and as many bytes; a span is its start and end, i64 each.
//!
//! | entry | what follows |
//! |---|---|
//! | published | revision: u32, window: span, event time of its last row: i64, final: 0 or 1, rows: bytes, in the format of [`encode_rows`](crate::rows::encode_rows); none where they are not needed again |
//! | session | span, published: 0 nothing, 1 an early result, 2 its result; number of panes: u32, each: span |
//! | counter | rows: u64, event time of the last: i64 |
//! | held row | span, key: bytes, topic: bytes, partition: u32, offset, timestamp, watermark: i64 each, record key, record value: each 0, or 1 and bytes; bytes of the value that were left out: u64 |

use super::key::StateKey;
use crate::format::{FormatError, Reading, put_bytes, put_topic_partition, put_window};
use crate::log::{Offset, TopicPartition};
use crate::time::Timestamp;
use crate::window::{Publicity, Session, Window};

const VERSION: u8 = 1;
const PUBLISHED: &str = "a publication";
const SESSION: &str = "a session";
const COUNTER: &str = "a count of rows";
const HELD: &str = "a held row";

/// What was last published of a window and key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Published {
    /// Its revision, from 0.
    pub revision: u32,
    /// The window that it was shown for: of what has no end, the span or the rows up to then.
    pub window: Window,
    /// The event time of its last row, where rows are counted; otherwise the window's end.
    pub at: Timestamp,
    /// Whether it was not an early result.
    pub is_final: bool,
    /// Its rows as bytes, where they are needed when it is withdrawn or compared.
    pub rows: Vec<u8>,
}

impl Published {
    /// Appends it as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.revision.to_be_bytes());
        put_window(out, self.window);
        out.extend_from_slice(&self.at.0.to_be_bytes());
        out.push(self.is_final.into());
        put_bytes(out, &self.rows);
    }

    /// Reads what [`Published::encode`] wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reading = Reading::versioned(PUBLISHED, VERSION, bytes)?;
        let published = Self {
            revision: reading.u32()?,
            window: reading.window()?,
            at: reading.timestamp()?,
            is_final: flag(&mut reading)?,
            rows: reading.bytes()?.to_vec(),
        };
        reading.end()?;
        Ok(published)
    }
}

/// Appends a session as bytes.
pub fn encode_session(session: &Session, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_window(out, session.span);
    out.push(match session.publicity {
        Publicity::Open => 0,
        Publicity::Shown => 1,
        Publicity::Published => 2,
    });
    let count = u32::try_from(session.panes.len()).expect("a session has fewer panes than rows");
    out.extend_from_slice(&count.to_be_bytes());
    for pane in &session.panes {
        put_window(out, *pane);
    }
}

/// Reads what [`encode_session`] wrote.
///
/// # Errors
/// If it is something else.
pub fn decode_session(bytes: &[u8]) -> Result<Session, FormatError> {
    let mut reading = Reading::versioned(SESSION, VERSION, bytes)?;
    let span = reading.window()?;
    let publicity = match reading.u8()? {
        0 => Publicity::Open,
        1 => Publicity::Shown,
        2 => Publicity::Published,
        _ => return Err(reading.damaged()),
    };
    let count = reading.u32()?;
    let mut panes = Vec::new();
    for _ in 0..count {
        panes.push(reading.window()?);
    }
    if panes.is_empty() {
        return Err(reading.damaged());
    }
    reading.end()?;
    Ok(Session {
        span,
        panes,
        publicity,
    })
}

fn flag(reading: &mut Reading<'_>) -> Result<bool, FormatError> {
    match reading.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reading.damaged()),
    }
}

/// How many rows of a key there have been.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counter {
    /// How many.
    pub rows: u64,
    /// The event time of the last.
    pub last: Timestamp,
}

impl Counter {
    /// Appends it as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.rows.to_be_bytes());
        out.extend_from_slice(&self.last.0.to_be_bytes());
    }

    /// Reads what [`Counter::encode`] wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reading = Reading::versioned(COUNTER, VERSION, bytes)?;
        let counter = Self {
            rows: reading.u64()?,
            last: reading.timestamp()?,
        };
        reading.end()?;
        Ok(counter)
    }
}

/// A record whose row would be late by itself, and is not if it joins a session that is not: it is kept until that is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldRow {
    /// What its row covers.
    pub span: Window,
    /// Its key; empty for a step without one.
    pub key: Vec<u8>,
    /// The partition that it came from.
    pub at: TopicPartition,
    /// Where it stands there.
    pub offset: Offset,
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// The watermark that it is judged by.
    pub watermark: Timestamp,
    /// The record's key.
    pub record_key: Option<Vec<u8>>,
    /// The record's value.
    pub record_value: Option<Vec<u8>>,
    /// How many bytes the value had, if it was too large to be kept.
    pub omitted: u64,
}

impl HeldRow {
    /// When it is decided.
    pub fn since(&self) -> Timestamp {
        Timestamp(self.watermark.0.saturating_add(1))
    }

    /// Under which key it is kept, if it comes from the source partition of this number.
    pub fn state_key(&self, source: u32) -> StateKey {
        StateKey::Held {
            since: self.since(),
            source,
            offset: self.offset,
        }
    }

    /// Appends it as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_window(out, self.span);
        put_bytes(out, &self.key);
        put_topic_partition(out, &self.at);
        for number in [self.offset.0, self.timestamp.0, self.watermark.0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for part in [&self.record_key, &self.record_value] {
            out.push(part.is_some().into());
            if let Some(bytes) = part {
                put_bytes(out, bytes);
            }
        }
        out.extend_from_slice(&self.omitted.to_be_bytes());
    }

    /// Reads what [`HeldRow::encode`] wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reading = Reading::versioned(HELD, VERSION, bytes)?;
        let part = |reading: &mut Reading<'_>| {
            Ok(match flag(reading)? {
                true => Some(reading.bytes()?.to_vec()),
                false => None,
            })
        };
        let row = Self {
            span: reading.window()?,
            key: reading.bytes()?.to_vec(),
            at: reading.topic_partition()?,
            offset: Offset(reading.i64()?),
            timestamp: reading.timestamp()?,
            watermark: reading.timestamp()?,
            record_key: part(&mut reading)?,
            record_value: part(&mut reading)?,
            omitted: reading.u64()?,
        };
        reading.end()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span() -> impl Strategy<Value = Window> {
        (any::<i64>(), any::<i64>()).prop_map(|(start, end)| Window {
            start: Timestamp(start),
            end: Timestamp(end),
        })
    }

    fn held() -> impl Strategy<Value = HeldRow> {
        let numbers = (any::<i64>(), any::<i64>(), any::<i64>(), any::<u64>());
        let bytes = (
            any::<Vec<u8>>(),
            any::<Option<Vec<u8>>>(),
            any::<Option<Vec<u8>>>(),
        );
        (span(), numbers, bytes, any::<String>(), 0..i32::MAX).prop_map(
            |(
                span,
                (offset, timestamp, watermark, omitted),
                (key, record_key, record_value),
                topic,
                partition,
            )| HeldRow {
                span,
                key,
                at: TopicPartition::new(topic, partition),
                offset: Offset(offset),
                timestamp: Timestamp(timestamp),
                watermark: Timestamp(watermark),
                record_key,
                record_value,
                omitted,
            },
        )
    }

    fn bytes(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn entries_come_back(
            revision: u32,
            rows: Vec<u8>,
            span in span(),
            panes in prop::collection::vec(span(), 1..4),
            publicity in prop::sample::select(vec![Publicity::Open, Publicity::Shown, Publicity::Published]),
            counted: u64,
            last: i64,
            held in held(),
        ) {
            let published = Published { revision, window: span, at: Timestamp(last), is_final: counted % 2 == 0, rows };
            prop_assert_eq!(Published::decode(&bytes(|out| published.encode(out))), Ok(published));
            let session = Session { span, panes, publicity };
            prop_assert_eq!(decode_session(&bytes(|out| encode_session(&session, out))), Ok(session));
            let counter = Counter { rows: counted, last: Timestamp(last) };
            prop_assert_eq!(Counter::decode(&bytes(|out| counter.encode(out))), Ok(counter));
            prop_assert_eq!(HeldRow::decode(&bytes(|out| held.encode(out))), Ok(held));
        }

        #[test]
        fn no_bytes_make_decoding_panic(rest: Vec<u8>) {
            for bytes in [rest.clone(), [&[VERSION], &rest[..]].concat()] {
                let _ = Published::decode(&bytes);
                let _ = decode_session(&bytes);
                let _ = Counter::decode(&bytes);
                let _ = HeldRow::decode(&bytes);
            }
        }
    }
}
