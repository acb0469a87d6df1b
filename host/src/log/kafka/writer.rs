//! Writes records outside transactions, each exactly once per call.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};

use super::KafkaLog;
use super::contexts::Deliveries;
use super::errors::log_error;
use super::known::KnownTopics;
use super::records::native_record;
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
        let producer = log
            .client(
                &[
                    ("client.id", "millstream-writer"),
                    ("linger.ms", "1"),
                    ("message.max.bytes", "67108864"),
                    ("queue.buffering.max.messages", "1000000"),
                    ("compression.type", "lz4"),
                ],
                &[
                    ("enable.idempotence", "true"),
                    ("partitioner", "murmur2_random"),
                ],
            )
            .create_with_context(Deliveries::default())
            .map_err(|error| log_error(&error))?;
        Ok(Self {
            producer,
            known: KnownTopics::default(),
        })
    }
}

impl Writer for KafkaWriter {
    fn append(&mut self, outbox: &Outbox) -> Result<(), LogError> {
        self.known.check(outbox, self.producer.client())?;
        let deadline = Instant::now() + APPEND_TIMEOUT;
        for record in outbox.records() {
            while let Err((error, _)) = self.producer.send(native_record(&record)) {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || Instant::now() > deadline {
                    return Err(log_error(&error));
                }
                self.producer.poll(Duration::from_millis(10));
            }
        }
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > deadline {
                return Err(LogError::Unavailable(
                    "the broker did not take the records in time".to_owned(),
                ));
            }
            self.producer.poll(Duration::from_millis(10));
        }
        match self.producer.context().take_failure() {
            None => Ok(()),
            Some(error) => Err(log_error(&error)),
        }
    }
}
