//! Compares what the engine writes with what it should.

use crate::lines::{self, Line};
use crate::oracle;
use crate::rig::{Interleaving, run};
use crate::rules::Rules;
use crate::scenario::Scenario;
use crate::view::View;

/// Runs a scenario in several interleavings and compares each with the lines given.
///
/// # Errors
/// What differs, with the scenario.
pub(crate) fn expect(
    scenario: &Scenario,
    interleavings: &[Interleaving],
    expected: &[Line],
) -> Result<(), String> {
    for interleaving in interleavings {
        let written = run(scenario, *interleaving)?;
        same(&lines::text(expected), &lines::text(&written))
            .map_err(|differs| format!("{interleaving:?}\n{scenario}\n{differs}"))?;
    }
    Ok(())
}

/// Whether the oracle says what is written down.
///
/// # Errors
/// What differs, with the scenario.
pub(crate) fn oracle_says(scenario: &Scenario, expected: &[Line]) -> Result<(), String> {
    let said = oracle::expected(scenario);
    same(&lines::text(expected), &lines::text(&said))
        .map_err(|differs| format!("the oracle\n{scenario}\n{differs}"))
}

/// Runs a scenario in several interleavings and compares each with the oracle: record by record, or, if there are early results, of
/// which nobody says how many, by what a reader has seen in the end.
///
/// # Errors
/// What differs, with the scenario.
pub(crate) fn against_oracle(
    scenario: &Scenario,
    interleavings: &[Interleaving],
) -> Result<(), String> {
    let expected = oracle::expected(scenario);
    let rules = Rules::of(scenario);
    if !rules.is_early {
        return expect(scenario, interleavings, &expected);
    }
    let expected = View::of(&expected, &rules).map_err(|why| format!("the oracle: {why}"))?;
    for interleaving in interleavings {
        let written = run(scenario, *interleaving)?;
        let told = |differs: String| {
            let written = lines::text(&written);
            format!("{interleaving:?}\n{scenario}\n{differs}\nwritten\n{written}")
        };
        let seen = View::of(&written, &rules).map_err(&told)?;
        same(&expected.text(), &seen.text()).map_err(&told)?;
        if let Some(place) = seen.forgotten(oracle::until(scenario)) {
            return Err(told(format!("{place} stands as it was early")));
        }
    }
    Ok(())
}

/// Whether two texts are the same; otherwise both, with marks where they differ.
pub(crate) fn same(expected: &str, written: &str) -> Result<(), String> {
    if expected == written {
        return Ok(());
    }
    let marked = |these: &str, others: &str| -> String {
        let mut others: Vec<&str> = others.lines().collect();
        let lines = these.lines().map(|line| {
            let found = others.iter().position(|other| *other == line);
            found.map(|at| others.swap_remove(at));
            let mark = if found.is_some() { "  " } else { "! " };
            format!("{mark}{line}\n")
        });
        lines.collect()
    };
    Err(format!(
        "expected\n{}written\n{}",
        marked(expected, written),
        marked(written, expected)
    ))
}
