//! The folder of deploys: a component that is put there as `PIPELINE/STEP.wasm` is deployed into that step.
//!
//! A file counts when two looks in a row saw the same of it ([`Watch`]). One that has been deployed into its step before is
//! left alone when the service starts, whatever has become of it: what was rolled back does not come again by a restart.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::deploys::{Component, DeployAsked};
use super::error::ServiceError;
use super::folder::{Change, LOOK, Stamp, Watch};
use super::supervisor::Service;
use crate::control::{Strategy, TrialSpec};
use crate::plugin::digest_of;
use crate::time::Clock as _;

/// How often it is looked whether the service ends.
const SHORT: Duration = Duration::from_millis(50);

impl Service {
    /// Deploys what is put into the folder of deploys, until `stop` is set. Blocks its thread.
    pub(super) fn watch_deploys(self: &Arc<Self>, folder: &Path, stop: &AtomicBool) {
        // Everything that is there at the start is new, and may have been deployed before.
        let mut watch = Watch::default();
        let mut is_start = true;
        while !stop.load(Ordering::Relaxed) {
            match look(folder) {
                Ok(found) => {
                    let changes = watch.changes(found);
                    let is_first = is_start && !changes.is_empty();
                    for change in changes {
                        if let Change::Added(name) | Change::Changed(name) = change
                            && !self.deploy_file(folder, &name, is_start)
                        {
                            watch.put_back(&name);
                        }
                    }
                    is_start &= !is_first;
                }
                Err(error) => tracing::warn!(%error, "the folder of deploys can't be read"),
            }
            let mut waited = Duration::ZERO;
            while waited < LOOK && !stop.load(Ordering::Relaxed) {
                self.clock.pause(SHORT);
                waited += SHORT;
            }
        }
    }

    /// Deploys a file. Returns whether that is settled: where the pipeline does not run yet it is tried again.
    fn deploy_file(&self, folder: &Path, name: &str, only_new: bool) -> bool {
        let Some((pipeline, step)) = name.split_once('/') else {
            return true;
        };
        let file = folder.join(pipeline).join(format!("{step}.wasm"));
        let Ok(bytes) = fs::read(&file) else {
            return false;
        };
        let control = match self.control(pipeline) {
            Ok(control) => control,
            Err(ServiceError::Unknown(_)) => {
                tracing::warn!(file = %file.display(), "there is no such pipeline to deploy into");
                return true;
            }
            // It starts, or rests.
            Err(_) => return false,
        };
        let digest = digest_of(&bytes);
        let is_in_place = control
            .running()
            .functions()
            .iter()
            .any(|function| function.name() == step && function.plugin().digest() == digest);
        if is_in_place || (only_new && control.was_deployed(step, &digest)) {
            return true;
        }
        let asked = DeployAsked {
            step: step.to_owned(),
            component: Component::Bytes(bytes),
            strategy: Strategy::Immediate,
            trial: TrialSpec::default(),
            by: "the folder of deploys".to_owned(),
        };
        match self.deploy(pipeline, asked) {
            Ok(view) => tracing::info!(file = %file.display(), deploy = view.id, "deployed"),
            Err(error) => tracing::error!(file = %file.display(), %error, "not deployed"),
        }
        true
    }
}

/// The components in the folder, as `PIPELINE/STEP`.
fn look(folder: &Path) -> io::Result<BTreeMap<String, Stamp>> {
    let mut files = BTreeMap::new();
    for pipeline in fs::read_dir(folder)? {
        let path = pipeline?.path();
        let (true, Some(pipeline)) = (
            path.is_dir(),
            path.file_name().and_then(|name| name.to_str()),
        ) else {
            continue;
        };
        for file in fs::read_dir(&path)? {
            let path = file?.path();
            let is_component = path.extension().is_some_and(|ending| ending == "wasm");
            let step = path.file_stem().and_then(|stem| stem.to_str());
            // A file that goes away meanwhile is not there.
            if let (true, Some(step), Ok(seen)) = (is_component, step, fs::metadata(&path)) {
                files.insert(format!("{pipeline}/{step}"), Stamp::of(&seen));
            }
        }
    }
    Ok(files)
}
