//! A component put to the test by the sample that it carries, before it is let near anybody's records.

use super::parse::{CONFIG, ERRORS, EXPECTED, INPUT, STEP};
use super::{SampleError, SampleMistake, SampleTexts, Way, parse, run};
use crate::plugin::{Limits, Plugin, PluginEngine};

/// How many lines of differences are told.
const MOST_LINES: usize = 10;

/// Why a component has not stood the test.
#[derive(Debug, thiserror::Error)]
pub enum NotProved {
    /// It carries a file that no sample has.
    #[error("the sample that it carries has a file {0}, which no sample has")]
    UnknownFile(String),
    /// Its sample can't be read.
    #[error("the sample that it carries: {0}")]
    Mistake(#[from] SampleMistake),
    /// Its sample can't be run to its end.
    #[error("on the sample that it carries: {0}")]
    Failed(#[from] SampleError),
    /// Something else came out than the sample expects.
    #[error("it does not give what the sample that it carries expects ({way}; - expected, + came):\n{}", lines.join("\n"))]
    Differs {
        /// How it was run.
        way: Way,
        /// What differs.
        lines: Vec<String>,
    },
}

/// Runs the sample that a component carries. One that carries none has nothing to show.
///
/// # Errors
/// If the sample can't be read or run, or if anything else comes out than it expects.
pub fn prove(engine: &PluginEngine, plugin: &Plugin, limits: Limits) -> Result<(), NotProved> {
    let files = plugin.sample();
    if files.is_empty() {
        return Ok(());
    }
    let known = [INPUT, EXPECTED, ERRORS, CONFIG, STEP];
    if let Some(name) = files.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(NotProved::UnknownFile(name.clone()));
    }
    let text = |name: &str| files.get(name).map_or("", String::as_str);
    let sample = parse(SampleTexts {
        input: text(INPUT),
        expected: text(EXPECTED),
        errors: text(ERRORS),
        config: text(CONFIG),
        step: text(STEP),
    })?;
    for run in run(engine, plugin, limits, &sample)? {
        let mut lines = run.outcome.differences(&sample.expected);
        if lines.is_empty() {
            continue;
        }
        let more = lines.len().saturating_sub(MOST_LINES);
        if more > 0 {
            lines.truncate(MOST_LINES);
            lines.push(format!("and {more} more"));
        }
        return Err(NotProved::Differs {
            way: run.way,
            lines,
        });
    }
    Ok(())
}
