//! `millstream completions`: what a shell needs to complete the command line.

use std::io::Write;

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
    // Into memory first: the generator panics where it can't write, such as into `| head`.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "millstream", &mut script);
    out::stdout(|out| out.write_all(&script))
}
