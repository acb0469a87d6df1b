//! The member of a group that puts dead letters back: who has joined last, knows what has been put back, and nobody else adds to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::{LeftOut, ReplayView};
use crate::log::{
    CommitError, Delivery, Fetched, Log, LogError, Membership, Outbox, Polled, RecordBatch,
    RecordParts, Session,
};
use crate::pipeline::config::PipelineConfig;
use crate::pipeline::topics;
use crate::service::error::ServiceError;
use crate::service::reading::{self, Span};
use crate::time::{Clock, Timestamp};

/// How long to wait until the group has taken this for a member.
const JOINING: Duration = Duration::from_secs(15);
/// How long a poll waits.
const WAIT: Duration = Duration::from_millis(100);
/// How many that are left out are named.
const NAMED: usize = 100;

/// A dead letter with what is needed to put it back.
pub(super) struct Letter {
    at: String,
    timestamp: Timestamp,
    key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    topic: String,
    partition: Option<i32>,
    is_whole: bool,
}

impl Letter {
    pub(super) fn of(batch: &RecordBatch, row: usize, headers: &BTreeMap<&str, &[u8]>) -> Self {
        let text = |name: &str| {
            let bytes = headers.get(name)?;
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        };
        Self {
            at: format!("{}/{}", batch.partition().partition, batch.offset(row)),
            timestamp: batch.timestamp(row),
            key: batch.key(row).map(<[u8]>::to_vec),
            value: batch.value(row).map(<[u8]>::to_vec),
            topic: text("millstream.topic").unwrap_or_default(),
            partition: text("millstream.partition").and_then(|partition| partition.parse().ok()),
            is_whole: !headers.contains_key("millstream.omitted_bytes"),
        }
    }

    /// Why it can't be put back, if it can't.
    fn hindrance(&self, partitions: &BTreeMap<String, i32>) -> Option<String> {
        if !self.is_whole {
            return Some(
                "its value was larger than the dead-letter topic takes, and is not in it: the record is in its source topic"
                    .to_owned(),
            );
        }
        let Some(count) = partitions.get(&self.topic) else {
            return Some(format!(
                "it came from {:?}, which the pipeline does not read",
                self.topic
            ));
        };
        match self.partition {
            Some(partition) if (0..*count).contains(&partition) => None,
            _ => Some(format!(
                "it does not say which partition of {} it came from",
                self.topic
            )),
        }
    }
}

/// The member that replays a pipeline's dead letters.
pub(super) struct Replaying<L: Log> {
    session: L::Session,
    /// Where each that has been put back was.
    known: BTreeSet<String>,
    /// The source topics, and how many partitions each has.
    partitions: BTreeMap<String, i32>,
    replays: Arc<str>,
    dead: String,
    now: Timestamp,
}

impl<L: Log> Replaying<L> {
    pub(super) fn join(
        log: &L,
        config: &PipelineConfig,
        clock: &impl Clock,
    ) -> Result<Self, ServiceError> {
        let replays = topics::replays(config);
        log.create_topic(&topics::replays_spec(config))?;
        let mut partitions = BTreeMap::new();
        for topic in &config.source.topics {
            let count = log.bounds(topic)?.len();
            partitions.insert(topic.clone(), i32::try_from(count).unwrap_or(i32::MAX));
        }
        let mut session = log.join(&Membership {
            // A dot, which no pipeline has in its name.
            group: format!("{}.replays", config.name),
            member: "replay".to_owned(),
            topics: vec![replays.clone()],
            apart: None,
            delivery: Delivery::ExactlyOnce,
        })?;
        let mut fetched = Fetched::new();
        let until = clock.monotonic() + JOINING;
        while !matches!(session.poll(&mut fetched, WAIT)?, Polled::Assigned(_)) {
            if clock.monotonic() >= until {
                return Err(LogError::Unavailable(
                    "the group of replays did not take this for a member".to_owned(),
                )
                .into());
            }
        }
        let bounds = log.bounds(&replays)?;
        let spans: Vec<Span> = bounds.iter().map(|at| at.start.0..at.end.0).collect();
        let mut known = BTreeSet::new();
        reading::read(log, &replays, &spans, clock, |batch, row| {
            let key = batch.key(row).unwrap_or_default();
            known.insert(String::from_utf8_lossy(key).into_owned());
            ControlFlow::Continue(())
        })?;
        Ok(Self {
            session,
            known,
            partitions,
            replays: replays.into(),
            dead: config.dead_letter_topic.clone(),
            now: clock.now(),
        })
    }

    /// Puts these back that have not been, in one transaction.
    pub(super) fn put_back(
        &mut self,
        letters: Vec<Letter>,
        view: &mut ReplayView,
    ) -> Result<(), ServiceError> {
        let mut outbox = Outbox::new();
        let mut put = Vec::new();
        for letter in letters {
            if self.known.contains(&letter.at) {
                view.already += 1;
                continue;
            }
            if let Some(why) = letter.hindrance(&self.partitions) {
                view.left_out += 1;
                if view.left_out_first.len() < NAMED {
                    let at = letter.at;
                    view.left_out_first.push(LeftOut { at, why });
                }
                continue;
            }
            let place = format!("{}/{}", self.dead, letter.at);
            let parts = RecordParts {
                partition: letter.partition,
                timestamp: letter.timestamp,
                key: letter.key.as_deref(),
                value: letter.value.as_deref(),
                headers: &[("millstream.replay_of", place.as_bytes())],
            };
            outbox.push(&letter.topic.as_str().into(), parts);
            let parts = RecordParts {
                partition: Some(0),
                timestamp: self.now,
                key: Some(letter.at.as_bytes()),
                value: Some(letter.topic.as_bytes()),
                headers: &[],
            };
            outbox.push(&self.replays, parts);
            put.push(letter.at);
        }
        if put.is_empty() {
            return Ok(());
        }
        self.session.commit(&outbox, &[]).map_err(not_committed)?;
        view.replayed += put.len() as u64;
        self.known.extend(put);
        Ok(())
    }
}

fn not_committed(error: CommitError) -> ServiceError {
    let again = "ask again: what has been put back is not put back twice";
    match error {
        CommitError::Fenced(_) => ServiceError::Conflict(format!(
            "another replay of this pipeline was begun meanwhile: {again}"
        )),
        CommitError::Refused(_) => LogError::Refused(error.to_string()).into(),
        CommitError::Aborted(_) | CommitError::Unknown(_) => {
            LogError::Unavailable(format!("{error}: {again}")).into()
        }
    }
}
