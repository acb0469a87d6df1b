//! The thread that follows a pipeline's control topic: it prepares versions, lets the workers have them, writes what it is asked to,
//! and says what becomes of versions on trial by what the workers report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::begin::{FollowError, Followed, read};
use super::handle::{Asked, Control, DeployError, Request, What, number_of};
use super::history::{Entry, History, InPlace, State, Wanted};
use super::message::{Message, Strategy, TrialSpec};
use super::prepared::Prepared;
use super::shadow::Shadow;
use super::topic::Topic;
use crate::log::{Fetched, Log, LogError, Outbox, Reader as _, Writer as _};
use crate::pipeline::{Function, Pipeline};
use crate::plugin::PluginEngine;
use crate::time::{Clock, SystemClock};
use crate::worker::{Report, Rollout, Version};

/// How long one poll of the topic waits.
const WAIT: Duration = Duration::from_millis(50);
/// How long it waits after the log has failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How many polls it takes for a message of this process to come back, at most.
const MOST_READS: u32 = 100;

/// See the opening of this file.
pub struct Follower<'a, L: Log> {
    log: L,
    topic: Topic,
    reader: L::Reader,
    writer: Option<L::Writer>,
    engine: &'a PluginEngine,
    clock: SystemClock,
    control: Arc<Control>,
    rollout: Arc<Rollout>,
    requests: mpsc::Receiver<Request>,
    history: History,
    /// Functions that have been prepared, by the number of their step and their digest.
    functions: BTreeMap<(usize, String), Function>,
    versions: BTreeMap<u64, Arc<Version>>,
    /// What the workers have been told.
    wanted: Wanted,
    /// Since when the deploy that is under way is what it is.
    since: Option<(u64, State, Duration)>,
    /// What was said of it, and has not come back yet.
    said: Option<(u64, State)>,
    /// Deploys that this process has written, by their tokens.
    awaited: BTreeMap<String, mpsc::Sender<Result<u64, DeployError>>>,
    /// The version that runs beside, if this process was asked for one.
    shadow: Option<Shadow<L>>,
    /// When the log is asked again whether a shadow may start.
    shadow_at: Duration,
    /// Deploys that have come back: their tokens and numbers.
    heard: Vec<(String, u64)>,
}

impl<'a, L: Log> Follower<'a, L> {
    pub(super) fn start(
        log: &L,
        topic: Topic,
        reader: L::Reader,
        base: Pipeline,
        engine: &'a PluginEngine,
        history: History,
        instance: &str,
    ) -> Result<Followed<'a, L>, FollowError> {
        let wanted = history.wanted();
        let (mut functions, mut versions) = (BTreeMap::new(), BTreeMap::new());
        let mut prepared = Prepared {
            log,
            topic: &topic,
            history: &history,
            base: &base,
            engine,
            functions: &mut functions,
            versions: &mut versions,
        };
        let target = prepared.target(&wanted)?;
        let rollout = Arc::new(Rollout::new(target));
        let shared = Arc::clone(&rollout);
        let (control, requests) = Control::new(base, instance.to_owned(), shared, history.clone());
        let control = Arc::new(control);
        let follower = Self {
            log: log.clone(),
            topic,
            reader,
            writer: None,
            engine,
            clock: SystemClock::new(),
            control: Arc::clone(&control),
            rollout: Arc::clone(&rollout),
            requests,
            history,
            functions,
            versions,
            wanted,
            since: None,
            said: None,
            awaited: BTreeMap::new(),
            heard: Vec::new(),
            shadow: None,
            shadow_at: Duration::ZERO,
        };
        Ok(Followed {
            control,
            rollout,
            follower,
        })
    }

    /// Follows until the other end of `until_done` is dropped. While the log is away it tries again.
    pub fn run(mut self, until_done: &mpsc::Receiver<()>) {
        let mut wait = Duration::ZERO;
        while until_done.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            wait = match self.turn() {
                Ok(()) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(topic = %self.topic.name, %error, "deploys can't be followed; trying again");
                    self.writer = None;
                    AGAIN
                }
            };
        }
    }

    fn turn(&mut self) -> Result<(), LogError> {
        while let Ok(request) = self.requests.try_recv() {
            self.write(request)?;
        }
        self.read_on()?;
        self.follow()?;
        self.answer();
        self.keep_shadow()?;
        self.judge()
    }

    /// Reads what has come.
    fn read_on(&mut self) -> Result<(), LogError> {
        let mut fetched = Fetched::new();
        self.reader.poll(&mut fetched, WAIT)?;
        let heard = &mut self.heard;
        let changed = read(&fetched, &mut self.history, |offset, message| {
            if let Message::Deploy(deploy) = message {
                heard.push((deploy.token.clone(), offset.0.unsigned_abs() + 1));
            }
        })?;
        if changed {
            self.control.learn(&self.history);
        }
        Ok(())
    }

    /// Answers those whose deploys have come back, and have been handed to the workers.
    fn answer(&mut self) {
        for (token, id) in std::mem::take(&mut self.heard) {
            if let Some(answer) = self.awaited.remove(&token) {
                let _ = answer.send(self.taken(id));
            }
        }
    }

    fn state_of(&self, id: u64) -> Option<State> {
        let entry = self.history.deploys().iter().find(|entry| entry.id == id);
        entry.map(|entry| entry.state.clone())
    }

    /// What became of a deploy when it was read.
    fn taken(&self, id: u64) -> Result<u64, DeployError> {
        match self.state_of(id) {
            Some(State::Refused(why)) => Err(DeployError::Conflict(why)),
            _ => Ok(id),
        }
    }

    /// Lets the workers have what is wanted.
    fn follow(&mut self) -> Result<(), LogError> {
        let wanted = self.history.wanted();
        let state = self.history.active().map(|entry| entry.state.clone());
        let is_same_state = match (&self.since, &state) {
            (Some((id, was, _)), Some(is)) => Some(*id) == wanted.active && was == is,
            (None, None) => true,
            _ => false,
        };
        if wanted == self.wanted && is_same_state {
            return Ok(());
        }
        match self.prepared().target(&wanted) {
            Ok(target) => {
                let now = self.clock.monotonic();
                self.since = wanted.active.zip(state).map(|(id, state)| (id, state, now));
                tracing::info!(
                    generation = wanted.generation,
                    deploy = wanted.active,
                    "the workers are to run"
                );
                self.rollout.set(target);
                self.wanted = wanted;
                self.control.learn(&self.history);
                Ok(())
            }
            Err(FollowError::Log(error)) => Err(error),
            Err(FollowError::Prepare(error)) => match wanted.active {
                Some(deploy) => self.say(deploy, |deploy| Message::Abort {
                    deploy,
                    reason: format!("a host can't run it: {error}"),
                    automatic: true,
                }),
                None => Err(LogError::Refused(error.to_string())),
            },
        }
    }

    /// Starts, compares or ends the version that runs beside.
    fn keep_shadow(&mut self) -> Result<(), LogError> {
        let is_ours =
            |entry: &&Entry| entry.state == State::Shadow && self.control.is_asked(&entry.deploy);
        let wanted = self.history.active().filter(is_ours).cloned();
        if let Some(shadow) = self.shadow.take() {
            match &wanted {
                Some(entry) if entry.id == shadow.id => self.shadow = Some(shadow),
                _ => shadow.end(),
            }
        }
        let Some(entry) = wanted else {
            return Ok(());
        };
        let Some(shadow) = &mut self.shadow else {
            return self.start_shadow(&entry);
        };
        let ended = shadow.ended();
        let comparison = shadow.compare()?;
        self.control.compared(entry.id, comparison);
        let in_a_row = comparison.in_a_row;
        if let Some(why) = ended {
            return self.say(entry.id, |deploy| Message::Abort {
                deploy,
                reason: format!("the shadow ended: {why}"),
                automatic: true,
            });
        }
        match entry.deploy.strategy {
            Strategy::Shadow {
                windows: Some(windows),
            } if in_a_row >= windows => self.say(entry.id, |deploy| Message::Promote { deploy }),
            _ => Ok(()),
        }
    }

    fn start_shadow(&mut self, entry: &Entry) -> Result<(), LogError> {
        let now = self.clock.monotonic();
        if now < self.shadow_at {
            return Ok(());
        }
        self.shadow_at = now + AGAIN;
        let mut steps = self.wanted.steps.clone();
        let place = InPlace {
            base: entry.deploy.base.clone(),
            now: entry.deploy.to.clone(),
            previous: None,
        };
        steps.insert(entry.deploy.step.clone(), place);
        let pipeline = match self.prepared().pipeline(&steps) {
            Ok(pipeline) => pipeline,
            Err(FollowError::Log(error)) => return Err(error),
            Err(FollowError::Prepare(error)) => {
                return self.say(entry.id, |deploy| Message::Abort {
                    deploy,
                    reason: format!("a host can't run it: {error}"),
                    automatic: true,
                });
            }
        };
        match Shadow::start(entry.id, &pipeline, self.engine, &self.log) {
            Ok(shadow) => self.shadow = Some(shadow),
            Err(error) => {
                tracing::warn!(deploy = entry.id, %error, "a shadow can't start; trying again")
            }
        }
        Ok(())
    }

    /// Says what becomes of the deploy that is under way or on trial.
    fn judge(&mut self) -> Result<(), LogError> {
        for report in self.rollout.take_reports() {
            self.heed(report)?;
        }
        let Some((id, state, since)) = self.since.clone() else {
            return Ok(());
        };
        let Some(entry) = self.history.active().filter(|entry| entry.id == id) else {
            return Ok(());
        };
        let lasted = self.clock.monotonic().saturating_sub(since);
        let is_over = |seconds: u64| lasted >= Duration::from_secs(seconds);
        match (state, &entry.deploy.strategy, entry.deploy.trial) {
            (State::OnTrial, _, Some(trial)) if is_over(trial.seconds) => {
                self.say(id, |deploy| Message::Settle { deploy })
            }
            (State::Canary, Strategy::Canary { seconds, rows, .. }, _) => {
                let has_rows = rows.is_some_and(|rows| self.rollout.tally(id).rows >= rows);
                match has_rows || seconds.is_some_and(is_over) {
                    true => self.say(id, |deploy| Message::Promote { deploy }),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn heed(&mut self, report: Report) -> Result<(), LogError> {
        let generation = report.generation();
        match report {
            Report::Bad { reason, .. } => {
                let is_meant = |entry: &&Entry| match entry.state {
                    State::Canary => entry.id == generation,
                    State::OnTrial => self.wanted.generation == generation,
                    _ => false,
                };
                match self.history.active().filter(is_meant).map(|entry| entry.id) {
                    Some(id) => self.say(id, |deploy| Message::Abort {
                        deploy,
                        reason: reason.clone(),
                        automatic: true,
                    }),
                    None => Ok(()),
                }
            }
            Report::Exhausted { step, reason, .. } if self.wanted.generation == generation => {
                tracing::warn!(
                    step,
                    reason,
                    "a step fails too often, and goes back to the version before"
                );
                let (answer, _) = mpsc::channel();
                let by = "the limit of failures".to_owned();
                self.write(Request {
                    what: What::Rollback { step, by },
                    answer,
                })
            }
            Report::Exhausted { .. } => Ok(()),
        }
    }

    /// Says something of a deploy, once.
    fn say(&mut self, id: u64, message: impl Fn(u64) -> Message) -> Result<(), LogError> {
        let Some(state) = self.state_of(id) else {
            return Ok(());
        };
        if self.said == Some((id, state.clone())) {
            return Ok(());
        }
        let mut outbox = Outbox::new();
        self.topic
            .put_message(&mut outbox, message(id), self.clock.now());
        self.append(&outbox)?;
        self.said = Some((id, state));
        Ok(())
    }

    /// Writes what was asked for.
    fn write(&mut self, request: Request) -> Result<(), LogError> {
        let Request { what, answer } = request;
        let now = self.clock.now();
        let mut outbox = Outbox::new();
        let (deploy, component) = match what {
            What::Message(id, message) => {
                self.topic.put_message(&mut outbox, message, now);
                self.append(&outbox)?;
                // It counts when it comes back.
                let before = self.state_of(id);
                for _ in 0..MOST_READS {
                    self.read_on()?;
                    if self.state_of(id) != before {
                        break;
                    }
                }
                self.follow()?;
                let _ = answer.send(Ok(id));
                return Ok(());
            }
            What::Deploy(deploy, component) => (deploy, Some(component)),
            What::Rollback { step, by } => match self.rollback(&step, &by) {
                Ok((deploy, component)) => (Box::new(deploy), component),
                Err(error) => {
                    let _ = answer.send(Err(error));
                    return Ok(());
                }
            },
        };
        let digest = &deploy.to.sha256;
        if self.history.pieces(digest).is_none()
            && let Some(component) = &component
        {
            self.topic
                .put_component(&mut outbox, digest, component, now);
        }
        let token = deploy.token.clone();
        self.topic
            .put_message(&mut outbox, Message::Deploy(deploy), now);
        self.awaited.insert(token, answer);
        self.append(&outbox)
    }

    /// The deploy that puts back what was in a step before, with its component where the topic does not have it.
    fn rollback(
        &mut self,
        step: &str,
        by: &str,
    ) -> Result<(super::message::Deploy, Option<Vec<u8>>), DeployError> {
        let base = self.control.base().clone();
        let number = number_of(&base, step)?;
        let file = base.functions()[number].plugin().digest();
        let in_place = self.history.step(step, file);
        let Some(previous) = in_place.and_then(|step| step.previous.clone()) else {
            return Err(DeployError::Conflict(format!(
                "nothing was deployed into step {step} that could be rolled back"
            )));
        };
        let component = match self.history.pieces(&previous.sha256) {
            Some(_) => None,
            None => Some(file_of(&base.functions()[number], &previous.sha256)?),
        };
        let running = self.control.running();
        let mut wanted = self.history.wanted().steps;
        if let Some(place) = wanted.get_mut(step) {
            place.now = previous;
        }
        let new = match self.prepared().pipeline(&wanted) {
            Ok(new) => new,
            Err(FollowError::Prepare(error)) => return Err(error.into()),
            Err(FollowError::Log(error)) => return Err(DeployError::Conflict(error.to_string())),
        };
        let fit = self.control.fits(&running, &new, number)?;
        let asked = Asked {
            step: step.to_owned(),
            component: Vec::new(),
            strategy: Strategy::Immediate,
            trial: TrialSpec::default(),
            by: by.to_owned(),
        };
        let mut deploy = self.control.message(&running, &new, number, fit, &asked);
        deploy.is_rollback = true;
        // What ran before is not on trial: going back and forth would not end.
        deploy.trial = None;
        Ok((deploy, component))
    }

    fn prepared(&mut self) -> Prepared<'_, L> {
        Prepared {
            log: &self.log,
            topic: &self.topic,
            history: &self.history,
            base: self.control.base(),
            engine: self.engine,
            functions: &mut self.functions,
            versions: &mut self.versions,
        }
    }

    fn append(&mut self, outbox: &Outbox) -> Result<(), LogError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(self.log.writer()?),
        };
        writer.append(outbox)
    }
}

/// The component of a function that the pipeline's file names, if it is still that.
fn file_of(function: &Function, digest: &str) -> Result<Vec<u8>, DeployError> {
    let file = &function.config().component;
    let lost = |why: String| {
        DeployError::Conflict(format!(
            "{}: the component that ran before is not there any more ({why}): deploy it from where you have it",
            file.display()
        ))
    };
    let bytes = std::fs::read(file).map_err(|error| lost(error.to_string()))?;
    let is = crate::plugin::digest_of(&bytes);
    match is == digest {
        true => Ok(bytes),
        false => Err(lost(format!("its sha256 is now {is}"))),
    }
}
