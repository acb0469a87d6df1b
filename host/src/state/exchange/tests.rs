//! Records of the repartition topic, there and back.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::window::Window;

/// What a commit sends, in the shape in which it arrives.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Sent {
    parts: Vec<(Pane, Vec<u8>, u32, Vec<u8>)>,
    watermarks: Vec<(TopicPartition, Timestamp)>,
}

fn pane(end: i64) -> Pane {
    Pane::of(Window {
        start: Timestamp(end - 10),
        end: Timestamp(end),
    })
}

fn at(partition: i32) -> TopicPartition {
    TopicPartition::new("clicks", partition)
}

fn sent(source: u32) -> impl Strategy<Value = Sent> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    let part = (any::<i32>(), bytes(4), bytes(60)).prop_map(move |(end, key, bytes)| {
        let pane = pane(end.into());
        // Every third waits.
        let since = if end % 3 == 0 { end.into() } else { i64::MIN };
        let since = Timestamp(since);
        (Pane { since, ..pane }, key, source, bytes)
    });
    let watermark = (0..4, any::<i64>()).prop_map(|(number, time)| (at(number), Timestamp(time)));
    let watermarks = prop::collection::vec(watermark, 0..4);
    (prop::collection::vec(part, 0..8), watermarks)
        .prop_map(|(parts, watermarks)| Sent { parts, watermarks })
}

fn write(sent: &Sent, most: usize) -> Vec<Vec<u8>> {
    let mut writer = ExchangeWriter::new(most);
    // Before the parts, to show that the order of the calls does not matter.
    for (at, watermark) in &sent.watermarks {
        writer.watermark(at, *watermark);
    }
    for (pane, key, source, bytes) in &sent.parts {
        writer.part(*pane, key, *source, bytes);
    }
    let mut values = Vec::new();
    writer.finish(|value| values.push(value.to_vec()));
    values
}

/// What arrives, by source; watermarks are given to source 0.
fn read(values: &[Vec<u8>]) -> Result<BTreeMap<u32, Sent>, FormatError> {
    let mut arrived: BTreeMap<u32, Sent> = BTreeMap::new();
    let mut pieces = Pieces::new();
    for value in values {
        for entry in ExchangeReader::new(value) {
            let (pane, key, source, bytes) = match entry? {
                Exchanged::Held(..) => continue,
                Exchanged::Watermark(at, watermark) => {
                    let sent = arrived.entry(0).or_default();
                    sent.watermarks.push((at, watermark));
                    continue;
                }
                Exchanged::Ended(at) => panic!("{at} has not ended"),
                Exchanged::Part {
                    pane,
                    key,
                    source,
                    bytes,
                } => (pane, key, source, bytes.to_vec()),
                Exchanged::Piece {
                    pane,
                    key,
                    source,
                    piece,
                } => match pieces.add(pane, key, source, piece)? {
                    Some(bytes) => (pane, key, source, bytes),
                    None => continue,
                },
            };
            let sent = arrived.entry(source).or_default();
            sent.parts.push((pane, key.to_vec(), source, bytes));
        }
    }
    assert!(pieces.is_empty(), "pieces are left");
    Ok(arrived)
}

#[test]
fn a_record_that_may_be_late_arrives_without_its_value_where_that_is_too_large() {
    let row = |value: usize| HeldRow {
        span: pane(10).span,
        key: b"k".to_vec(),
        at: at(3),
        offset: crate::log::Offset(7),
        timestamp: Timestamp(1),
        watermark: Timestamp(50),
        record_key: None,
        record_value: Some(vec![0; value]),
        omitted: 0,
    };
    for (bytes, omitted) in [(10, 0), (1_000, 1_000)] {
        let mut writer = ExchangeWriter::new(200);
        writer.held(5, &row(bytes));
        let mut values = Vec::new();
        writer.finish(|value| values.push(value.to_vec()));
        let read: Result<Vec<_>, _> = ExchangeReader::new(&values[0]).collect();
        let expected = HeldRow {
            omitted,
            record_value: (omitted == 0).then(|| vec![0; bytes]),
            ..row(bytes)
        };
        assert_eq!(read, Ok(vec![Exchanged::Held(5, expected)]));
    }
}

proptest! {
    #[test]
    fn what_a_commit_sends_arrives_in_values_within_the_limit(sent in sent(0), most in 60_usize..200) {
        let values = write(&sent, most);
        prop_assert!(values.iter().all(|value| value.len() <= most));
        let arrived = read(&values)?.remove(&0).unwrap_or_default();
        prop_assert_eq!(arrived, sent);
    }

    #[test]
    fn pieces_of_two_sources_may_lie_between_each_other(
        a in sent(1), b in sent(2), turns in prop::collection::vec(any::<bool>(), 0..20),
    ) {
        let (a, b) = (Sent { watermarks: vec![], ..a }, Sent { watermarks: vec![], ..b });
        let (mut from_a, mut from_b) = (write(&a, 60).into_iter(), write(&b, 60).into_iter());
        let mut values = Vec::new();
        for turn in turns {
            values.extend(if turn { from_a.next() } else { from_b.next() });
        }
        values.extend(from_a.chain(from_b));
        let mut arrived = read(&values)?;
        prop_assert_eq!(arrived.remove(&1).unwrap_or_default(), a);
        prop_assert_eq!(arrived.remove(&2).unwrap_or_default(), b);
    }

    #[test]
    fn nothing_but_watermarks_follows_a_watermark(sent in sent(0), most in 60_usize..200) {
        let values = write(&sent, most);
        let entries: Vec<bool> = values
            .iter()
            .flat_map(|value| ExchangeReader::new(value))
            .map(|entry| matches!(entry, Ok(Exchanged::Watermark(..))))
            .collect();
        prop_assert!(entries.is_sorted());
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes: Vec<u8>, kind in 0_u8..9) {
        let value = [&[VERSION, kind], &bytes[..]].concat();
        prop_assert!(ExchangeReader::new(&value).count() <= value.len());
        prop_assert!(ExchangeReader::new(&bytes).count() <= bytes.len().max(1));
    }

    #[test]
    fn a_record_that_is_cut_off_is_read_up_to_there(sent in sent(0), cut in any::<prop::sample::Index>()) {
        let values = write(&sent, usize::MAX);
        prop_assume!(!values.is_empty());
        let whole: Vec<_> = ExchangeReader::new(&values[0]).collect::<Result<_, _>>()?;
        let cut = cut.index(values[0].len());
        let mut entries = Vec::new();
        for entry in ExchangeReader::new(&values[0][..cut]) {
            entries.push(entry);
        }
        let read: Vec<_> = entries.into_iter().map_while(Result::ok).collect();
        prop_assert!(read.len() < whole.len() || cut == values[0].len());
        prop_assert_eq!(&read[..], &whole[..read.len()]);
    }
}

#[test]
fn that_a_partition_has_ended_stands_after_its_watermark() {
    let mut writer = ExchangeWriter::new(60);
    writer.ended(&at(3));
    writer.watermark(&at(3), Timestamp(7));
    writer.part(pane(0), b"key", 3, &[1; 20]);
    let mut told = Vec::new();
    writer.finish(|value| {
        let entries = ExchangeReader::new(value).map(Result::unwrap);
        told.extend(entries.filter_map(|entry| match entry {
            Exchanged::Watermark(at, to) => Some((at, Some(to))),
            Exchanged::Ended(at) => Some((at, None)),
            Exchanged::Held(..) | Exchanged::Part { .. } | Exchanged::Piece { .. } => None,
        }));
    });
    assert_eq!(told, [(at(3), Some(Timestamp(7))), (at(3), None)]);
}

#[test]
fn nothing_sent_is_no_record() {
    assert_eq!(write(&Sent::default(), 100), Vec::<Vec<u8>>::new());
}

#[test]
fn small_parts_share_a_record() {
    let parts = (0..10).map(|end| (pane(end), vec![], 0, vec![1]));
    let sent = Sent {
        parts: parts.collect(),
        watermarks: vec![(at(0), Timestamp(7))],
    };
    assert_eq!(write(&sent, 1_000).len(), 1);
}

#[test]
fn a_piece_that_is_missing_or_doubled_is_told() {
    let sent = Sent {
        parts: vec![(pane(0), b"key".to_vec(), 3, vec![7; 200])],
        watermarks: vec![],
    };
    let values = write(&sent, 100);
    assert!(values.len() > 2);
    let mut missing = values.clone();
    missing.remove(1);
    assert!(read(&missing).is_err());
    let mut doubled = values.clone();
    doubled.insert(1, values[1].clone());
    assert!(read(&doubled).is_err());
}

#[test]
fn a_key_longer_than_the_limit_still_makes_progress() {
    let sent = Sent {
        parts: vec![(pane(0), vec![b'k'; 50], 0, b"ab".to_vec())],
        watermarks: vec![],
    };
    let values = write(&sent, 10);
    assert_eq!(values.len(), 2);
    assert_eq!(read(&values).unwrap().remove(&0), Some(sent));
}
