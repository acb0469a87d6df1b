//! `cargo xtask demo`: builds the plugins and the host, and lets the host show itself.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::kafka::Kafka;
use crate::plugins;
use crate::shell::Shell;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// On a real Kafka broker, started for the purpose unless one is up
    #[arg(long)]
    kafka: bool,
    /// For `millstream demo`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    plugins::build(&[], workspace, shell)?;
    // The same selection as for the tests: another would resolve other features and build the dependencies twice.
    shell.run(
        workspace
            .cargo()
            .args(["build", "--workspace", "--bins", "--tests"]),
    )?;

    let mut demo = Command::new(workspace.host_binary());
    demo.arg("demo").arg("--plugins").arg(workspace.plugins());
    if !args.kafka {
        shell.check()?;
        // Only returns if it fails.
        let error = demo.args(&args.arguments).exec();
        return Err(error).context("cannot start millstream");
    }
    let kafka = Kafka::new(workspace, shell);
    let up = kafka.up()?;
    let result = shell.run(demo.args(["--kafka", &up.address]).args(&args.arguments));
    if up.started {
        kafka.down()?;
    }
    result
}
