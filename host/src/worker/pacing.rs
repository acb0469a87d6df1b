//! What a lane does about time beside reading: looks at partitions that are silent, keeps the promises of idle ones, lets partitions
//! wait that are far ahead, and brings a run that has an end to it. What follows from what is decided in `window`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::closing::closing_time;
use super::ending::Ends;
use super::lane::{Lane, LaneEnd};
use super::partials::Partials;
use super::task::Task;
use crate::log::{Fetched, Log, LogError, Offset, Reader, Session, TopicPartition};
use crate::pipeline::config::SourceConfig;
use crate::state::{Stage, Store};
use crate::time::{Clock, Timestamp};
use crate::window::{Reading, Silence, Standing, last_event, promise, slowest, waits};

/// After how long a silence it is asked whether a partition is at its end, so that it does not hold others back.
const QUIET: Duration = Duration::from_secs(1);
/// The same where the run waits for it.
const QUIET_AT_AN_END: Duration = Duration::from_millis(200);
/// How long one look behind a position waits for records, and how long it is repeated.
const PROBE_WAIT: Duration = Duration::from_millis(20);
const PROBE_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is said again that partitions have ended: a task that settles windows may have changed hands since.
const SAY_AGAIN: Duration = Duration::from_secs(2);
/// How often the group is asked whether the run is over.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// What a lane keeps for it.
pub(super) struct Pacing<R> {
    /// Where the run ends, if it does.
    ends: Option<Arc<Ends>>,
    /// After how long a silence the log is asked whether a partition is at its end; `None` where nobody wants to know.
    span: Option<Duration>,
    /// Looks behind positions that are under way.
    probes: VecDeque<Probe<R>>,
    /// What the session does not fetch for the time being.
    paused: BTreeSet<TopicPartition>,
    /// When it was last said that partitions have ended.
    said: Option<Duration>,
    /// When the group was last asked whether the run is over.
    asked: Option<Duration>,
}

/// A look behind the position of a partition: offsets up to its end may be of no record that readers get, such as those of
/// transactions' markers.
struct Probe<R> {
    at: TopicPartition,
    next: Offset,
    /// Where the partition ended when it began.
    end: Offset,
    begun: Duration,
    reader: R,
    fetched: Fetched,
}

impl<R> Pacing<R> {
    pub(super) fn new(source: &SourceConfig, ends: Option<Arc<Ends>>) -> Self {
        let spans = [
            source.idle_after,
            source.close_idle_after,
            source.max_drift.map(|_| QUIET),
            ends.as_ref().map(|_| QUIET_AT_AN_END),
        ];
        Self {
            ends,
            span: spans.into_iter().flatten().min(),
            probes: VecDeque::new(),
            paused: BTreeSet::new(),
            said: None,
            asked: None,
        }
    }

    /// Where the run ends, if it does.
    pub(super) fn ends(&self) -> Option<&Ends> {
        self.ends.as_deref()
    }

    /// Whether a source task has read all that belongs to the run.
    fn has_ended(&self, task: &Task) -> bool {
        let has_ended = |ends: &Ends| task.next >= ends.of(&task.at);
        self.ends().is_some_and(has_ended)
    }

    /// Partitions are another's now, and nothing is known of them any more.
    pub(super) fn give_up(&mut self, partitions: &[TopicPartition]) {
        self.paused.retain(|at| !partitions.contains(at));
    }

    /// What was not committed was thrown away.
    pub(super) fn roll_back(&mut self) {
        self.said = None;
    }
}

impl<L: Log, C: Clock, S: Store> Lane<'_, L, C, S> {
    /// After each turn: does what time asks for.
    ///
    /// # Errors
    /// See [`LaneEnd`].
    pub(super) fn pace(&mut self) -> Result<(), LaneEnd> {
        let now = self.around.clock.monotonic();
        let Some(span) = self.pacing.span else {
            return self.steer(&[], now);
        };
        self.look(now, span);
        self.post(now, span);
        let standings = self.around.board.standings();
        if self.keep_promises(&standings, now, span)? {
            self.steer(&standings, now)?;
            self.come_to_an_end(now)?;
        }
        Ok(())
    }

    /// Asks the log whether partitions that have long been silent are at their ends. One that does not answer is asked again
    /// later.
    fn look(&mut self, now: Duration, span: Duration) {
        self.probe(now);
        let pacing = &mut self.pacing;
        let wants_look = |task: &Task, pacing: &Pacing<L::Reader>| {
            task.stage == Stage::Source
                && !pacing.paused.contains(&task.at)
                && task.silence.wants_look(now, span)
                && pacing.probes.iter().all(|probe| probe.at != task.at)
        };
        let wanting = self.tasks.values().filter(|task| wants_look(task, pacing));
        let topics: BTreeSet<Arc<str>> = wanting.map(|task| Arc::clone(&task.at.topic)).collect();
        for topic in topics {
            let bounds = self.around.log.bounds(&topic);
            let bounds = bounds.inspect_err(|error| tracing::debug!(%error, "asking for ends"));
            let bounds = bounds.unwrap_or_default();
            for task in self.tasks.values_mut() {
                if task.at.topic != topic || !wants_look(task, pacing) {
                    continue;
                }
                let partition = usize::try_from(task.at.partition).unwrap_or(usize::MAX);
                let Some(end) = bounds.get(partition).map(|bounds| bounds.end) else {
                    task.silence.looked(now, false);
                    continue;
                };
                if task.next >= end || task.silence.is_empty_to(end) {
                    task.silence.looked(now, true);
                    continue;
                }
                match self.around.log.partition_reader(&task.at, task.next) {
                    Ok(reader) => pacing.probes.push_back(Probe {
                        at: task.at.clone(),
                        next: task.next,
                        end,
                        begun: now,
                        reader,
                        fetched: Fetched::new(),
                    }),
                    Err(error) => {
                        tracing::debug!(%error, partition = %task.at, "looking for records");
                        task.silence.looked(now, false);
                    }
                }
            }
        }
    }

    /// Goes on with the first look behind a position.
    fn probe(&mut self, now: Duration) {
        let Some(mut probe) = self.pacing.probes.pop_front() else {
            return;
        };
        let task = self.tasks.get_mut(&probe.at);
        // Nobody asks any more where the partition is another's, or has brought something.
        let Some(task) = task.filter(|task| task.next == probe.next) else {
            return;
        };
        if let Err(error) = probe.reader.poll(&mut probe.fetched, PROBE_WAIT) {
            tracing::debug!(%error, partition = %probe.at, "looking for records");
            task.silence.looked(now, false);
            return;
        }
        let records = probe.fetched.batches().find(|batch| !batch.is_empty());
        let first = records.map(|batch| batch.offset(0));
        let is_at_end = probe.reader.at_end().contains(&probe.at.partition);
        let has_patience = now.saturating_sub(probe.begun) < PROBE_PATIENCE;
        if first.is_none() && !is_at_end && has_patience {
            self.pacing.probes.push_back(probe);
            return;
        }
        let is_empty = first.is_none() && is_at_end;
        task.silence.looked(now, is_empty);
        if is_empty {
            task.silence.found_empty(probe.end);
        }
        if let Some(ends) = self.pacing.ends() {
            let end = ends.of(&task.at);
            if first.map_or(is_at_end, |first| first >= end) {
                // No record lies between.
                task.next = task.next.max(end);
            }
        }
    }

    fn standing(&self, task: &Task, now: Duration, span: Duration) -> Standing {
        let reading = if self.pacing.has_ended(task) {
            Reading::Ended
        } else if self.pacing.paused.contains(&task.at) {
            Reading::Active
        } else {
            task.silence.reading(now, span)
        };
        Standing {
            watermark: task.watermark.at(),
            highest: task.watermark.highest(),
            reading,
        }
    }

    /// Tells the other workers of the process how this one's partitions stand.
    fn post(&self, now: Duration, span: Duration) {
        let tasks = self.tasks.values();
        let sources = tasks.filter(|task| task.stage == Stage::Source);
        let pending = self
            .claims
            .iter()
            .filter(|claim| self.is_source(claim.at()));
        let standings = sources
            .map(|task| self.standing(task, now, span))
            .chain(pending.map(|_| Standing {
                watermark: Timestamp::MIN,
                highest: Timestamp::MIN,
                reading: Reading::Pending,
            }))
            .collect();
        self.around
            .board
            .post(self.around.member, standings, self.is_done());
    }

    /// Whether nothing is left to do in a run that has an end.
    fn is_done(&self) -> bool {
        let has_ended = |task: &Task| match (task.stage, &task.windows) {
            (Stage::Final, Some(windows)) => windows.watermarks.have_ended(),
            _ => task.is_over,
        };
        self.claims.is_empty()
            && !self.unfired
            && !self.has_work()
            && self.tasks.values().all(has_ended)
    }

    /// Moves the watermarks of partitions that are silent, and fires what that makes due. Returns whether all is well: if not,
    /// everything was thrown away.
    fn keep_promises(
        &mut self,
        standings: &[Standing],
        now: Duration,
        span: Duration,
    ) -> Result<bool, LaneEnd> {
        let config = self.around.pipeline.config();
        let source = &config.source;
        let promised = promise(standings, now, source.idle_after).unwrap_or(Timestamp::MIN);
        let last = last_event(standings, now, source.close_idle_after);
        let closing = last.and_then(|last| closing_time(&config.output, last));
        let is_over = standings
            .iter()
            .all(|standing| standing.reading == Reading::Ended);
        let mut to_move = Vec::new();
        for task in self.tasks.values() {
            let standing = self.standing(task, now, span);
            let is_idle = standing.is_silent(now, source.idle_after);
            if task.stage == Stage::Source && (is_idle || closing.is_some()) {
                let follows = if is_idle { promised } else { Timestamp::MIN };
                let to = follows.max(closing.unwrap_or(Timestamp::MIN));
                to_move.push((task.at.clone(), to));
            }
        }
        for (at, to) in to_move {
            let Some(task) = self.tasks.get_mut(&at) else {
                continue;
            };
            let moves = task.watermark.promise(to);
            if !moves && task.is_over == is_over {
                continue;
            }
            task.is_over = is_over;
            if let Some(windows) = &mut task.windows {
                windows.watermarks.advance(&at, task.watermark.at());
                if is_over {
                    windows.watermarks.end(&at);
                }
            }
            self.show_watermarks();
            if !self.fire(&at)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Stops fetching partitions that are far ahead of others or at the end of the run, or all where windows have to fire first, and goes
    /// on with those that need not wait any more.
    fn steer(&mut self, standings: &[Standing], now: Duration) -> Result<(), LaneEnd> {
        if self.pacing.span.is_none() && self.pacing.paused.is_empty() && !self.has_backlog() {
            return Ok(());
        }
        let max_drift = self.around.pipeline.config().source.max_drift;
        let slowest = slowest(standings);
        let (mut stop, mut go_on) = (Vec::new(), Vec::new());
        let tasks = self.tasks.values();
        for task in tasks.filter(|task| task.stage == Stage::Source) {
            let is_paused = self.pacing.paused.contains(&task.at);
            let is_ahead = |drift| waits(task.watermark.at(), slowest, drift, is_paused);
            let is_to_wait = self.has_backlog()
                || self.pacing.has_ended(task)
                || max_drift.is_some_and(is_ahead);
            match (is_paused, is_to_wait) {
                (false, true) => stop.push(task.at.clone()),
                (true, false) => go_on.push((task.at.clone(), task.next)),
                _ => {}
            }
        }
        if !stop.is_empty() {
            tracing::debug!(partitions = %super::lane::list(&stop), "letting partitions wait");
            self.session.pause(&stop)?;
            self.pacing.paused.extend(stop);
        }
        if !go_on.is_empty() {
            self.session.resume(&go_on)?;
            for (at, _) in go_on {
                tracing::debug!(partition = %at, "going on with a partition that waited");
                self.pacing.paused.remove(&at);
                if let Some(task) = self.tasks.get_mut(&at) {
                    task.silence = Silence::since(now);
                }
            }
        }
        Ok(())
    }

    /// In a run that has an end: says again what has ended, and finds out whether the run is over.
    fn come_to_an_end(&mut self, now: Duration) -> Result<(), LaneEnd> {
        let Some(ends) = &self.pacing.ends else {
            return Ok(());
        };
        let is_old =
            |at: Option<Duration>, span| at.is_none_or(|at| now.saturating_sub(at) >= span);
        if self.tasks.values().any(|task| task.is_over) && is_old(self.pacing.said, SAY_AGAIN) {
            self.pacing.said = Some(now);
            let partials = self
                .mills
                .each()
                .filter_map(|(mill, _)| mill.partials.as_mut());
            partials.for_each(Partials::say_again);
        }
        if !self.around.board.are_done() || !is_old(self.pacing.asked, ASK_AGAIN) {
            return Ok(());
        }
        self.pacing.asked = Some(now);
        let partitions = self.topology.partitions();
        let committed = match self.session.committed(&partitions) {
            Ok(committed) => committed,
            Err(LogError::Unavailable(why)) => {
                tracing::debug!(why, "asking whether the run is over");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let finals = partitions.into_iter().filter(|at| !self.is_source(at));
        if ends.are_reached(&committed, finals) {
            self.around.board.finish();
        }
        Ok(())
    }
}
