//! What a group has committed decides where a pipeline goes on: what the host wrote itself, what an operator or another tool
//! has set, and what the log no longer has.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use millstream::log::embedded::EmbeddedLog;
use millstream::log::{GroupOffset, Log, Offset, TopicPartition};
use millstream::state::Committed;
use millstream::time::{SystemClock, Timestamp};
use support::{create, pipeline, read_all, run_to_end, run_to_end_by, write};

const GROUP: &str = "visitors";

fn file(start: &str) -> String {
    format!(
        r#"
        name = "{GROUP}"
        log = {{ embedded = "unused", create_topics = true }}
        source = {{ topic = "clicks", start = "{start}", allowed_disorder = "0s" }}
        sink.topic = "visitors"
        dead_letters.topic = "dead"
        late.topic = "late"
        commit = {{ interval = "10ms" }}

        [[step]]
        aggregate = "{{plugins}}/unique-visitors.wasm"
        window = {{ tumbling = "1m" }}
        "#
    )
}

/// A click in each of these minutes, by one user.
fn clicks(log: &EmbeddedLog, minutes: impl Iterator<Item = i64>) {
    let click = |minute| {
        let value = br#"{"user_id":"ada"}"#.to_vec();
        (0, None, Some(value), Timestamp(minute * 60_000))
    };
    write(log, "clicks", minutes.map(click));
}

fn log() -> EmbeddedLog {
    let log = EmbeddedLog::in_memory();
    create(&log, "clicks", 1, &[]);
    log
}

/// Sets where the group stands, as a tool would.
fn set(log: &EmbeddedLog, offset: i64, metadata: &str) {
    let offset = GroupOffset {
        at: TopicPartition::new("clicks", 0),
        offset: Offset(offset),
        metadata: metadata.to_owned(),
    };
    log.set_group_offsets(GROUP, &[offset]).unwrap();
}

#[test]
fn a_second_run_adds_nothing_and_goes_on_with_the_window_that_was_open() {
    let engine = support::engine();
    let log = log();
    let pipeline = pipeline(&file("earliest"), &engine);
    clicks(&log, 0..3);
    run_to_end(&pipeline, &engine, &log);
    assert_eq!(read_all(&log, "visitors").len(), 2);
    // On an empty disk: all there is of the third window is in the changelog.
    run_to_end(&pipeline, &engine, &log);
    assert_eq!(read_all(&log, "visitors").len(), 2);
    clicks(&log, 3..4);
    run_to_end(&pipeline, &engine, &log);
    let third = read_all(&log, "visitors").pop().unwrap().json();
    assert_eq!(third["window_start_ms"], 120_000);
    assert_eq!(third["unique_visitors"], 1);
}

#[test]
fn offsets_that_another_tool_has_set_are_refused_with_what_to_do() {
    let engine = support::engine();
    let log = log();
    let pipeline = pipeline(&file("earliest"), &engine);
    clicks(&log, 0..3);
    run_to_end(&pipeline, &engine, &log);
    set(&log, 0, "");
    let refused = run_to_end_by(&pipeline, &engine, &log, SystemClock::new());
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("millstream state reset"), "{told}");
    assert_eq!(read_all(&log, "visitors").len(), 2, "nothing was written");
}

#[test]
fn a_topic_that_is_shorter_than_what_was_read_is_refused() {
    let engine = support::engine();
    let log = log();
    let pipeline = pipeline(&file("earliest"), &engine);
    clicks(&log, 0..3);
    set(&log, 99_999_999, &Committed::Start.to_json());
    let refused = run_to_end_by(&pipeline, &engine, &log, SystemClock::new());
    let told = refused.unwrap_err().to_string();
    assert!(
        told.contains("99999999") && told.contains("created again"),
        "{told}"
    );
}

#[test]
fn a_pipeline_that_starts_at_the_end_keeps_that_place_before_it_has_read_anything() {
    let engine = support::engine();
    let log = log();
    let pipeline = pipeline(&file("latest"), &engine);
    write(&log, "clicks", [(0, None, None, Timestamp(1))]);
    run_to_end(&pipeline, &engine, &log);
    assert_eq!(
        read_all(&log, "dead").len(),
        0,
        "what was there before is not read"
    );
    // Written while nobody runs.
    write(&log, "clicks", [(0, None, None, Timestamp(2))]);
    run_to_end(&pipeline, &engine, &log);
    assert_eq!(read_all(&log, "dead").len(), 1);
}
