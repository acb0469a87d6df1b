//! Logs on standard error: readable on a terminal, structured elsewhere.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::Failure;

/// What the storage engine says of its files when it opens them is for its own developers. A directive for the same target
/// replaces one before it, so `fjall=debug` still works.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How log lines are written; `auto` is text on a terminal and JSON elsewhere
    #[arg(long, global = true, value_enum, default_value_t = Format::Auto, env = "MILLSTREAM_LOG_FORMAT")]
    log_format: Format,
    /// Which log lines are written, such as `debug` or `warn,millstream::worker=debug`; `info` unless named, and `warn` for
    /// the demo. The storage engine's are warnings only, unless it is named
    #[arg(long, global = true, env = "MILLSTREAM_LOG", value_name = "FILTER")]
    log_level: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Auto,
    Text,
    Json,
}

/// Starts logging. Lines go around whatever `bars` shows. Called once, at the start of a command that logs.
///
/// # Errors
/// If the filter can't be read.
pub(super) fn start(options: &Options, bars: &MultiProgress) -> Result<(), Failure> {
    start_at("info", options, bars)
}

/// The same for a command whose output is for people to watch: only warnings are logged, unless asked for more.
///
/// # Errors
/// If the filter can't be read.
pub(super) fn start_quiet(options: &Options, bars: &MultiProgress) -> Result<(), Failure> {
    start_at("warn", options, bars)
}

fn start_at(level: &str, options: &Options, bars: &MultiProgress) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(format!(
        "{QUIET},{}",
        options.log_level.as_deref().unwrap_or(level)
    ))
    .map_err(|error| Failure::Usage(format!("--log-level: {error}")))?;
    let terminal = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal)
        .with_writer(Around(bars.clone()));
    let json = match options.log_format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    };
    if json {
        lines.json().flatten_event(true).init();
    } else {
        lines.with_target(false).init();
    }
    Ok(())
}

/// Writes each line to standard error while the progress line is out of the way.
struct Around(MultiProgress);

struct Line {
    bars: MultiProgress,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Around {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            bars: self.0.clone(),
            bytes: Vec::new(),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A log line that can't be written can't be told of either.
        let _ = self.bars.suspend(|| io::stderr().write_all(&self.bytes));
    }
}
