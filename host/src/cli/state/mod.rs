//! `millstream state`: what a pipeline knows beside the log, from outside: look at it, take it along, begin anew.

mod begin;
mod contents;
mod export;
mod file;
mod import;
mod reset;
mod show;
mod standing;

use indicatif::MultiProgress;

use super::{Failure, code, logs};
use crate::log::{GroupOffset, Log};
use crate::time::Clock;

pub(super) use begin::Begin;
pub(super) use reset::begin;

/// Look at the state of a pipeline, move it, or begin anew
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(show::Args),
    Export(export::Args),
    Import(import::Args),
    Reset(reset::Args),
}

pub(super) fn run(args: &Args, logs: &logs::Options, code: &code::Options) -> Result<(), Failure> {
    logs::start(logs, &MultiProgress::new())?;
    match &args.command {
        Command::Show(args) => show::run(args),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(args, code),
        Command::Reset(args) => reset::run(args),
    }
}

/// Ends what dead members left open: a transaction of theirs must not be decided after offsets were set.
fn end_dead<L: Log>(log: &L, group: &str, clock: &impl Clock) -> Result<(), Failure> {
    let ended = standing::patiently(clock, || log.end_dead_transactions(group))?;
    if ended > 0 {
        tracing::info!(group, members = ended, "ended what dead members left open");
    }
    Ok(())
}

fn set_offsets<L: Log>(
    log: &L,
    group: &str,
    offsets: &[GroupOffset],
    clock: &impl Clock,
) -> Result<(), Failure> {
    Ok(standing::patiently(clock, || {
        log.set_group_offsets(group, offsets)
    })?)
}
