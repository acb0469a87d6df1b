//! The topics of a pipeline: what they are called, that its source exists, and that there is somewhere to write.

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::{Output, PipelineConfig};
use crate::log::{Log, LogError, TopicSpec};

/// The topic of the changes to a pipeline's state: compacted, with a partition for each task that has state.
pub fn changelog(config: &PipelineConfig) -> String {
    name_of("changelog", &config.name)
}

/// The topic through which partials reach the tasks that settle windows.
pub fn repartition(config: &PipelineConfig) -> String {
    name_of("repartition", &config.name)
}

/// The topic that says what is deployed into a pipeline while it runs: with one partition, which keeps everything.
pub fn control(config: &PipelineConfig) -> String {
    name_of("control", &config.name)
}

/// The topic that says which dead letters have been put back: compacted, with one partition.
pub fn replays(config: &PipelineConfig) -> String {
    name_of("replays", &config.name)
}

/// How the topic of replays is made.
pub fn replays_spec(config: &PipelineConfig) -> TopicSpec {
    spec(replays(config), 1, &[("cleanup.policy", "compact")])
}

/// The topic that says which members a group has ever had: compacted, with one partition.
pub fn members(group: &str) -> String {
    name_of("members", group)
}

/// How the changelog is made: it keeps the last value of each key. What a store has missed for longer than
/// [`TOMBSTONES_KEPT`] can't be caught up with, since by then a deletion may itself be gone.
pub fn changelog_spec(config: &PipelineConfig, partitions: i32) -> TopicSpec {
    let kept = TOMBSTONES_KEPT.as_millis().to_string();
    spec(
        changelog(config),
        partitions,
        &[
            ("cleanup.policy", "compact"),
            ("delete.retention.ms", &kept),
            ("segment.bytes", "67108864"),
        ],
    )
}

/// How long the changelog keeps the record of a deletion after compaction.
pub const TOMBSTONES_KEPT: Duration = Duration::from_secs(24 * 3600);

/// How the topic of partials is made. Its records count from when they were written, not by event time: a window of last
/// year is not deleted on its way.
pub fn repartition_spec(config: &PipelineConfig, partitions: i32) -> TopicSpec {
    spec(
        repartition(config),
        partitions,
        &[
            ("cleanup.policy", "delete"),
            ("message.timestamp.type", "LogAppendTime"),
            ("retention.ms", "604800000"),
            ("segment.bytes", "67108864"),
        ],
    )
}

fn spec(name: String, partitions: i32, settings: &[(&str, &str)]) -> TopicSpec {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    TopicSpec {
        name,
        partitions,
        settings: settings.iter().map(owned).collect(),
    }
}

/// The names of all topics that Millstream keeps for a pipeline of this name, whether or not it has them.
pub fn own(pipeline: &str) -> [String; 5] {
    ["changelog", "repartition", "members", "control", "replays"]
        .map(|what| name_of(what, pipeline))
}

fn name_of(what: &str, pipeline: &str) -> String {
    format!("{pipeline}-{what}")
}

/// The topics that a pipeline writes its results to: sink, dead letters and, with a window, late rows.
pub fn written(config: &PipelineConfig) -> Vec<&str> {
    let late = match &config.output {
        Output::Rows { .. } => None,
        Output::Windows(step) => Some(step.late_topic.as_str()),
    };
    [
        config.sink_topic.as_str(),
        config.dead_letter_topic.as_str(),
    ]
    .into_iter()
    .chain(late)
    .collect()
}

/// Makes sure that all topics of a pipeline exist. Those written to are created where the file says so; source topics
/// never are.
///
/// # Errors
/// [`LogError::NoTopic`] for a topic that does not exist and is not to be created; otherwise what the log answers.
pub fn ensure<L: Log>(config: &PipelineConfig, log: &L) -> Result<(), LogError> {
    let existing: Vec<String> = log.topics()?.into_iter().map(|topic| topic.name).collect();
    let missing = |name: &&str| !existing.iter().any(|topic| topic == name);
    let sources = config.source.topics.iter().map(String::as_str);
    if let Some(name) = sources.into_iter().find(missing) {
        return Err(LogError::NoTopic(name.to_owned()));
    }
    for name in written(config).into_iter().filter(missing) {
        let partitions = config
            .log
            .create_topics
            .ok_or_else(|| LogError::NoTopic(name.to_owned()))?;
        tracing::info!(topic = name, partitions, "creating a topic");
        log.create_topic(&TopicSpec {
            name: name.to_owned(),
            partitions,
            settings: BTreeMap::new(),
        })?;
    }
    Ok(())
}
