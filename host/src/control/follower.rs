//! The thread that follows a pipeline's control topic: it prepares versions, lets the workers have them, and says what becomes of
//! versions on trial by what the workers report. What it is asked to write is in `asked`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::begin::{FollowError, Followed, read};
use super::handle::{Control, DeployError, Request};
use super::history::{Entry, History, State, Wanted};
use super::message::{Message, Strategy};
use super::prepared::Prepared;
use super::shadow::Shadow;
use super::topic::Topic;
use crate::log::{Fetched, Log, LogError, Outbox, Reader as _, Writer as _};
use crate::pipeline::{Function, Pipeline};
use crate::plugin::PluginEngine;
use crate::registry::Trust;
use crate::time::{Clock, SystemClock};
use crate::worker::{Report, Rollout, Version};

/// How long one poll of the topic waits.
const WAIT: Duration = Duration::from_millis(50);
/// How long it waits after the log has failed.
const AGAIN: Duration = Duration::from_secs(1);

/// See the opening of this file.
pub struct Follower<'a, L: Log> {
    pub(super) log: L,
    pub(super) topic: Topic,
    pub(super) reader: L::Reader,
    pub(super) writer: Option<L::Writer>,
    pub(super) engine: &'a PluginEngine,
    pub(super) trust: Trust,
    pub(super) clock: SystemClock,
    pub(super) control: Arc<Control>,
    pub(super) rollout: Arc<Rollout>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) history: History,
    /// Functions that have been prepared, by the number of their step and their digest.
    pub(super) functions: BTreeMap<(usize, String), Function>,
    pub(super) versions: BTreeMap<u64, Arc<Version>>,
    /// What the workers have been told.
    pub(super) wanted: Wanted,
    /// Whether something has come that the outside has not been told.
    is_news: bool,
    /// Since when the deploy that is under way is what it is.
    pub(super) since: Option<(u64, State, Duration)>,
    /// What was said of it, and has not come back yet.
    pub(super) said: Option<(u64, State)>,
    /// Deploys that this process has written, by their tokens.
    pub(super) awaited: BTreeMap<String, mpsc::Sender<Result<u64, DeployError>>>,
    /// The version that runs beside, if this process was asked for one.
    pub(super) shadow: Option<Shadow<L>>,
    /// When the log is asked again whether a shadow may start.
    pub(super) shadow_at: Duration,
    /// What workers have reported, and has not been acted on.
    pub(super) reports: Vec<Report>,
    /// Steps that should go back to the version before, and can't.
    pub(super) no_way_back: BTreeSet<String>,
    /// The version and step for which a way back was written last: more than one worker may call for it before that has come back.
    called_back: Option<(u64, String)>,
    /// Deploys that have come back: their tokens and numbers.
    pub(super) heard: Vec<(String, u64)>,
}

/// A control topic that has been read to where its end was.
pub(super) struct ReadSoFar<L: Log> {
    pub(super) topic: Topic,
    /// It goes on there.
    pub(super) reader: L::Reader,
    pub(super) history: History,
}

impl<'a, L: Log> Follower<'a, L> {
    pub(super) fn start(
        log: &L,
        read: ReadSoFar<L>,
        base: Pipeline,
        engine: &'a PluginEngine,
        trust: &Trust,
        instance: &str,
    ) -> Result<Followed<'a, L>, FollowError> {
        let ReadSoFar {
            topic,
            reader,
            history,
        } = read;
        let wanted = history.wanted();
        let (mut functions, mut versions) = (BTreeMap::new(), BTreeMap::new());
        let mut prepared = Prepared {
            log,
            topic: &topic,
            history: &history,
            base: &base,
            engine,
            trust,
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
            trust: trust.clone(),
            clock: SystemClock::new(),
            control: Arc::clone(&control),
            rollout: Arc::clone(&rollout),
            requests,
            history,
            functions,
            versions,
            wanted,
            is_news: false,
            since: None,
            said: None,
            awaited: BTreeMap::new(),
            reports: Vec::new(),
            no_way_back: BTreeSet::new(),
            called_back: None,
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
    pub(super) fn read_on(&mut self) -> Result<(), LogError> {
        let mut fetched = Fetched::new();
        self.reader.poll(&mut fetched, WAIT)?;
        let heard = &mut self.heard;
        for batch in fetched.batches() {
            self.is_news |= read(batch, &mut self.history, |offset, message| {
                if let Message::Deploy(deploy) = message {
                    heard.push((deploy.token.clone(), offset.0.unsigned_abs() + 1));
                }
            })?;
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

    pub(super) fn state_of(&self, id: u64) -> Option<State> {
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

    /// Lets the workers have what is wanted, and then everybody know it: who hears that a version was taken back may deploy the next
    /// at once, which is compared with what the workers were told to run.
    pub(super) fn follow(&mut self) -> Result<(), LogError> {
        self.go_over()?;
        if std::mem::take(&mut self.is_news) {
            self.control.learn(&self.history);
        }
        Ok(())
    }

    fn go_over(&mut self) -> Result<(), LogError> {
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
        if wanted != self.wanted {
            self.no_way_back.clear();
        }
        let now = self.clock.monotonic();
        self.since = wanted.active.zip(state).map(|(id, state)| (id, state, now));
        self.hand_over(&wanted)?;
        tracing::info!(
            generation = wanted.generation,
            deploy = wanted.active,
            "the workers are to run"
        );
        Ok(())
    }

    /// Prepares what is wanted, and gives it to the workers.
    fn hand_over(&mut self, wanted: &Wanted) -> Result<(), LogError> {
        match self.prepared().target(wanted) {
            Ok(mut target) => {
                let no_way_back = &self.no_way_back;
                target
                    .can_go_back
                    .retain(|step| !no_way_back.contains(step));
                self.rollout.set(target);
                self.wanted.clone_from(wanted);
                Ok(())
            }
            Err(FollowError::Log(error)) => Err(error),
            Err(error) => match wanted.active {
                Some(deploy) => self.refuse(deploy, &error.to_string()),
                None => Err(LogError::Refused(error.to_string())),
            },
        }
    }

    /// Takes a deploy back that can't be run here, for all.
    fn refuse(&mut self, deploy: u64, why: &str) -> Result<(), LogError> {
        self.say(deploy, |deploy| Message::Abort {
            deploy,
            reason: format!("a host refuses it: {why}"),
            automatic: true,
        })
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
        let steps = self.wanted.with(entry);
        let pipeline = match self.prepared().pipeline(&steps) {
            Ok(pipeline) => pipeline,
            Err(FollowError::Log(error)) => return Err(error),
            Err(error) => return self.refuse(entry.id, &error.to_string()),
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
        self.reports.extend(self.rollout.take_reports());
        // One that can't be acted on, since the log is away, is acted on later.
        while let Some(report) = self.reports.first().cloned() {
            self.heed(report)?;
            self.reports.remove(0);
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
            Report::Exhausted { step, reason, .. }
                if self.wanted.generation == generation
                    && self.called_back != Some((generation, step.clone())) =>
            {
                tracing::warn!(
                    step,
                    reason,
                    "a step fails too often, and goes back to the version before"
                );
                match self.rollback(&step, "the limit of failures") {
                    Ok((deploy, component)) => {
                        self.put_deploy(deploy, component, None)?;
                        self.called_back = Some((generation, step));
                        Ok(())
                    }
                    Err(error) => {
                        tracing::error!(step, %error, "there is no way back");
                        self.no_way_back.insert(step);
                        self.hand_over(&self.wanted.clone())
                    }
                }
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

    pub(super) fn prepared(&mut self) -> Prepared<'_, L> {
        Prepared {
            log: &self.log,
            topic: &self.topic,
            history: &self.history,
            base: self.control.base(),
            engine: self.engine,
            trust: &self.trust,
            functions: &mut self.functions,
            versions: &mut self.versions,
        }
    }

    pub(super) fn append(&mut self, outbox: &Outbox) -> Result<(), LogError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(self.log.writer()?),
        };
        writer.append(outbox)
    }
}
