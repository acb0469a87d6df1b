//! Each plugin gives what its sample says, as the component that a pipeline would load, under a pipeline's limits.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::path::{Path, PathBuf};

use millstream::pipeline::config::defaults;
use millstream::plugin::{GuestFault, Kind, Plugin, PluginEngine};
use millstream::sample::{self, Run, Sample, SampleError, SampleTexts, Way};
use serde_json::json;

fn folder(name: &str) -> PathBuf {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    host.join("../plugins").join(name).join("sample")
}

fn loaded(name: &str) -> (PluginEngine, Plugin) {
    let engine = support::engine();
    let file = support::components().join(format!("{name}.wasm"));
    let plugin = Plugin::load(&engine, &file, defaults::LIMITS.into()).unwrap();
    (engine, plugin)
}

fn run(name: &str, sample: &Sample) -> Result<Vec<Run>, SampleError> {
    let (engine, plugin) = loaded(name);
    sample::run(&engine, &plugin, defaults::LIMITS.into(), sample)
}

/// What differs in each way of running the sample.
fn differences(name: &str, sample: &Sample) -> Vec<(Way, Vec<String>)> {
    let runs = run(name, sample).unwrap();
    let differences = |run: Run| (run.way, run.outcome.differences(&sample.expected));
    runs.into_iter().map(differences).collect()
}

fn passes(name: &str, ways: &[Way]) {
    let sample = sample::load(&folder(name)).unwrap();
    let expected: Vec<_> = ways.iter().map(|way| (*way, Vec::new())).collect();
    assert_eq!(differences(name, &sample), expected);
    carries(name);
}

/// The component carries the same sample.
fn carries(name: &str) {
    let (engine, plugin) = loaded(name);
    for (file, text) in plugin.sample() {
        let beside = std::fs::read_to_string(folder(name).join(file)).unwrap();
        assert_eq!(*text, beside, "{file}");
    }
    assert!(plugin.sample().contains_key("input.ndjson"));
    sample::prove(&engine, &plugin, defaults::LIMITS.into()).unwrap();
}

const ROWS: [Way; 1] = [Way::AtOnce];
const AGGREGATE: [Way; 2] = [Way::AtOnce, Way::InHalves];

#[test]
fn bot_filter_gives_what_its_sample_says() {
    passes("bot-filter", &ROWS);
}

#[test]
fn page_view_gives_what_its_sample_says() {
    passes("page-view", &ROWS);
}

#[test]
fn order_items_gives_what_its_sample_says() {
    passes("order-items", &ROWS);
}

#[test]
fn unique_visitors_gives_what_its_sample_says() {
    passes("unique-visitors", &AGGREGATE);
}

#[test]
fn unique_visitors_approx_gives_what_its_sample_says() {
    passes("unique-visitors-approx", &AGGREGATE);
}

#[test]
fn unique_visitors_window_gives_what_its_sample_says() {
    passes("unique-visitors-window", &ROWS);
}

#[test]
fn row_count_gives_what_its_sample_says() {
    passes("row-count", &AGGREGATE);
}

#[test]
fn top_pages_gives_what_its_sample_says() {
    passes("top-pages", &AGGREGATE);
}

#[test]
fn revenue_gives_what_its_sample_says() {
    passes("revenue", &AGGREGATE);
}

#[test]
fn every_plugin_has_its_sample() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut found = 0;
    for entry in std::fs::read_dir(plugins).unwrap() {
        let path = entry.unwrap().path();
        if path.join("Cargo.toml").is_file() {
            sample::load(&path.join("sample")).unwrap();
            found += 1;
        }
    }
    assert_eq!(found, 9, "a new plugin gets a test of its own in this file");
}

#[test]
fn a_wrong_expectation_fails_in_every_way_and_is_shown() {
    let mut sample = sample::load(&folder("unique-visitors")).unwrap();
    sample.expected.rows[0]["unique_visitors"] = json!(5);
    let told = vec![
        r#"- row 1: {"unique_visitors":5}"#.to_owned(),
        r#"+ row 1: {"unique_visitors":4}"#.to_owned(),
    ];
    let expected = AGGREGATE.map(|way| (way, told.clone()));
    assert_eq!(differences("unique-visitors", &sample), expected);
}

#[test]
fn a_refusal_that_is_not_expected_fails() {
    let mut sample = sample::load(&folder("revenue")).unwrap();
    let refusal = sample.expected.refused.remove(0);
    let told = format!("+ refusal 1: record {}: {}", refusal.row, refusal.message);
    let expected = AGGREGATE.map(|way| (way, vec![told.clone()]));
    assert_eq!(differences("revenue", &sample), expected);
}

fn parsed(texts: SampleTexts<'_>) -> Sample {
    sample::parse(texts).unwrap()
}

#[test]
fn a_record_that_does_not_decode_is_refused_and_the_others_keep_their_numbers() {
    let sample = parsed(SampleTexts {
        input: "{\"user_id\": 7}\n{\"user_id\": \"u\", \"url\": \"/a\"}\n{\"user_id\": \"u\", \"url\": \"a\"}\n",
        expected: "{\"path\": \"/a\", \"query\": null, \"campaign\": null, \"section\": \"a\"}\n",
        ..SampleTexts::default()
    });
    let runs = run("page-view", &sample).unwrap();
    let outcome = &runs[0].outcome;
    let refused: Vec<u32> = outcome.refused.iter().map(|r| r.row).collect();
    assert_eq!(refused, [0, 2]);
    assert!(outcome.refused[0].message.contains("url"), "{outcome:?}");
}

#[test]
fn a_key_gathers_rows_apart_also_where_a_window_sees_all_of_them() {
    let sample = parsed(SampleTexts {
        input: "{\"user_id\": \"b\", \"shop\": \"2\"}\n{\"user_id\": \"a\", \"shop\": \"1\"}\n\
                {\"user_id\": \"a\", \"shop\": \"2\"}\n{\"user_id\": \"a\", \"shop\": \"1\"}\n",
        expected: "{\"key\": \"1\", \"unique_visitors\": 1}\n{\"key\": \"2\", \"unique_visitors\": 2}\n",
        step: "key = \"shop\"",
        ..SampleTexts::default()
    });
    for name in ["unique-visitors", "unique-visitors-window"] {
        for (way, told) in differences(name, &sample) {
            assert!(told.is_empty(), "{name} {way}: {told:?}");
        }
    }
}

#[test]
fn a_key_of_a_filter_is_a_mistake_of_the_sample() {
    let mut sample = sample::load(&folder("bot-filter")).unwrap();
    sample.key = Some("user_id".to_owned());
    let error = run("bot-filter", &sample).unwrap_err();
    assert!(matches!(error, SampleError::NoKey(Kind::Filter)), "{error}");
}

#[test]
fn a_configuration_that_the_function_refuses_stops_the_sample() {
    let mut sample = sample::load(&folder("top-pages")).unwrap();
    sample.settings.0.insert("k".to_owned(), json!(0));
    let SampleError::Function(failure) = run("top-pages", &sample).unwrap_err() else {
        panic!("the function is at fault");
    };
    assert!(matches!(failure.fault, GuestFault::Refused(_)), "{failure}");
}
