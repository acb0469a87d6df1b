//! What a process knows of a pipeline's deploys, and how it is asked for one. Asked from any thread; `follower` carries it out.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::compare::Comparison;
use super::fit::{Fit, fit};
use super::history::{Entry, History, State};
use super::message::{Deploy, Message, PluginRef, Strategy, TrialSpec};
use super::shadow;
use crate::pipeline::{Pipeline, PrepareError};
use crate::plugin::PluginEngine;
use crate::registry::Signature;
use crate::time::{Clock as _, SystemClock, Timestamp};
use crate::worker::Rollout;

/// How long the log may take to keep what is asked for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A deploy that is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The step whose function is to be another.
    pub step: String,
    /// The component's bytes.
    pub component: Vec<u8>,
    /// Its signature, for other processes that run the pipeline; whether it is right has been seen to.
    pub signature: Option<Signature>,
    /// How.
    pub strategy: Strategy,
    /// How it is watched.
    pub trial: TrialSpec,
    /// Who asks.
    pub by: String,
}

/// Why a deploy is not taken.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The pipeline has no such step.
    #[error("there is no step {step}; there are {}", .known.join(", "))]
    NoStep {
        /// What was asked for.
        step: String,
        /// The steps that there are.
        known: Vec<String>,
    },
    /// The component can't be run in this place.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// It can be run, and not go on where the other is.
    #[error("{} can't take the place of {}: {}", .new, .running, .differences.join("; "))]
    Unfit {
        /// The component that was asked for.
        new: String,
        /// The one that runs.
        running: String,
        /// What differs.
        differences: Vec<String>,
    },
    /// What was asked for makes no sense here and now, and why.
    #[error("{0}")]
    Conflict(String),
    /// There is no such deploy.
    #[error("there is no deploy {0}")]
    NoDeploy(u64),
    /// The log did not keep it in time, and may yet.
    #[error("the log did not take it in time: look at the pipeline's deploys before you try again")]
    Away,
    /// The pipeline does not run here any more.
    #[error("the pipeline is stopping: resume it first")]
    Over,
}

/// A deploy, as it is shown.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DeployView {
    /// Its number.
    pub id: u64,
    /// The step.
    pub step: String,
    /// The component that ran before.
    pub from: PluginRef,
    /// The component deployed.
    pub to: PluginRef,
    /// How.
    pub strategy: Strategy,
    /// What has become of it.
    pub outcome: Outcome,
    /// Why, where it was refused or taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it puts back what was there before.
    pub is_rollback: bool,
    /// Who asked for it.
    pub by: String,
    /// When, as RFC 3339.
    pub at: String,
    /// What this process has made of rows with it.
    pub rows: u64,
    /// How many of them could not be processed.
    pub errors: u64,
    /// What a row took, in microseconds.
    pub micros_per_row: f64,
    /// Of a shadow that runs in this process, or was the last one to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

/// What has become of a deploy.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It never took effect.
    Refused,
    /// Its component has a share of the partitions.
    Canary,
    /// Its component runs beside the other, and results are compared.
    Shadow,
    /// Its component is in place, and watched.
    OnTrial,
    /// Its component took the place for good.
    Done,
    /// It was taken back by somebody.
    Aborted,
    /// It was taken back by a host that saw it fail.
    RolledBack,
}

impl Outcome {
    /// Whether nothing more becomes of it by itself.
    pub fn is_over(self) -> bool {
        !matches!(self, Outcome::Canary | Outcome::Shadow | Outcome::OnTrial)
    }
}

/// What the follower is asked to write.
pub(super) struct Request {
    pub(super) what: What,
    /// Where the number of the deploy goes, or why there is none.
    pub(super) answer: mpsc::Sender<Result<u64, DeployError>>,
}

pub(super) enum What {
    /// A deploy with its component.
    Deploy(Box<Deploy>, Vec<u8>),
    /// What was in a step before is to be there again.
    Rollback { step: String, by: String },
    /// Of a deploy that there is.
    Message(u64, Message),
}

/// A pipeline's deploys, in this process.
pub struct Control {
    /// As the pipeline's file has it.
    base: Pipeline,
    /// Who this process is among those that run the pipeline.
    instance: String,
    rollout: Arc<Rollout>,
    history: Mutex<History>,
    /// What comparing a shadow has come to, and of which deploy.
    comparison: Mutex<Option<(u64, Comparison)>>,
    requests: mpsc::Sender<Request>,
    changed: watch::Sender<u64>,
}

impl Control {
    pub(super) fn new(
        base: Pipeline,
        instance: String,
        rollout: Arc<Rollout>,
        history: History,
    ) -> (Self, mpsc::Receiver<Request>) {
        let (requests, asked) = mpsc::channel();
        let control = Self {
            base,
            instance,
            rollout,
            history: Mutex::new(history),
            comparison: Mutex::default(),
            requests,
            changed: watch::Sender::new(0),
        };
        (control, asked)
    }

    /// What runs now, for whoever shows it.
    pub fn running(&self) -> Pipeline {
        self.rollout.target().base.version.pipeline.clone()
    }

    /// The generation that runs where no canary does; 0 where nothing has been deployed.
    pub fn generation(&self) -> u64 {
        self.rollout.target().base.version.generation
    }

    /// The last 250 deploys, the latest first.
    pub fn deploys(&self) -> Vec<DeployView> {
        let history = self.history();
        let entries = history.deploys().iter().rev();
        entries.map(|entry| self.view(entry)).collect()
    }

    /// Whether a component was ever to be put into a step.
    pub fn was_deployed(&self, step: &str, digest: &str) -> bool {
        self.history().was_deployed(step, digest)
    }

    /// One deploy of the last ones.
    ///
    /// # Errors
    /// If there is none of that number.
    pub fn deploy_of(&self, id: u64) -> Result<DeployView, DeployError> {
        let history = self.history();
        let entry = history.deploys().iter().find(|entry| entry.id == id);
        entry
            .map(|entry| self.view(entry))
            .ok_or(DeployError::NoDeploy(id))
    }

    /// Tells when something has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Deploys a component: admits it, compares it with what runs, and has the log order it among the others. Compiles it, so this
    /// takes seconds; workers go on meanwhile, and go over later.
    ///
    /// # Errors
    /// See [`DeployError`]; nothing is changed then.
    pub fn deploy(&self, asked: Asked, engine: &PluginEngine) -> Result<DeployView, DeployError> {
        if let Strategy::Canary { percent, .. } = asked.strategy
            && !(1..=99).contains(&percent)
        {
            return Err(DeployError::Conflict(format!(
                "a canary has from 1 to 99 percent of the partitions, and not {percent}"
            )));
        }
        let running = self.running();
        let number = number_of(&running, &asked.step)?;
        let new = running.with_component(number, &asked.component, engine)?;
        let fit = self.fits(&running, &new, number)?;
        if fit.migrates && matches!(asked.strategy, Strategy::Canary { .. }) {
            return Err(DeployError::Conflict(
                "a canary shares state with the version beside it, and this one has another state version: deploy it at once, or in \
                 shadow first"
                    .to_owned(),
            ));
        }
        if let Strategy::Shadow { .. } = asked.strategy
            && let Some(why) = shadow::refusal(running.config())
        {
            return Err(DeployError::Conflict(why.to_owned()));
        }
        let deploy = self.message(&running, &new, number, fit, &asked);
        let id = self.ask(What::Deploy(Box::new(deploy), asked.component))?;
        self.deploy_of(id)
    }

    /// Puts back what was in a step before the last deploy: as a deploy like any other, but not on trial.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub fn roll_back(&self, step: &str, by: &str) -> Result<DeployView, DeployError> {
        number_of(&self.base, step)?;
        let (step, by) = (step.to_owned(), by.to_owned());
        let id = self.ask(What::Rollback { step, by })?;
        self.deploy_of(id)
    }

    /// Lets a canary or shadow take the place.
    ///
    /// # Errors
    /// If there is no such deploy under way.
    pub fn promote(&self, id: u64) -> Result<DeployView, DeployError> {
        let wanted = [Outcome::Canary, Outcome::Shadow];
        self.say(id, &wanted, Message::Promote { deploy: id })
    }

    /// Takes a deploy back that is under way or on trial.
    ///
    /// # Errors
    /// If there is no such deploy.
    pub fn abort(&self, id: u64, by: &str) -> Result<DeployView, DeployError> {
        let wanted = [Outcome::Canary, Outcome::Shadow, Outcome::OnTrial];
        let message = Message::Abort {
            deploy: id,
            reason: format!("{by} took it back"),
            automatic: false,
        };
        self.say(id, &wanted, message)
    }

    fn say(
        &self,
        id: u64,
        wanted: &[Outcome],
        message: Message,
    ) -> Result<DeployView, DeployError> {
        let now = self.deploy_of(id)?.outcome;
        if !wanted.contains(&now) {
            return Err(DeployError::Conflict(format!(
                "deploy {id} is over: roll the step back instead, or deploy another component"
            )));
        }
        self.ask(What::Message(id, message))?;
        self.deploy_of(id)
    }

    fn ask(&self, what: What) -> Result<u64, DeployError> {
        let (answer, answered) = mpsc::channel();
        let request = Request { what, answer };
        self.requests.send(request).map_err(|_| DeployError::Over)?;
        answered
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| match error {
                RecvTimeoutError::Timeout => Err(DeployError::Away),
                RecvTimeoutError::Disconnected => Err(DeployError::Over),
            })
    }

    /// Whether a version can go on where another is.
    pub(super) fn fits(
        &self,
        running: &Pipeline,
        new: &Pipeline,
        number: usize,
    ) -> Result<Fit, DeployError> {
        let who = |pipeline: &Pipeline| pipeline.functions()[number].plugin().who();
        fit(running, new).map_err(|differences| DeployError::Unfit {
            new: who(new),
            running: who(running),
            differences,
        })
    }

    /// The message that asks for `new` in place of `running`.
    pub(super) fn message(
        &self,
        running: &Pipeline,
        new: &Pipeline,
        number: usize,
        fit: Fit,
        asked: &Asked,
    ) -> Deploy {
        Deploy {
            token: format!("{:016x}", rand::random::<u64>()),
            step: asked.step.clone(),
            base: self.base.functions()[number].plugin().digest().to_owned(),
            from: plugin_ref(running, number),
            to: plugin_ref(new, number),
            strategy: asked.strategy.clone(),
            // What can't go back can't be taken back either.
            trial: fit.can_return.then_some(asked.trial),
            is_rollback: false,
            by: asked.by.clone(),
            at: SystemClock::new().now().0,
            host: self.instance.clone(),
            signature: asked.signature.map(|signature| signature.to_text()),
        }
    }

    /// Whether a deploy was asked for here.
    pub(super) fn is_asked(&self, deploy: &Deploy) -> bool {
        deploy.host == self.instance
    }

    /// Takes over what comparing a shadow has come to.
    pub(super) fn compared(&self, id: u64, comparison: &Comparison) {
        *self
            .comparison
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((id, comparison.clone()));
    }

    fn comparison_of(&self, id: u64) -> Option<Comparison> {
        let comparison = self
            .comparison
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let of = comparison.as_ref().filter(|(of, _)| *of == id);
        of.map(|(_, comparison)| comparison.clone())
    }

    /// As the pipeline's file has it.
    pub(super) fn base(&self) -> &Pipeline {
        &self.base
    }

    /// Takes over what the topic has come to.
    pub(super) fn learn(&self, history: &History) {
        self.history().clone_from(history);
        self.changed.send_modify(|number| *number += 1);
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, entry: &Entry) -> DeployView {
        let deploy = &entry.deploy;
        let (outcome, reason) = match &entry.state {
            State::Refused(why) => (Outcome::Refused, Some(why)),
            State::Canary => (Outcome::Canary, None),
            State::Shadow => (Outcome::Shadow, None),
            State::OnTrial => (Outcome::OnTrial, None),
            State::Done => (Outcome::Done, None),
            State::TakenBack(why, false) => (Outcome::Aborted, Some(why)),
            State::TakenBack(why, true) => (Outcome::RolledBack, Some(why)),
        };
        let tally = self.rollout.tally(entry.id);
        DeployView {
            id: entry.id,
            step: deploy.step.clone(),
            from: deploy.from.clone(),
            to: deploy.to.clone(),
            strategy: deploy.strategy.clone(),
            outcome,
            reason: reason.cloned(),
            is_rollback: deploy.is_rollback,
            by: deploy.by.clone(),
            at: Timestamp(deploy.at).to_string(),
            rows: tally.rows,
            errors: tally.errors,
            micros_per_row: tally.per_row().as_secs_f64() * 1e6,
            comparison: self.comparison_of(entry.id),
        }
    }
}

/// The number of a step's function.
pub(super) fn number_of(pipeline: &Pipeline, step: &str) -> Result<usize, DeployError> {
    let mut names = pipeline.functions().iter().map(|function| function.name());
    names
        .position(|name| name == step)
        .ok_or_else(|| DeployError::NoStep {
            step: step.to_owned(),
            known: pipeline
                .functions()
                .iter()
                .map(|function| function.name().to_owned())
                .collect(),
        })
}

/// The component of a function.
pub(super) fn plugin_ref(pipeline: &Pipeline, number: usize) -> PluginRef {
    let plugin = pipeline.functions()[number].plugin();
    PluginRef {
        plugin: plugin.who(),
        sha256: plugin.digest().to_owned(),
    }
}
