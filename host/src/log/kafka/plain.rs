//! Commits without transactions: the records are written and acknowledged; their offsets are owed from then on, see `debts`.
//!
//! A failure between the two leaves records that the next owner of the partitions writes again. Whatever fails, the caller is told that the
//! commit was aborted: going back to where it stood is right in every case.

use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

use super::KafkaLog;
use super::contexts::Deliveries;
use super::known::KnownTopics;
use super::sending::{producer, send_all};
use super::transaction::before_anything;
use super::verdict::{Fault, fault};
use crate::log::{CommitError, LogError, Outbox, Written};

/// How long the broker may take for the records of one commit.
const PRODUCE_TIMEOUT: Duration = Duration::from_secs(30);

/// An idempotent producer without transactions.
pub(super) struct Plain {
    log: KafkaLog,
    id: String,
    producer: BaseProducer<Deliveries>,
    known: KnownTopics,
    /// Records of a commit that failed may still be on their way, and must not be counted with those of the next.
    worn: bool,
}

impl Plain {
    pub(super) fn new(log: &KafkaLog, id: &str) -> Result<Self, LogError> {
        Ok(Self {
            log: log.clone(),
            id: id.to_owned(),
            producer: producer(log, id, &[])?,
            known: KnownTopics::new(log),
            worn: false,
        })
    }

    /// Writes records, and waits until the broker has each.
    pub(super) fn commit(&mut self, outbox: &Outbox) -> Result<Written, CommitError> {
        if self.worn {
            let fresh = producer(&self.log, &self.id, &[]);
            self.producer = fresh.map_err(|error| before_anything(&error))?;
            self.worn = false;
        }
        self.known
            .check(outbox)
            .map_err(|error| before_anything(&error))?;
        let deadline = Instant::now() + PRODUCE_TIMEOUT;
        send_all(&self.producer, outbox, deadline).map_err(|error| {
            self.worn = true;
            failed(&error)
        })
    }
}

fn failed(error: &KafkaError) -> CommitError {
    match fault(error, None, true) {
        Fault::InstanceFenced => CommitError::Fenced(error.to_string()),
        Fault::Refused => CommitError::Refused(error.to_string()),
        Fault::ProducerFenced | Fault::Fatal => CommitError::Unknown(error.to_string()),
        Fault::Retriable | Fault::TimedOut | Fault::Abortable => {
            CommitError::Aborted(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    #[test]
    fn what_has_failed_is_told_by_what_helps() {
        let written = |code| failed(&KafkaError::MessageProduction(code));
        for code in [
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::NotEnoughReplicas,
        ] {
            assert!(matches!(written(code), CommitError::Aborted(_)), "{code}");
        }
        let refused = written(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert!(matches!(refused, CommitError::Refused(_)));
    }
}
