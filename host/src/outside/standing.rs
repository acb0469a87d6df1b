//! Where a pipeline stands: its tasks, what its group has committed for each, and what the log still has.

use std::sync::Arc;
use std::time::Duration;

use super::OutsideError;
use crate::log::{Bounds, GroupOffset, Log, LogError, TopicPartition};
use crate::pipeline::config::PipelineConfig;
use crate::pipeline::stages::stages;
use crate::pipeline::topics;
use crate::state::{Committed, FormatError, Stage, Stages, TaskId};
use crate::time::Clock;

/// How long to try again while the log is away or a transaction is undecided: a few of the longest transactions.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait in between.
const WAIT: Duration = Duration::from_millis(100);

/// A pipeline, seen from outside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Its consumer group.
    pub(crate) group: String,
    /// Its stages.
    pub(crate) stages: Stages,
    /// The members that are alive.
    pub(crate) members: Vec<String>,
    /// The tasks of the first stage: one for each partition of the source topics.
    pub(crate) sources: Vec<Task>,
    /// The tasks of the second: one for each partition of the topic of partials. None, with one stage, or where that topic
    /// has not been made yet.
    pub(crate) finals: Vec<Task>,
    /// The partitions of the changelog; none where it has not been made yet.
    pub(crate) changelog: Vec<Bounds>,
}

/// A task, seen from outside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    /// The partition that it reads.
    pub(crate) at: TopicPartition,
    /// What there is in it.
    pub(crate) bounds: Bounds,
    /// What the group has committed for it.
    pub(crate) committed: Option<GroupOffset>,
}

impl Task {
    /// What stands beside the committed offset; `None` if nothing was committed.
    pub(crate) fn mark(&self) -> Option<Result<Committed, FormatError>> {
        let committed = self.committed.as_ref()?;
        Some(Committed::parse(&committed.metadata))
    }

    /// How many offsets there are to read; `None` if nothing was committed.
    pub(crate) fn lag(&self) -> Option<i64> {
        let committed = self.committed.as_ref()?;
        Some((self.bounds.end.0 - committed.offset.0).max(0))
    }
}

impl Standing {
    /// Asks the log. Waits for transactions that have not been decided.
    ///
    /// # Errors
    /// If a source topic does not exist, or the log stays away.
    pub(crate) fn read<L: Log>(
        config: &PipelineConfig,
        log: &L,
        clock: &impl Clock,
    ) -> Result<Self, LogError> {
        let bounds = |topic: &str| patiently(clock, || log.bounds(topic));
        let mut sources = Vec::new();
        for topic in &config.source.topics {
            sources.extend(tasks(topic, bounds(topic)?));
        }
        let count = i32::try_from(sources.len()).unwrap_or(i32::MAX);
        let stages = stages(config, count);
        let own = |topic: String| match bounds(&topic) {
            Ok(bounds) => Ok(tasks(&topic, bounds).collect()),
            Err(LogError::NoTopic(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let mut finals: Vec<Task> = match stages {
            Stages::Two => own(topics::repartition(config))?,
            Stages::None | Stages::One => Vec::new(),
        };
        let changelog = match stages {
            Stages::None => Vec::new(),
            Stages::One | Stages::Two => own(topics::changelog(config))?,
        };
        let all: Vec<TopicPartition> = sources
            .iter()
            .chain(&finals)
            .map(|task| task.at.clone())
            .collect();
        let group = config.name.clone();
        let committed = patiently(clock, || log.group_offsets(&group, &all))?;
        for task in sources.iter_mut().chain(&mut finals) {
            task.committed = committed.iter().find(|of| of.at == task.at).cloned();
        }
        Ok(Self {
            members: patiently(clock, || log.members(&group))?,
            group,
            stages,
            sources,
            finals,
            changelog: changelog.iter().map(|task| task.bounds).collect(),
        })
    }

    /// All tasks: those of the first stage, then those of the second.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.sources.iter().chain(&self.finals)
    }

    /// The tasks that own state, with what they are called in it.
    pub(crate) fn stateful(&self) -> Vec<(TaskId, &Task)> {
        let (stage, tasks) = match self.stages {
            Stages::None => return Vec::new(),
            Stages::One => (Stage::Source, &self.sources),
            Stages::Two => (Stage::Final, &self.finals),
        };
        let id = |task: &Task| TaskId {
            stage,
            partition: task.at.partition,
        };
        tasks.iter().map(|task| (id(task), task)).collect()
    }

    /// The partition of the changelog that a task writes to; `None` if it does not exist.
    pub(crate) fn changelog_of(&self, task: TaskId) -> Option<Bounds> {
        let index = usize::try_from(task.partition).ok()?;
        self.changelog.get(index).copied()
    }

    /// Refuses to change what a group has committed while it is alive, and names its members.
    ///
    /// # Errors
    /// If any member is alive.
    pub(crate) fn must_be_still(&self) -> Result<(), OutsideError> {
        if self.members.is_empty() {
            return Ok(());
        }
        Err(OutsideError::Running {
            group: self.group.clone(),
            members: self.members.clone(),
        })
    }
}

fn tasks(topic: &str, bounds: Vec<Bounds>) -> impl Iterator<Item = Task> {
    let topic: Arc<str> = topic.into();
    (0..).zip(bounds).map(move |(partition, bounds)| Task {
        at: TopicPartition::new(Arc::clone(&topic), partition),
        bounds,
        committed: None,
    })
}

/// Asks again while the log is away, but not for ever.
pub(crate) fn patiently<T>(
    clock: &impl Clock,
    mut ask: impl FnMut() -> Result<T, LogError>,
) -> Result<T, LogError> {
    let until = clock.monotonic() + PATIENCE;
    loop {
        match ask() {
            Err(error) if error.is_retriable() && clock.monotonic() < until => {
                tracing::debug!(%error, "asking again");
                clock.pause(WAIT);
            }
            answer => return answer,
        }
    }
}
