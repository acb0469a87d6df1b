//! `cargo xtask lint-examples`: the Dockerfile and the Kubernetes manifests under examples/ are such as their tools take.

use anyhow::Result;

use crate::shell::Shell;
use crate::tools;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, shell: &Shell) -> Result<()> {
    let service = workspace.root.join("examples").join("service");
    if let Some(mut hadolint) = tools::tool("hadolint", workspace)? {
        shell.run(hadolint.arg(service.join("Dockerfile")))?;
    }
    if let Some(mut validate) = tools::tool("kubernetes-validate", workspace)? {
        shell.run(
            validate
                .arg("--strict")
                .arg(service.join("kubernetes.yaml")),
        )?;
    }
    Ok(())
}
