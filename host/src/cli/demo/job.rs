//! The pipeline that the demo runs: that of `examples/unique-visitors`, on a log of its own and with the demo's window.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::cli::Failure;
use crate::generate::ClickConfig;
use crate::log::{Log, LogError, TopicSpec};
use crate::pipeline::config::{self, LogPlace, Output, PipelineConfig, Window};
use crate::pipeline::topics;

const EXAMPLE: &str = include_str!("../../../../examples/unique-visitors/pipeline.toml");

/// A pipeline and where it runs.
pub(super) struct Job {
    pub(super) pipeline: PipelineConfig,
    /// Where the log is, in words.
    pub(super) place: String,
    /// Whether the topics are still there afterwards.
    pub(super) leaves_topics: bool,
    partitions: i32,
    late_topic: String,
}

impl Job {
    /// On the embedded log in a folder.
    ///
    /// # Errors
    /// If the path of the plugins is not text, or the window is no duration for a pipeline.
    pub(super) fn embedded(
        folder: &Path,
        plugins: &Path,
        clicks: &ClickConfig,
    ) -> Result<Self, Failure> {
        let mut pipeline = example(plugins, "")?;
        pipeline.log.place = LogPlace::Embedded(folder.to_owned());
        let place = "the embedded log, in a temporary folder".to_owned();
        Self::new(pipeline, place, false, clicks)
    }

    /// On a Kafka cluster, in topics and a consumer group that no earlier demo has used.
    ///
    /// # Errors
    /// As for [`Job::embedded`].
    pub(super) fn on_kafka(
        servers: &str,
        plugins: &Path,
        clicks: &ClickConfig,
    ) -> Result<Self, Failure> {
        let mut pipeline = example(plugins, servers)?;
        let suffix = format!("-demo-{:08x}", rand::random::<u32>());
        pipeline.name.push_str(&suffix);
        pipeline.sink_topic.push_str(&suffix);
        pipeline.dead_letter_topic.push_str(&suffix);
        for topic in &mut pipeline.source.topics {
            topic.push_str(&suffix);
        }
        if let Output::Windows(step) = &mut pipeline.output {
            step.late_topic.push_str(&suffix);
        }
        Self::new(pipeline, format!("Kafka at {servers}"), true, clicks)
    }

    fn new(
        mut pipeline: PipelineConfig,
        place: String,
        leaves_topics: bool,
        clicks: &ClickConfig,
    ) -> Result<Self, Failure> {
        let duration = |name: &str, value: jiff::SignedDuration| {
            Duration::try_from(value)
                .map_err(|error| Failure::Usage(format!("{name} {value:#}: {error}")))
        };
        pipeline.source.allowed_disorder = duration("disorder", clicks.disorder)?;
        pipeline.log.create_topics = Some(1);
        let Output::Windows(step) = &mut pipeline.output else {
            return Err(Failure::Other(anyhow::anyhow!(
                "examples/unique-visitors has no window"
            )));
        };
        step.window = Window::Tumbling {
            size: duration("--window", clicks.window)?,
            offset: Duration::ZERO,
        };
        let late_topic = step.late_topic.clone();
        Ok(Self {
            pipeline,
            place,
            leaves_topics,
            partitions: clicks.partitions,
            late_topic,
        })
    }

    /// The topic of the clicks.
    pub(super) fn source_topic(&self) -> &str {
        &self.pipeline.source.topics[0]
    }

    /// The topic of late rows.
    pub(super) fn late_topic(&self) -> &str {
        &self.late_topic
    }

    /// Creates all topics.
    ///
    /// # Errors
    /// If the log can't be reached or refuses.
    pub(super) fn create_topics<L: Log>(&self, log: &L) -> Result<(), LogError> {
        for topic in &self.pipeline.source.topics {
            log.create_topic(&TopicSpec {
                name: topic.clone(),
                partitions: self.partitions,
                settings: BTreeMap::new(),
            })?;
        }
        topics::ensure(&self.pipeline, log)
    }
}

/// The example's file, with components from `plugins`.
fn example(plugins: &Path, servers: &str) -> Result<PipelineConfig, Failure> {
    let plugins = plugins.to_str().ok_or_else(|| {
        let plugins = plugins.display();
        Failure::Usage(format!("--plugins {plugins}: a path in UTF-8 is needed"))
    })?;
    let environment = |name: &str| match name {
        "MILLSTREAM_PLUGINS" => Some(plugins.to_owned()),
        "MILLSTREAM_KAFKA" => Some(servers.to_owned()),
        _ => None,
    };
    let no_files = |_: &Path| Err(io::ErrorKind::NotFound.into());
    Ok(config::parse(EXAMPLE, &environment, &no_files)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn jobs() -> [Job; 2] {
        let clicks = ClickConfig {
            window: jiff::SignedDuration::from_secs(7),
            disorder: jiff::SignedDuration::from_secs(2),
            ..ClickConfig::default()
        };
        let plugins = Path::new("components");
        [
            Job::embedded(Path::new("folder"), plugins, &clicks).unwrap(),
            Job::on_kafka("broker:9092", plugins, &clicks).unwrap(),
        ]
    }

    #[test]
    fn the_example_runs_with_the_window_and_disorder_of_the_clicks() {
        for job in jobs() {
            assert_eq!(job.pipeline.source.allowed_disorder, Duration::from_secs(2));
            let Output::Windows(step) = &job.pipeline.output else {
                panic!("it has a window");
            };
            let size = Duration::from_secs(7);
            let offset = Duration::ZERO;
            assert_eq!(step.window, Window::Tumbling { size, offset });
            let component = Path::new("components/unique-visitors.wasm");
            assert_eq!(step.function.component, component);
        }
    }

    #[test]
    fn on_kafka_no_name_is_one_that_another_pipeline_uses() {
        let [embedded, kafka] = jobs();
        let [_, another] = jobs();
        let names = |job: &Job| {
            let mut names: Vec<String> = topics::written(&job.pipeline)
                .into_iter()
                .map(str::to_owned)
                .collect();
            names.extend([job.source_topic().to_owned(), job.pipeline.name.clone()]);
            names
        };
        assert_eq!(names(&kafka).len(), 5);
        for other in [embedded, another] {
            for (name, taken) in names(&kafka).iter().zip(names(&other)) {
                assert_ne!(*name, taken);
            }
        }
        let LogPlace::Kafka(settings) = &kafka.pipeline.log.place else {
            panic!("it is on Kafka");
        };
        assert_eq!(settings.get("bootstrap.servers"), Some("broker:9092"));
    }
}
