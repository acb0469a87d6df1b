//! The pipeline file: TOML into typed, checked values.
//!
//! A file goes through four stages, each a function over values:
//! 1. `toml` parses the text; `outline` notes where each key and value stands.
//! 2. `variables` puts environment variables and secret files into string values. It comes after the
//!    parsing, so that a value can't smuggle in keys.
//! 3. `tables` says which keys there are and reads each value (`written`).
//! 4. `check`, `steps` and `windows` apply the rules that concern several keys and build the [`PipelineConfig`] (`model`).
//!
//! [`parse`] does all four and touches neither disk nor environment; [`load`] is the shell around it.
//! `examples/reference.toml` shows every key.

mod check;
pub mod defaults;
mod error;
mod kafka;
mod model;
mod outline;
mod steps;
mod tables;
#[cfg(test)]
mod tests;
mod variables;
mod windows;
mod written;

use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::de::DeTable;

pub use error::{ConfigError, Mistake, Position};
pub use kafka::KafkaSettings;
pub use model::{
    CommitConfig, Delivery, Early, FunctionConfig, FunctionSettings, Limits, LogConfig, LogPlace,
    OnError, OnExhausted, Output, PipelineConfig, RowStep, RowStepKind, SourceConfig, Start,
    StateConfig, Trigger, Updates, Window, WindowStep, WindowStepKind,
};

use error::Finding;
use outline::Outline;
use tables::PipelineTable;
pub(crate) use written::{FromText, PositiveDuration, Written};

/// Reads and checks a pipeline file. Paths in it are taken relative to its folder, variables from the
/// process's environment.
///
/// # Errors
/// If the file can't be read, or with every mistake that could be told apart in it.
pub fn load(path: &Path) -> Result<PipelineConfig, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        file: path.to_owned(),
        source,
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let environment = |name: &str| std::env::var(name).ok();
    let secret_file = |secret: &Path| std::fs::read_to_string(folder.join(secret));
    match parse(&text, &environment, &secret_file) {
        Ok(config) => Ok(config.relative_to(folder)),
        Err(error) => Err(error.in_file(path)),
    }
}

/// Checks the text of a pipeline file, given what looks up an environment variable and what reads a file named by
/// `${file:…}`. Paths stay as they are written.
///
/// # Errors
/// With the mistakes in the text: all of those that one stage finds.
pub fn parse(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    secret_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<PipelineConfig, ConfigError> {
    let (mut document, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        let findings = syntax.iter().map(Finding::syntax).collect();
        return Err(ConfigError::mistakes(findings, text, &Outline::default()));
    }
    let outline = Outline::of(&document);
    let refuse = |findings| ConfigError::mistakes(findings, text, &outline);

    let substituted =
        variables::substitute(document.get_mut(), environment, secret_file).map_err(refuse)?;
    let table = PipelineTable::deserialize(toml::Deserializer::from(document))
        .map_err(|e| refuse(vec![Finding::misfit(&e)]))?;
    check::pipeline(table, &substituted).map_err(refuse)
}

/// Reads the text of another file of Millstream's with the same care: an unknown key is refused, and each mistake has its
/// place and the path of its key. Nothing is put in from outside.
///
/// # Errors
/// With the mistakes in the text.
pub(crate) fn table<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    let (document, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        let findings = syntax.iter().map(Finding::syntax).collect();
        return Err(ConfigError::mistakes(findings, text, &Outline::default()));
    }
    let outline = Outline::of(&document);
    T::deserialize(toml::Deserializer::from(document))
        .map_err(|error| ConfigError::mistakes(vec![Finding::misfit(&error)], text, &outline))
}
