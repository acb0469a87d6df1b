//! Writes records outside transactions. Each is written once per call, except that a broker that is killed meanwhile may leave
//! some twice: readers of what is written here must take a record that comes again.

use std::time::{Duration, Instant};

use rdkafka::producer::BaseProducer;

use super::KafkaLog;
use super::contexts::Deliveries;
use super::errors::log_error;
use super::known::KnownTopics;
use super::sending::{producer, send_all};
use crate::log::{LogError, Outbox, Writer};

/// How long the broker may take for the records of one call.
const APPEND_TIMEOUT: Duration = Duration::from_secs(60);

/// An idempotent producer.
pub struct KafkaWriter {
    producer: BaseProducer<Deliveries>,
    known: KnownTopics,
}

impl KafkaWriter {
    pub(super) fn new(log: &KafkaLog) -> Result<Self, LogError> {
        Ok(Self {
            producer: producer(log, "millstream-writer", &[])?,
            known: KnownTopics::new(log),
        })
    }
}

impl Writer for KafkaWriter {
    fn append(&mut self, outbox: &Outbox) -> Result<(), LogError> {
        self.known.check(outbox)?;
        let deadline = Instant::now() + APPEND_TIMEOUT;
        match send_all(&self.producer, outbox, deadline) {
            Ok(_) => Ok(()),
            Err(error) => Err(log_error(&error)),
        }
    }
}
