//! `millstream state`: what a pipeline knows beside the log, from outside: look at it, take it along, begin anew.

mod begin;
mod contents;
mod export;
mod file;
mod import;
mod reset;
mod show;

use indicatif::MultiProgress;

use super::{Failure, code, logs};

pub(super) use begin::Beginning;

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
