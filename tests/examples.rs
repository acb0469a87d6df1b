//! Every example on the embedded log: on its own few rows, whose results can be worked out by hand, and on generated
//! ones, whose results are worked out here by the plainest means.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use millstream::generate::{
    Click, ClickConfig, Clicks, ExpectedWindow, Oracle, Order, OrderConfig, Orders, Rendering,
    Truth,
};
use millstream::log::embedded::EmbeddedLog;
use millstream::pipeline::Pipeline;
use millstream::pipeline::config::{self, LogConfig, LogPlace};
use millstream::time::Timestamp;
use millstream::worker::Snapshot;
use serde_json::Value;
use support::{ToWrite, components, create, read_all, run_to_end, write};

const SEED: u64 = 3;
const EVENTS: u64 = 20_000;
const PARTITIONS: i32 = 4;
/// Windows and disorder of all examples, in milliseconds.
const WINDOW: i64 = 60_000;
const DISORDER: i64 = 5_000;

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(path)
}

/// What an example makes of its input: the results in the order of window, key and rank, and what was counted.
fn results(example: &str, partitions: i32, input: Vec<ToWrite>) -> (Vec<Value>, Snapshot) {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(file(example).join("pipeline.toml")).unwrap();
    let plugins = components().to_str().unwrap();
    let environment = |name: &str| (name == "MILLSTREAM_PLUGINS").then(|| plugins.to_owned());
    let mut config = config::parse(&text, &environment, &|path| std::fs::read_to_string(path));
    let config = config.as_mut().unwrap();
    config.log = LogConfig {
        place: LogPlace::Embedded(folder.path().to_owned()),
        ..config.log.clone()
    };

    let log = EmbeddedLog::open(folder.path()).unwrap();
    let [topic] = config.source.topics.as_slice() else {
        panic!("every example reads one topic");
    };
    create(&log, topic, partitions, &[]);
    write(&log, topic, input);

    let engine = support::engine();
    let pipeline = Pipeline::prepare(config.clone(), &engine).unwrap();
    let done = run_to_end(&pipeline, &engine, &log);
    let mut results: Vec<Value> = Vec::new();
    for record in read_all(&log, &config.sink_topic) {
        let value = record.json();
        assert_eq!(record.timestamp.0, number(&value, "window_end_ms") - 1);
        results.push(value);
    }
    results.sort_by_key(|value| {
        (
            number(value, "window_start_ms"),
            value["key"].as_str().map(str::to_owned),
            value["rank"].as_i64(),
        )
    });
    assert_eq!(results.len() as u64, done.results);
    (results, done)
}

fn number(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap()
}

/// Runs an example on the lines of its sample and compares with what is written beside it.
fn gives_what_its_sample_expects(example: &str, input: &str, expected: &str) -> Snapshot {
    let lines = std::fs::read_to_string(file(input)).unwrap();
    let records = lines
        .lines()
        .map(|line| (0, None, Some(line.as_bytes().to_vec()), Timestamp(0)));
    let (results, done) = results(example, 1, records.collect());
    let expected = std::fs::read_to_string(file(expected)).unwrap();
    let expected: Vec<Value> = expected
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(results, expected);
    done
}

fn clicks(rendering: Rendering) -> Vec<Click> {
    let config = ClickConfig {
        seed: SEED,
        events: EVENTS,
        partitions: PARTITIONS,
        rate: 60,
        rendering,
        ..ClickConfig::default()
    };
    Clicks::new(config).unwrap().collect()
}

fn records_of(clicks: &[Click]) -> Vec<ToWrite> {
    let record = |click: &Click| {
        let key = Some(click.key.clone());
        let at = Timestamp(click.timestamp);
        (click.partition, key, click.value.clone(), at)
    };
    clicks.iter().map(record).collect()
}

/// Rows in the windows that close, by the rules of event time, written out once more: a row is late by the latest
/// time in its own partition, and a window closes when the slowest partition has passed it. Also, how many are late.
fn windowed<T>(rows: impl IntoIterator<Item = (i32, i64, T)>) -> (BTreeMap<i64, Vec<T>>, u64) {
    let mut latest: HashMap<i32, i64> = HashMap::new();
    let mut windows: BTreeMap<i64, Vec<T>> = BTreeMap::new();
    let mut late = 0;
    for (partition, time, row) in rows {
        let start = time - time.rem_euclid(WINDOW);
        let passed = |latest: &i64| latest - DISORDER >= start + WINDOW;
        if latest.get(&partition).is_some_and(passed) {
            late += 1;
        } else {
            windows.entry(start).or_default().push(row);
        }
        let latest = latest.entry(partition).or_insert(time);
        *latest = time.max(*latest);
    }
    assert_eq!(latest.len(), 4, "every partition has rows");
    let slowest = latest.values().min().unwrap() - DISORDER;
    windows.retain(|start, _| start + WINDOW <= slowest);
    (windows, late)
}

/// The unique visitors of each window as an example counts them, checked against the oracle.
fn unique_visitors(example: &str) -> Vec<Value> {
    let clicks = clicks(Rendering::Json);
    let ClickConfig {
        window, disorder, ..
    } = ClickConfig::default();
    let mut oracle = Oracle::new(window, disorder, PARTITIONS).unwrap();
    clicks.iter().for_each(|click| oracle.observe(click));
    let expected = oracle.expected();

    let (results, done) = results(example, PARTITIONS, records_of(&clicks));
    let counted = |value: &Value| {
        (
            number(value, "window_start_ms"),
            number(value, "unique_visitors"),
        )
    };
    let counted: Vec<_> = results.iter().map(counted).collect();
    let right =
        |window: &ExpectedWindow| (window.start, i64::try_from(window.unique_visitors).unwrap());
    let right: Vec<_> = expected.windows.iter().map(right).collect();
    assert_eq!(counted, right);
    assert!(right.len() >= 5, "{right:?}");
    assert_eq!(
        (done.records, done.filtered, done.late, done.dead_letters),
        (EVENTS, expected.bots, expected.late, expected.malformed)
    );
    assert!(expected.bots > 0 && expected.late > 0 && expected.malformed > 0);
    results
}

#[test]
fn unique_visitors_and_its_twin_count_as_the_generator_does_and_agree_window_by_window() {
    let aggregate = unique_visitors("unique-visitors");
    let window_apply = unique_visitors("unique-visitors-window");
    assert_eq!(aggregate, window_apply);
}

#[test]
fn top_pages_ranks_as_a_full_count_does() {
    let clicks = clicks(Rendering::AccessLog);
    let rows = clicks.iter().filter_map(|click| match click.truth {
        Truth::Visit { event_time, .. } | Truth::Bot { event_time } => {
            let line = std::str::from_utf8(click.value.as_ref().unwrap()).unwrap();
            let request = line.split('"').nth(1).unwrap();
            let path = request.split(' ').nth(1).unwrap();
            Some((click.partition, event_time, path))
        }
        Truth::Malformed(_) => None,
    });
    let (windows, late) = windowed(rows);
    let mut expected = Vec::new();
    for (start, paths) in &windows {
        let mut views: BTreeMap<&str, i64> = BTreeMap::new();
        for path in paths {
            *views.entry(path).or_default() += 1;
        }
        let mut views: Vec<_> = views.into_iter().collect();
        views.sort_by_key(|(path, views)| (Reverse(*views), *path));
        for (rank, (path, views)) in (1..=3).zip(views) {
            expected.push((*start, rank, path.to_owned(), views));
        }
    }

    let (results, done) = results("top-pages", PARTITIONS, records_of(&clicks));
    let ranked = |value: &Value| {
        (
            number(value, "window_start_ms"),
            number(value, "rank"),
            value["page"].as_str().unwrap().to_owned(),
            number(value, "views"),
        )
    };
    let ranked: Vec<_> = results.iter().map(ranked).collect();
    assert_eq!(ranked, expected);
    assert!(windows.len() >= 5, "{}", windows.len());
    let malformed = clicks
        .iter()
        .filter(|click| matches!(click.truth, Truth::Malformed(_)))
        .count();
    assert_eq!(
        (done.records, done.late, done.dead_letters),
        (EVENTS, late, malformed as u64)
    );
}

#[test]
fn revenue_adds_up_to_the_cents_of_the_orders() {
    let orders = Orders::new(&OrderConfig {
        seed: SEED,
        events: EVENTS,
        partitions: PARTITIONS,
        ..OrderConfig::default()
    });
    let orders: Vec<Order> = orders.unwrap().collect();
    let (windows, late) = windowed(
        orders
            .iter()
            .map(|order| (order.partition, order.event_time, order)),
    );
    let mut expected: BTreeMap<(i64, &str), (i64, usize)> = BTreeMap::new();
    for (start, orders) in &windows {
        for order in orders {
            let value: Value = serde_json::from_slice(&order.value).unwrap();
            let (cents, items) = expected.entry((*start, order.currency)).or_default();
            *cents += i64::from(order.cents);
            *items += value["items"].as_array().unwrap().len();
        }
    }

    let record = |order: &Order| {
        let (key, value) = (Some(order.key.clone()), Some(order.value.clone()));
        (order.partition, key, value, Timestamp(order.timestamp))
    };
    let (results, done) = results("revenue", PARTITIONS, orders.iter().map(record).collect());
    assert_eq!(results.len(), expected.len());
    for (value, ((start, currency), (cents, items))) in results.iter().zip(expected) {
        assert_eq!(number(value, "window_start_ms"), start);
        assert_eq!(
            (&value["key"], &value["currency"]),
            (&currency.into(), &currency.into())
        );
        assert_eq!(value["sales"], items);
        // Prices are floats on the way, so only rounded is the sum the one in cents.
        let revenue = value["revenue"].as_f64().unwrap();
        assert_eq!(
            format!("{revenue:.2}"),
            format!("{}.{:02}", cents / 100, cents % 100)
        );
    }
    assert!(windows.len() >= 5, "{}", windows.len());
    assert_eq!(
        (done.records, done.late, done.dead_letters),
        (EVENTS, late, 0)
    );
}

#[test]
fn unique_visitors_gives_what_its_sample_expects() {
    for example in ["unique-visitors", "unique-visitors-window"] {
        let done = gives_what_its_sample_expects(
            example,
            "unique-visitors/sample/input.ndjson",
            "unique-visitors/sample/expected.ndjson",
        );
        assert_eq!((done.filtered, done.late, done.dead_letters), (1, 1, 1));
    }
}

#[test]
fn top_pages_gives_what_its_sample_expects() {
    let done = gives_what_its_sample_expects(
        "top-pages",
        "top-pages/sample/access.log",
        "top-pages/sample/expected.ndjson",
    );
    assert_eq!((done.late, done.dead_letters), (1, 1));
}

#[test]
fn revenue_gives_what_its_sample_expects() {
    let done = gives_what_its_sample_expects(
        "revenue",
        "revenue/sample/input.ndjson",
        "revenue/sample/expected.ndjson",
    );
    assert_eq!((done.late, done.dead_letters), (1, 1));
}
