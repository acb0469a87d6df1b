//! Tests of the whole path from text to pipeline.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod files;
mod messages;
mod random;
mod values;

use std::io;
use std::path::Path;

use super::{ConfigError, PipelineConfig, parse};

/// A pipeline without a window: only what is required.
const ROWS: &str = r#"
name = "rows"
[log]
embedded = "data/log"
[source]
topic = "in"
[sink]
topic = "out"
[dead_letters]
topic = "dead"
"#;

/// What must be added to [`ROWS`] for a window.
const WINDOW: &str = r#"
[late]
topic = "late"
[[step]]
aggregate = "count.wasm"
window = { tumbling = "1m" }
"#;

/// Parses where `USER_NAME` and `PASSWORD` are set and `secret.txt` can be read.
fn parse_here(text: &str) -> Result<PipelineConfig, ConfigError> {
    let environment = |name: &str| match name {
        "USER_NAME" => Some("ann".to_owned()),
        "PASSWORD" => Some("hunter2".to_owned()),
        _ => None,
    };
    let secret_file = |path: &Path| match path.to_str() {
        Some("secret.txt") => Ok("hunter2\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    parse(text, &environment, &secret_file)
}

/// [`ROWS`] with one line put in the place of another.
fn rows_with(line: &str, instead: &str) -> String {
    assert!(ROWS.contains(line), "{line}");
    ROWS.replacen(line, instead, 1)
}

/// What is said of a text that is refused.
fn refusal(text: &str) -> String {
    parse_here(text).expect_err(text).to_string()
}
