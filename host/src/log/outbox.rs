//! Records staged to be written: everything that one transaction will hold.
//!
//! A worker stages rows by the thousand, so an outbox is one buffer of bytes with bounds beside it, and is reused from
//! commit to commit.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::Header;
use crate::time::Timestamp;

#[derive(Clone, Debug)]
struct Entry {
    topic: Arc<str>,
    partition: Option<i32>,
    timestamp: Timestamp,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    /// Range of `Outbox::headers`.
    headers: Range<usize>,
}

/// Records staged to be written.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<(&'static str, Range<usize>)>,
}

/// A place in an outbox to go back to.
#[derive(Clone, Copy, Debug)]
pub struct OutboxMark {
    bytes: usize,
    entries: usize,
    headers: usize,
}

/// A record in an outbox.
#[derive(Clone, Copy, Debug)]
pub struct OutboxRecord<'a> {
    outbox: &'a Outbox,
    entry: &'a Entry,
}

/// What a staged record holds besides its topic.
#[derive(Clone, Copy, Debug)]
pub struct RecordParts<'a> {
    /// The partition; `None` leaves it to the log, which takes the same one for the same key.
    pub partition: Option<i32>,
    /// The timestamp.
    pub timestamp: Timestamp,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a [(&'static str, &'a [u8])],
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stages a record.
    pub fn push(&mut self, topic: &Arc<str>, parts: RecordParts<'_>) {
        let value = parts.value.map(|value| self.append(value));
        self.push_entry(topic, &parts, value);
    }

    /// Stages a record whose value `write` writes straight into the outbox; `parts.value` is not used.
    ///
    /// # Errors
    /// What `write` returns; the outbox is then as before.
    pub fn push_with<E>(
        &mut self,
        topic: &Arc<str>,
        parts: RecordParts<'_>,
        write: impl FnOnce(&mut dyn io::Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let value = start..self.bytes.len();
        self.push_entry(topic, &parts, Some(value));
        Ok(())
    }

    fn push_entry(
        &mut self,
        topic: &Arc<str>,
        parts: &RecordParts<'_>,
        value: Option<Range<usize>>,
    ) {
        let key = parts.key.map(|key| self.append(key));
        let first = self.headers.len();
        for (name, value) in parts.headers {
            let value = self.append(value);
            self.headers.push((name, value));
        }
        self.entries.push(Entry {
            topic: Arc::clone(topic),
            partition: parts.partition,
            timestamp: parts.timestamp,
            key,
            value,
            headers: first..self.headers.len(),
        });
    }

    fn append(&mut self, more: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(more);
        start..self.bytes.len()
    }

    /// The records, in the order staged.
    pub fn records(&self) -> impl ExactSizeIterator<Item = OutboxRecord<'_>> {
        self.entries.iter().map(|entry| OutboxRecord {
            outbox: self,
            entry,
        })
    }

    /// How many records are staged.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes they take.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.headers.clear();
    }

    /// Where the outbox stands now.
    pub fn mark(&self) -> OutboxMark {
        OutboxMark {
            bytes: self.bytes.len(),
            entries: self.entries.len(),
            headers: self.headers.len(),
        }
    }

    /// Takes back what was staged since `mark`.
    pub fn rewind(&mut self, mark: OutboxMark) {
        self.bytes.truncate(mark.bytes);
        self.entries.truncate(mark.entries);
        self.headers.truncate(mark.headers);
    }
}

impl<'a> OutboxRecord<'a> {
    /// The topic it goes to.
    pub fn topic(&self) -> &'a str {
        &self.entry.topic
    }

    /// The partition it goes to; `None` leaves it to the log.
    pub fn partition(&self) -> Option<i32> {
        self.entry.partition
    }

    /// Its timestamp.
    pub fn timestamp(&self) -> Timestamp {
        self.entry.timestamp
    }

    /// Its key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.entry
            .key
            .clone()
            .map(|range| &self.outbox.bytes[range])
    }

    /// Its value; `None` for a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.entry
            .value
            .clone()
            .map(|range| &self.outbox.bytes[range])
    }

    /// Its headers, in their order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = Header<'a>> {
        let outbox = self.outbox;
        outbox.headers[self.entry.headers.clone()]
            .iter()
            .map(|(name, value)| Header {
                name,
                value: &outbox.bytes[value.clone()],
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use proptest::prelude::*;

    use super::*;

    const PARTS: RecordParts<'static> = RecordParts {
        partition: None,
        timestamp: Timestamp(0),
        key: None,
        value: None,
        headers: &[],
    };

    type Staged = (
        Option<i32>,
        i64,
        Option<Vec<u8>>,
        Option<Vec<u8>>,
        Vec<Vec<u8>>,
    );

    fn staged() -> impl Strategy<Value = Vec<Staged>> {
        prop::collection::vec(any::<Staged>(), 0..6)
    }

    fn push_all(outbox: &mut Outbox, records: &[Staged]) {
        for (partition, timestamp, key, value, headers) in records {
            let headers: Vec<_> = headers.iter().map(|value| ("h", &value[..])).collect();
            let parts = RecordParts {
                partition: *partition,
                timestamp: Timestamp(*timestamp),
                key: key.as_deref(),
                value: value.as_deref(),
                headers: &headers,
            };
            outbox.push(&Arc::from("t"), parts);
        }
    }

    fn all(outbox: &Outbox) -> Vec<Staged> {
        let own = |bytes: &[u8]| bytes.to_vec();
        let staged = |record: OutboxRecord<'_>| {
            assert_eq!(record.topic(), "t");
            let headers = record.headers().map(|header| {
                assert_eq!(header.name, "h");
                own(header.value)
            });
            let (key, value) = (record.key().map(own), record.value().map(own));
            (
                record.partition(),
                record.timestamp().0,
                key,
                value,
                headers.collect(),
            )
        };
        outbox.records().map(staged).collect()
    }

    proptest! {
        #[test]
        fn records_come_back_as_staged(records in staged()) {
            let mut outbox = Outbox::new();
            push_all(&mut outbox, &records);
            prop_assert_eq!(outbox.len(), records.len());
            prop_assert_eq!(all(&outbox), records);
        }

        #[test]
        fn rewinding_takes_back_what_came_since_the_mark(kept in staged(), taken in staged(), more in staged()) {
            let mut outbox = Outbox::new();
            push_all(&mut outbox, &kept);
            let (mark, bytes) = (outbox.mark(), outbox.byte_len());
            push_all(&mut outbox, &taken);
            outbox.rewind(mark);
            prop_assert_eq!(outbox.byte_len(), bytes);
            prop_assert_eq!(all(&outbox), kept.clone());
            push_all(&mut outbox, &more);
            prop_assert_eq!(all(&outbox), [kept, more].concat());
        }
    }

    #[test]
    fn a_value_written_in_place_is_the_value() {
        let mut outbox = Outbox::new();
        let parts = RecordParts {
            key: Some(b"k"),
            ..PARTS
        };
        outbox
            .push_with(&Arc::from("t"), parts, |to| write!(to, "{}", 42))
            .unwrap();
        let record = outbox.records().next().unwrap();
        assert_eq!(
            (record.key(), record.value()),
            (Some(&b"k"[..]), Some(&b"42"[..]))
        );
    }

    #[test]
    fn a_value_that_fails_half_written_leaves_the_outbox_as_before() {
        let mut outbox = Outbox::new();
        let result = outbox.push_with(&Arc::from("t"), PARTS, |to| {
            to.write_all(b"half").map_err(|_| "no room")?;
            Err("failed")
        });
        assert_eq!(result, Err("failed"));
        assert_eq!((outbox.len(), outbox.byte_len()), (0, 0));
    }

    #[test]
    fn a_cleared_outbox_is_empty() {
        let mut outbox = Outbox::new();
        outbox.push(
            &Arc::from("t"),
            RecordParts {
                value: Some(b"v"),
                ..PARTS
            },
        );
        outbox.clear();
        assert!(outbox.is_empty());
        assert_eq!((outbox.byte_len(), outbox.records().len()), (0, 0));
    }
}
