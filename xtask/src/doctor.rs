//! `cargo xtask doctor`: what this machine lacks, what for, and how to install it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::plugins;
use crate::shell::{Shell, probe};
use crate::tools;
use crate::workspace::Workspace;

/// Free disk space for a full build in both profiles with Kafka's jars and data.
const DISK_GIB: u64 = 15;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Install what is missing: the compiler's target by rustup, packages by apt-get where root may
    #[arg(long)]
    fix: bool,
}

/// Lists every need, met or not; fails if one is not met that the build, the tests and the gate cannot do without.
pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    let mut findings = examine(workspace);
    if args.fix {
        fix(&findings, workspace, shell)?;
        findings = examine(workspace);
    }
    for finding in &findings {
        eprintln!("{}", finding.line());
    }
    let missing = missing(&findings);
    if missing.is_empty() {
        Ok(())
    } else {
        bail!("missing: {}", missing.join(", "))
    }
}

/// Something that a machine needs.
struct Need {
    name: &'static str,
    /// What for.
    purpose: &'static str,
    install: Install,
    optional: bool,
}

/// How a need is met.
enum Install {
    /// A package of Debian and its kin.
    Apt(&'static str),
    /// The compiler's target of components.
    Target,
    /// Tools from the Python package index.
    Tools,
    /// By hand, as described.
    Hand(&'static str),
}

/// A need, and what was found.
struct Finding {
    need: Need,
    /// The version or amount, or what is wrong.
    found: Result<String, String>,
}

impl Finding {
    fn line(&self) -> String {
        let Need {
            name,
            purpose,
            install,
            optional,
        } = &self.need;
        match &self.found {
            Ok(found) => format!("ok       {name}: {found}"),
            Err(problem) => {
                let verdict = if *optional { "optional" } else { "MISSING " };
                let advice = match install {
                    Install::Apt(package) => format!("apt-get install {package}"),
                    Install::Target => format!("rustup target add {}", plugins::TARGET),
                    Install::Tools => "cargo xtask doctor --fix".to_owned(),
                    Install::Hand(advice) => (*advice).to_owned(),
                };
                format!("{verdict} {name}: {problem}; {purpose}; {advice}")
            }
        }
    }
}

/// The needs without which the build or a test fails.
fn missing(findings: &[Finding]) -> Vec<&'static str> {
    let missing = |it: &&Finding| it.found.is_err() && !it.need.optional;
    findings
        .iter()
        .filter(missing)
        .map(|it| it.need.name)
        .collect()
}

fn examine(workspace: &Workspace) -> Vec<Finding> {
    let finding = |name, purpose, install, found| Finding {
        need: Need {
            name,
            purpose,
            install,
            optional: false,
        },
        found,
    };
    let apt = Install::Apt;
    let mut kcat = finding(
        "kcat",
        "to look into Kafka topics by hand",
        apt("kcat"),
        tool("kcat", "-V"),
    );
    kcat.need.optional = true;
    let mut tools = finding(
        "hadolint, kubernetes-validate, schemathesis",
        "to lint the examples and to make requests of the API's description",
        Install::Tools,
        tools::found(&workspace.target),
    );
    tools.need.optional = true;
    vec![
        finding(
            "rustup",
            "brings the compiler of rust-toolchain.toml and its target",
            Install::Hand("see https://rustup.rs"),
            tool("rustup", "--version"),
        ),
        finding(
            "rustc",
            "compiles all of this",
            Install::Hand("let rustup follow rust-toolchain.toml: call cargo in this folder without +toolchain"),
            tool("rustc", "--version").and_then(|found| at_least(&found, env!("CARGO_PKG_RUST_VERSION"))),
        ),
        finding(
            plugins::TARGET,
            "compiles functions to components",
            Install::Target,
            match plugins::target_installed(workspace) {
                true => Ok("installed".to_owned()),
                false => Err("not installed".to_owned()),
            },
        ),
        finding("cc", "compiles librdkafka, OpenSSL and zstd", apt("gcc"), tool("cc", "--version")),
        finding("c++", "compiles librdkafka and libFuzzer", apt("g++"), tool("c++", "--version")),
        finding("make", "builds librdkafka and OpenSSL", apt("make"), tool("make", "--version")),
        finding("perl", "configures OpenSSL", apt("perl"), tool("perl", "-v")),
        finding(
            "java",
            "runs the Kafka broker of the tests",
            apt("openjdk-17-jre-headless"),
            tool("java", "-version").and_then(|found| at_least(&found, "17")),
        ),
        finding(
            "python3",
            "runs the linters of examples and the requests of the API's description",
            apt("python3-venv"),
            // What makes an environment; Debian has it in a package of its own.
            tool("python3", "-m ensurepip --version"),
        ),
        finding("valgrind", "counts the instructions of a row", apt("valgrind"), tool("valgrind", "--version")),
        finding("mvn", "fetches Apache Kafka", apt("maven"), tool("mvn", "--quiet --version")),
        finding(
            "disk",
            "builds, jars and test data",
            Install::Hand("make room, or set CARGO_TARGET_DIR to a folder on another disk"),
            free_disk(&workspace.root, &workspace.target),
        ),
    ]
    .into_iter()
    .chain([kcat, tools])
    .collect()
}

/// The first line with a digit that a program prints about itself.
fn tool(program: &str, arguments: &str) -> Result<String, String> {
    let arguments = arguments.split_whitespace();
    let text = probe(Command::new(program).args(arguments)).ok_or("not found")?;
    let line = text.lines().find(|line| version(line).is_some());
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// The first version in a text, by its leading numbers: `openjdk version "17.0.15"` is 17, 0, 15.
fn version(text: &str) -> Option<Vec<u32>> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let digits = text.get(start..)?;
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.');
    let number = digits.get(..end.unwrap_or(digits.len()))?;
    number
        .trim_end_matches('.')
        .split('.')
        .map(|part| part.parse().ok())
        .collect()
}

/// What was found, if its version is not below the wanted one.
fn at_least(found: &str, wanted: &str) -> Result<String, String> {
    if version(found) >= version(wanted) {
        Ok(found.to_owned())
    } else {
        Err(format!("{found} is older than {wanted}"))
    }
}

/// Free space where cargo builds. The target folder may not exist yet, and then the root stands for it.
fn free_disk(root: &Path, target: &Path) -> Result<String, String> {
    let folder = if target.exists() { target } else { root };
    let disk = rustix::fs::statvfs(folder).map_err(|error| error.to_string())?;
    enough_disk(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn enough_disk(free: u64) -> Result<String, String> {
    let gib = free >> 30;
    let found = format!("{gib} GiB free");
    if gib >= DISK_GIB {
        Ok(found)
    } else {
        Err(format!("{found} of {DISK_GIB} GiB"))
    }
}

/// Installs what is missing and can be installed by a command. What cannot is left for the list that follows.
fn fix(findings: &[Finding], workspace: &Workspace, shell: &Shell) -> Result<()> {
    let unmet = || findings.iter().filter(|finding| finding.found.is_err());
    if unmet().any(|finding| matches!(finding.need.install, Install::Target)) {
        plugins::install_target(workspace, shell)?;
    }
    let packages: Vec<_> = unmet()
        .filter(|finding| !finding.need.optional)
        .filter_map(|finding| match finding.need.install {
            Install::Apt(package) => Some(package),
            Install::Target | Install::Tools | Install::Hand(_) => None,
        })
        .collect();
    let may_install = rustix::process::geteuid().is_root() && tool("apt-get", "--version").is_ok();
    if !packages.is_empty() && may_install {
        apt_get(packages, shell)?;
    }
    // Needs the Python that may just have come.
    if unmet().any(|finding| matches!(finding.need.install, Install::Tools)) {
        // Their steps say that they are skipped, or fail, whichever the gate wants.
        if let Err(error) = tools::install(workspace, shell) {
            eprintln!("the tools of the examples and the API are not installed: {error:#}");
        }
    }
    Ok(())
}

fn apt_get(packages: Vec<&str>, shell: &Shell) -> Result<()> {
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    shell.run(apt().arg("update"))?;
    shell
        .run(
            apt()
                .args(["install", "--yes", "--no-install-recommends"])
                .args(packages),
        )
        .context("cannot install packages")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_read_as_the_tools_print_them() {
        for (text, wanted) in [
            ("openjdk version \"17.0.15\" 2025-04-15", vec![17, 0, 15]),
            ("openjdk version \"21-ea\" 2023-09-19", vec![21]),
            ("java version \"1.8.0_392\"", vec![1, 8, 0]),
            ("rustc 1.95.0 (f2d3ce0bd 2026-03-21)", vec![1, 95, 0]),
            ("Apache Maven 3.8.7", vec![3, 8, 7]),
            ("GNU Make 4.3", vec![4, 3]),
            ("ends with 4.", vec![4]),
        ] {
            assert_eq!(version(text), Some(wanted), "{text}");
        }
        assert_eq!(version("no digits"), None);
        assert_eq!(version("99999999999"), None);
    }

    #[test]
    fn an_older_java_is_named() {
        assert!(at_least("openjdk version \"17.0.15\"", "17").is_ok());
        assert!(at_least("openjdk version \"21-ea\"", "17").is_ok());
        assert_eq!(
            at_least("java version \"1.8.0_392\"", "17").unwrap_err(),
            "java version \"1.8.0_392\" is older than 17"
        );
        assert!(at_least("", "17").is_err());
    }

    #[test]
    fn a_missing_need_says_what_it_is_for_and_how_to_get_it() {
        let mut finding = Finding {
            need: Need {
                name: "mvn",
                purpose: "fetches Apache Kafka",
                install: Install::Apt("maven"),
                optional: false,
            },
            found: Err("not found".to_owned()),
        };
        assert_eq!(
            finding.line(),
            "MISSING  mvn: not found; fetches Apache Kafka; apt-get install maven"
        );
        assert_eq!(missing(std::slice::from_ref(&finding)), ["mvn"]);
        finding.need.optional = true;
        assert!(finding.line().starts_with("optional mvn"));
        assert!(missing(&[finding]).is_empty());
    }

    #[test]
    fn disk_space_is_judged_in_whole_gibibytes() {
        assert_eq!(enough_disk(15 << 30).unwrap(), "15 GiB free");
        assert!(enough_disk((15 << 30) - 1).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_searched_without_a_panic(text: String) {
            let digits = text.contains(|c: char| c.is_ascii_digit());
            prop_assert!(digits || version(&text).is_none());
        }
    }
}
