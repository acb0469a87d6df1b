//! What a pipeline's tasks read and where their state goes: the partitions of its source, the stages that follow from them,
//! and the topics of the host's own. Found out anew whenever a worker joins.

use std::sync::Arc;
use std::time::Duration;

use super::WorkerError;
use crate::log::{Log, LogError, TopicInfo, TopicPartition, TopicSpec};
use crate::pipeline::config::PipelineConfig;
use crate::pipeline::shape::shape;
use crate::pipeline::stages::{refusal, stages};
use crate::pipeline::{Pipeline, topics};
use crate::state::{Shape, Stages};

/// What a changelog record takes beyond its value: its key, which holds a key of a window with every zero byte doubled, and
/// what the log adds.
const CHANGELOG_OVERHEAD: usize = 80 << 10;
/// What a record of the repartition topic takes beyond its value.
const REPARTITION_OVERHEAD: usize = 4 << 10;
/// The least that is left of a record for its value, however little the topic takes.
const LEAST: usize = 1 << 10;

/// The tasks of a pipeline and where their state goes.
pub(super) struct Topology {
    pub(super) shape: Shape,
    /// All partitions of the source, topic after topic.
    pub(super) sources: Vec<TopicPartition>,
    pub(super) changelog: Option<ChangelogTopic>,
    pub(super) repartition: Option<RepartitionTopic>,
}

/// The topic in which state is kept.
#[derive(Clone, Debug)]
pub(super) struct ChangelogTopic {
    pub(super) topic: Arc<str>,
    pub(super) most: usize,
    /// How long a tombstone stays; `None` if for ever.
    pub(super) tombstones_for: Option<Duration>,
}

/// The topic in which partials are on their way.
#[derive(Clone, Debug)]
pub(super) struct RepartitionTopic {
    pub(super) topic: Arc<str>,
    pub(super) partitions: i32,
    pub(super) most: usize,
}

impl Topology {
    /// Looks at the source, and makes or checks the host's own topics.
    ///
    /// # Errors
    /// If the log can't be reached, a source topic does not exist, or one of our topics is not as it must be.
    pub(super) fn find<L: Log>(pipeline: &Pipeline, log: &L) -> Result<Self, WorkerError> {
        let config = pipeline.config();
        let existing = log.topics()?;
        let mut sources = Vec::new();
        for name in &config.source.topics {
            let topic = existing.iter().find(|topic| topic.name == *name);
            let topic = topic.ok_or_else(|| LogError::NoTopic(name.clone()))?;
            let name: Arc<str> = name.as_str().into();
            let at = |partition| TopicPartition::new(Arc::clone(&name), partition);
            sources.extend((0..topic.partitions).map(at));
        }
        let count = i32::try_from(sources.len()).unwrap_or(i32::MAX);
        let stages = stages(config, count);
        if let Some(why) = refusal(config, stages) {
            return Err(WorkerError::Windows(why));
        }
        let repartition = match stages {
            Stages::None | Stages::One => None,
            Stages::Two => Some(repartition(config, count, &existing, log)?),
        };
        let tasks = repartition.as_ref().map_or(count, |topic| topic.partitions);
        let changelog = match stages {
            Stages::None => None,
            Stages::One | Stages::Two => Some(changelog(config, tasks, &existing, log)?),
        };
        Ok(Self {
            shape: shape(pipeline, stages, tasks),
            sources,
            changelog,
            repartition,
        })
    }

    /// How many tasks there are.
    pub(super) fn tasks(&self) -> usize {
        let partials = self.repartition.as_ref().map_or(0, |to| to.partitions);
        self.sources.len() + usize::try_from(partials).unwrap_or_default()
    }

    /// Every partition that a task reads.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        let repartition = self.repartition.iter().flat_map(|topic| {
            (0..topic.partitions)
                .map(|partition| TopicPartition::new(Arc::clone(&topic.topic), partition))
        });
        self.sources.iter().cloned().chain(repartition).collect()
    }

    /// The number of a source partition: the same as long as the source's topics keep their order.
    pub(super) fn number(config: &PipelineConfig, at: &TopicPartition) -> u32 {
        let topic = config
            .source
            .topics
            .iter()
            .position(|name| **name == *at.topic);
        let topic = u32::try_from(topic.unwrap_or_default()).unwrap_or_default();
        topic * 1_000_000 + at.partition.unsigned_abs()
    }
}

fn changelog<L: Log>(
    config: &PipelineConfig,
    tasks: i32,
    existing: &[TopicInfo],
    log: &L,
) -> Result<ChangelogTopic, WorkerError> {
    let name = topics::changelog(config);
    let partitions = ensure(&topics::changelog_spec(config, tasks), existing, log)?;
    if partitions != tasks {
        return Err(refused(format!(
            "topic {name} has {partitions} partitions, and the pipeline has {tasks} tasks with state: choose another pipeline name, or \
             delete the topic if its state is of no more use"
        )));
    }
    let settings = log.topic_settings(&name)?;
    let policy = settings.get("cleanup.policy").map(String::as_str);
    if policy.is_some_and(|policy| policy != "compact") {
        return Err(refused(format!(
            "topic {name} holds the pipeline's state, and its cleanup.policy is {}: set it to compact, or state will be deleted",
            policy.unwrap_or_default()
        )));
    }
    let kept = settings.get("delete.retention.ms");
    let kept = kept.and_then(|text| text.parse().ok());
    Ok(ChangelogTopic {
        most: (log
            .max_record_bytes(&name)?
            .saturating_sub(CHANGELOG_OVERHEAD))
        .max(LEAST),
        topic: name.into(),
        tombstones_for: kept.map(Duration::from_millis),
    })
}

fn repartition<L: Log>(
    config: &PipelineConfig,
    sources: i32,
    existing: &[TopicInfo],
    log: &L,
) -> Result<RepartitionTopic, WorkerError> {
    let name = topics::repartition(config);
    let partitions = ensure(&topics::repartition_spec(config, sources), existing, log)?;
    let settings = log.topic_settings(&name)?;
    let policy = settings.get("cleanup.policy").map(String::as_str);
    if policy.is_some_and(|policy| policy != "delete") {
        return Err(refused(format!(
            "topic {name} carries partials that have no key, and its cleanup.policy is {}: set it to delete",
            policy.unwrap_or_default()
        )));
    }
    Ok(RepartitionTopic {
        most: log
            .max_record_bytes(&name)?
            .saturating_sub(REPARTITION_OVERHEAD)
            .max(LEAST),
        topic: name.into(),
        partitions,
    })
}

/// Makes one of our topics where there is none. Returns how many partitions it has.
fn ensure<L: Log>(spec: &TopicSpec, existing: &[TopicInfo], log: &L) -> Result<i32, LogError> {
    if let Some(topic) = existing.iter().find(|topic| topic.name == spec.name) {
        return Ok(topic.partitions);
    }
    tracing::info!(
        topic = spec.name,
        partitions = spec.partitions,
        "creating a topic"
    );
    log.create_topic(spec)?;
    // Another worker may have been first.
    let topic = log.topic(&spec.name)?;
    topic
        .map(|topic| topic.partitions)
        .ok_or_else(|| LogError::NoTopic(spec.name.clone()))
}

fn refused(why: String) -> WorkerError {
    WorkerError::Log(LogError::Refused(why))
}
