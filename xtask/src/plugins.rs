//! `cargo xtask plugins`: builds the functions of this workspace to components, each into one well-known place.
//!
//! | crates in | go to |
//! |---|---|
//! | `plugins/` | `target/plugins/<name>.wasm` |
//! | `tests/components/` | `target/plugins/fixtures/<name>.wasm` |

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{Shell, probe};
use crate::workspace::{Package, Workspace};

/// What components are compiled for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Folders whose crates are components, and where in `target/plugins` these go.
const FOLDERS: [(&str, &str); 2] = [("plugins", ""), ("tests/components", "fixtures")];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Crates to build; all if none is named
    names: Vec<String>,
}

pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    build(&args.names, workspace, shell)
}

/// Builds the named components, or all.
pub(crate) fn build(names: &[String], workspace: &Workspace, shell: &Shell) -> Result<()> {
    let components = select(components(workspace)?, names)?;
    if components.is_empty() {
        eprintln!("no plugins to build");
        return Ok(());
    }
    install_target(workspace, shell)?;

    let mut cargo = workspace.cargo();
    cargo.args(["build", "--target", TARGET, "--profile", "plugin"]);
    for component in &components {
        cargo.args(["--package", &component.name]);
    }
    shell.run(&mut cargo)?;

    for component in &components {
        let path = &component.installed;
        if install(&component.built, path)? {
            eprintln!("{} ({} KiB)", path.display(), path.metadata()?.len() / 1024);
        }
    }
    Ok(())
}

/// A crate to be built to a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component {
    /// The name of the crate.
    pub(crate) name: String,
    /// Where cargo puts the component.
    built: PathBuf,
    /// Where it is to go.
    installed: PathBuf,
}

/// Every component of the workspace.
pub(crate) fn components(workspace: &Workspace) -> Result<Vec<Component>> {
    let mut found = Vec::new();
    for (folder, destination) in FOLDERS {
        let destination = workspace.plugins().join(destination);
        for folder in crates_in(&workspace.root.join(folder))? {
            let is_here = |package: &&Package| package.folder() == Some(&folder);
            let package = workspace.packages.iter().find(is_here);
            let package = package.with_context(|| {
                let folder = folder.display();
                format!(
                    "{folder} is not in the workspace: add it to `members` of the root Cargo.toml"
                )
            })?;
            let stem = package.library_stem().with_context(|| {
                let name = &package.name;
                format!("{name} is not a component: its Cargo.toml needs [lib] crate-type = [\"cdylib\"]")
            })?;
            found.push(Component {
                name: package.name.clone(),
                built: workspace
                    .target
                    .join(TARGET)
                    .join("plugin")
                    .join(format!("{stem}.wasm")),
                installed: destination.join(format!("{}.wasm", package.name)),
            });
        }
    }
    Ok(found)
}

/// The subfolders that hold a crate, in order of name. A folder that does not exist holds none.
fn crates_in(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Those named, or all if none is.
fn select(components: Vec<Component>, names: &[String]) -> Result<Vec<Component>> {
    let known = |name: &&String| components.iter().any(|component| component.name == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let all: Vec<_> = components.iter().map(|it| it.name.as_str()).collect();
        bail!("no plugin named {unknown}; there are: {}", all.join(", "));
    }
    let wanted = |component: &Component| names.is_empty() || names.contains(&component.name);
    Ok(components.into_iter().filter(wanted).collect())
}

/// Whether the compiler has the standard library for components.
pub(crate) fn target_installed(workspace: &Workspace) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(&workspace.root);
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    probe(&mut rustc).is_some_and(|folder| Path::new(folder.trim()).is_dir())
}

/// Brings the standard library for components in, where it is missing.
pub(crate) fn install_target(workspace: &Workspace, shell: &Shell) -> Result<()> {
    if target_installed(workspace) {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.current_dir(&workspace.root);
    shell
        .run(rustup.args(["target", "add", TARGET]))
        .context("the compiler lacks the target of components")
}

/// Puts a copy of a file where readers always find either the old one or the new one, whole. The same content leaves the
/// old file alone, with its date. Says whether anything changed.
fn install(from: &Path, to: &Path) -> Result<bool> {
    let new = fs::read(from).with_context(|| format!("cargo did not build {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(false);
    }
    let folder = to.parent().context("a component goes to a folder")?;
    let name = to.file_name().and_then(OsStr::to_str);
    let name = name.context("a component has a name in UTF-8")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let staged = folder.join(format!(".{name}.{}", std::process::id()));
    fs::write(&staged, new).with_context(|| format!("cannot write {}", staged.display()))?;
    fs::rename(&staged, to).with_context(|| format!("cannot replace {}", to.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn component(name: &str) -> Component {
        Component {
            name: name.to_owned(),
            built: PathBuf::new(),
            installed: PathBuf::new(),
        }
    }

    #[test]
    fn all_are_built_unless_some_are_named() {
        let all = vec![component("bot-filter"), component("revenue")];
        assert_eq!(select(all.clone(), &[]).unwrap(), all);
        let named = select(all.clone(), &["revenue".to_owned()]).unwrap();
        assert_eq!(named, [component("revenue")]);
        let error = select(all, &["revenu".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no plugin named revenu; there are: bot-filter, revenue"
        );
    }

    #[test]
    fn only_folders_with_a_manifest_are_crates() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b", "a", "notes"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        for name in ["b", "a"] {
            fs::write(root.join(name).join("Cargo.toml"), "").unwrap();
        }
        assert_eq!(crates_in(root).unwrap(), [root.join("a"), root.join("b")]);
        assert!(crates_in(&root.join("missing")).unwrap().is_empty());
    }

    #[test]
    fn a_component_is_replaced_only_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("new"), folder.path().join("out/a.wasm"));
        fs::write(&from, "one").unwrap();
        assert!(install(&from, &to).unwrap());
        assert!(!install(&from, &to).unwrap());
        fs::write(&from, "two").unwrap();
        assert!(install(&from, &to).unwrap());
        assert_eq!(fs::read_to_string(&to).unwrap(), "two");
        let files = fs::read_dir(to.parent().unwrap()).unwrap().count();
        assert_eq!(files, 1, "no staged file is left behind");
    }
}
