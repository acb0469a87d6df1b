//! Every example of `docs/time.md` comes out as the page says. An example is a block `toml` with what the pipeline file has of
//! `[source]` and `[[step]]`, a block `events` and a block `results`; several events in a row may share a block `toml`.

use std::path::Path;

use toml::{Table, Value};

use crate::judge::{expect, oracle_says};
use crate::lines::Line;
use crate::rig::Interleaving;
use crate::rules::Rules;
use crate::scenario::{Happening, Scenario};
use crate::text::{lines, scenario};

/// The source and the step of a block of a pipeline file.
fn settings(block: &str) -> (Table, Table) {
    let file: Table = block
        .parse()
        .unwrap_or_else(|error| panic!("{error}\n{block}"));
    let known = |key: &String| key == "source" || key == "step";
    assert!(file.keys().all(known), "{block}");
    let source = file.get("source").and_then(Value::as_table).cloned();
    let step = file["step"].as_array().unwrap()[0].as_table().unwrap();
    (source.unwrap_or_default(), step.clone())
}

/// An example: what happens, and what comes of it.
type Example = (Scenario, Vec<Line>);

/// All examples of the page.
fn examples() -> Vec<Example> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/time.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (mut of, mut events) = (None, None);
    let mut examples = Vec::new();
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        match language {
            "toml" => (of, events) = (Some(settings(text)), None),
            "events" => events = Some(text),
            "results" => {
                let (source, step) = of.clone().unwrap();
                let events = events.take();
                let events = events.unwrap_or_else(|| panic!("no events for\n{text}"));
                let expected = lines(text);
                let expected = expected.iter().map(|line| Line::parse(line)).collect();
                examples.push((scenario(source, step, events), expected));
            }
            _ => {}
        }
    }
    assert!(examples.len() > 15, "{} examples", examples.len());
    examples
}

/// Whether the oracle knows what comes of a scenario, record by record: not if the wall clock has a part in it.
fn is_by_events_alone(scenario: &Scenario) -> bool {
    let waits = |happening: &Happening| matches!(happening, Happening::Wait(_));
    let has_clock = scenario.source.contains_key("max_future");
    !has_clock && !Rules::of(scenario).is_early && !scenario.happenings.iter().any(waits)
}

/// All that differs, of all examples.
fn each(check: impl Fn(&Example) -> Result<(), String>) {
    let failed: Vec<String> = examples()
        .iter()
        .filter_map(|example| check(example).err())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn every_example_of_the_page_comes_out_as_it_says() {
    each(|(scenario, expected)| {
        let interleavings = match Rules::of(scenario).is_early {
            true => &[Interleaving::OneByOne][..],
            false => &Interleaving::ALL,
        };
        expect(scenario, interleavings, expected)
    });
}

#[test]
fn the_oracle_says_what_the_page_says() {
    each(|(scenario, expected)| match is_by_events_alone(scenario) {
        true => oracle_says(scenario, expected),
        false => Ok(()),
    });
}
