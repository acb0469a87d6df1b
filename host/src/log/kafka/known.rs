//! The topics that a producer has seen to exist.
//!
//! librdkafka keeps records for a topic that does not exist until they time out, since it might be about to be created.
//! Asking once for each topic gives a plain answer at once.

use std::collections::HashSet;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;

use super::REQUEST_TIMEOUT;
use super::errors::log_error;
use crate::log::{LogError, Outbox};

/// The topics that are known to exist.
#[derive(Debug, Default)]
pub(super) struct KnownTopics(HashSet<String>);

impl KnownTopics {
    /// Makes sure that every topic of an outbox exists.
    ///
    /// # Errors
    /// [`LogError::NoTopic`] for the first that does not; otherwise if the log can't be asked.
    pub(super) fn check<C: ClientContext>(
        &mut self,
        outbox: &Outbox,
        client: &Client<C>,
    ) -> Result<(), LogError> {
        let mut last = None;
        for record in outbox.records() {
            let topic = record.topic();
            if last == Some(topic) || self.0.contains(topic) {
                last = Some(topic);
                continue;
            }
            let metadata = client
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
            self.0.insert(topic.to_owned());
            last = Some(topic);
        }
        Ok(())
    }
}
