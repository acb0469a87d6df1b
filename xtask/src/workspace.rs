//! Where things are, and which crates there are, as cargo itself says.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The workspace this command was called in.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Where cargo builds, whatever the environment has made of it.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    /// The member crates.
    pub(crate) packages: Vec<Package>,
}

/// A member crate.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// The path of its manifest.
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("cannot run cargo metadata")?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        serde_json::from_slice(&output.stdout).context("cannot read what cargo metadata says")
    }

    /// Where the components of plugins are put.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.target.join("plugins")
    }

    /// The host's binary, once `cargo build` has made it.
    pub(crate) fn host_binary(&self) -> PathBuf {
        self.target.join("debug").join("millstream")
    }

    /// A cargo command that runs at the root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }
}

impl Package {
    /// The folder of its manifest.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.manifest_path.parent()
    }

    /// The stem of the file its dynamic library is built to, if it has one; for a component, `<stem>.wasm`.
    pub(crate) fn library_stem(&self) -> Option<String> {
        let is_cdylib = |target: &&Target| target.kind.iter().any(|kind| kind == "cdylib");
        let target = self.targets.iter().find(is_cdylib)?;
        Some(target.name.replace('-', "_"))
    }
}

/// The cargo that runs this program; it keeps to the toolchain of the workspace.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_component_is_found_by_the_stem_of_its_library() {
        let package = |kind: &str| -> Package {
            let json = format!(
                r#"{{"name": "bot-filter", "manifest_path": "/w/plugins/bot-filter/Cargo.toml",
                     "targets": [{{"name": "bot-filter", "kind": ["{kind}"]}}]}}"#
            );
            serde_json::from_str(&json).unwrap()
        };
        assert_eq!(package("cdylib").library_stem().unwrap(), "bot_filter");
        assert_eq!(package("bin").library_stem(), None);
        assert_eq!(
            package("bin").folder().unwrap(),
            Path::new("/w/plugins/bot-filter")
        );
    }

    #[test]
    fn this_workspace_is_found() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.root.join("xtask").is_dir());
        assert!(workspace.packages.iter().any(|it| it.name == "xtask"));
    }
}
