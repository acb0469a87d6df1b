//! What librdkafka calls back: its messages, partitions that come and go, records that were not delivered.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use crate::log::{Offset, Polled, TopicPartition, Written};

/// Passes librdkafka's own messages to our log. A broker that is away is repeated often, so what librdkafka says of
/// connections is for debugging; the worker itself tells its operator.
pub(super) struct Messages;

impl Messages {
    fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
                if facility != "FAIL" && facility != "ERROR" =>
            {
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }
}

impl ClientContext for Messages {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Messages::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            tracing::warn!(target: "librdkafka", "no broker can be reached, trying again: {reason}");
        } else {
            tracing::debug!(target: "librdkafka", %error, "{reason}");
        }
    }
}

impl ConsumerContext for Messages {}

/// Learns from librdkafka when partitions come and go, and tells nobody but the session.
#[derive(Default)]
pub(super) struct Group {
    events: Mutex<VecDeque<Polled>>,
    closing: AtomicBool,
}

impl Group {
    /// What has happened first of all that has not been told.
    pub(super) fn next_event(&self) -> Option<Polled> {
        lock(&self.events).pop_front()
    }

    /// From now on nobody is there to be told.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Messages::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Messages.error(error, reason);
    }
}

impl ConsumerContext for Group {
    /// Called by a poll, on its thread. Until librdkafka is answered it holds back every partition and the whole group.
    ///
    /// An assignment is therefore answered at once, with nothing to fetch yet: what has been assigned is added when the session
    /// begins it, which may be much later. A revocation is answered by the session, once it has released everything: the group
    /// waits for it as long as the session goes on polling (`max.poll.interval.ms`).
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let nothing = TopicPartitionList::new();
        let is_lost = consumer.assignment_lost();
        let listed = named(partitions);
        let untold = listed.is_empty() || self.closing.load(Ordering::Relaxed);
        let (answered, told) = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => (
                consumer.incremental_assign(&nothing),
                Polled::Assigned(listed),
            ),
            _ if untold => (
                consumer.incremental_unassign(&nothing),
                Polled::Revoked(listed),
            ),
            _ if is_lost => (Ok(()), Polled::Lost(listed)),
            _ => (Ok(()), Polled::Revoked(listed)),
        };
        if let Err(error) = answered {
            tracing::warn!(%error, "the group could not be answered");
        }
        if !untold {
            lock(&self.events).push_back(told);
        }
    }
}

/// What has become of the records sent.
#[derive(Default)]
struct Report {
    /// Why the first that the broker did not take was not taken.
    failed: Option<KafkaError>,
    written: Written,
    /// Partitions of which an offset was not told, because the broker had the record already.
    untold: Vec<TopicPartition>,
}

/// Notes what becomes of records, and whether a connection has ever broken.
#[derive(Default)]
pub(super) struct Deliveries {
    report: Mutex<Report>,
    broken: AtomicBool,
}

impl Deliveries {
    /// Begins to count anew.
    pub(super) fn start(&self) {
        *lock(&self.report) = Report::default();
    }

    /// Where the records have come to lie.
    ///
    /// # Errors
    /// Why the first that was not taken was not.
    pub(super) fn finish(&self) -> Result<Written, KafkaError> {
        let report = std::mem::take(&mut *lock(&self.report));
        if let Some(error) = report.failed {
            return Err(error);
        }
        let mut written = report.written;
        for at in report.untold {
            written.forget(&at.topic, at.partition);
        }
        Ok(written)
    }

    /// Whether a connection has broken since the producer was made.
    pub(super) fn has_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

/// Whether what librdkafka logs may be the end of a connection on which something was sent. It is logged, and not always told as an
/// error: not where the other side has closed it. That none could be made in the first place, say because a broker does not listen on each
/// of its addresses, disturbs nothing.
fn breaks_a_connection(facility: &str, message: &str) -> bool {
    let unmade = ["Connect to ", "Failed to resolve "];
    facility == "FAIL" && !unmade.iter().any(|unmade| message.contains(unmade))
}

impl ClientContext for Deliveries {
    /// Called by librdkafka's own threads, before anything is sent again on another connection.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if breaks_a_connection(facility, message) {
            self.broken.store(true, Ordering::Relaxed);
        }
        Messages::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Messages.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut report = lock(&self.report);
        match result {
            Ok(message) if message.offset() >= 0 => {
                let offset = Offset(message.offset());
                report
                    .written
                    .note(message.topic(), message.partition(), offset);
            }
            Ok(message) => {
                let at = TopicPartition::new(message.topic(), message.partition());
                report.untold.push(at);
            }
            Err((error, _)) => {
                report.failed.get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// What is under the lock is changed in single steps, so a thread that panicked has left it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The partitions of a list, sorted.
fn named(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = list.elements();
    let mut named: Vec<_> = elements
        .iter()
        .map(|element| TopicPartition::new(element.topic(), element.partition()))
        .collect();
    named.sort();
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_never_made_is_not_one_that_broke() {
        let broke = |reason| breaks_a_connection("FAIL", reason);
        assert!(!broke(
            "[thrd:app]: localhost:9092/1: Connect to ipv6#[::1]:9092 failed: Connection refused"
        ));
        assert!(!broke("[thrd:app]: Failed to resolve 'kafka:9092'"));
        assert!(broke(
            "[thrd:TxnCoordinator]: TxnCoordinator: localhost:9092: Disconnected (after 5ms in state UP)"
        ));
        assert!(broke(
            "[thrd:app]: localhost:9092/1: 1 request(s) timed out: disconnect"
        ));
        assert!(!breaks_a_connection("TXNERR", "Current transaction failed"));
    }
}
