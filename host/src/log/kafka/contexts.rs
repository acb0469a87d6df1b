//! What librdkafka calls back: its messages, partitions that come and go, records that were not delivered.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

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

/// Learns from librdkafka when partitions come and go.
#[derive(Default)]
pub(super) struct Group {
    reassigned: AtomicBool,
}

impl Group {
    /// Whether partitions have come or gone since the last call.
    pub(super) fn take_reassigned(&self) -> bool {
        self.reassigned.swap(false, Ordering::Relaxed)
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
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Error(error) = rebalance {
            tracing::warn!(%error, "the group could not be rebalanced");
        }
        self.reassigned.store(true, Ordering::Relaxed);
    }
}

/// Remembers the first record that the broker did not take.
#[derive(Default)]
pub(super) struct Deliveries {
    failed: Mutex<Option<KafkaError>>,
}

impl Deliveries {
    pub(super) fn take_failure(&self) -> Option<KafkaError> {
        let mut failed = self
            .failed
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        failed.take()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Messages::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Messages.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut failed = self
                .failed
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            failed.get_or_insert_with(|| error.clone());
        }
    }
}
