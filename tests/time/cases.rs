//! The cases in `cases/`: at the borders of the rules, mostly where other systems have published tests, which are named.

use std::path::Path;

use serde::Deserialize;
use toml::Table;

use crate::judge::{against_oracle, expect, oracle_says};
use crate::lines::Line;
use crate::rig::{Interleaving, run};
use crate::scenario::Scenario;
use crate::text::{lines, scenario};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Who has a test of the same.
    #[serde(default)]
    #[expect(dead_code, reason = "it is for readers")]
    from: String,
    #[serde(default)]
    source: Table,
    step: Table,
    #[serde(default)]
    commit: Commit,
    #[serde(default)]
    events: String,
    #[serde(default)]
    results: String,
    /// What the refusal names; nothing is run then.
    refused: Option<String>,
    /// What is written depends on when rows come.
    #[serde(default)]
    one_by_one: bool,
    /// What is expected depends on the wall clock, of which the oracle does not know.
    #[serde(default)]
    by_wall_clock: bool,
}

/// As the pipeline file has it; a random scenario that has failed may need few rows in a commit.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commit {
    max_rows: Option<i64>,
}

impl Case {
    fn scenario(&self) -> Scenario {
        let mut scenario = scenario(self.source.clone(), self.step.clone(), &self.events);
        scenario.max_rows = self.commit.max_rows.unwrap_or(scenario.max_rows);
        scenario
    }

    fn expected(&self) -> Vec<Line> {
        let lines = lines(&self.results);
        lines.iter().map(|line| Line::parse(line)).collect()
    }

    /// What the engine makes of it.
    fn run(&self) -> Result<(), String> {
        let scenario = self.scenario();
        if let Some(named) = &self.refused {
            return match run(&scenario, Interleaving::AtOnce) {
                Err(why) if why.contains(named) => Ok(()),
                Err(why) => Err(format!("refused, but without a word of {named:?}: {why}")),
                Ok(_) => Err("it is not refused".to_owned()),
            };
        }
        if !self.one_by_one {
            return expect(&scenario, &Interleaving::ALL, &self.expected());
        }
        expect(&scenario, &[Interleaving::OneByOne], &self.expected())?;
        match self.by_wall_clock {
            true => Ok(()),
            false => against_oracle(&scenario, &Interleaving::ALL),
        }
    }

    /// What the oracle makes of it.
    fn ask(&self) -> Result<(), String> {
        let knows = self.refused.is_none() && !self.one_by_one && !self.by_wall_clock;
        match knows {
            true => oracle_says(&self.scenario(), &self.expected()),
            false => Ok(()),
        }
    }
}

/// Checks all cases.
fn each(check: impl Fn(&Case) -> Result<(), String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/time/cases");
    let mut failed = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let file: File =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for case in file.case {
            count += 1;
            if let Err(why) = check(&case) {
                let file = path.file_name().unwrap().display();
                failed.push(format!("# {file}: {}\n{why}\n", case.name));
            }
        }
    }
    assert!(count > 0);
    assert!(
        failed.is_empty(),
        "{} of {count} cases failed\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn every_case_comes_out_as_written() {
    each(Case::run);
}

#[test]
fn the_oracle_says_what_is_written() {
    each(Case::ask);
}

/// What a random scenario that has failed is printed as can be put into a file here.
#[test]
fn a_scenario_is_shown_as_a_case() {
    let source = Table::from_iter([("allowed_disorder".to_owned(), "2ms".into())]);
    let window = Table::from_iter([("session".to_owned(), "5ms".into())]);
    let step = Table::from_iter([
        ("key".to_owned(), "user".into()),
        ("window".to_owned(), window.into()),
    ]);
    let events = "p0 12:00:05.250 alice 3 gap_ms=500\np1 -3ms - 1\nrestart\nexpel\nwait 30s";
    let mut shown = scenario(source, step, events);
    shown.max_rows = 3;
    let file: File = toml::from_str(&format!("[[case]]\nname = \"\"\n{shown}")).unwrap();
    assert_eq!(file.case[0].scenario(), shown);
}
