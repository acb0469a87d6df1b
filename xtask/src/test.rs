//! `cargo xtask test`: builds what the tests need, starts a Kafka broker, and runs every test of the workspace.
//!
//! Tests find what was prepared in their environment:
//!
//! | variable | value |
//! |---|---|
//! | `MILLSTREAM_BIN` | the path of the host's binary |
//! | `MILLSTREAM_PLUGINS` | the folder of the components |
//! | `MILLSTREAM_TEST_KAFKA` | `host:port` of a broker. Set by the caller, that broker is used and none is started |
//! | `MILLSTREAM_KAFKA_LIBS` | the folder of Kafka's jars, for its console consumer and for a broker that a test starts itself |
//! | `MILLSTREAM_SKIP_KAFKA` | `1`: there is no broker, and a test that needs one prints that it was skipped |
//!
//! A test that needs a broker has either `MILLSTREAM_TEST_KAFKA` or `MILLSTREAM_SKIP_KAFKA`, never both. With neither, as
//! under a plain `cargo test`, it is skipped in the same way, except where `CI` is set: there it fails, so that no gate
//! passes without Kafka by oversight.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::kafka::Kafka;
use crate::phases::Phases;
use crate::plugins;
use crate::shell::Shell;
use crate::workspace::Workspace;

const ADDRESS: &str = "MILLSTREAM_TEST_KAFKA";
const SKIP: &str = "MILLSTREAM_SKIP_KAFKA";
const LIBS: &str = "MILLSTREAM_KAFKA_LIBS";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Skip the tests that need a Kafka broker
    #[arg(long)]
    no_kafka: bool,
    /// For `cargo test --workspace`, such as a part of a test's name or `--test FILE`
    #[arg(allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// For the test programs, such as `--nocapture`
    #[arg(last = true)]
    harness: Vec<String>,
}

impl Args {
    /// What follows `cargo`.
    fn for_cargo(&self) -> impl Iterator<Item = &str> {
        let arguments = self.arguments.iter().map(String::as_str);
        let harness = self.harness.iter().map(String::as_str);
        let separator = (!self.harness.is_empty()).then_some("--");
        ["test", "--workspace"]
            .into_iter()
            .chain(arguments)
            .chain(separator)
            .chain(harness)
    }
}

pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    let mut phases = Phases::default();
    let result = run_phases(args, workspace, shell, &mut phases);
    eprint!("\n{phases}");
    result
}

fn run_phases(
    args: &Args,
    workspace: &Workspace,
    shell: &Shell,
    phases: &mut Phases,
) -> Result<()> {
    phases.run("plugins", || plugins::build(&[], workspace, shell))?;
    // In one call, so that every dependency is compiled once, with the features that `cargo test --workspace` wants.
    phases.run("build", || {
        let mut cargo = workspace.cargo();
        shell.run(cargo.args(["build", "--workspace", "--bins", "--tests"]))
    })?;
    let kafka = Kafka::new(workspace, shell);
    let broker = phases.run("kafka", || broker(args, &kafka, shell))?;
    let result = phases.run("tests", || {
        let mut cargo = workspace.cargo();
        cargo.args(args.for_cargo());
        cargo.env("MILLSTREAM_BIN", workspace.host_binary());
        cargo.env("MILLSTREAM_PLUGINS", workspace.plugins());
        for (name, value) in broker.environment() {
            match value {
                Some(value) => cargo.env(name, value),
                None => cargo.env_remove(name),
            };
        }
        shell.run(&mut cargo)
    });
    if matches!(broker, Broker::Local { started: true, .. }) {
        kafka.down()?;
    }
    if matches!(broker, Broker::None) {
        eprintln!("\n*** The tests that need Kafka were SKIPPED. ***");
    }
    result
}

/// The broker that tests get.
#[derive(Debug, PartialEq, Eq)]
enum Broker {
    /// None: tests that need one are skipped.
    None,
    /// The caller's.
    Given { address: String, libs: PathBuf },
    /// The one of this workspace.
    Local {
        address: String,
        libs: PathBuf,
        started: bool,
    },
}

impl Broker {
    /// What tests are told; `None` takes away what the caller's environment says.
    fn environment(&self) -> [(&'static str, Option<&Path>); 3] {
        match self {
            Self::None => [(ADDRESS, None), (LIBS, None), (SKIP, Some(Path::new("1")))],
            Self::Given { address, libs } | Self::Local { address, libs, .. } => [
                (ADDRESS, Some(Path::new(address))),
                (LIBS, Some(libs)),
                (SKIP, None),
            ],
        }
    }
}

/// Finds or starts a broker. Where none can be had the tests go on without, said in plain sight, unless `CI` is set.
fn broker(args: &Args, kafka: &Kafka<'_>, shell: &Shell) -> Result<Broker> {
    if args.no_kafka {
        return Ok(Broker::None);
    }
    let given = std::env::var(ADDRESS).ok().filter(|it| !it.is_empty());
    match find(given, kafka) {
        Err(error) if !is_ci(std::env::var("CI").ok().as_deref()) => {
            shell.check()?;
            eprintln!("\n*** No Kafka broker: {error:#}");
            Ok(Broker::None)
        }
        result => result,
    }
}

fn find(given: Option<String>, kafka: &Kafka<'_>) -> Result<Broker> {
    let libs = kafka.libs()?;
    if let Some(address) = given {
        return Ok(Broker::Given { address, libs });
    }
    let up = kafka.up().context("cannot start a broker")?;
    eprintln!("broker at {}", up.address);
    Ok(Broker::Local {
        address: up.address,
        libs,
        started: up.started,
    })
}

/// Whether the value of `CI` says that this is a gate.
fn is_ci(value: Option<&str>) -> bool {
    !matches!(value, None | Some("" | "0" | "false"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn arguments_go_to_cargo_and_what_is_behind_two_dashes_to_the_tests() {
        for (given, no_kafka, wanted) in [
            ("", false, "test --workspace"),
            ("--no-kafka", true, "test --workspace"),
            ("late_rows", false, "test --workspace late_rows"),
            (
                "--no-kafka --test demo late",
                true,
                "test --workspace --test demo late",
            ),
            ("-- --nocapture", false, "test --workspace -- --nocapture"),
            ("late -- --exact", false, "test --workspace late -- --exact"),
        ] {
            let words = std::iter::once("test").chain(given.split_whitespace());
            let args = Cli::parse_from(words).args;
            assert_eq!(args.no_kafka, no_kafka, "{given}");
            assert_eq!(args.for_cargo().collect::<Vec<_>>().join(" "), wanted);
        }
    }

    #[test]
    fn tests_are_told_of_a_broker_or_to_skip_never_both() {
        let local = Broker::Local {
            address: "127.0.0.1:9092".to_owned(),
            libs: PathBuf::from("/libs"),
            started: true,
        };
        for (broker, address, skip) in [
            (Broker::None, None, Some(Path::new("1"))),
            (local, Some(Path::new("127.0.0.1:9092")), None),
        ] {
            let environment = broker.environment();
            let value = |name| environment.iter().find(|it| it.0 == name).map(|it| it.1);
            assert_eq!(value(ADDRESS), Some(address));
            assert_eq!(value(SKIP), Some(skip));
            assert_eq!(value(LIBS).flatten().is_some(), address.is_some());
        }
    }

    #[test]
    fn ci_is_what_is_not_denied() {
        assert!(is_ci(Some("true")));
        assert!(is_ci(Some("1")));
        assert!(!is_ci(Some("false")));
        assert!(!is_ci(Some("")));
        assert!(!is_ci(None));
    }
}
