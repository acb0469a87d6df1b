//! Components that are none, that no host should take, or that fail while they run: each is told with a message that its
//! operator can read, and none takes the host with it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow_array::Int64Array;
use millstream::log::embedded::EmbeddedLog;
use millstream::log::{Fetched, Log, Outbox, Reader, RecordParts, TopicSpec, Writer};
use millstream::pipeline::config::{self, defaults};
use millstream::pipeline::plan::PlanError;
use millstream::pipeline::{Pipeline, PrepareError};
use millstream::plugin::{
    FilterInstance, GuestFailure, GuestFault, Limits, MapInstance, Plugin, PluginEngine,
};
use millstream::rows::Rows;
use millstream::state::InstanceFolder;
use millstream::time::{SystemClock, Timestamp};
use millstream::worker::{Rollout, Team};

fn limits() -> Limits {
    defaults::LIMITS.into()
}

fn fixture(name: &str) -> PathBuf {
    support::components()
        .join("fixtures")
        .join(format!("{name}.wasm"))
}

/// Why a file is refused. It names the file.
fn refused(file: &Path) -> String {
    let engine = support::engine();
    refused_by(&engine, file)
}

fn refused_by(engine: &PluginEngine, file: &Path) -> String {
    let error = Plugin::load(engine, file, limits()).err().unwrap();
    let told = error.to_string();
    assert!(told.starts_with(&file.display().to_string()), "{told}");
    told
}

/// Why a file of these bytes is refused.
fn refused_bytes(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.wasm");
    fs::write(&file, bytes).unwrap();
    refused(&file)
}

#[track_caller]
fn assert_says(told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
}

#[test]
fn a_missing_file_is_said_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let told = refused(&folder.path().join("nowhere.wasm"));
    assert_says(
        &told,
        &["nowhere.wasm", "no such file", "build the plugins"],
    );
}

#[test]
fn an_empty_file_and_a_text_are_not_webassembly() {
    assert_says(&refused_bytes(b""), &["not WebAssembly"]);
    assert_says(&refused_bytes(b"name = \"p\"\n"), &["not WebAssembly"]);
}

#[test]
fn a_core_module_is_told_from_a_component() {
    let told = refused_bytes(b"\0asm\x01\0\0\0");
    assert_says(&told, &["core WebAssembly module", "wasm32-wasip2"]);
}

#[test]
fn a_component_cut_off_anywhere_is_refused() {
    let whole = fs::read(fixture("frozen-filter")).unwrap();
    for sixteenths in 1..16 {
        let told = refused_bytes(&whole[..whole.len() * sixteenths / 16]);
        assert_says(&told, &["not a valid component"]);
    }
}

#[test]
fn a_flipped_bit_is_refused_or_does_no_harm() {
    let engine = support::engine();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flipped.wasm");
    let whole = fs::read(fixture("frozen-filter")).unwrap();
    let mut taken = 0;
    for at in (8..whole.len()).step_by(whole.len() / 24) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&file, &bytes).unwrap();
        match Plugin::load(&engine, &file, limits()) {
            Ok(plugin) => {
                // A constant or the text of a message: only the digest shows it.
                taken += 1;
                if let Ok(mut instance) = FilterInstance::start(&engine, &plugin, "{}", limits())
                    && let Ok(selection) = instance.filter(&numbers(&[1, 2]), &[0])
                {
                    assert!(selection.kept.iter().all(|row| *row < 2));
                }
            }
            Err(error) => assert_says(&error.to_string(), &["flipped.wasm: "]),
        }
    }
    assert!(taken < 24, "not one of the flips was noticed");
    // The first byte after the header says what kind of section follows.
    let mut bytes = whole;
    bytes[8] ^= 0x80;
    assert_says(&refused_bytes(&bytes), &["not a valid component"]);
}

#[test]
fn a_component_of_another_world_is_told_what_it_exports() {
    let told = refused(&fixture("other-world"));
    assert_says(
        &told,
        &["another world", "greeter:demo/hello", "filter-function"],
    );
}

#[test]
fn an_import_that_no_plugin_may_have_is_named() {
    let told = refused(&fixture("unknown-import"));
    assert_says(&told, &["evil:host/files", "no plugin may import"]);
}

#[test]
fn a_component_of_a_later_contract_is_told_so() {
    let told = refused(&fixture("future-contract"));
    assert_says(
        &told,
        &["another version of the contract", "@0.2.0", "0.1.1"],
    );
}

/// A pipeline of row steps on an embedded log.
fn pipeline(log: &Path, steps: &str) -> String {
    format!(
        "name = \"p\"\nlog.embedded = '{}'\nsource.topic = \"in\"\nsink.topic = \"out\"\n\
         dead_letters.topic = \"dead\"\n{steps}",
        log.display()
    )
}

fn step(kind: &str, component: &Path, more: &str) -> String {
    format!("[[step]]\n{kind} = '{}'\n{more}\n", component.display())
}

fn prepare(engine: &PluginEngine, text: &str) -> Result<Pipeline, PrepareError> {
    let no_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let config = config::parse(text, &|_| None, &no_file).unwrap();
    Pipeline::prepare(config, engine)
}

/// Why a pipeline of these steps can't run.
fn unprepared(steps: &str) -> PrepareError {
    let engine = support::engine();
    prepare(&engine, &pipeline(Path::new("log"), steps))
        .err()
        .unwrap()
}

#[test]
fn a_filter_in_a_map_step_is_refused() {
    let error = unprepared(&step("map", &fixture("frozen-filter"), ""));
    assert!(matches!(error, PrepareError::Kind { .. }), "{error}");
    let file = "frozen-filter.wasm is a filter component";
    assert_says(
        &error.to_string(),
        &["step frozen-filter", file, "says map"],
    );
}

#[test]
fn a_component_that_is_not_admitted_is_told_with_its_step() {
    let error = unprepared(&step("filter", &fixture("other-world"), "name = \"first\""));
    assert!(matches!(error, PrepareError::Admission { .. }), "{error}");
    assert_says(&error.to_string(), &["step first", "other-world.wasm"]);
}

#[test]
fn a_configuration_that_init_refuses_stops_the_pipeline_before_it_starts() {
    let file = support::components().join("bot-filter.wasm");
    let error = unprepared(&step("filter", &file, "config = { pattern = [\"bot\"] }"));
    assert!(matches!(error, PrepareError::Function { .. }), "{error}");
    assert_says(
        &error.to_string(),
        &["step bot-filter", "refused", "unknown field `pattern`"],
    );
}

#[test]
fn a_field_of_another_type_than_the_next_step_reads_is_refused() {
    let steps = [
        step("map", &fixture("text-user"), ""),
        step("filter", &fixture("wrong-type"), ""),
    ];
    let error = unprepared(&steps.concat());
    let PrepareError::Plan(PlanError::Type { .. }) = &error else {
        panic!("{error}");
    };
    assert_says(
        &error.to_string(),
        &[
            "step wrong-type wants user_id: int64",
            "text-user",
            "user_id: text",
        ],
    );
}

/// Writes records to a topic.
fn write(log: &EmbeddedLog, topic: &str, values: &[&str]) {
    let mut outbox = Outbox::new();
    for value in values {
        let parts = RecordParts {
            partition: None,
            timestamp: Timestamp(0),
            key: None,
            value: Some(value.as_bytes()),
            headers: &[],
        };
        outbox.push(&topic.into(), parts);
    }
    log.writer().unwrap().append(&outbox).unwrap();
}

/// Value, step and reason of each dead letter.
type DeadLetter = (String, String, String);

/// Reads dead letters until there are `count`, or for a minute.
fn dead_letters(log: &EmbeddedLog, count: usize) -> Vec<DeadLetter> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut reader = log.reader("dead", &[]).unwrap();
    let (mut found, mut fetched) = (Vec::new(), Fetched::new());
    let until = Instant::now() + Duration::from_secs(60);
    while found.len() < count && Instant::now() < until {
        reader
            .poll(&mut fetched, Duration::from_millis(100))
            .unwrap();
        for batch in fetched.batches() {
            found.extend((0..batch.len()).map(|row| {
                let header = |name: &str| {
                    let header = batch.headers(row).find(|header| header.name == name);
                    text(header.unwrap().value)
                };
                let value = text(batch.value(row).unwrap());
                (
                    value,
                    header("millstream.step"),
                    header("millstream.reason"),
                )
            }));
        }
    }
    found
}

#[test]
fn a_record_whose_field_is_of_another_type_is_dead_lettered() {
    let folder = tempfile::tempdir().unwrap();
    let engine = support::engine();
    let steps = step("filter", &fixture("wrong-type"), "");
    let pipeline = prepare(&engine, &pipeline(folder.path(), &steps)).unwrap();
    let log = EmbeddedLog::open(folder.path()).unwrap();
    for name in ["in", "dead"] {
        let spec = TopicSpec {
            name: name.to_owned(),
            partitions: 1,
            settings: Default::default(),
        };
        log.create_topic(&spec).unwrap();
    }
    let texts = [r#"{"user_id": "u-1"}"#, r#"{"user_id": "2"}"#];
    write(&log, "in", &[texts[0], r#"{"user_id": 3}"#, texts[1]]);

    let stop = Arc::new(AtomicBool::new(false));
    let rollout = Rollout::fixed(pipeline.clone());
    let team = Team::new(1, Arc::clone(&stop));
    let state = InstanceFolder::claim(&folder.path().join("state"), "p").unwrap();
    let clock = SystemClock::new();
    let found = std::thread::scope(|scope| {
        let working = scope.spawn(|| team.run(&rollout, &engine, &log, &clock, &state, None));
        let found = dead_letters(&log, texts.len());
        stop.store(true, Ordering::Relaxed);
        working.join().unwrap().unwrap();
        found
    });
    assert_eq!(found.len(), texts.len(), "{found:?}");
    for ((value, step, reason), text) in found.iter().zip(texts) {
        assert_eq!((value.as_str(), step.as_str()), (text, "decode"));
        assert_says(reason, &["user_id", "int64"]);
    }
    let counted = team.snapshot();
    assert_eq!(
        (counted.records, counted.results, counted.dead_letters),
        (3, 1, 2)
    );
}

fn numbers(numbers: &[i64]) -> Rows {
    let column = Int64Array::from(numbers.to_vec());
    Rows::new(numbers.len(), vec![Arc::new(column)])
}

/// A map that does what the numbers tell it.
fn panics(limits: Limits) -> MapInstance {
    let engine = support::engine();
    let plugin = Plugin::load(&engine, &fixture("panics"), limits).unwrap();
    MapInstance::start(&engine, &plugin, "{}", limits).unwrap()
}

fn failure(limits: Limits, number: i64) -> GuestFailure {
    let result = panics(limits).map(&numbers(&[1, number]), &[0]);
    let failure = result.err().unwrap();
    assert_says(&failure.to_string(), &["panics@", "sha256"]);
    failure
}

#[test]
fn the_message_of_a_panic_is_in_the_failure() {
    let failure = failure(limits(), 13);
    assert!(matches!(failure.fault, GuestFault::Trap(_)), "{failure}");
    assert_says(&failure.to_string(), &["trapped", "13 brings bad luck"]);
}

#[test]
fn a_call_that_never_returns_is_ended_at_its_deadline() {
    let call = Duration::from_millis(200);
    let failure = failure(Limits { call, ..limits() }, 14);
    assert_eq!(failure.fault, GuestFault::Deadline(call));
    assert_says(&failure.to_string(), &["ran longer than the 200ms"]);
}

#[test]
fn a_guest_that_sleeps_is_woken_by_a_trap() {
    let failure = failure(limits(), 16);
    assert!(matches!(failure.fault, GuestFault::Trap(_)), "{failure}");
    assert_says(&failure.to_string(), &["may not sleep"]);
}

#[test]
fn memory_beyond_the_limit_is_refused() {
    let memory = 16 << 20;
    let failure = failure(Limits { memory, ..limits() }, 15);
    let GuestFault::Memory { wanted, limit } = failure.fault else {
        panic!("{failure}");
    };
    assert!(wanted > memory && limit == memory, "{failure}");
    assert_says(&failure.to_string(), &["ran out of memory", "16777216"]);
}

#[test]
fn rows_in_error_are_named_and_the_others_go_on() {
    let mut instance = panics(limits());
    let (produced, errors) = instance.map(&numbers(&[7, -3, 8, -1]), &[0]).unwrap();
    assert_eq!(produced.source, [0, 2]);
    let told = [
        (1, "-3 is below 0".to_owned()),
        (3, "-1 is below 0".to_owned()),
    ];
    assert_eq!(errors.0, told);
}

#[test]
fn clock_and_chance_are_the_same_in_every_instance() {
    let look = |before: &[i64]| {
        let mut instance = panics(limits());
        instance.map(&numbers(before), &[0]).unwrap();
        let (produced, _) = instance.map(&numbers(&[17]), &[0]).unwrap();
        let clock = produced.rows.columns[0].clone();
        assert_eq!(
            *clock,
            Int64Array::from(vec![0]),
            "it is 1970, and stays so"
        );
        let mut fresh = panics(limits());
        fresh.map(&numbers(&[18, 18, 18]), &[0]).unwrap().0.rows
    };
    assert_eq!(look(&[1]).columns, look(&[1, 2, 3]).columns);
}
