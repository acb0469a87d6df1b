//! The formats as they were written once, under `tests/golden/state`: what is there must be read, and this version
//! writes the same. A format that changes gets a new file in the folder of a new version; the old file stays, and is still read.
//!
//! A file has a line for each example: its bytes in hexadecimal.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMillisecondArray,
};

use super::*;
use crate::log::{Offset, TopicPartition};
use crate::rows::{Field, FieldType, Rows, decode_rows, encode_rows};
use crate::window::{Pane, Publicity, Session, Window};

fn read(name: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/state");
    std::fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The examples of a file, which must be those that are written now.
fn golden(name: &str, written: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let now: String = written.iter().map(|bytes| hex(bytes) + "\n").collect();
    let text = read(name);
    assert!(text == now, "{name} is not what is written now:\n{now}");
    bytes_of(&text)
}

/// The examples of a file that an earlier version wrote.
fn old(name: &str) -> Vec<Vec<u8>> {
    bytes_of(&read(name))
}

fn bytes_of(text: &str) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.lines()
        .map(|line| line.as_bytes().chunks(2).map(byte).collect())
        .collect()
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    bytes
}

const MINUTE: Window = Window {
    start: Timestamp(1_700_000_040_000),
    end: Timestamp(1_700_000_100_000),
};

fn clicks(partition: i32) -> TopicPartition {
    TopicPartition::new("clicks", partition)
}

#[test]
fn keys() {
    let part = |window, key: &[u8], write, chunk| StateKey::Part {
        pane: Pane::of(window),
        key: key.to_vec(),
        write: Write(write),
        chunk,
    };
    let before_1970 = Window {
        start: Timestamp(-60_000),
        end: Timestamp(0),
    };
    let keys = [
        StateKey::Task,
        part(before_1970, b"", 0, 0),
        part(MINUTE, b"de", 7, 2),
        part(MINUTE, b"\x00a\xff\x00", u64::MAX, u32::MAX),
    ];
    let written: Vec<_> = keys
        .iter()
        .map(|key| encoded(|out| key.encode(out)))
        .collect();
    for (bytes, key) in golden("v1/key.hex", &written).iter().zip(keys) {
        assert_eq!(StateKey::decode(bytes), Ok(key));
    }
}

#[test]
fn keys_of_entries_beside_the_parts_and_of_parts_that_wait() {
    let key = || b"de".to_vec();
    let since = Timestamp(MINUTE.end.0 + 1);
    let keys = [
        StateKey::Part {
            pane: Pane {
                since,
                span: MINUTE,
            },
            key: key(),
            write: Write(7),
            chunk: 2,
        },
        StateKey::Published {
            window: MINUTE,
            key: key(),
        },
        StateKey::Session {
            name: MINUTE,
            key: key(),
        },
        StateKey::Counter { key: key() },
        held().state_key(3),
    ];
    let written: Vec<_> = keys
        .iter()
        .map(|key| encoded(|out| key.encode(out)))
        .collect();
    for (bytes, key) in golden("v2/key.hex", &written).iter().zip(keys) {
        assert_eq!(StateKey::decode(bytes), Ok(key));
    }
}

fn held() -> HeldRow {
    HeldRow {
        span: MINUTE,
        key: b"de".to_vec(),
        at: clicks(3),
        offset: Offset(1_234),
        timestamp: MINUTE.start,
        watermark: MINUTE.end,
        record_key: None,
        record_value: Some(b"{}".to_vec()),
        omitted: 0,
    }
}

#[test]
fn entries_beside_the_parts() {
    let published = Published {
        revision: 3,
        window: MINUTE,
        at: MINUTE.end,
        is_final: true,
        rows: b"rows".to_vec(),
    };
    let session = Session {
        span: MINUTE,
        panes: vec![MINUTE],
        publicity: Publicity::Published,
    };
    let counter = Counter {
        rows: 99,
        last: MINUTE.start,
    };
    let written = [
        encoded(|out| published.encode(out)),
        encoded(|out| encode_session(&session, out)),
        encoded(|out| counter.encode(out)),
        encoded(|out| held().encode(out)),
    ];
    let read = golden("v2/entries.hex", &written);
    assert_eq!(Published::decode(&read[0]), Ok(published));
    assert_eq!(decode_session(&read[1]), Ok(session));
    assert_eq!(Counter::decode(&read[2]), Ok(counter));
    assert_eq!(HeldRow::decode(&read[3]), Ok(held()));
}

#[test]
fn records_of_the_repartition_topic_with_rows_that_wait_and_partitions_that_have_ended() {
    let mut writer = ExchangeWriter::new(1_000);
    let pane = Pane {
        since: Timestamp(MINUTE.end.0 + 1),
        span: MINUTE,
    };
    writer.part(pane, b"de", 3, b"partial");
    writer.held(3, &held());
    let mut written = Vec::new();
    writer.finish(|value| written.push(value.to_vec()));
    let mut writer = ExchangeWriter::new(1_000);
    writer.watermark(&clicks(3), MINUTE.end);
    writer.ended(&clicks(3));
    writer.finish(|value| written.push(value.to_vec()));
    let golden = golden("v2/exchange.hex", &written);
    let [waiting, ended] = [0, 1].map(|at| {
        let read: Result<Vec<_>, _> = ExchangeReader::new(&golden[at]).collect();
        read.unwrap()
    });
    let part = Exchanged::Part {
        pane,
        key: b"de",
        source: 3,
        bytes: b"partial",
    };
    assert_eq!(waiting, [part, Exchanged::Held(3, held())]);
    let watermark = Exchanged::Watermark(clicks(3), MINUTE.end);
    assert_eq!(ended, [watermark, Exchanged::Ended(clicks(3))]);
}

#[test]
fn the_entry_of_a_task() {
    let states = [
        TaskState::default(),
        TaskState {
            next_write: Write(1_234),
            fired: MINUTE.start,
            watermarks: vec![(clicks(0), MINUTE.end), (clicks(31), Timestamp(-1))],
            firing: None,
        },
        TaskState {
            firing: Some((MINUTE, b"de".to_vec())),
            ..TaskState::default()
        },
    ];
    // Version 1 had no window that is firing.
    for (bytes, state) in old("v1/task.hex").iter().zip(&states) {
        assert_eq!(TaskState::decode(bytes).as_ref(), Ok(state));
    }
    let written: Vec<_> = states
        .iter()
        .map(|state| encoded(|out| state.encode(out)))
        .collect();
    for (bytes, state) in golden("v2/task.hex", &written).iter().zip(states) {
        assert_eq!(TaskState::decode(bytes), Ok(state));
    }
}

#[test]
fn positions() {
    let positions = [position(0), position(1_234_567)];
    let written = positions
        .clone()
        .map(|position| encoded(|out| position.encode(out)));
    for (bytes, position) in golden("v1/position.hex", &written).iter().zip(positions) {
        assert_eq!(Position::decode(bytes), Ok(position));
    }
}

#[test]
fn parts() {
    let mut written = Vec::new();
    let mut chunks = 0;
    for (write, bytes) in [(1, &b""[..]), (2, b"eleven byte")] {
        let mut put = |key: &[u8], value: &[u8]| written.extend([key.to_vec(), value.to_vec()]);
        chunks += put_parts(Pane::of(MINUTE), b"de", Write(write), bytes, 10, &mut put);
    }
    assert_eq!(chunks, 4);
    let mut reader = PartReader::new();
    let mut parts = Vec::new();
    for entry in golden("v1/parts.hex", &written).chunks(2) {
        parts.extend(reader.push(&entry[0], &entry[1]).unwrap());
    }
    reader.finish().unwrap();
    let bytes: Vec<_> = parts
        .iter()
        .map(|part| (part.write.0, &part.bytes[..]))
        .collect();
    assert_eq!(bytes, [(1, &b""[..]), (2, b"eleven byte")]);
}

#[test]
fn records_of_the_repartition_topic() {
    let mut writer = ExchangeWriter::new(60);
    writer.part(Pane::of(MINUTE), b"de", 3, b"partial");
    writer.part(Pane::of(MINUTE), b"", 3, &[7; 40]);
    writer.watermark(&clicks(3), MINUTE.end);
    let mut written = Vec::new();
    writer.finish(|value| written.push(value.to_vec()));
    let mut pieces = Pieces::new();
    let mut read = Vec::new();
    for value in golden("v1/exchange.hex", &written) {
        for entry in ExchangeReader::new(&value) {
            match entry.unwrap() {
                Exchanged::Part {
                    key, source, bytes, ..
                } => {
                    read.push((key.to_vec(), source, bytes.to_vec()));
                }
                Exchanged::Piece {
                    pane,
                    key,
                    source,
                    piece,
                } => {
                    let whole = pieces.add(pane, key, source, piece).unwrap();
                    read.extend(whole.map(|bytes| (key.to_vec(), source, bytes)));
                }
                Exchanged::Held(..) | Exchanged::Ended(_) => panic!("none was sent"),
                Exchanged::Watermark(at, watermark) => {
                    assert_eq!((at, watermark), (clicks(3), MINUTE.end));
                }
            }
        }
    }
    let expected = [
        (b"de".to_vec(), 3, b"partial".to_vec()),
        (vec![], 3, vec![7; 40]),
    ];
    assert_eq!(read, expected);
}

#[test]
fn rows() {
    let field = |name: &str, ty, optional| Field {
        name: name.to_owned(),
        ty,
        optional,
    };
    let fields = [
        field("b", FieldType::Bool, true),
        field("i", FieldType::Int64, false),
        field("f", FieldType::Float64, false),
        field("t", FieldType::Timestamp, true),
        field("text", FieldType::Text, true),
        field("bytes", FieldType::Bytes, false),
        field("json", FieldType::Json, false),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Int64Array::from(vec![-1, 0, i64::MAX])),
        Arc::new(Float64Array::from(vec![0.1, -0.0, f64::INFINITY])),
        Arc::new(TimestampMillisecondArray::from(vec![
            Some(-1),
            Some(0),
            Some(MINUTE.end.0),
        ])),
        Arc::new(StringArray::from(vec![None, Some(""), Some("ü")])),
        Arc::new(BinaryArray::from(vec![&b""[..], b"\x00", b"\xff\xfe"])),
        Arc::new(StringArray::from(vec!["{}", "[1]", "null"])),
    ];
    let rows = Rows::new(3, columns);
    let all = encoded(|out| encode_rows(&fields, &rows, 0..3, out));
    let one = encoded(|out| encode_rows(&fields, &rows, [1].into_iter(), out));
    let golden = golden("v1/rows.hex", &[all, one]);
    let parts: Vec<&[u8]> = golden.iter().map(Vec::as_slice).collect();
    let read = decode_rows(&fields, &parts).unwrap();
    assert_eq!(read.columns, rows.take(&[0, 1, 2, 1]).unwrap().columns);
}

#[test]
fn marks() {
    let lineage = Lineage::new(MINUTE.start, "5f1d7a84c02bdd6e-0", source(0));
    let shape = Shape {
        stages: Stages::One,
        partitions: 1,
        kind: "window-apply".to_owned(),
        function: "visitors".to_owned(),
        state_version: 1,
        window: "tumbling 1m".to_owned(),
        key: "country".to_owned(),
        reads: "user_id: text".to_owned(),
    };
    let origin = Origin {
        lineage,
        base: Offset(12),
    };
    let mark = |times: [Timestamp; 2], shape, state| Mark {
        watermark: times[0],
        highest: times[1],
        shape,
        state,
        generation: 0,
    };
    let none = [Timestamp::MIN; 2];
    let unknown = [MINUTE.end, Timestamp::MIN];
    let known = [MINUTE.end, Timestamp(MINUTE.end.0 + 5_000)];
    // The first ones had no highest event time.
    let files = [
        (
            "v1/mark.ndjson",
            vec![
                mark(none, Shape::default(), None),
                mark(unknown, shape.clone(), Some(origin.clone())),
            ],
        ),
        ("v2/mark.ndjson", vec![mark(known, shape, Some(origin))]),
    ];
    for (name, marks) in files {
        let now: String = marks.iter().map(|mark| mark.to_json() + "\n").collect();
        let text = read(name);
        assert!(text == now, "{name} is not what is written now:\n{now}");
        for (line, mark) in text.lines().zip(marks) {
            assert_eq!(Mark::parse(line), Ok(mark));
        }
    }
}
