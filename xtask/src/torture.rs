//! `cargo xtask torture`: the long form of `tests/torture`, which kills, stops, cuts off and lies to hosts, broker and network for
//! minutes, and ends with a table. `docs/torture.md` says how to read it.

use anyhow::{Context, Result};

use crate::kafka::Kafka;
use crate::phases::Phases;
use crate::plugins;
use crate::shell::Shell;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// For how long
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// What the first round is drawn from; the next ones count on from there. Drawn from the clock without it
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    let mut phases = Phases::default();
    let seed = args.seed.map_or_else(seed_of_now, Ok)?;
    phases.run("plugins", || plugins::build(&[], workspace, shell))?;
    // The same selection as for the tests: another would resolve other features and build the dependencies twice.
    phases.run("build", || {
        let mut cargo = workspace.cargo();
        shell.run(cargo.args(["build", "--workspace", "--bins", "--tests"]))
    })?;
    let libs = phases.run("kafka", || Kafka::new(workspace, shell).libs())?;
    let result = phases.run("torture", || {
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--workspace", "--test", "torture", "--"]);
        cargo.args(["every_result_comes_once", "--nocapture"]);
        cargo.env("MILLSTREAM_PLUGINS", workspace.plugins());
        cargo.env("MILLSTREAM_KAFKA_LIBS", &libs);
        cargo.env("MILLSTREAM_TORTURE_MINUTES", args.minutes.to_string());
        cargo.env("MILLSTREAM_TORTURE_SEED", seed.to_string());
        shell.run(&mut cargo)
    });
    eprint!("\n{phases}");
    let minutes = args.minutes;
    result.with_context(|| {
        format!("the same faults again: cargo xtask torture --minutes {minutes} --seed {seed}")
    })
}

/// A seed that differs from run to run and is short enough to be typed.
fn seed_of_now() -> Result<u64> {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    let since = since.context("the clock stands before 1970; give a --seed")?;
    Ok(since.as_secs() % 1_000_000)
}
