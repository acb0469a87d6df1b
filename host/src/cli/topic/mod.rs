//! `millstream topic`: what topics there are and what is in them.

mod line;
mod tail;

use std::io::{self, Write};

use indicatif::MultiProgress;

use super::out::Format;
use super::place::{AnyLog, Place};
use super::{Failure, logs, out};
use crate::log::{Log, TopicInfo};

/// Look at topics
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the topics of a log, with their numbers of partitions
    List(ListArgs),
    Tail(tail::Args),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// How topics are shown
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

pub(super) fn run(args: &Args, logs: &logs::Options) -> Result<(), Failure> {
    logs::start(logs, &MultiProgress::new())?;
    match &args.command {
        Command::List(args) => {
            let topics = match args.place.open()? {
                AnyLog::Kafka(log) => log.topics()?,
                AnyLog::Embedded(log) => log.topics()?,
            };
            out::stdout(|out| show(&topics, args.output, out))
        }
        Command::Tail(args) => match args.place.open()? {
            AnyLog::Kafka(log) => tail::run(args, &log),
            AnyLog::Embedded(log) => tail::run(args, &log),
        },
    }
}

fn show(topics: &[TopicInfo], format: Format, out: &mut impl Write) -> io::Result<()> {
    let width = topics.iter().map(|topic| topic.name.len()).max();
    for TopicInfo { name, partitions } in topics {
        match format {
            Format::Text => {
                let width = width.unwrap_or_default();
                let noun = if *partitions == 1 {
                    "partition"
                } else {
                    "partitions"
                };
                writeln!(out, "{name:width$}  {partitions} {noun}")?;
            }
            Format::Json => {
                let topic = serde_json::json!({ "topic": name, "partitions": partitions });
                writeln!(out, "{topic}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    #[test]
    fn topics_are_listed_in_columns_or_as_json() {
        let topics = [("a", 1), ("longer", 4)].map(|(name, partitions)| TopicInfo {
            name: name.to_owned(),
            partitions,
        });
        let shown = |format| {
            let mut out = Vec::new();
            show(&topics, format, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            shown(Format::Text),
            "a       1 partition\nlonger  4 partitions\n"
        );
        assert_eq!(
            shown(Format::Json),
            "{\"partitions\":1,\"topic\":\"a\"}\n{\"partitions\":4,\"topic\":\"longer\"}\n"
        );
    }
}
