//! Commits without transactions: records first, offsets once every record has been acknowledged.
//!
//! A failure between the two leaves records that the next owner of the partitions writes again. Whatever fails, the caller is told that the
//! commit was aborted: going back to the committed offsets is right in every case. That a member comes or goes is not a failure: the
//! offsets wait for the group's next generation, since going back would write everything twice each time that a worker is added.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::contexts::{Deliveries, Group};
use super::known::KnownTopics;
use super::sending::{producer, send_all};
use super::transaction::before_anything;
use super::verdict::{Fault, fault};
use super::{KafkaLog, PAUSE};
use crate::fail_point::{FailPoint, reach};
use crate::log::{CommitError, LogError, Outbox, Written};

/// How long the broker may take for the records of one commit.
const PRODUCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long offsets wait for the group to agree on who is in it.
const AGREEMENT: Duration = Duration::from_secs(3);

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
            known: KnownTopics::default(),
            worn: false,
        })
    }

    /// Writes records, then commits offsets, each list through the consumer that reads its partitions.
    pub(super) fn commit(
        &mut self,
        outbox: &Outbox,
        offsets: &[(&BaseConsumer<Group>, &TopicPartitionList)],
    ) -> Result<Written, CommitError> {
        if self.worn {
            let fresh = producer(&self.log, &self.id, &[]);
            self.producer = fresh.map_err(|error| before_anything(&error))?;
            self.worn = false;
        }
        self.known
            .check(outbox, self.producer.client())
            .map_err(|error| before_anything(&error))?;
        let deadline = Instant::now() + PRODUCE_TIMEOUT;
        let written = send_all(&self.producer, outbox, deadline).map_err(|error| {
            self.worn = true;
            failed(&error)
        })?;
        reach(FailPoint::Produced);
        for (consumer, offsets) in offsets {
            commit_offsets(offsets, consumer).map_err(|error| failed(&error))?;
        }
        reach(FailPoint::OffsetsSent);
        Ok(written)
    }
}

/// Commits as a member of whichever generation the group is in. What a member has it keeps from one generation to the next until it
/// has answered a revocation, unless the group took it for dead, which the client knows.
fn commit_offsets(
    offsets: &TopicPartitionList,
    consumer: &BaseConsumer<Group>,
) -> Result<(), KafkaError> {
    let deadline = Instant::now() + AGREEMENT;
    loop {
        match consumer.commit(offsets, CommitMode::Sync) {
            Err(error)
                if is_of_another_generation(&error)
                    && !consumer.assignment_lost()
                    && Instant::now() < deadline =>
            {
                std::thread::park_timeout(PAUSE);
            }
            done => return done,
        }
    }
}

/// Whether the group has gone on, or is about to, since the client last heard of it.
fn is_of_another_generation(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::IllegalGeneration | RDKafkaErrorCode::RebalanceInProgress)
    )
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
    use super::*;

    #[test]
    fn what_has_failed_is_told_by_what_helps() {
        let committed = |code| failed(&KafkaError::ConsumerCommit(code));
        for code in [
            RDKafkaErrorCode::IllegalGeneration,
            RDKafkaErrorCode::UnknownMemberId,
            RDKafkaErrorCode::RebalanceInProgress,
            RDKafkaErrorCode::BrokerTransportFailure,
        ] {
            assert!(matches!(committed(code), CommitError::Aborted(_)), "{code}");
        }
        let refused = committed(RDKafkaErrorCode::GroupAuthorizationFailed);
        assert!(matches!(refused, CommitError::Refused(_)));
        let fenced = committed(RDKafkaErrorCode::FencedInstanceId);
        assert!(matches!(fenced, CommitError::Fenced(_)));
    }
}
