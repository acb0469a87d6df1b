//! `millstream pipelines reset`: asks for it, shows each step of it, and waits until it is done.

use std::io::{self, Write};
use std::time::Duration;

use super::client::Client;
use super::pipelines::{PipelineName, json};
use crate::cli::Failure;
use crate::cli::out::{self, Format};
use crate::cli::state::Beginning;
use crate::server::ResetRequest;
use crate::service::{PipelineView, ResetView, State};
use crate::time::{Clock as _, SystemClock};

/// How often it is asked how far it is.
const WAIT: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline
    name: PipelineName,
    /// Where to begin; a time is RFC 3339, offsets are topic/partition=offset with commas between, one for each partition of the source,
    /// or a file of such
    #[arg(long, value_name = "earliest|latest|TIME|OFFSETS|FILE")]
    to: Beginning,
}

pub(super) fn run(args: &Args, client: &Client, format: Format) -> Result<(), Failure> {
    let request = ResetRequest {
        to: args.to.read()?.to_string(),
    };
    let name = &args.name;
    let mut view: PipelineView =
        client.post_json(&format!("/v1/pipelines/{name}/reset"), &request)?;
    let (clock, mut shown) = (SystemClock::new(), None);
    loop {
        if let Format::Text = format
            && shown != Some(view.state)
        {
            shown = Some(view.state);
            out::stdout(|out| writeln!(out, "{}", view.state.name()))?;
        }
        match become_of_it(&view) {
            None => clock.pause(WAIT),
            Some(Ok(reset)) => {
                return out::stdout(|out| match format {
                    Format::Json => json(&view, out),
                    Format::Text => show(reset, out),
                });
            }
            Some(Err(why)) => return Err(Failure::Log(format!("not reset: {why}"))),
        }
        view = client.get(&format!("/v1/pipelines/{name}"))?;
    }
}

/// The reset, once it is over.
fn become_of_it(view: &PipelineView) -> Option<Result<&ResetView, &str>> {
    if view.state == State::Resetting {
        return None;
    }
    match &view.reset {
        Some(reset) => match (&reset.failure, reset.done) {
            (Some(why), _) => Some(Err(why)),
            (None, done) => done.then_some(Ok(reset)),
        },
        None => Some(Err(
            "the service was started again meanwhile: look at the pipeline",
        )),
    }
}

fn show(reset: &ResetView, out: &mut dyn Write) -> io::Result<()> {
    for moved in &reset.moves {
        let from = moved
            .from
            .map_or("nothing committed".to_owned(), |from| from.to_string());
        writeln!(out, "{}  {from} -> {}", moved.at, moved.to)?;
    }
    writeln!(out, "done: it begins there, with nothing known")
}
