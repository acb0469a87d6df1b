//! `cargo xtask fuzz`: libFuzzer on what reads things from outside, each target of tests/fuzz in turn. Needs no nightly toolchain and
//! no tool: the program is built like all others, but for the host's own library, which gets coverage (tests/fuzz/instrument.sh).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::Shell;
use crate::workspace::Workspace;

/// For how long the gate looks.
const SECONDS: u32 = 60;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// For how long, all targets together
    #[arg(long, value_name = "N", default_value_t = SECONDS)]
    seconds: u32,
    /// Only this target: the name of a folder under tests/fuzz/seeds
    #[arg(long, value_name = "NAME", conflicts_with = "input")]
    target: Option<String>,
    /// Only this input, once: a file that was found, or a seed
    #[arg(long, value_name = "TARGET=FILE", value_parser = input)]
    input: Option<(String, PathBuf)>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            seconds: SECONDS,
            target: None,
            input: None,
        }
    }
}

fn input(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((target, file)) => Ok((target.to_owned(), file.into())),
        None => Err("write it as TARGET=FILE".to_owned()),
    }
}

pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    let ours = workspace.root.join("tests").join("fuzz");
    let seeds = ours.join("seeds");
    let all = targets(&seeds)?;
    let wanted = args.target.as_ref().or(args.input.as_ref().map(|it| &it.0));
    if let Some(wanted) = wanted {
        let names = all.join(", ");
        ensure!(all.contains(wanted), "there is no target {wanted}: {names}");
    }
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--workspace", "--bin", "fuzz"]);
    // With any test, what tests depend on has its say in the features of the dependencies, as when the tests are built: otherwise these
    // would be built twice. This one does not link the host, which lacks libFuzzer there.
    cargo.args(["--test", "rows_and_outputs"]);
    cargo.env("RUSTC_WORKSPACE_WRAPPER", ours.join("instrument.sh"));
    // The host is large, and a program that is built in half the time has the more to look.
    cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
    shell.run(&mut cargo)?;
    let program = workspace.target.join("debug").join("fuzz");
    let fuzz = |target: &str| {
        let mut command = Command::new(&program);
        command.env("MILLSTREAM_FUZZ_TARGET", target);
        command
    };
    if let Some((target, file)) = &args.input {
        return shell.run(fuzz(target).arg(file));
    }
    let chosen: Vec<&String> = all
        .iter()
        .filter(|name| wanted.is_none_or(|wanted| wanted == *name))
        .collect();
    let seconds = share(args.seconds, chosen.len());
    let folder = workspace.target.join("fuzz");
    for target in chosen {
        let corpus = folder.join("corpus").join(target);
        let found = folder.join("found").join(target);
        fs::create_dir_all(&corpus).context("cannot make the folder of inputs")?;
        fs::create_dir_all(&found).context("cannot make the folder of what is found")?;
        let mut command = fuzz(target);
        command.arg(format!("-max_total_time={seconds}"));
        // With a slash at its end, so that it is a folder.
        command.arg(format!("-artifact_prefix={}/", found.display()));
        command.args(["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]);
        command.args(["-print_final_stats=1", "-verbosity=0"]);
        // New inputs are kept in the first.
        command.arg(&corpus).arg(seeds.join(target));
        shell.run(&mut command).with_context(|| {
            format!(
                "{target}: what it failed at is in {}; see it again with `cargo xtask fuzz --input {target}=FILE`",
                found.display()
            )
        })?;
    }
    Ok(())
}

/// The targets: the folders of seeds.
fn targets(seeds: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(seeds).context("cannot list tests/fuzz/seeds")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// What each of so many targets gets of the time, in whole seconds: at least one, since libFuzzer takes none for "without end".
fn share(seconds: u32, targets: usize) -> u32 {
    let targets = u32::try_from(targets).unwrap_or(u32::MAX);
    seconds.checked_div(targets).unwrap_or(seconds).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_shared_and_no_target_runs_without_end() {
        assert_eq!(share(60, 9), 6);
        assert_eq!(share(5, 9), 1);
        assert_eq!(share(0, 1), 1);
    }

    #[test]
    fn an_input_is_named_with_its_target() {
        let wanted = ("marks".to_owned(), PathBuf::from("a=b"));
        assert_eq!(input("marks=a=b"), Ok(wanted));
        assert!(input("marks").is_err());
    }
}
