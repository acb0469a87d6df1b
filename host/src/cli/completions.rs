//! `millstream completions`: what a shell needs to complete the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure, out};

/// Print completions for a shell
///
/// For bash: `millstream completions bash > /etc/bash_completion.d/millstream`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    out::stdout(|out| {
        clap_complete::generate(args.shell, &mut Cli::command(), "millstream", out);
        Ok(())
    })
}
