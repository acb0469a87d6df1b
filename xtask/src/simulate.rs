//! `cargo xtask simulate`: the simulation of tests/simulation with as many seeds as wanted. A failing seed is printed with the
//! command that runs it again.

use anyhow::Result;

use crate::plugins;
use crate::shell::Shell;
use crate::workspace::Workspace;

/// The test that runs seeds.
const TEST: &str = "whatever_happens_the_output_is_the_oracles";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
}

pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    plugins::build(&[], workspace, shell)?;
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--package", "millstream", "--test", "simulation"]);
    cargo.args(["--", "--exact", TEST, "--nocapture"]);
    cargo.env("MILLSTREAM_PLUGINS", workspace.plugins());
    cargo.env("MILLSTREAM_SIM_SEEDS", args.seeds.to_string());
    cargo.env("MILLSTREAM_SIM_FROM", args.from.to_string());
    shell.run(&mut cargo)
}
