//! `millstream results`: what a pipeline of a service has published.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::Value;

use super::Service;
use super::client::Client;
use super::pipelines::{PipelineName, json};
use crate::cli::Failure;
use crate::cli::out::{self, Format};
use crate::service::{ResultView, ResultsView};
use crate::time::{Clock as _, SystemClock};

/// How often it is asked what is new.
const WAIT: Duration = Duration::from_millis(500);
/// How many are asked for at a time.
const PAGE: usize = 1_000;
/// What a line begins with, where it is there.
const FIRST: [&str; 5] = ["window_start", "window_end", "first_row", "last_row", "key"];
/// What says the same as other members for programs.
const HIDDEN: [&str; 2] = ["window_start_ms", "window_end_ms"];

/// Show the latest results of a running service's pipeline
///
/// Of each window and key the newest revision, the latest windows first. They are looked for in the last records of the sink; a note on
/// standard error says if there is more than that. The token is that of the environment variable MILLSTREAM_TOKEN.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    service: Service,
    /// The pipeline
    pipeline: PipelineName,
    /// Those of this key
    #[arg(long)]
    key: Option<String>,
    /// Those of windows that start at or after this, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<jiff::Timestamp>,
    /// Those of windows that start before this
    #[arg(long, value_name = "TIME")]
    to: Option<jiff::Timestamp>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// How many of the last records of the sink are looked at
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    look_back: Option<u32>,
    /// Go on with what is written from now on, as it is written, until Ctrl-C
    #[arg(long)]
    follow: bool,
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let client = Client::new(&args.service)?;
    let format = args.service.output;
    let path = format!("/v1/pipelines/{}/results", args.pipeline);
    let ask =
        |more: Option<(&'static str, String)>, limit: usize| -> Result<ResultsView, Failure> {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(args.key.clone().map(|key| ("key", key)));
            query.extend(args.from.map(|from| ("from", from.to_string())));
            query.extend(args.to.map(|to| ("to", to.to_string())));
            query.extend(args.look_back.map(|far| ("look_back", far.to_string())));
            query.extend(more);
            client.get_with(&path, &query)
        };
    let mut left = args.limit;
    let mut page = None;
    let mut after = None;
    while left > 0 {
        let view = ask(page.take().map(|page| ("page", page)), left.min(PAGE))?;
        if after.is_none() && !view.complete {
            tell("older results are not looked at: --look-back goes further");
        }
        // What is written while further pages are read is new.
        after.get_or_insert(view.after);
        left -= view.results.len();
        if show(&view.results, format)?.is_break() {
            return Ok(());
        }
        page = view.next;
        if page.is_none() {
            break;
        }
    }
    match args.follow {
        true => follow(&ask, after, format),
        false => Ok(()),
    }
}

/// Shows what is written from these positions on, until nobody reads it any more.
fn follow(
    ask: &impl Fn(Option<(&'static str, String)>, usize) -> Result<ResultsView, Failure>,
    mut after: Option<String>,
    format: Format,
) -> Result<(), Failure> {
    let clock = SystemClock::new();
    loop {
        let view = ask(after.take().map(|after| ("after", after)), PAGE)?;
        if !view.complete {
            tell("results were written faster than they were asked for: some are left out");
        }
        if show(&view.results, format)?.is_break() {
            return Ok(());
        }
        if view.results.is_empty() {
            clock.pause(WAIT);
        }
        after = Some(view.after);
    }
}

fn tell(what: &str) {
    // A note that can't be written changes nothing about the results.
    let _ = writeln!(io::stderr(), "note: {what}");
}

fn show(results: &[ResultView], format: Format) -> Result<ControlFlow<()>, Failure> {
    out::piece(|out| {
        results.iter().try_for_each(|view| match format {
            Format::Json => json(view, out),
            Format::Text => line(view, out),
        })
    })
}

/// Members as `name=value`; what came from outside is shown without what would steer a terminal.
fn line(view: &ResultView, out: &mut dyn Write) -> io::Result<()> {
    let Some(Value::Object(members)) = &view.value else {
        let key = view.key.as_deref().unwrap_or_default().escape_debug();
        let value = match (&view.value, &view.value_base64) {
            (Some(value), _) => value.to_string(),
            (None, base64) => base64.clone().unwrap_or_default(),
        };
        return writeln!(out, "{}  {key}  {value}", view.timestamp);
    };
    let first = FIRST.iter().filter_map(|name| members.get_key_value(*name));
    let is_rest = |name: &str| !FIRST.contains(&name) && !HIDDEN.contains(&name);
    let rest = members.iter().filter(|(name, _)| is_rest(name));
    let shown = first.chain(rest);
    let shown: Vec<String> = shown
        .map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.escape_debug().to_string(),
                other => other.to_string(),
            };
            format!("{}={text}", name.escape_debug())
        })
        .collect();
    writeln!(out, "{}", shown.join("  "))
}
