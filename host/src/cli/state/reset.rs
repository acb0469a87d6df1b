//! `millstream state reset`: a pipeline that rests begins elsewhere, with nothing known.

use std::io::{self, Write};
use std::path::PathBuf;

use super::begin::Beginning;
use crate::cli::place::{AnyLog, open};
use crate::cli::{Failure, out};
use crate::log::Log;
use crate::outside::{Move, Reset};
use crate::pipeline::config::{self, PipelineConfig};
use crate::time::SystemClock;

/// Let a pipeline forget what it knows, and begin at other offsets
///
/// Windows that are open are forgotten, and so is the time that each partition had come to. What was written stays, so
/// results that come of rows read again are written again. Refused while the pipeline runs anywhere.
///
/// A time is RFC 3339, such as 2026-01-31T08:00:00Z: reading begins at the first record of each partition that is not
/// older. Offsets are topic/partition=offset with commas between, or a file of such, one a line; each partition of the source
/// must have one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file
    #[arg(value_name = "PIPELINE.toml")]
    file: PathBuf,
    /// Where to begin
    #[arg(long, value_name = "earliest|latest|TIME|OFFSETS|FILE")]
    to: Beginning,
    /// Do it; without this, only show what would be done
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::load(&args.file)?;
    match open(&config.log.place)? {
        AnyLog::Kafka(log) => reset(args, &config, &log),
        AnyLog::Embedded(log) => reset(args, &config, &log),
    }
}

fn reset<L: Log>(args: &Args, config: &PipelineConfig, log: &L) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let reset = Reset::plan(&args.to.read()?, config, log, &clock)?;
    if args.yes {
        reset.make(log, &clock)?;
    }
    out::stdout(|out| show(reset.moves(), args.yes, out))
}

fn show(moves: &[Move], done: bool, out: &mut dyn Write) -> io::Result<()> {
    let width = moves.iter().map(|to| to.at.to_string().len()).max();
    for Move { at, from, to } in moves {
        let at = at.to_string();
        let width = width.unwrap_or_default();
        let from = from.map_or("nothing committed".to_owned(), |from| from.to_string());
        writeln!(out, "{at:width$}  {from} -> {to}")?;
    }
    if done {
        writeln!(out, "done: the next run begins there, with nothing known")
    } else {
        writeln!(out, "nothing has been changed: --yes does it")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;
    use crate::log::{Offset, TopicPartition};

    #[test]
    fn what_would_be_done_is_shown_as_what_was_done_is() {
        let moves = [Move {
            at: TopicPartition::new("in", 0),
            from: Some(Offset(3)),
            to: Offset(0),
        }];
        let shown = |done| {
            let mut out = Vec::new();
            show(&moves, done, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            shown(false),
            "in/0  3 -> 0\nnothing has been changed: --yes does it\n"
        );
        assert!(shown(true).ends_with("done: the next run begins there, with nothing known\n"));
    }
}
