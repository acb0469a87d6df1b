//! Every example of `docs/time.md` comes out as the page says. An example is a block `toml` with what the pipeline file has of
//! `[source]` and `[[step]]`, a block `events` and a block `results`; several events in a row may share a block `toml`.

use std::path::Path;

use toml::{Table, Value};

use crate::judge::{expect, oracle_says};
use crate::lines::Line;
use crate::rig::Interleaving;
use crate::rules::Rules;
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

#[test]
fn every_example_of_the_page_comes_out_as_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/time.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (mut of, mut events, mut count) = (None, None, 0);
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        match language {
            "toml" => (of, events) = (Some(settings(text)), None),
            "events" => events = Some(text),
            "results" => {
                let (source, step) = of.clone().unwrap();
                let events = events
                    .take()
                    .unwrap_or_else(|| panic!("no events for\n{text}"));
                let scenario = scenario(source, step, events);
                let expected: Vec<Line> = lines(text).iter().map(|l| Line::parse(l)).collect();
                let checked = match Rules::of(&scenario).is_early || events.contains("wait") {
                    true => expect(&scenario, &[Interleaving::OneByOne], &expected),
                    false => expect(&scenario, &Interleaving::ALL, &expected)
                        .and_then(|()| oracle_says(&scenario, &expected)),
                };
                checked.unwrap_or_else(|why| panic!("{why}"));
                count += 1;
            }
            _ => {}
        }
    }
    assert!(count > 10, "{count} examples");
}
