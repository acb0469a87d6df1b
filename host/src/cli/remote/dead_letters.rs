//! `millstream dead-letters`: what the pipelines of a service could not process.

use std::io::{self, Write};
use std::str::FromStr;

use super::client::Client;
use super::pipelines::{PipelineName, json};
use super::{Service, replay};
use crate::cli::Failure;
use crate::cli::out::{self, Format};
use crate::server::DeadLetterList;
use crate::service::DeadLetter;

/// Look at the dead letters of a running service's pipelines
///
/// The token is that of the environment variable MILLSTREAM_TOKEN.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    service: Service,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the latest dead letters of a pipeline, the latest first
    List(List),
    /// Show a dead letter with its value
    Show(Show),
    /// Put dead letters back into the source, each once; or run one locally
    Replay(replay::Args),
}

#[derive(Debug, clap::Args)]
struct List {
    /// The pipeline
    pipeline: PipelineName,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The pipeline
    pipeline: PipelineName,
    /// Where the dead letter is, as the list says
    #[arg(value_name = "PARTITION/OFFSET")]
    at: At,
}

/// A place in the dead-letter topic.
#[derive(Clone, Copy, Debug)]
struct At {
    partition: i32,
    offset: i64,
}

impl FromStr for At {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = text.split_once('/').and_then(|(partition, offset)| {
            let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
            Some(At { partition, offset })
        });
        place.ok_or("expected a partition and an offset, such as 0/17")
    }
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let client = Client::new(&args.service)?;
    let format = args.service.output;
    match &args.command {
        Command::List(list) => {
            let List { pipeline, limit } = list;
            let path = format!("/v1/pipelines/{pipeline}/dead-letters?limit={limit}");
            let list: DeadLetterList = client.get(&path)?;
            out::stdout(|out| show_list(&list.dead_letters, format, out))
        }
        Command::Replay(args) => replay::run(args, &client, format),
        Command::Show(show) => {
            let (pipeline, At { partition, offset }) = (&show.pipeline, show.at);
            let path = format!("/v1/pipelines/{pipeline}/dead-letters/{partition}/{offset}");
            let letter: DeadLetter = client.get(&path)?;
            out::stdout(|out| match format {
                Format::Json => json(&letter, out),
                Format::Text => show_one(&letter, out),
            })
        }
    }
}

fn show_list(letters: &[DeadLetter], format: Format, out: &mut dyn Write) -> io::Result<()> {
    for letter in letters {
        match format {
            Format::Json => json(letter, out)?,
            Format::Text => {
                let DeadLetter {
                    partition,
                    offset,
                    timestamp,
                    step,
                    reason,
                    ..
                } = letter;
                let reason = reason.escape_debug();
                writeln!(out, "{partition}/{offset}  {timestamp}  {step}: {reason}")?;
            }
        }
    }
    Ok(())
}

/// What came from outside is shown without what would steer a terminal.
fn show_one(letter: &DeadLetter, out: &mut dyn Write) -> io::Result<()> {
    let mut line = |what: &str, value: &str| writeln!(out, "{what:<14}{}", value.escape_debug());
    line("at", &format!("{}/{}", letter.partition, letter.offset))?;
    line("timestamp", &letter.timestamp)?;
    line("source", &letter.source)?;
    line("step", &letter.step)?;
    for (what, value) in [
        ("plugin", &letter.plugin),
        ("sha256", &letter.sha256),
        ("reason", &Some(letter.reason.clone())),
        ("key", &letter.key),
        ("key base64", &letter.key_base64),
        ("value", &letter.value),
        ("value base64", &letter.value_base64),
    ] {
        if let Some(value) = value {
            line(what, value)?;
        }
    }
    Ok(())
}
