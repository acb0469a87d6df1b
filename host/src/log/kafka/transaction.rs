//! Transactions under one transactional id.
//!
//! # A late end of a transaction
//! The broker tells one transaction of a producer from the next by nothing but their order (KAFKA-17754; transaction version 2 mends
//! that, and librdkafka does not speak it). When the connection breaks while the end of a transaction is on its way, librdkafka
//! sends the end again; the first one may still lie somewhere, arrive later, and end the **next** transaction
//! half-way. So after an end that was not perfectly smooth no transaction is begun under the same epoch: the producer is
//! replaced by a new one of the same id. That makes the broker count the epoch up, and a late end of the old epoch is
//! refused.
//!
//! What remains: an end that is sent twice without any sign of it. librdkafka sends again only after it has closed the connection
//! or waited for the time-out of the request; it tells of the first, and the second takes far longer than [`SMOOTH`].

use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::contexts::Deliveries;
use super::errors::log_error;
use super::known::KnownTopics;
use super::sending::{producer, send_all, serve};
use super::verdict::{Fault, Step, Verdict, fault, verdict};
use super::{KafkaLog, KafkaWriter, REQUEST_TIMEOUT, members};
use crate::fail_point::{FailPoint, reach};
use crate::log::{CommitError, Log, LogError, Outbox, Written};

/// How long the broker lets a transaction be open. An open transaction holds up every reader of the sink, so a dead host's
/// must end soon.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the steps of a commit may be tried again before its transaction is given up. Above the transaction timeout
/// that we ask of the broker, so that afterwards the broker has decided.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);
/// An end of a transaction that takes longer may have been sent twice.
const SMOOTH: Duration = Duration::from_secs(2);

/// How the end of a transaction went.
#[derive(Clone, Copy, Debug)]
struct Ending {
    /// A connection has broken since the producer was made: librdkafka tells of the same error only now and then.
    broken: bool,
    /// The call had to be made again.
    repeated: bool,
    took: Duration,
}

impl Ending {
    /// Whether the next transaction may begin under the same epoch; see the opening of this file.
    fn was_smooth(self) -> bool {
        !self.broken && !self.repeated && self.took < SMOOTH
    }
}

/// A transactional producer that is replaced when need be.
pub(super) struct Transactions {
    log: KafkaLog,
    group: String,
    id: String,
    producer: BaseProducer<Deliveries>,
    known: KnownTopics,
    /// A topic that exists.
    topic: String,
    /// Who tells the group's members of this one, until they know. It is made early: librdkafka tries to connect it at once, in vain, and then
    /// rests for half a second.
    notes: Option<KafkaWriter>,
    /// No transaction may be begun with this producer.
    worn: bool,
    /// Somebody has called for the same id, or the broker has ended a transaction of ours.
    fenced: bool,
}

/// Makes a producer, fences older owners of its id, and ends what they left open. `topic` is any that exists.
pub(super) fn owner_of(
    log: &KafkaLog,
    id: &str,
    topic: &str,
) -> Result<BaseProducer<Deliveries>, LogError> {
    let timeout = TRANSACTION_TIMEOUT.as_millis().to_string();
    let fixed = [
        ("transactional.id", id),
        ("transaction.timeout.ms", &timeout),
    ];
    let producer = producer(log, id, &fixed)?;
    // Connects it to one of the cluster's brokers, by a question that only a leader answers. Where that is not done librdkafka rests for half a
    // second after it has found none.
    let connected = producer
        .client()
        .fetch_watermarks(topic, 0, REQUEST_TIMEOUT);
    if let Err(error) = connected {
        tracing::debug!(%error, id, "connecting");
    }
    producer
        .init_transactions(REQUEST_TIMEOUT)
        .map_err(|error| log_error(&error))?;
    Ok(producer)
}

impl Transactions {
    pub(super) fn new(
        log: &KafkaLog,
        group: &str,
        id: &str,
        topic: &str,
    ) -> Result<Self, LogError> {
        Ok(Self {
            log: log.clone(),
            group: group.to_owned(),
            id: id.to_owned(),
            notes: Some(log.writer()?),
            producer: owner_of(log, id, topic)?,
            topic: topic.to_owned(),
            known: KnownTopics::new(log),
            worn: false,
            fenced: false,
        })
    }

    /// Whether the last commit failed because the producer's epoch is over.
    pub(super) fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// Commits records and offsets, each list as the member who reads its partitions; `offsets` may be empty. Called by members that their
    /// group takes for such.
    pub(super) fn commit(
        &mut self,
        outbox: &Outbox,
        offsets: &[(&ConsumerGroupMetadata, TopicPartitionList)],
    ) -> Result<Written, CommitError> {
        self.prepare()
            .and_then(|()| self.known.check(outbox))
            .map_err(|error| before_anything(&error))?;
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        self.step(Step::Begin, deadline, |producer| {
            producer.begin_transaction()
        })?;
        let written = match send_all(&self.producer, outbox, deadline) {
            Ok(written) => written,
            // What could be tried again has been, for as long as there was time.
            Err(error) => return Err(self.judge(Step::Produce, &error, true)),
        };
        reach(FailPoint::Produced);
        for (group, offsets) in offsets {
            self.step(Step::SendOffsets, deadline, |producer| {
                producer.send_offsets_to_transaction(offsets, group, REQUEST_TIMEOUT)
            })?;
        }
        reach(FailPoint::OffsetsSent);
        self.end(Step::Commit, deadline, |producer| {
            producer.commit_transaction(REQUEST_TIMEOUT)
        })?;
        Ok(written)
    }

    /// Replaces the producer if it is worn, and notes the member before its first transaction. Not earlier: who is noted and
    /// is not seen in the group is held for dead.
    fn prepare(&mut self) -> Result<(), LogError> {
        if let Some(writer) = &mut self.notes {
            members::note(&self.log, writer, &self.group, &self.id)?;
            self.notes = None;
        }
        if self.worn {
            tracing::info!(
                id = self.id,
                "a transaction did not end smoothly: going on under a new epoch"
            );
            self.producer = owner_of(&self.log, &self.id, &self.topic)?;
            self.worn = false;
        }
        Ok(())
    }

    /// Makes a call, and again as long as it may be.
    fn step(
        &mut self,
        step: Step,
        deadline: Instant,
        call: impl Fn(&BaseProducer<Deliveries>) -> KafkaResult<()>,
    ) -> Result<bool, CommitError> {
        let mut repeated = false;
        while let Err(error) = call(&self.producer) {
            let time_is_up = Instant::now() >= deadline;
            if !matches!(self.verdict(step, &error, time_is_up), Verdict::Retry) {
                return Err(self.judge(step, &error, time_is_up));
            }
            repeated = true;
            self.producer.poll(Duration::from_millis(10));
        }
        Ok(repeated)
    }

    /// A step that ends the transaction.
    fn end(
        &mut self,
        step: Step,
        deadline: Instant,
        call: impl Fn(&BaseProducer<Deliveries>) -> KafkaResult<()>,
    ) -> Result<(), CommitError> {
        let begun = Instant::now();
        let ended = self.step(step, deadline, call);
        // What broke before the answer came is waiting to be told.
        serve(&self.producer);
        let ending = Ending {
            broken: self.producer.context().has_broken(),
            repeated: !matches!(ended, Ok(false)),
            took: begun.elapsed(),
        };
        self.worn |= !ending.was_smooth();
        ended.map(drop)
    }

    fn verdict(&mut self, step: Step, error: &KafkaError, time_is_up: bool) -> Verdict {
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        let fault = fault(error, fatal, time_is_up);
        self.fenced |= fault == Fault::ProducerFenced;
        verdict(step, fault)
    }

    /// Carries out what is to be done about a failed step.
    fn judge(&mut self, step: Step, error: &KafkaError, time_is_up: bool) -> CommitError {
        let why = format!("{step:?}: {error}");
        match self.verdict(step, error, time_is_up) {
            Verdict::Abort => self.abort(why),
            Verdict::AbortAndRefuse => match self.abort(why) {
                CommitError::Aborted(why) => CommitError::Refused(why),
                other => other,
            },
            Verdict::Fenced => CommitError::Fenced(why),
            Verdict::Unknown | Verdict::Retry => CommitError::Unknown(why),
        }
    }

    /// Aborts the transaction, because of `why`.
    fn abort(&mut self, why: String) -> CommitError {
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        let aborted = self.end(Step::Abort, deadline, |producer| {
            producer.abort_transaction(REQUEST_TIMEOUT)
        });
        match aborted {
            Ok(()) => CommitError::Aborted(why),
            Err(CommitError::Unknown(abort)) => {
                CommitError::Unknown(format!("{why}; and the abort failed: {abort}"))
            }
            Err(other) => other,
        }
    }
}

/// What an error means before the transaction has begun: there is nothing to abort.
pub(super) fn before_anything(error: &LogError) -> CommitError {
    match error {
        LogError::Unavailable(why) => CommitError::Aborted(why.clone()),
        other => CommitError::Refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMOOTHLY: Ending = Ending {
        broken: false,
        repeated: false,
        took: Duration::from_millis(20),
    };

    #[test]
    fn after_a_smooth_end_the_epoch_serves_on() {
        assert!(SMOOTHLY.was_smooth());
    }

    #[test]
    fn an_end_that_may_have_been_sent_twice_ends_the_epoch() {
        let endings = [
            Ending {
                broken: true,
                ..SMOOTHLY
            },
            Ending {
                repeated: true,
                ..SMOOTHLY
            },
            Ending {
                took: SMOOTH,
                ..SMOOTHLY
            },
        ];
        for ending in endings {
            assert!(!ending.was_smooth(), "{ending:?}");
        }
    }

    #[test]
    fn before_the_transaction_a_cluster_that_is_away_is_no_refusal() {
        let away = before_anything(&LogError::Unavailable("away".to_owned()));
        assert!(matches!(away, CommitError::Aborted(_)));
        let missing = before_anything(&LogError::NoTopic("t".to_owned()));
        assert!(matches!(missing, CommitError::Refused(_)));
    }
}
