//! The topics that a producer has seen to exist.
//!
//! librdkafka keeps records for a topic that does not exist until they time out, since it might be about to be created.
//! Asking once for each topic gives a plain answer at once. A consumer asks: brokers may make a topic that a producer asks for.

use std::collections::HashSet;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::contexts::Messages;
use super::errors::log_error;
use super::{KafkaLog, REQUEST_TIMEOUT};
use crate::log::{LogError, Outbox};

/// The topics that are known to exist.
pub(super) struct KnownTopics {
    asks: Arc<BaseConsumer<Messages>>,
    known: HashSet<String>,
}

impl KnownTopics {
    /// None yet.
    pub(super) fn new(log: &KafkaLog) -> Self {
        Self {
            asks: Arc::clone(&log.uncommitted),
            known: HashSet::new(),
        }
    }

    /// Makes sure that every topic of an outbox exists.
    ///
    /// # Errors
    /// [`LogError::NoTopic`] for the first that does not; otherwise if the log can't be asked.
    pub(super) fn check(&mut self, outbox: &Outbox) -> Result<(), LogError> {
        let mut last = None;
        for record in outbox.records() {
            let topic = record.topic();
            if last == Some(topic) || self.known.contains(topic) {
                last = Some(topic);
                continue;
            }
            let metadata = self
                .asks
                .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
                .map_err(|error| log_error(&error))?;
            let error = metadata.topics().first().and_then(|topic| topic.error());
            match error.map(RDKafkaErrorCode::from) {
                None => {}
                Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                    return Err(LogError::NoTopic(topic.to_owned()));
                }
                Some(other) => {
                    return Err(LogError::Refused(format!("topic {topic}: {other}")));
                }
            }
            self.known.insert(topic.to_owned());
            last = Some(topic);
        }
        Ok(())
    }
}
