//! From what is wanted to versions that can run: components read from the topic, admitted, and kept as long as somebody may go
//! back to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::begin::FollowError;
use super::history::{Entry, History, InPlace, State, Wanted};
use super::message::Strategy;
use super::topic::Topic;
use crate::log::{Log, LogError};
use crate::pipeline::{Function, Pipeline};
use crate::plugin::PluginEngine;
use crate::registry::{Subject, Trust};
use crate::worker::{Running, Target, Trial, Version};

/// Where versions come from, and those that have been prepared.
pub(super) struct Prepared<'a, L> {
    pub(super) log: &'a L,
    pub(super) topic: &'a Topic,
    pub(super) history: &'a History,
    pub(super) base: &'a Pipeline,
    pub(super) engine: &'a PluginEngine,
    /// Whose components this process runs.
    pub(super) trust: &'a Trust,
    /// By the number of the step and the digest.
    pub(super) functions: &'a mut BTreeMap<(usize, String), Function>,
    /// By generation.
    pub(super) versions: &'a mut BTreeMap<u64, Arc<Version>>,
}

impl<L: Log> Prepared<'_, L> {
    /// What the workers are to run.
    ///
    /// # Errors
    /// If the log can't be read, or a component can't be run.
    pub(super) fn target(&mut self, wanted: &Wanted) -> Result<Target, FollowError> {
        let active = self.history.active().cloned();
        let base = Running {
            version: self.version(wanted.generation, &wanted.steps)?,
            trial: active
                .as_ref()
                .and_then(|entry| trial(entry, &State::OnTrial)),
        };
        let canary = match &active {
            Some(entry) if entry.state == State::Canary => {
                let Strategy::Canary { percent, .. } = entry.deploy.strategy else {
                    return Err(LogError::Refused("a canary without a share".to_owned()).into());
                };
                let steps = wanted.with(entry);
                let running = Running {
                    version: self.version(entry.id, &steps)?,
                    trial: trial(entry, &State::Canary),
                };
                Some((running, percent))
            }
            _ => None,
        };
        let can_go_back = wanted
            .steps
            .iter()
            .filter(|(_, step)| step.previous.is_some());
        let can_go_back = can_go_back.map(|(name, _)| name.clone()).collect();
        self.forget(wanted, active.as_ref());
        Ok(Target {
            base,
            canary,
            can_go_back,
        })
    }

    fn version(
        &mut self,
        generation: u64,
        steps: &BTreeMap<String, InPlace>,
    ) -> Result<Arc<Version>, FollowError> {
        if let Some(version) = self.versions.get(&generation) {
            return Ok(Arc::clone(version));
        }
        let pipeline = self.pipeline(steps)?;
        let version = Arc::new(Version {
            generation,
            pipeline,
        });
        self.versions.insert(generation, Arc::clone(&version));
        Ok(version)
    }

    /// The pipeline with the components of these steps. Where its file names another than it did when something was deployed, the
    /// file counts.
    ///
    /// # Errors
    /// If the log can't be read, or a component can't be run.
    pub(super) fn pipeline(
        &mut self,
        steps: &BTreeMap<String, InPlace>,
    ) -> Result<Pipeline, FollowError> {
        let mut replaced = BTreeMap::new();
        for (number, function) in self.base.functions().iter().enumerate() {
            let file = function.plugin().digest();
            let deployed = steps.get(function.name()).filter(|step| step.base == file);
            let Some(digest) = deployed.map(|step| &step.now.sha256) else {
                continue;
            };
            if digest != file {
                replaced.insert(number, self.function(number, digest)?);
            }
        }
        Ok(self.base.with_functions(replaced)?)
    }

    fn function(&mut self, number: usize, digest: &str) -> Result<Function, FollowError> {
        let key = (number, digest.to_owned());
        if let Some(function) = self.functions.get(&key) {
            return Ok(function.clone());
        }
        let pieces = self.history.pieces(digest).ok_or_else(|| {
            LogError::Refused(format!(
                "topic {} lacks the component {digest}",
                self.topic.name
            ))
        })?;
        let bytes = self.topic.component(self.log, digest, &pieces)?;
        let function = self.base.functions()[number].with_component(&bytes, self.engine)?;
        // Who took it in may ask for less than this process does.
        self.trust.judge_taken(
            Subject::of(function.plugin()),
            self.history.signatures(digest),
        )?;
        self.functions.insert(key, function.clone());
        Ok(function)
    }

    /// Lets go of what nobody goes back to.
    fn forget(&mut self, wanted: &Wanted, active: Option<&Entry>) {
        let canary = active.map(|entry| entry.id);
        self.versions.retain(|generation, _| {
            *generation == wanted.generation || Some(*generation) == canary
        });
        let mut kept: BTreeSet<&str> = BTreeSet::new();
        for step in wanted.steps.values() {
            kept.insert(&step.now.sha256);
            kept.extend(step.previous.as_ref().map(|plugin| plugin.sha256.as_str()));
        }
        kept.extend(active.map(|entry| entry.deploy.to.sha256.as_str()));
        self.functions
            .retain(|(_, digest), _| kept.contains(digest.as_str()));
    }
}

/// How the version of a deploy is watched while the deploy is in this state.
fn trial(entry: &Entry, state: &State) -> Option<Trial> {
    let spec = entry.deploy.trial.filter(|_| entry.state == *state)?;
    Some(Trial {
        step: entry.deploy.step.clone(),
        before: entry.before(),
        limits: spec.limits,
    })
}
