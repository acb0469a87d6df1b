//! A block: consecutive records of one partition in one value of the store.
//!
//! # Layout, version 1 of the folder
//! Numbers are little-endian. A block is its records one after another, without padding:
//!
//! | part | bytes |
//! |---|---|
//! | timestamp in milliseconds | i64 |
//! | length of the key, or 2^32 - 1 where there is none | u32 |
//! | length of the value, or 2^32 - 1 for a tombstone | u32 |
//! | number of headers | u32 |
//! | key, value | as long as said |
//! | each header: length of the name, length of the value, name (UTF-8), value | u32, u32, as long as said |
//!
//! in front of them stands the number of records as u32. Offsets are not stored: the last one is in the block's key, and
//! they have no gaps.

use crate::log::{Offset, OutboxRecord, RecordBatch};
use crate::time::Timestamp;

/// A block is closed before it grows past this, so that a poll need not decode much more than it hands out.
const MAX_BYTES: usize = 256 << 10;
/// For the same reason.
const MAX_RECORDS: u32 = 512;
/// The length that stands for "none".
const NONE: u32 = u32::MAX;

/// The largest record taken: key, value and headers together.
pub(super) const MAX_RECORD_BYTES: usize = 64 << 20;

/// A block as it is filled.
#[derive(Debug)]
pub(super) struct BlockBuilder {
    bytes: Vec<u8>,
    records: u32,
}

impl BlockBuilder {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; size_of::<u32>()],
            records: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether a record of `bytes` bytes belongs in the next block. An empty block takes any.
    pub(super) fn is_full_for(&self, bytes: usize) -> bool {
        !self.is_empty() && (self.records == MAX_RECORDS || self.bytes.len() + bytes > MAX_BYTES)
    }

    /// Appends a record of at most [`MAX_RECORD_BYTES`].
    pub(super) fn push(&mut self, record: OutboxRecord<'_>) {
        self.records += 1;
        self.put(&record.timestamp().0.to_le_bytes());
        self.put_length(record.key().map(<[u8]>::len));
        self.put_length(record.value().map(<[u8]>::len));
        self.put_length(Some(record.headers().len()));
        self.put(record.key().unwrap_or_default());
        self.put(record.value().unwrap_or_default());
        for header in record.headers() {
            self.put_length(Some(header.name.len()));
            self.put_length(Some(header.value.len()));
            self.put(header.name.as_bytes());
            self.put(header.value);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn put_length(&mut self, length: Option<usize>) {
        let length = length.map_or(NONE, |length| {
            u32::try_from(length).expect("records are limited to far less")
        });
        self.put(&length.to_le_bytes());
    }

    /// The block's bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes[..size_of::<u32>()].copy_from_slice(&self.records.to_le_bytes());
        self.bytes
    }
}

/// How many bytes key, value and headers of a record take.
pub(super) fn record_bytes(record: OutboxRecord<'_>) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = record.headers().map(|h| h.name.len() + h.value.len());
    length(record.key()) + length(record.value()) + headers.sum::<usize>()
}

/// Which records of a block are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The first offset.
    pub(super) from: Offset,
    /// The offset after the last.
    pub(super) end: Offset,
    /// Whether their headers are.
    pub(super) headers: bool,
}

/// Appends the records wanted to `into`. `None` means that these bytes are no block; some records may have been
/// appended.
pub(super) fn read(
    bytes: &[u8],
    last: Offset,
    wanted: Wanted,
    into: &mut RecordBatch,
) -> Option<()> {
    let mut cursor = Cursor(bytes);
    let records = i64::from(cursor.u32()?);
    let first = last.next().0.checked_sub(records).filter(|o| *o >= 0)?;
    for offset in first..=last.0 {
        let timestamp = Timestamp(i64::from_le_bytes(cursor.array()?));
        let (key, value, headers) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
        let key = cursor.optional(key)?;
        let value = cursor.optional(value)?;
        let offset = Offset(offset);
        let is_wanted = (wanted.from..wanted.end).contains(&offset);
        if is_wanted {
            into.push(offset, timestamp, key, value);
        }
        for _ in 0..headers {
            let (name, value) = (cursor.u32()?, cursor.u32()?);
            let name = std::str::from_utf8(cursor.take(name)?).ok()?;
            let value = cursor.take(value)?;
            if is_wanted && wanted.headers {
                into.push_header(name, value);
            }
        }
    }
    cursor.0.is_empty().then_some(())
}

/// Bytes not yet read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn take(&mut self, length: u32) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    /// `Some(None)` where the length says that there is none.
    fn optional(&mut self, length: u32) -> Option<Option<&'a [u8]>> {
        match length {
            NONE => Some(None),
            length => self.take(length).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::log::{Header, Outbox, RecordParts, TopicPartition};

    type Bytes = Option<Vec<u8>>;

    fn outbox(records: &[(i64, Bytes, Bytes, Vec<Vec<u8>>)]) -> Outbox {
        let mut outbox = Outbox::new();
        for (timestamp, key, value, headers) in records {
            let headers: Vec<_> = headers.iter().map(|h| ("näme", &h[..])).collect();
            let parts = RecordParts {
                partition: Some(0),
                timestamp: Timestamp(*timestamp),
                key: key.as_deref(),
                value: value.as_deref(),
                headers: &headers,
            };
            outbox.push(&Arc::from("t"), parts);
        }
        outbox
    }

    fn block(outbox: &Outbox) -> Vec<u8> {
        let mut block = BlockBuilder::new();
        outbox.records().for_each(|record| block.push(record));
        block.finish()
    }

    fn batch() -> RecordBatch {
        RecordBatch::new(TopicPartition::new("t", 0))
    }

    fn all(headers: bool) -> Wanted {
        Wanted {
            from: Offset(0),
            end: Offset(i64::MAX),
            headers,
        }
    }

    fn header_values(batch: &RecordBatch, row: usize) -> Vec<Vec<u8>> {
        let value = |header: Header<'_>| {
            assert_eq!(header.name, "näme");
            header.value.to_vec()
        };
        batch.headers(row).map(value).collect()
    }

    proptest! {
        #[test]
        fn a_block_gives_back_the_records_wanted(
            records: Vec<(i64, Bytes, Bytes, Vec<Vec<u8>>)>,
            first in 0..1_000_i64,
            skip in 0..200_i64,
            take in 0..200_i64,
        ) {
            let count = i64::try_from(records.len()).unwrap();
            let last = Offset(first + count - 1);
            let wanted = Wanted {
                from: Offset(first + skip),
                end: Offset(first + skip + take),
                headers: true,
            };
            let mut batch = batch();
            read(&block(&outbox(&records)), last, wanted, &mut batch).unwrap();
            let expected: Vec<_> = (first..)
                .zip(&records)
                .filter(|(offset, _)| (first + skip..first + skip + take).contains(offset))
                .collect();
            prop_assert_eq!(batch.len(), expected.len());
            for (row, (offset, (timestamp, key, value, headers))) in expected.into_iter().enumerate() {
                prop_assert_eq!(batch.offset(row), Offset(offset));
                prop_assert_eq!(batch.timestamp(row), Timestamp(*timestamp));
                prop_assert_eq!(batch.key(row), key.as_deref());
                prop_assert_eq!(batch.value(row), value.as_deref());
                prop_assert_eq!(&header_values(&batch, row), headers);
            }
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes: Vec<u8>, last in 0..i64::MAX) {
            let _ = read(&bytes, Offset(last), all(true), &mut batch());
        }
    }

    #[test]
    fn a_block_cut_short_or_run_on_is_damage() {
        let whole = block(&outbox(&[(
            7,
            Some(b"key".to_vec()),
            None,
            vec![b"h".to_vec()],
        )]));
        for length in 0..whole.len() {
            assert_eq!(
                read(&whole[..length], Offset(0), all(true), &mut batch()),
                None,
                "{length}"
            );
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(read(&longer, Offset(0), all(true), &mut batch()), None);
    }

    #[test]
    fn a_block_with_more_records_than_offsets_is_damage() {
        let records = [(1, None, None, vec![]), (2, None, None, vec![])];
        assert_eq!(
            read(
                &block(&outbox(&records)),
                Offset(0),
                all(false),
                &mut batch()
            ),
            None
        );
    }

    #[test]
    fn headers_are_left_out_where_they_are_not_wanted() {
        let mut batch = batch();
        let bytes = block(&outbox(&[(7, None, None, vec![b"h".to_vec()])]));
        read(&bytes, Offset(4), all(false), &mut batch).unwrap();
        assert_eq!((batch.len(), batch.headers(0).count()), (1, 0));
    }

    #[test]
    fn an_empty_block_takes_a_record_of_any_size_and_a_full_one_none() {
        let outbox = outbox(&[(0, None, None, vec![])]);
        let record = outbox.records().next().unwrap();
        let mut block = BlockBuilder::new();
        assert!(!block.is_full_for(MAX_RECORD_BYTES));
        block.push(record);
        assert!(block.is_full_for(MAX_BYTES));
        for _ in 1..MAX_RECORDS {
            assert!(!block.is_full_for(0));
            block.push(record);
        }
        assert!(block.is_full_for(0));
    }
}
