//! Where generated rows go: a topic that has the right number of partitions, or standard output.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::cli::place::{AnyLog, Place};
use crate::cli::{Failure, out};
use crate::log::{Log, LogError, Outbox, TopicSpec, Writer};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where it goes")]
pub(super) struct TargetOptions {
    /// Write values to standard output, one a line; so it is without --topic, too
    #[arg(long, conflicts_with_all = ["topic", "embedded", "pipeline"])]
    to_stdout: bool,
    #[command(flatten)]
    place: Place,
    /// The topic to write to
    #[arg(long)]
    topic: Option<String>,
    /// Create the topic with --partitions partitions, if there is none
    #[arg(long, requires = "topic")]
    create_topic: bool,
    /// Write this many rows a second; as fast as possible without it
    #[arg(long, value_name = "N")]
    pub(super) rate: Option<NonZeroU32>,
}

impl TargetOptions {
    /// Whether rows go to standard output.
    pub(super) fn is_stdout(&self) -> bool {
        self.topic.is_none()
    }

    /// Opens the target for rows of so many partitions.
    ///
    /// # Errors
    /// If a log is named without a topic or a topic without a log, if the topic has another number of partitions or does
    /// not exist, or if the log refuses.
    pub(super) fn open(&self, partitions: i32) -> Result<Target, Failure> {
        let Some(topic) = &self.topic else {
            if self.place.is_named() && !self.to_stdout {
                return Err(Failure::Usage(
                    "a log is named, but no topic: give --topic, or --to-stdout to write no log"
                        .to_owned(),
                ));
            }
            return Ok(Target::Stdout);
        };
        let writer: Box<dyn Writer> = match self.place.open()? {
            AnyLog::Kafka(log) => self.writer(&log, topic, partitions)?,
            AnyLog::Embedded(log) => self.writer(&log, topic, partitions)?,
        };
        Ok(Target::Topic {
            name: topic.as_str().into(),
            writer,
        })
    }

    fn writer<L: Log>(
        &self,
        log: &L,
        topic: &str,
        partitions: i32,
    ) -> Result<Box<dyn Writer>, Failure> {
        match log.topic(topic)? {
            None if self.create_topic => log.create_topic(&TopicSpec {
                name: topic.to_owned(),
                partitions,
                settings: BTreeMap::new(),
            })?,
            None => return Err(LogError::NoTopic(topic.to_owned()).into()),
            // Where there are more, one without rows would hold back every window, and --expect would be wrong.
            Some(found) if found.partitions != partitions => {
                return Err(Failure::Usage(format!(
                    "topic {topic} has {0} partitions, and {partitions} are to be filled: give --partitions {0}, or \
                     another topic",
                    found.partitions
                )));
            }
            Some(_) => {}
        }
        Ok(Box::new(log.writer()?))
    }
}

/// Where rows go.
pub(super) enum Target {
    /// The values, one a line.
    Stdout,
    /// The whole records.
    Topic {
        name: Arc<str>,
        writer: Box<dyn Writer>,
    },
}

impl Target {
    /// The topic under which rows are staged.
    pub(super) fn topic(&self) -> Arc<str> {
        match self {
            Target::Stdout => "stdout".into(),
            Target::Topic { name, .. } => Arc::clone(name),
        }
    }

    /// Writes what is staged. Breaks if nobody reads standard output any more.
    ///
    /// # Errors
    /// What writing returns.
    pub(super) fn write(&mut self, staged: &Outbox) -> Result<ControlFlow<()>, Failure> {
        match self {
            Target::Stdout => out::piece(|out| write_lines(staged, out)),
            Target::Topic { writer, .. } => {
                writer.append(staged)?;
                Ok(ControlFlow::Continue(()))
            }
        }
    }
}

fn write_lines(staged: &Outbox, out: &mut impl Write) -> io::Result<()> {
    staged.records().try_for_each(|record| {
        out.write_all(record.value().unwrap_or_default())?;
        out.write_all(b"\n")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use clap::Parser;

    use super::*;
    use crate::log::RecordParts;
    use crate::log::embedded::EmbeddedLog;
    use crate::time::Timestamp;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: TargetOptions,
    }

    fn refusal(line: &[&str]) -> Failure {
        let line = ["target"].iter().chain(line);
        let options = Line::try_parse_from(line).unwrap().options;
        options.open(4).err().unwrap()
    }

    #[test]
    fn a_tombstone_and_an_empty_value_are_empty_lines() {
        let mut staged = Outbox::new();
        for value in [Some(&b"a"[..]), None, Some(b""), Some(b"\xFF")] {
            let parts = RecordParts {
                partition: Some(0),
                timestamp: Timestamp(0),
                key: Some(b"key"),
                value,
                headers: &[],
            };
            staged.push(&Arc::from("t"), parts);
        }
        let mut lines = Vec::new();
        write_lines(&staged, &mut lines).unwrap();
        assert_eq!(lines, b"a\n\n\n\xFF\n");
    }

    #[test]
    fn a_log_needs_a_topic_and_a_topic_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert!(matches!(refusal(&["--embedded", path]), Failure::Usage(_)));
        assert!(matches!(refusal(&["--topic", "t"]), Failure::Usage(_)));
    }

    #[test]
    fn a_topic_is_made_only_when_asked_and_must_have_the_partitions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let line = ["--embedded", path, "--topic", "t"];
        assert!(matches!(refusal(&line), Failure::Log(_)));

        let options = Line::try_parse_from(["target", "--create-topic"].iter().chain(&line));
        options.unwrap().options.open(3).unwrap();
        let log = EmbeddedLog::open(folder.path()).unwrap();
        assert_eq!(log.topic("t").unwrap().unwrap().partitions, 3);
        drop(log);
        let refused = refusal(&line);
        assert!(refused.to_string().contains("--partitions 3"), "{refused}");
    }
}
