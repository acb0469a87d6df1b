//! One pipeline of a service, in memory: what is remembered of it, what it is about, and how it is shown.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::machine::{Machine, Phase};
use super::record::{Desired, Record};
use super::view::{FailureView, Origin, PipelineView, ProgressView, ResetView, State, StepView};
use super::work::{Failure, Run};
use crate::pipeline::Pipeline;
use crate::worker::{Snapshot, Status};

/// A pipeline of a service.
pub(super) struct Entry {
    /// The file in the folder of pipelines; `None` if the text came through the API.
    pub(super) file: Option<PathBuf>,
    pub(super) record: Record,
    pub(super) machine: Machine,
    /// The run that goes on; the last one, once it has ended.
    pub(super) run: Option<Arc<Run>>,
    /// Whether it goes away when its run has ended.
    pub(super) is_deleted: bool,
    /// The pipeline, prepared for the run that begins next.
    pub(super) prepared: Option<Pipeline>,
    /// Why its file as it is now is not taken.
    pub(super) refused: Option<String>,
    /// Its last reset.
    pub(super) reset: Option<ResetView>,
    failure: Option<FailureView>,
    /// What earlier runs have counted.
    counted: ProgressView,
    restarts: u64,
    steps: Vec<StepView>,
}

impl Entry {
    pub(super) fn new(file: Option<PathBuf>, record: Record) -> Self {
        Self {
            file,
            record,
            machine: Machine::new(),
            run: None,
            is_deleted: false,
            prepared: None,
            refused: None,
            reset: None,
            failure: None,
            counted: ProgressView::default(),
            restarts: 0,
            steps: Vec::new(),
        }
    }

    /// Keeps a pipeline for the run that begins next, if one is wanted. Who rests is prepared anew when it is resumed: what is on the disk
    /// may have changed by then.
    pub(super) fn prepare(&mut self, pipeline: Pipeline) {
        let is_wanted = self.record.wanted == Desired::Running;
        self.prepared = Some(pipeline).filter(|_| is_wanted);
    }

    /// Notes that a new run begins.
    pub(super) fn begin(&mut self) -> Arc<Run> {
        if self.machine.failures() > 0 {
            self.restarts += 1;
        }
        let run = Arc::new(Run::new());
        self.run = Some(Arc::clone(&run));
        run
    }

    /// Notes that the run has ended, before the machine is told.
    pub(super) fn finish(&mut self, failure: Option<&Failure>, at: String) {
        if let Some(run) = self.run.take() {
            self.steps = run.steps().unwrap_or_default();
            if let Some(snapshot) = run.snapshot() {
                self.counted = self.counted.with(&snapshot).at_rest();
            }
        }
        self.failure = failure.map(|failure| FailureView {
            message: failure.message.clone(),
            at,
            in_a_row: 0,
            next_in_seconds: None,
        });
    }

    /// Whether the pipeline names a plugin. One that is deleted has read its components before, and starts no more.
    pub(super) fn uses(&self, reference: &str) -> bool {
        !self.is_deleted && self.record.plugins.contains_key(reference)
    }

    /// The pipeline as others see it.
    pub(super) fn view(&self, name: &str, now: Duration) -> PipelineView {
        let run = self.run.as_deref();
        let snapshot = run.and_then(Run::snapshot);
        let (state, detail) = state(self.machine.phase(), self.is_deleted, snapshot.as_ref());
        let failure = self.failure.clone().filter(|_| state != State::Running);
        let next_in_seconds = match self.machine.phase() {
            Phase::Waiting { until } => Some(until.saturating_sub(now).as_secs_f64()),
            _ => None,
        };
        let steps = run.and_then(Run::steps);
        PipelineView {
            name: name.to_owned(),
            origin: match self.file {
                Some(_) => Origin::Folder,
                None => Origin::Api,
            },
            wanted: self.record.wanted,
            state,
            detail,
            failure: failure.map(|failure| FailureView {
                in_a_row: self.machine.failures(),
                next_in_seconds,
                ..failure
            }),
            refused: self.refused.clone(),
            reset: self.reset.clone(),
            restarts: self.restarts,
            steps: steps.unwrap_or_else(|| self.steps.clone()),
            generation: snapshot.as_ref().map_or(0, |snapshot| snapshot.generation),
            progress: match &snapshot {
                Some(snapshot) => self.counted.with(snapshot),
                None => self.counted.clone(),
            },
            lag_records: run.and_then(Run::lag),
            positions: snapshot.map_or_else(Default::default, |snapshot| {
                let shown = |(at, offset): (crate::log::TopicPartition, crate::log::Offset)| {
                    (at.to_string(), offset.0)
                };
                snapshot.positions.into_iter().map(shown).collect()
            }),
        }
    }
}

/// What a pipeline is about, in the words of the API.
fn state(phase: Phase, is_deleted: bool, run: Option<&Snapshot>) -> (State, Option<String>) {
    match (phase, run.map(|run| &run.status)) {
        _ if is_deleted => (State::Deleting, None),
        (Phase::Idle, _) => (State::Paused, None),
        (Phase::Stopping, _) => (State::Stopping, None),
        (Phase::Waiting { .. }, _) => (State::Failed, None),
        (Phase::Resetting, _) => (State::Resetting, None),
        (Phase::Working { .. }, None | Some(Status::Starting)) => (State::Starting, None),
        (Phase::Working { .. }, Some(Status::Waiting)) => (State::Waiting, None),
        (Phase::Working { .. }, Some(Status::Running)) => (State::Running, None),
        (Phase::Working { .. }, Some(Status::Restoring { task, done, of })) => {
            (State::Restoring, Some(format!("{task}: {done} of {of}")))
        }
        (Phase::Working { .. }, Some(Status::Unavailable(why))) => {
            (State::Unavailable, Some(why.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::machine::{Backoff, End, Wanted};

    #[test]
    fn a_pipeline_shows_why_it_failed_and_when_it_is_tried_again() {
        let mut entry = Entry::new(None, Record::default());
        let now = Duration::from_secs(1);
        assert_eq!(entry.view("p", now).state, State::Paused);
        entry.machine.want(Wanted::Running, now);
        entry.begin();
        assert_eq!(entry.view("p", now).state, State::Starting);
        entry.finish(Some(&Failure::new("no such topic")), "then".to_owned());
        entry.machine.ended(End::Failed, now, &Backoff::default());
        let view = entry.view("p", now + Duration::from_millis(250));
        assert_eq!(view.state, State::Failed);
        let failure = view.failure.expect("it has failed");
        assert_eq!((&*failure.message, failure.in_a_row), ("no such topic", 1));
        assert_eq!(failure.next_in_seconds, Some(0.75));
        entry.machine.time(now + Duration::from_secs(1));
        entry.begin();
        assert_eq!(entry.view("p", now).restarts, 1);
    }

    #[test]
    fn the_state_is_that_of_the_run_while_there_is_one() {
        let shown = |status: Status| {
            let run = Snapshot {
                status,
                ..Snapshot::default()
            };
            state(
                Phase::Working {
                    since: Duration::ZERO,
                },
                false,
                Some(&run),
            )
        };
        assert_eq!(shown(Status::Running), (State::Running, None));
        let away = shown(Status::Unavailable("no broker".to_owned()));
        assert_eq!(away, (State::Unavailable, Some("no broker".to_owned())));
        assert_eq!(state(Phase::Stopping, true, None).0, State::Deleting);
    }
}
