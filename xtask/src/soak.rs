//! `cargo xtask soak`: the long form of `tests/soak`, which deploys something every few seconds under a steady load on Kafka and looks
//! whether the service's process grows. `docs/deploys.md` says how to read its table.

use anyhow::Result;

use crate::kafka::Kafka;
use crate::phases::Phases;
use crate::plugins;
use crate::shell::Shell;
use crate::workspace::Workspace;

/// The test that soaks.
const TEST: &str = "nothing_leaks_and_every_window_is_right";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// For how long; the second half is judged
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
}

pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    let mut phases = Phases::default();
    phases.run("plugins", || plugins::build(&[], workspace, shell))?;
    // The same selection as for the tests: another would resolve other features and build the dependencies twice.
    phases.run("build", || {
        let mut cargo = workspace.cargo();
        shell.run(cargo.args(["build", "--workspace", "--bins", "--tests"]))
    })?;
    let kafka = Kafka::new(workspace, shell);
    let broker = phases.run("kafka", || kafka.up())?;
    let result = phases.run("soak", || {
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--workspace", "--test", "soak", "--"]);
        cargo.args([TEST, "--nocapture"]);
        cargo.env("MILLSTREAM_PLUGINS", workspace.plugins());
        cargo.env("MILLSTREAM_TEST_KAFKA", &broker.address);
        cargo.env("MILLSTREAM_SOAK_MINUTES", args.minutes.to_string());
        shell.run(&mut cargo)
    });
    if broker.started {
        kafka.down()?;
    }
    eprint!("\n{phases}");
    result
}
