//! Records come out of batches as another implementation of the format has put them in.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use bytes::BytesMut;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record as Encoded, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use proptest::prelude::*;

use super::*;

const ENOUGH: Room = Room {
    records: usize::MAX,
    bytes: usize::MAX,
};

/// A record as it is read: offset, timestamp, key, value.
type Read = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

fn record(offset: i64, producer: i64) -> Encoded {
    Encoded {
        transactional: producer >= 0,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: producer,
        producer_epoch: 0,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: i32::try_from(offset).unwrap(),
        timestamp: 1_000 + offset,
        key: None,
        value: Some(Bytes::from(offset.to_string())),
        headers: Default::default(),
    }
}

/// The end of a producer's transaction.
fn end(offset: i64, producer: i64, kind: i16) -> Encoded {
    let key = [0_i16.to_be_bytes(), kind.to_be_bytes()].concat();
    Encoded {
        control: true,
        key: Some(key.into()),
        ..record(offset, producer)
    }
}

/// One batch.
fn batch(records: &[Encoded]) -> Bytes {
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, records, &options).unwrap();
    bytes.freeze()
}

fn joined(batches: &[Bytes]) -> Bytes {
    batches.concat().into()
}

fn take_all(records: &mut Records, room: Room) -> Result<Vec<Read>, Malformed> {
    let mut into = RecordBatch::new(crate::log::TopicPartition::new("t", 0));
    let mut read = Vec::new();
    loop {
        into.clear();
        let is_done = records.take(&mut into, &mut room.clone())?;
        read.extend((0..into.len()).map(|row| {
            let (key, value) = (into.key(row), into.value(row));
            let owned = |bytes: &[u8]| bytes.to_vec();
            (
                into.offset(row).0,
                into.timestamp(row).0,
                key.map(owned),
                value.map(owned),
            )
        }));
        if is_done {
            return Ok(read);
        }
        assert!(!into.is_empty(), "there was room and nothing came");
    }
}

/// The offsets that are seen of some batches, read from an offset on.
fn offsets(batches: &[Bytes], from: i64, aborted: &[(i64, i64)]) -> Vec<i64> {
    let aborted = aborted.iter().map(|(first, producer)| AbortedTransaction {
        first: *first,
        producer: *producer,
    });
    let (mut records, _) = Records::new(joined(batches), from, aborted.collect(), true).unwrap();
    let read = take_all(&mut records, ENOUGH).unwrap();
    read.into_iter().map(|(offset, ..)| offset).collect()
}

fn arbitrary() -> impl Strategy<Value = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, u8)> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..200));
    (
        1..5_i64,
        0..2_000_000_000_000_i64,
        bytes(),
        bytes(),
        0..3_u8,
    )
}

proptest! {
    /// In batches of any sizes, handed out in pieces of any size, with gaps in the offsets and headers that nobody wants.
    #[test]
    fn what_was_put_in_comes_out(
        given in prop::collection::vec(arbitrary(), 1..40),
        each in 1..10_usize,
        room in 1..10_usize,
        skipped in 0..60_i64,
    ) {
        let mut offset = 100;
        let mut expected: Vec<Read> = Vec::new();
        let mut encoded = Vec::new();
        for (step, timestamp, key, value, headers) in given {
            offset += step;
            let mut one = record(offset, -1);
            one.timestamp = timestamp;
            one.key = key.clone().map(Bytes::from);
            one.value = value.clone().map(Bytes::from);
            for header in 0..headers {
                let name = StrBytes::from_string(format!("h{header}"));
                one.headers.insert(name, Some(Bytes::from_static(b"x")));
            }
            encoded.push(one);
            expected.push((offset, timestamp, key, value));
        }
        // The encoder numbers what follows in a batch one by one.
        let batches: Vec<Bytes> = encoded.chunks(each).flat_map(|chunk| {
            chunk.chunk_by(|a, b| b.offset == a.offset + 1).map(batch).collect::<Vec<_>>()
        }).collect();
        let from = 100 + skipped;
        expected.retain(|(offset, ..)| *offset >= from);
        let (mut records, behind) = Records::new(joined(&batches), from, vec![], true).unwrap();
        prop_assert_eq!(behind, Some(offset + 1));
        let room = Room { records: room, bytes: usize::MAX };
        // Nothing may come of a piece whose records are all before what is wanted.
        let read = take_all(&mut records, room).unwrap();
        prop_assert_eq!(read, expected);
        prop_assert_eq!(records.left(), 0);
    }

    /// Whatever has happened to them, there are records or an error, and never more than there were bytes for.
    #[test]
    fn damaged_bytes_do_no_harm(
        count in 1..20_i64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        checks in any::<bool>(),
    ) {
        let records: Vec<Encoded> = (0..count).map(|offset| record(offset, 7)).collect();
        let mut bytes = batch(&records).to_vec();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let len = bytes.len();
        let mut into = RecordBatch::new(crate::log::TopicPartition::new("t", 0));
        if let Ok((mut records, _)) = Records::new(bytes.into(), 0, vec![], checks) {
            let _ = records.take(&mut into, &mut ENOUGH.clone());
        }
        prop_assert!(into.len() <= len);
    }

    /// Transactions of several producers, one in the other.
    #[test]
    fn of_transactions_only_the_committed_are_seen(
        steps in prop::collection::vec((0..4_i64, 0..3_u8), 1..60),
    ) {
        let mut open: [Vec<i64>; 4] = Default::default();
        let (mut batches, mut aborted, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for (offset, (producer, step)) in (0_i64..).zip(steps) {
            let begun = &mut open[usize::try_from(producer).unwrap()];
            match step {
                0 => {
                    batches.push(batch(&[record(offset, producer)]));
                    begun.push(offset);
                }
                1 => {
                    batches.push(batch(&[end(offset, producer, ABORT)]));
                    aborted.extend(begun.first().map(|first| (*first, producer)));
                    begun.clear();
                }
                _ => {
                    batches.push(batch(&[end(offset, producer, ABORT + 1)]));
                    expected.append(begun);
                }
            }
        }
        // What is not decided is not sent by a broker; here it is as good as committed.
        expected.extend(open.into_iter().flatten());
        expected.sort_unstable();
        prop_assert_eq!(offsets(&batches, 0, &aborted), expected);
    }
}

#[test]
fn what_compaction_has_emptied_is_passed_over() {
    // What is left of the last batch of a producer, with records or at the end of a transaction, is its header.
    let emptied = |batch: Bytes| {
        let mut header = batch[..RECORDS].to_vec();
        let len = i32::try_from(RECORDS - BEFORE_LENGTH).unwrap();
        header[LENGTH..MAGIC - 4].copy_from_slice(&len.to_be_bytes());
        header[COUNT..].fill(0);
        let sum = crc32c::crc32c(&header[ATTRIBUTES..]);
        header[CHECKSUM..ATTRIBUTES].copy_from_slice(&sum.to_be_bytes());
        Bytes::from(header)
    };
    let batches = [
        batch(&[record(0, 7)]),
        emptied(batch(&[end(1, 7, ABORT + 1)])),
        emptied(batch(&[record(2, 7)])),
        batch(&[record(3, -1)]),
    ];
    assert_eq!(offsets(&batches, 0, &[]), [0, 3]);
}

#[test]
fn offsets_beyond_their_batch_are_not_believed() {
    for last in [i32::MAX, -1] {
        let mut bytes = batch(&[record(5, -1), record(6, -1)]).to_vec();
        bytes[..LENGTH].copy_from_slice(&(i64::MAX - 1).to_be_bytes());
        bytes[LAST_OFFSET..BASE_TIMESTAMP].copy_from_slice(&last.to_be_bytes());
        assert!(Records::new(bytes.into(), 0, vec![], false).is_err());
    }
    // It says that there is one offset in it, and there are two.
    let mut bytes = batch(&[record(5, -1), record(6, -1)]).to_vec();
    bytes[LAST_OFFSET..BASE_TIMESTAMP].fill(0);
    let (mut records, _) = Records::new(bytes.into(), 5, vec![], false).unwrap();
    let malformed = take_all(&mut records, ENOUGH).unwrap_err();
    assert!(malformed.why.contains("offset 6"), "{}", malformed.why);
}

#[test]
fn an_answer_may_end_within_a_batch() {
    let batches = [
        batch(&[record(5, -1), record(6, -1)]),
        batch(&[record(7, -1)]),
    ];
    let all = joined(&batches);
    for len in 0..all.len() {
        let (mut records, behind) = Records::new(all.slice(..len), 5, vec![], true).unwrap();
        let whole = len >= batches[0].len();
        assert_eq!(behind, whole.then_some(7));
        assert_eq!(
            take_all(&mut records, ENOUGH).unwrap().len(),
            if whole { 2 } else { 0 }
        );
    }
}

#[test]
fn what_the_checksum_does_not_fit_is_not_handed_out() {
    let mut bytes = joined(&[batch(&[record(0, -1)]), batch(&[record(1, -1)])]).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    // It is in the number of headers, which nobody looks at.
    let read = |checks| {
        let (mut records, _) = Records::new(bytes.clone().into(), 0, vec![], checks).unwrap();
        let mut into = RecordBatch::new(crate::log::TopicPartition::new("t", 0));
        let taken = records.take(&mut into, &mut ENOUGH.clone());
        (into.len(), taken)
    };
    assert_eq!(read(false), (2, Ok(true)));
    let (count, taken) = read(true);
    let malformed = taken.unwrap_err();
    assert_eq!((count, malformed.offset), (1, Some(1)));
    assert!(malformed.why.contains("checksum"), "{}", malformed.why);
}

#[test]
fn where_the_broker_keeps_the_time_it_is_that_of_all() {
    let records = [record(0, -1), record(1, -1)];
    let mut bytes = batch(&records).to_vec();
    // As a broker does it, in the header only.
    let attributes = LOG_APPEND_TIME.to_be_bytes();
    bytes[ATTRIBUTES..ATTRIBUTES + 2].copy_from_slice(&attributes);
    let (mut records, _) = Records::new(bytes.into(), 0, vec![], false).unwrap();
    let read = take_all(&mut records, ENOUGH).unwrap();
    let times: Vec<i64> = read.iter().map(|(_, timestamp, ..)| *timestamp).collect();
    assert_eq!(times, [1_001, 1_001]);
}

#[test]
fn records_of_before_kafka_0_11_are_refused_by_name() {
    let mut bytes = batch(&[record(9, -1)]).to_vec();
    bytes[MAGIC] = 1;
    let malformed = Records::new(bytes.into(), 0, vec![], true).err().unwrap();
    assert_eq!(malformed.offset, Some(9));
    assert!(malformed.why.contains("format 1"), "{}", malformed.why);
}
