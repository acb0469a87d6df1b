//! A pipeline of a service as others see it: what the API answers with, and its client reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::record::Desired;
use crate::worker::Snapshot;

/// A pipeline.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct PipelineView {
    /// Its name.
    pub name: String,
    /// Where its file is.
    pub origin: Origin,
    /// What is wanted of it.
    pub wanted: Desired,
    /// What it is about.
    pub state: State,
    /// More of the state, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why its last run failed, until the next one has got as far as reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// Why its file as it is now in the folder of pipelines is not taken: it goes on as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Its last reset since the service was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<ResetView>,
    /// How often it was started again after a failure since the service was started.
    pub restarts: u64,
    /// Its steps; empty until it has been started.
    pub steps: Vec<StepView>,
    /// The generation that every worker has come to; 0 where nothing has been deployed.
    #[serde(default)]
    pub generation: u64,
    /// What was counted since the service was started.
    pub progress: ProgressView,
    /// Records that have not been read, measured every few seconds; missing while it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_records: Option<u64>,
    /// The next offset to read, by `topic/partition`.
    pub positions: BTreeMap<String, i64>,
}

/// Where a pipeline's file is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// In the service's folder of pipelines.
    Folder,
    /// It came through the API.
    Api,
}

/// What a pipeline is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its components are compiled, or its workers join.
    Starting,
    /// Its workers wait for partitions.
    Waiting,
    /// It brings its local state up to the log's.
    Restoring,
    /// It reads.
    Running,
    /// The log or the disk is away; it tries again by itself.
    Unavailable,
    /// Its workers commit what is done and end.
    Stopping,
    /// It has no workers, and is made to begin anew.
    Resetting,
    /// It does not run, because somebody said so.
    Paused,
    /// It has failed, and is started again.
    Failed,
    /// It was deleted, and its workers have not ended yet.
    Deleting,
}

impl State {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Waiting => "waiting",
            State::Restoring => "restoring",
            State::Running => "running",
            State::Unavailable => "unavailable",
            State::Stopping => "stopping",
            State::Resetting => "resetting",
            State::Paused => "paused",
            State::Failed => "failed",
            State::Deleting => "deleting",
        }
    }
}

/// A reset of a pipeline.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ResetView {
    /// Where it begins, as it was asked.
    pub to: String,
    /// Whether it has been done.
    pub done: bool,
    /// Why it could not be done: the pipeline goes on where it stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What was set, in the order of the partitions; empty until it is done.
    pub moves: Vec<MoveView>,
}

impl ResetView {
    /// One that was asked for.
    pub(super) fn begun(to: String) -> Self {
        Self {
            to,
            done: false,
            failure: None,
            moves: Vec::new(),
        }
    }
}

/// A partition of which a reset has set where it is read.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct MoveView {
    /// The partition, as `topic/partition`.
    pub at: String,
    /// The offset that was committed; missing if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// The offset that is read next.
    pub to: i64,
}

/// Why a run of a pipeline failed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct FailureView {
    /// What was wrong, where, and what to do.
    pub message: String,
    /// When it ended, in RFC 3339.
    pub at: String,
    /// How many runs in a row have failed.
    pub in_a_row: u32,
    /// In how many seconds it is started again; missing if it is not waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_in_seconds: Option<f64>,
}

/// A step of a pipeline.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// The name and version that its component gives itself.
    pub plugin: String,
    /// The component's kind.
    pub kind: String,
    /// SHA-256 of the component, in hexadecimal.
    pub sha256: String,
}

/// What was counted, raised when it has been committed: each row counts once.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ProgressView {
    /// Records read.
    pub records: u64,
    /// Records dead-lettered.
    pub dead_letters: u64,
    /// Records left out because their step says so.
    pub skipped: u64,
    /// Rows that a filter did not keep.
    pub filtered: u64,
    /// Rows that came after their windows were over.
    pub late: u64,
    /// Rows that came after a window of theirs had been published, and still counted.
    pub behind: u64,
    /// Result records written.
    pub results: u64,
    /// Windows fired, each key counted.
    pub windows_fired: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions aborted.
    pub aborts: u64,
    /// Calls of functions that failed.
    pub failures: u64,
    /// The lowest watermark by which windows fire, in RFC 3339; missing as long as a partition has brought nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<String>,
    /// The same in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// Whether windows have fired as far as what was read lets them, and all of that is committed.
    pub settled: bool,
    /// Tasks that run.
    pub tasks: usize,
    /// Tasks of the pipeline; zero before it is known.
    pub of_tasks: usize,
}

impl ProgressView {
    /// Adds the counters of a run; everything else is as that run has it.
    pub(super) fn with(&self, run: &Snapshot) -> Self {
        Self {
            records: self.records + run.records,
            dead_letters: self.dead_letters + run.dead_letters,
            skipped: self.skipped + run.skipped,
            filtered: self.filtered + run.filtered,
            late: self.late + run.late,
            behind: self.behind + run.behind,
            results: self.results + run.results,
            windows_fired: self.windows_fired + run.windows_fired,
            commits: self.commits + run.commits,
            aborts: self.aborts + run.aborts,
            failures: self.failures + run.failures,
            watermark: run.watermark.map(|at| at.to_string()),
            watermark_ms: run.watermark.map(|at| at.0),
            settled: run.has_settled() && run.of_tasks > 0,
            tasks: run.tasks,
            of_tasks: run.of_tasks,
        }
    }

    /// The counters alone, when a run has ended.
    pub(super) fn at_rest(self) -> Self {
        Self {
            watermark: None,
            watermark_ms: None,
            settled: false,
            tasks: 0,
            of_tasks: 0,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn counters_go_on_over_runs_and_the_rest_is_the_runs_own() {
        let first = Snapshot {
            records: 3,
            commits: 1,
            watermark: Some(Timestamp(0)),
            tasks: 2,
            of_tasks: 2,
            ..Snapshot::default()
        };
        let before = ProgressView::default().with(&first).at_rest();
        assert_eq!(
            (before.records, before.tasks, &before.watermark),
            (3, 0, &None)
        );
        let now = before.with(&first);
        assert_eq!((now.records, now.commits, now.tasks), (6, 2, 2));
        assert_eq!(now.watermark.as_deref(), Some("1970-01-01T00:00:00Z"));
    }
}
