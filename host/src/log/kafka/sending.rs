//! Producers, and the sending of an outbox through one.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};

use super::KafkaLog;
use super::contexts::Deliveries;
use super::errors::log_error;
use super::topics::Topics;
use crate::log::{LogError, Outbox, Written};

/// How long to leave librdkafka's threads alone before looking again. `BaseProducer::poll` counts in whole milliseconds and spins through
/// shorter ones, so it is never given a time to wait.
const LOOK: Duration = Duration::from_micros(200);

/// At most about so many records are under way, which is two full requests: what waits longer in librdkafka's queues is cold when its turn
/// comes, and its memory is that of a whole commit.
const UNDER_WAY: i32 = 20_000;
/// After so many records it is looked whether they are.
const STRETCH: usize = 1_000;

/// An idempotent producer, with further settings that can't be overridden.
pub(super) fn producer(
    log: &KafkaLog,
    client_id: &str,
    fixed: &[(&str, &str)],
) -> Result<BaseProducer<Deliveries>, LogError> {
    let always = [
        ("client.id", client_id),
        ("enable.idempotence", "true"),
        // A transaction that was disturbed is known by it; see `transaction`.
        ("log.connection.close", "true"),
        // The same partition for the same key as the Java client.
        ("partitioner", "murmur2_random"),
    ];
    let fixed: Vec<_> = always.iter().chain(fixed).copied().collect();
    log.client(
        &[
            // Records are queued in one go, so there is nothing to linger for.
            ("linger.ms", "1"),
            ("message.max.bytes", "67108864"),
            ("queue.buffering.max.messages", "1000000"),
            ("compression.type", "lz4"),
        ],
        &fixed,
    )
    .create_with_context(Deliveries::default())
    .map_err(|error| log_error(&error))
}

/// Hands all records to librdkafka, and waits until the broker has each.
///
/// # Errors
/// If a record was not taken, or not all were by the deadline. Others may be still on their way.
pub(super) fn send_all(
    producer: &BaseProducer<Deliveries>,
    outbox: &Outbox,
    deadline: Instant,
) -> Result<Written, KafkaError> {
    producer.context().start();
    let mut topics = Topics::new(producer.client());
    for (number, record) in outbox.records().enumerate() {
        while number % STRETCH == 0 && producer.in_flight_count() > UNDER_WAY {
            if Instant::now() > deadline {
                return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
            }
            serve_or_wait(producer);
        }
        while let Err(error) = topics.send(&record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || Instant::now() > deadline {
                return Err(error);
            }
            serve_or_wait(producer);
        }
    }
    // librdkafka's own flush looks only every 100 ms.
    while producer.in_flight_count() > 0 {
        if Instant::now() > deadline {
            return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
        }
        serve_or_wait(producer);
    }
    producer.context().finish()
}

/// Serves a callback if one is waiting, or waits a little.
fn serve_or_wait(producer: &BaseProducer<Deliveries>) {
    let before = producer.in_flight_count();
    producer.poll(Duration::ZERO);
    if producer.in_flight_count() >= before {
        std::thread::park_timeout(LOOK);
    }
}

/// Serves all callbacks that are waiting.
pub(super) fn serve(producer: &BaseProducer<Deliveries>) {
    // One call serves one of them; the count has those in it that wait.
    for _ in 0..producer.in_flight_count() {
        producer.poll(Duration::ZERO);
    }
}
