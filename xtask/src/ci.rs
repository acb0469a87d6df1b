//! `cargo xtask ci`: the gate. What it lets through is formatted, free of warnings, documented, of licences that we may
//! use, and tested as the README says.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::fuzz;
use crate::fuzz_api;
use crate::instructions;
use crate::lint_examples;
use crate::phases::Phases;
use crate::plugins;
use crate::readme;
use crate::shell::{Shell, probe};
use crate::workspace::Workspace;

/// The release of cargo-deny whose rules deny.toml is written for.
const DENY: &str = "0.20.2";

/// Runs the steps until one fails, and shows the time of each.
pub(crate) fn run(workspace: &Workspace, shell: &Shell) -> Result<()> {
    let mut phases = Phases::default();
    let result = run_steps(workspace, shell, &mut phases);
    eprint!("\n{phases}");
    result
}

fn run_steps(workspace: &Workspace, shell: &Shell, phases: &mut Phases) -> Result<()> {
    let cargo = |arguments: &str| {
        let mut cargo = workspace.cargo();
        cargo.args(arguments.split_whitespace());
        shell.run(&mut cargo)
    };
    phases.run("format", || cargo("fmt --all --check"))?;
    // For every platform, since cargo-deny looks at them all. Once they are here, no later step needs the network.
    phases.run("fetch", || cargo("fetch --locked"))?;
    phases.run("licences and bans", || {
        let mut deny = Command::new(cargo_deny(workspace, shell)?);
        deny.current_dir(&workspace.root);
        shell.run(deny.args(["--offline", "check", "licenses", "bans", "sources"]))
    })?;
    phases.run("lints", || {
        cargo("clippy --workspace --all-targets -- -D warnings")
    })?;
    phases.run("lints of components", || lint_components(workspace, shell))?;
    phases.run("docs", || {
        let mut cargo = workspace.cargo();
        cargo.args(["doc", "--workspace", "--no-deps"]);
        shell.run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    phases.run("lints of examples", || lint_examples::run(workspace, shell))?;
    phases.run("tests as the README says", || {
        let path = workspace.root.join("README.md");
        let readme = fs::read_to_string(&path).context("cannot read README.md")?;
        let mut words = readme::test_command(&readme)?.split_whitespace();
        let program = words.next().context("the command is not empty")?;
        let mut command = Command::new(program);
        // A gate that went on without a Kafka broker would prove too little: see test.rs.
        command.env("CI", "true");
        shell.run(command.args(words).current_dir(&workspace.root))
    })?;
    phases.run("instructions of a row", || {
        instructions::run(&instructions::Args::default(), workspace, shell)
    })?;
    phases.run("bent input", || {
        fuzz::run(&fuzz::Args::default(), workspace, shell)
    })?;
    phases.run("requests of the API's description", || {
        fuzz_api::run(&fuzz_api::Args::default(), workspace, shell)
    })
}

/// The code of functions that only the compiler for components sees, such as their exports.
fn lint_components(workspace: &Workspace, shell: &Shell) -> Result<()> {
    plugins::install_target(workspace, shell)?;
    let mut cargo = workspace.cargo();
    cargo.args(["clippy", "--target", plugins::TARGET]);
    cargo.args(["--package", "millstream-sdk"]);
    for component in plugins::components(workspace)? {
        cargo.args(["--package", &component.name]);
    }
    shell.run(cargo.args(["--", "-D", "warnings"]))
}

/// The path of cargo-deny in the pinned release: the caller's, or else one in the target folder, built if need be.
fn cargo_deny(workspace: &Workspace, shell: &Shell) -> Result<PathBuf> {
    let ours = workspace.target.join("tools");
    let candidates = ["cargo-deny".into(), ours.join("bin").join("cargo-deny")];
    for path in &candidates {
        let printed = probe(Command::new(path).arg("--version"));
        if printed.is_some_and(|text| text.split_whitespace().eq(["cargo-deny", DENY])) {
            return Ok(path.clone());
        }
    }
    let mut cargo = workspace.cargo();
    cargo.args(["install", "cargo-deny", "--locked", "--version", DENY]);
    cargo.arg("--root").arg(&ours);
    // It runs for seconds, so time spent optimising it is lost.
    cargo.args(["--profile", "dev"]);
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "false");
    shell.run(&mut cargo)?;
    let [_, ours] = candidates;
    Ok(ours)
}
