//! The topics of a pipeline: what they are called, that its source exists, and that there is somewhere to write.

use std::collections::BTreeMap;

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

/// The topic that says which members a group has ever had: compacted, with one partition.
pub fn members(group: &str) -> String {
    name_of("members", group)
}

/// The names of all topics that Millstream keeps for a pipeline of this name, whether or not it has them.
pub fn own(pipeline: &str) -> [String; 3] {
    ["changelog", "repartition", "members"].map(|what| name_of(what, pipeline))
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
