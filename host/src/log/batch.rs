//! Records as fetched: one buffer of bytes for each partition, with the bounds of keys and values beside it.
//!
//! There is no object per message, so how a log fetches can change without the rest knowing. Buffers are reused from
//! poll to poll.

use std::ops::Range;

use super::{Offset, TopicPartition};
use crate::time::Timestamp;

/// Where one record lies in the buffer, and what the log says of it.
#[derive(Clone, Debug)]
struct Row {
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    offset: Offset,
    timestamp: Timestamp,
}

/// A header of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a [u8],
}

/// Consecutive records of one partition.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    partition: TopicPartition,
    bytes: Vec<u8>,
    rows: Vec<Row>,
    /// Row, name, value; in the order of the rows. Only readers outside groups fill it.
    headers: Vec<(usize, Range<usize>, Range<usize>)>,
}

impl RecordBatch {
    /// An empty batch of a partition.
    pub fn new(partition: TopicPartition) -> Self {
        Self {
            partition,
            bytes: Vec::new(),
            rows: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Appends a record.
    pub fn push(
        &mut self,
        offset: Offset,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        let key = key.map(|bytes| append(&mut self.bytes, bytes));
        let value = value.map(|bytes| append(&mut self.bytes, bytes));
        self.rows.push(Row {
            key,
            value,
            offset,
            timestamp,
        });
    }

    /// Appends a header to the record pushed last. Without any record it does nothing.
    pub fn push_header(&mut self, name: &str, value: &[u8]) {
        if let Some(row) = self.rows.len().checked_sub(1) {
            let name = append(&mut self.bytes, name.as_bytes());
            let value = append(&mut self.bytes, value);
            self.headers.push((row, name, value));
        }
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
        self.headers.clear();
    }

    /// The partition that all records are from.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many bytes keys, values and headers take.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The key of record `row`; `None` where it has none.
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        self.rows[row].key.clone().map(|range| &self.bytes[range])
    }

    /// The value of record `row`; `None` for a tombstone.
    pub fn value(&self, row: usize) -> Option<&[u8]> {
        self.rows[row].value.clone().map(|range| &self.bytes[range])
    }

    /// The offset of record `row`.
    pub fn offset(&self, row: usize) -> Offset {
        self.rows[row].offset
    }

    /// The offset of the last record, if there is any.
    pub fn last_offset(&self) -> Option<Offset> {
        self.rows.last().map(|row| row.offset)
    }

    /// The timestamp that the log has for record `row`.
    pub fn timestamp(&self, row: usize) -> Timestamp {
        self.rows[row].timestamp
    }

    /// The headers of record `row`, in their order.
    pub fn headers(&self, row: usize) -> impl Iterator<Item = Header<'_>> {
        let from = self.headers.partition_point(|(r, ..)| *r < row);
        self.headers[from..]
            .iter()
            .take_while(move |(r, ..)| *r == row)
            .map(|(_, name, value)| Header {
                name: std::str::from_utf8(&self.bytes[name.clone()])
                    .expect("names are appended from a str"),
                value: &self.bytes[value.clone()],
            })
    }
}

fn append(bytes: &mut Vec<u8>, more: &[u8]) -> Range<usize> {
    let start = bytes.len();
    bytes.extend_from_slice(more);
    start..bytes.len()
}

/// What one poll brought: a batch for each partition that had records.
#[derive(Debug, Default)]
pub struct Fetched {
    batches: Vec<RecordBatch>,
}

impl Fetched {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all records and keeps the buffers.
    pub fn clear(&mut self) {
        self.batches.iter_mut().for_each(RecordBatch::clear);
    }

    /// The batch of a partition, made where there is none.
    pub fn batch_mut(&mut self, topic: &str, partition: i32) -> &mut RecordBatch {
        let found = self
            .batches
            .iter()
            .position(|b| b.partition.partition == partition && &*b.partition.topic == topic);
        let at = found.unwrap_or_else(|| {
            let partition = TopicPartition::new(topic, partition);
            self.batches.push(RecordBatch::new(partition));
            self.batches.len() - 1
        });
        &mut self.batches[at]
    }

    /// The batches that have records.
    pub fn batches(&self) -> impl Iterator<Item = &RecordBatch> {
        self.batches.iter().filter(|batch| !batch.is_empty())
    }

    /// How many records there are in all batches.
    pub fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.batches.iter().all(RecordBatch::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(batch: &RecordBatch, row: usize) -> Vec<(&str, &[u8])> {
        batch.headers(row).map(|h| (h.name, h.value)).collect()
    }

    #[test]
    fn records_come_back_as_pushed_and_missing_is_not_empty() {
        let mut batch = RecordBatch::new(TopicPartition::new("t", 1));
        batch.push(Offset(7), Timestamp(-1), Some(b"k"), None);
        batch.push(Offset(9), Timestamp(2), None, Some(b""));
        assert_eq!((batch.len(), batch.byte_len()), (2, 1));
        assert_eq!((batch.key(0), batch.value(0)), (Some(&b"k"[..]), None));
        assert_eq!((batch.key(1), batch.value(1)), (None, Some(&b""[..])));
        assert_eq!(
            (batch.offset(0), batch.timestamp(0)),
            (Offset(7), Timestamp(-1))
        );
        assert_eq!(batch.last_offset(), Some(Offset(9)));
    }

    #[test]
    fn headers_belong_to_the_record_before_them() {
        let mut batch = RecordBatch::new(TopicPartition::new("t", 0));
        batch.push_header("lost", b"before any record");
        for offset in 0..3 {
            batch.push(Offset(offset), Timestamp(0), None, None);
            if offset != 1 {
                batch.push_header("a", b"1");
                batch.push_header("a", b"");
            }
        }
        for (row, count) in [(0, 2), (1, 0), (2, 2)] {
            let expected = [("a", &b"1"[..]), ("a", b"")];
            assert_eq!(headers(&batch, row), &expected[..count]);
        }
    }

    #[test]
    fn a_cleared_batch_has_nothing_of_before() {
        let mut batch = RecordBatch::new(TopicPartition::new("t", 0));
        batch.push(Offset(0), Timestamp(0), Some(b"old"), None);
        batch.push_header("old", b"old");
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!((batch.byte_len(), batch.last_offset()), (0, None));
        batch.push(Offset(1), Timestamp(0), Some(b"new"), None);
        assert_eq!(
            (batch.key(0), headers(&batch, 0).len()),
            (Some(&b"new"[..]), 0)
        );
    }

    #[test]
    fn what_was_fetched_is_kept_by_partition_and_empty_batches_are_not_shown() {
        let mut fetched = Fetched::new();
        for (topic, partition) in [("a", 0), ("b", 0), ("a", 1), ("a", 0)] {
            let batch = fetched.batch_mut(topic, partition);
            batch.push(Offset(0), Timestamp(0), None, None);
        }
        let shown: Vec<_> = fetched
            .batches()
            .map(|b| (b.partition().to_string(), b.len()))
            .collect();
        let expected = [("a/0", 2), ("b/0", 1), ("a/1", 1)];
        assert_eq!(shown, expected.map(|(at, len)| (at.to_owned(), len)));
        assert_eq!(fetched.len(), 4);

        fetched.clear();
        assert!(fetched.is_empty());
        assert_eq!(fetched.batches().count(), 0);
    }
}
