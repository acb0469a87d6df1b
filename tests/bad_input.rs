//! Records that nobody can use: each is dead-lettered whole, with a reason that a person can read, and the records around it
//! are counted as if it had never come. On both logs.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::BTreeMap;

use millstream::log::Log;
use millstream::log::embedded::EmbeddedLog;
use millstream::time::Timestamp;
use support::{ToWrite, create, kafka, pipeline, read_all, run_to_end, unique, write};

const START: i64 = 1_700_000_040_000;

fn good(at: i64, user: &str) -> Vec<u8> {
    format!(r#"{{"event_time":{at},"user_id":"{user}","user_agent":"Firefox"}}"#).into_bytes()
}

/// A value, and a part of the reason for which it is refused.
fn bad() -> Vec<(Option<Vec<u8>>, &'static str)> {
    let with = |field: &str| {
        let rest = r#""user_id":"x","user_agent":"Firefox""#;
        Some(format!(r#"{{"event_time":{START},{rest},{field}}}"#).into_bytes())
    };
    let at = |time: &str| {
        Some(format!(r#"{{"event_time":{time},"user_id":"x","user_agent":"F"}}"#).into_bytes())
    };
    let mut not_utf8 = good(START, "x");
    not_utf8[40] = 0xff;
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep = format!(r#"{{"event_time":{START},"user_agent":"F","user_id":{nested}}}"#);
    let unclosed = format!("{{\"event_time\":{START},\"deep\":{}", "[".repeat(10_000));
    vec![
        (None, "no value"),
        (Some(Vec::new()), "empty"),
        (Some(b"not json".to_vec()), "JSON"),
        (Some(b"[1, 2]".to_vec()), "object"),
        (Some(good(START, "x")[..30].to_vec()), "JSON"),
        (Some(not_utf8), "UTF-8"),
        (Some(deep.into_bytes()), "user_id"),
        (Some(unclosed.into_bytes()), "JSON"),
        (with(r#""user_id":7"#), "user_id"),
        (with(r#""user_id":null"#), "user_id"),
        (at("9405000000000000"), "9405000000000000"),
        (at("99999999999999999999"), "event_time"),
        (at("1.5"), "event_time"),
        (at("\"yesterday\""), "event_time"),
        (
            Some(br#"{"user_id":"x","user_agent":"Firefox"}"#.to_vec()),
            "event_time",
        ),
        (
            Some(format!("{}{}", "x".repeat(10 << 20), "y").into_bytes()),
            "JSON",
        ),
    ]
}

fn bad_records_are_set_aside<L: Log>(log: &L) {
    let topics = ["clicks", "visitors", "dead", "late"].map(unique);
    let [clicks, visitors, dead, late] = &topics;
    let large = [("max.message.bytes", "12000000")];
    create(log, clicks, 1, &large);
    // The dead-letter topic keeps its default limit: a record of 10 MB does not fit.
    create(log, dead, 1, &[]);
    let file = format!(
        r#"
        name = "{}"
        log = {{ embedded = "unused", create_topics = true }}
        source = {{ topic = "{clicks}", event_time = {{ field = "event_time", unit = "ms" }}, allowed_disorder = "0s" }}
        sink.topic = "{visitors}"
        dead_letters.topic = "{dead}"
        late.topic = "{late}"
        [[step]]
        filter = "{{plugins}}/bot-filter.wasm"
        [[step]]
        aggregate = "{{plugins}}/unique-visitors.wasm"
        window = {{ tumbling = "1m" }}
        "#,
        unique("bad-input")
    );

    let bad = bad();
    let mut records: Vec<ToWrite> = Vec::new();
    for (number, (value, _)) in bad.iter().enumerate() {
        let user = format!("u{number}");
        let key = Some(format!("k{number}").into_bytes());
        records.push((0, key.clone(), Some(good(START, &user)), Timestamp(START)));
        records.push((0, key, value.clone(), Timestamp(START)));
    }
    records.push((
        0,
        None,
        Some(good(START + 60_000, "next")),
        Timestamp(START),
    ));
    write(log, clicks, records);

    let engine = support::engine();
    let counted = run_to_end(&pipeline(&file, &engine), &engine, log);
    assert_eq!(counted.dead_letters, bad.len() as u64);

    let results = read_all(log, visitors);
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].json()["unique_visitors"], bad.len());

    let letters: BTreeMap<i64, _> = read_all(log, dead)
        .into_iter()
        .map(|letter| (letter.origin().1, letter))
        .collect();
    assert_eq!(letters.len(), bad.len());
    for (number, (value, reason)) in bad.iter().enumerate() {
        let offset = i64::try_from(2 * number + 1).unwrap();
        let letter = &letters[&offset];
        let told = letter.header("millstream.reason");
        assert!(told.contains(reason), "record {offset}: {told}");
        assert!(
            told.len() < 2_000,
            "record {offset}: a reason of {} bytes",
            told.len()
        );
        assert_eq!(letter.header("millstream.step"), "decode");
        assert_eq!(letter.header("millstream.topic"), clicks);
        assert_eq!(letter.key, Some(format!("k{number}").into_bytes()));
        match letter.headers.get("millstream.omitted_bytes") {
            None => assert_eq!(letter.value, *value),
            Some(bytes) => {
                assert_eq!(letter.value, None);
                assert_eq!(bytes, value.as_ref().unwrap().len().to_string().as_bytes());
            }
        }
    }
}

#[test]
fn bad_records_are_set_aside_on_the_embedded_log() {
    let folder = tempfile::tempdir().unwrap();
    bad_records_are_set_aside(&EmbeddedLog::open(folder.path()).unwrap());
}

#[test]
fn bad_records_are_set_aside_on_kafka() {
    if let Some(log) = kafka() {
        bad_records_are_set_aside(&log);
    }
}
