//! What the broker itself has on its disk: which records of a partition were aborted, and who wrote them.
//!
//! A reader of committed records never sees an aborted one, and no client tells how many there were. The broker's
//! files do. A segment is a sequence of record batches (all numbers big-endian):
//!
//! ```text
//! base offset 8 | length of what follows 4 | leader epoch 4 | magic 1 = 2 | crc 4 | attributes 2 | last offset delta 4
//! | first and last timestamp 16 | producer id 8 | producer epoch 2 | first sequence 4 | number of records 4 | records
//! ```
//!
//! Attributes: bit 4 is set in a transaction, bit 5 in a batch that holds a marker. A marker is one record, never compressed:
//! `length | attributes 1 | timestamp delta | offset delta | length of the key | version 2 | kind 2 ...`, where the numbers
//! without a size are varints, and kind 0 is an abort.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What precedes the batch whose length it tells.
const BEFORE: usize = 12;
/// A batch without its records.
const HEADER: usize = 61;

/// Who wrote: the number that the broker gave to a transactional id.
type ProducerId = i64;

/// What the files of a partition tell.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Told {
    /// Records of transactions that were committed, or of none.
    pub(crate) committed: u64,
    /// Records of transactions that were aborted.
    pub(crate) aborted: u64,
    /// How often a transaction that had come here was aborted, by who had begun it and the epoch of the end.
    pub(crate) aborts: BTreeMap<(ProducerId, i16), u64>,
    /// How often someone else than before committed here.
    pub(crate) moves: u64,
    /// Records of transactions that have not ended, by who wrote them.
    open: BTreeMap<ProducerId, u64>,
    last: Option<ProducerId>,
}

impl Told {
    /// Reads the partitions of a topic; one without a folder tells nothing.
    pub(crate) fn of_topic(data: &Path, topic: &str) -> Vec<Told> {
        let folders = (0..).map(|partition| data.join(format!("{topic}-{partition}")));
        folders
            .take_while(|folder| folder.is_dir())
            .map(|folder| Told::of_partition(&folder))
            .collect()
    }

    fn of_partition(folder: &Path) -> Told {
        let entries = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        // Named by their first offset, with leading zeros.
        let segments: BTreeSet<_> = entries
            .filter(|path| path.extension().is_some_and(|end| end == "log"))
            .collect();
        let mut told = Told::default();
        for segment in segments {
            told.add(&fs::read(segment).unwrap());
        }
        told
    }

    /// Takes a segment in. What stands behind the last whole batch was being written.
    fn add(&mut self, mut bytes: &[u8]) {
        while let Some(batch) = next(&mut bytes) {
            let attributes = i16::from_be_bytes(part(batch, 21));
            let producer = i64::from_be_bytes(part(batch, 43));
            let epoch = i16::from_be_bytes(part(batch, 51));
            let records = u64::from(u32::from_be_bytes(part(batch, 57)));
            let is_transaction = attributes & (1 << 4) != 0;
            let is_marker = attributes & (1 << 5) != 0;
            if !is_transaction {
                self.committed += records;
            } else if !is_marker {
                *self.open.entry(producer).or_default() += records;
            } else {
                let records = self.open.remove(&producer).unwrap_or(0);
                if is_abort(&batch[HEADER..]) {
                    self.aborted += records;
                    *self.aborts.entry((producer, epoch)).or_default() += 1;
                } else {
                    self.committed += records;
                    self.moves += u64::from(self.last.is_some_and(|last| last != producer));
                    self.last = Some(producer);
                }
            }
        }
    }
}

/// How many transactions were aborted: no fewer than the broker's files tell of in the partition that had most of one
/// producer's. One that was aborted before it had written a record leaves no trace.
pub(crate) fn aborted_transactions<'a>(partitions: impl IntoIterator<Item = &'a Told>) -> u64 {
    let mut most: BTreeMap<(ProducerId, i16), u64> = BTreeMap::new();
    for told in partitions {
        for (&who, &count) in &told.aborts {
            let most = most.entry(who).or_default();
            *most = count.max(*most);
        }
    }
    most.values().sum()
}

/// Takes the next whole batch off.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length: [u8; 4] = bytes.get(8..BEFORE)?.try_into().ok()?;
    let end = BEFORE + usize::try_from(i32::from_be_bytes(length)).ok()?;
    let (batch, rest) = bytes.split_at_checked(end)?;
    *bytes = rest;
    (batch.len() >= HEADER).then_some(batch)
}

fn part<const N: usize>(batch: &[u8], at: usize) -> [u8; N] {
    batch[at..at + N].try_into().unwrap()
}

/// Whether the record of a marker says that the transaction is aborted.
fn is_abort(record: &[u8]) -> bool {
    let varint = |at: usize| {
        let length = record[at..]
            .iter()
            .take_while(|byte| **byte >= 0x80)
            .count();
        at + length + 1
    };
    let attributes = varint(0);
    let key = varint(varint(varint(attributes + 1)));
    i16::from_be_bytes(part(record, key + 2)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of `count` records, or a marker.
    fn batch(attributes: i16, producer: i64, count: u32, records: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        bytes[43..51].copy_from_slice(&producer.to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(records);
        let length = i32::try_from(bytes.len() - BEFORE).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    fn data(producer: i64, count: u32) -> Vec<u8> {
        batch(1 << 4, producer, count, &[0xff; 9])
    }

    fn marker(producer: i64, kind: u8) -> Vec<u8> {
        // As Kafka writes it; the second number is a varint of two bytes.
        let record = [32, 0, 0x80, 1, 0, 8, 0, 0, 0, kind, 12, 0, 0, 0, 0, 0, 0, 0];
        batch(3 << 4, producer, 1, &record)
    }

    fn told(batches: &[Vec<u8>]) -> Told {
        let mut told = Told::default();
        told.add(&batches.concat());
        told
    }

    #[test]
    fn records_count_by_how_their_transaction_ended() {
        let mut last = data(1, 9);
        last.truncate(50);
        let told = told(&[
            data(1, 3),
            data(2, 5),
            marker(2, 0),
            data(1, 1),
            marker(1, 1),
            batch(0, -1, 7, &[]),
            data(2, 2),
            last,
        ]);
        assert_eq!((told.committed, told.aborted), (11, 5));
        assert_eq!(told.aborts, BTreeMap::from([((2, 0), 1)]));
        assert_eq!(told.open, BTreeMap::from([(2, 2)]));
    }

    #[test]
    fn a_partition_moves_when_another_commits_to_it() {
        let committed = |who: i64| [data(who, 1), marker(who, 1)].concat();
        let aborted = [data(2, 1), marker(2, 0)].concat();
        let told = told(&[
            committed(1),
            aborted,
            committed(1),
            committed(2),
            committed(1),
        ]);
        assert_eq!(told.moves, 2);
    }

    #[test]
    fn a_transaction_over_many_partitions_is_one() {
        let once = told(&[data(1, 1), marker(1, 0)]);
        let twice = told(&[data(1, 1), marker(1, 0), data(1, 1), marker(1, 0)]);
        let other = told(&[data(2, 1), marker(2, 0)]);
        assert_eq!(aborted_transactions([&once, &twice, &other]), 3);
    }
}
