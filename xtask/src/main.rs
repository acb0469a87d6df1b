//! `cargo xtask`: what a fresh machine needs to build, try and prove Millstream. One file per subcommand.

mod bench;
mod ci;
mod demo;
mod doctor;
mod fuzz;
mod fuzz_api;
mod instructions;
mod kafka;
mod lint_examples;
mod phases;
mod plugins;
mod readme;
mod shell;
mod simulate;
mod soak;
mod test;
mod tools;
mod torture;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::shell::Shell;
use crate::workspace::Workspace;

/// Build, try and prove Millstream.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what this machine lacks and how to install it
    Doctor(doctor::Args),
    /// Build the functions under plugins/ to components in target/plugins/
    Plugins(plugins::Args),
    /// Start, stop or look at a Kafka broker for tests
    Kafka(kafka::Args),
    /// Run all tests, those on a real Kafka broker included
    Test(test::Args),
    /// Run pipelines in a simulated world where everything goes wrong, a run for each seed
    Simulate(simulate::Args),
    /// Kill, stop and cut off hosts and broker for minutes, and see whether every result comes once
    Torture(torture::Args),
    /// Deploy something every few seconds for minutes, and see whether the service grows
    Soak(soak::Args),
    /// Measure what records cost, beside native programs and other engines
    Bench(bench::Args),
    /// Count the instructions that a row costs, and compare them with what is written down
    Instructions(instructions::Args),
    /// See Millstream work, on generated clicks
    Demo(demo::Args),
    /// Lint the Dockerfile and the Kubernetes manifests of the examples
    LintExamples,
    /// Bend what comes from outside, by libFuzzer, and see whether what reads it stands
    Fuzz(fuzz::Args),
    /// Make requests of the service's OpenAPI description, right and wrong, and see whether the answers are as it says
    FuzzApi(fuzz_api::Args),
    /// Run the gate: format, lints, docs, licences, and the tests as the README says
    Ci,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let workspace = Workspace::find()?;
    let shell = Shell::new()?;
    match cli.command {
        Command::Doctor(args) => doctor::run(&args, &workspace, &shell),
        Command::Plugins(args) => plugins::run(&args, &workspace, &shell),
        Command::Kafka(args) => kafka::run(&args, &workspace, &shell),
        Command::Test(args) => test::run(&args, &workspace, &shell),
        Command::Simulate(args) => simulate::run(&args, &workspace, &shell),
        Command::Torture(args) => torture::run(&args, &workspace, &shell),
        Command::Soak(args) => soak::run(&args, &workspace, &shell),
        Command::Bench(args) => bench::run(&args, &workspace, &shell),
        Command::Instructions(args) => instructions::run(&args, &workspace, &shell),
        Command::Demo(args) => demo::run(&args, &workspace, &shell),
        Command::LintExamples => lint_examples::run(&workspace, &shell),
        Command::Fuzz(args) => fuzz::run(&args, &workspace, &shell),
        Command::FuzzApi(args) => fuzz_api::run(&args, &workspace, &shell),
        Command::Ci => ci::run(&workspace, &shell),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn every_command_of_the_pages_is_understood() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let pages = std::fs::read_dir(root.join("docs")).unwrap();
        let pages = pages.map(|page| page.unwrap().path());
        let pages = pages.filter(|page| page.extension().is_some_and(|ending| ending == "md"));
        let mut found = 0;
        for page in pages.chain([root.join("README.md")]) {
            let text = std::fs::read_to_string(&page).unwrap();
            for line in text.lines().filter(|line| line.starts_with("cargo xtask")) {
                let words = line.split('#').next().unwrap().split_whitespace().skip(1);
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{}: {line}: {error}", page.display());
                }
                found += 1;
            }
        }
        assert!(found > 10, "{found}");
    }
}
