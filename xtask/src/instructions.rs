//! `cargo xtask instructions`: how many instructions a row of the main job costs, in the host and in the component, compared with what
//! is written down. Instructions are the same on a busy machine, so that a gate can count them.
//!
//! valgrind's cachegrind counts two runs of `host/benches/rows.rs`, which write the same rows and read some of them or all; their difference
//! is what reading costs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::plugins;
use crate::shell::{Shell, probe};
use crate::workspace::Workspace;

/// Where the count is written down, from the root on.
const BASELINE: &str = "host/benches/rows.instructions";
/// How many percent more there may be.
const MORE: u64 = 5;
/// How many rows the runs read: what else they do is the same in both.
const FEW: u64 = 20_000;
const MANY: u64 = 60_000;

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Write down what was counted
    #[arg(long)]
    update: bool,
}

pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    if probe(Command::new("valgrind").arg("--version")).is_none() {
        let what = "valgrind is not there; `cargo xtask doctor` says how to install it";
        ensure!(std::env::var_os("CI").is_none(), "{what}");
        eprintln!("SKIPPED: {what}");
        return Ok(());
    }
    plugins::build(&[], workspace, shell)?;
    let program = program(workspace)?;
    // The first run compiles the component for valgrind's processor, which has fewer instructions than the machine's.
    count(&program, false, workspace, shell)?;
    let few = count(&program, false, workspace, shell)?;
    let many = count(&program, true, workspace, shell)?;
    let counted = many.saturating_sub(few) / (MANY - FEW);
    let baseline = workspace.root.join(BASELINE);
    if args.update {
        eprintln!("{counted} instructions a row, written down in {BASELINE}");
        return fs::write(&baseline, format!("{counted}\n")).context(BASELINE);
    }
    let known = fs::read_to_string(&baseline).context(BASELINE)?;
    let known: u64 = known.trim().parse().context(BASELINE)?;
    eprintln!("{counted} instructions a row; {BASELINE} has {known}");
    judge(counted, known)
}

/// Whether a row costs no more than is written down.
fn judge(counted: u64, known: u64) -> Result<()> {
    ensure!(
        counted * 100 <= known * (100 + MORE),
        "a row costs {counted} instructions, more than {MORE} % above the {known} in {BASELINE}: find out why, or write down in the same \
         commit that it does, by `cargo xtask instructions --update`"
    );
    Ok(())
}

/// Builds the program, with the dependencies that the tests have; where it is.
fn program(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    cargo.args([
        "bench",
        "--workspace",
        "--profile",
        "dev",
        "--bench",
        "rows",
    ]);
    cargo.args(["--no-run", "--message-format", "json"]);
    let output = cargo.stderr(Stdio::inherit()).output().context("cargo")?;
    ensure!(output.status.success(), "the program could not be built");
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executable = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == "rows";
        Some(PathBuf::from(
            message["executable"].as_str().filter(|_| is_it)?,
        ))
    });
    executable
        .next_back()
        .context("cargo does not say where the program is")
}

/// The instructions of a run that reads few rows or many.
fn count(program: &Path, reads_many: bool, workspace: &Workspace, shell: &Shell) -> Result<u64> {
    shell.check()?;
    let code = workspace.target.join("code-of-valgrind");
    fs::create_dir_all(&code).with_context(|| code.display().to_string())?;
    let output = Command::new("valgrind")
        .args([
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ])
        // What the component is compiled to is written while the program runs.
        .arg("--smc-check=all-non-file")
        .arg(program)
        .env("MILLSTREAM_CODE_CACHE", &code)
        .env("MILLSTREAM_BENCH_FEW", FEW.to_string())
        .env("MILLSTREAM_BENCH_MANY", MANY.to_string())
        .envs(reads_many.then_some(("MILLSTREAM_BENCH_READS_MANY", "yes")))
        .current_dir(workspace.root.join("host"))
        .output()
        .context("valgrind")?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("a run under valgrind failed:\n{told}");
    }
    refs(&told).with_context(|| format!("valgrind does not say how many instructions:\n{told}"))
}

/// The count in what cachegrind says: `==7== I   refs:      1,234`.
fn refs(told: &str) -> Option<u64> {
    let counted = told.lines().rev().find_map(|line| {
        let (head, count) = line.split_once("refs:")?;
        head.trim_end()
            .ends_with('I')
            .then(|| count.trim().replace(',', ""))
    });
    counted?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_and_judged() {
        let told = "==7== \n==7== I   refs:      1,234,567\n==7== \n";
        assert_eq!(refs(told), Some(1_234_567));
        assert_eq!(refs("==7== nothing"), None);
        assert!(judge(105, 100).is_ok());
        assert!(judge(106, 100).is_err());
        assert!(judge(50, 100).is_ok());
    }
}
