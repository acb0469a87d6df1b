//! A member's debts to its group: offsets of records that are safe, which are committed without a transaction.
//!
//! Nobody waits for them: a result would wait with whoever does, for as long as the broker takes to write two topics one after the other. They
//! are waited for where somebody is to go on from them: when partitions are given up, when it is asked where the group stands, and at the
//! end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::PAUSE;
use super::asking::Asking;
use super::bell::Bell;
use super::contexts::Group;
use super::outside::native_offsets;
use super::owed::Owed;
use super::verdict::{Fault, fault};
use crate::log::{GroupOffset, LogError, TopicPartition};

/// How long offsets that are waited for may take, above all for the group to agree on who is in it.
const AGREEMENT: Duration = Duration::from_secs(3);

/// What a member owes, and the requests for it.
pub(super) struct Debts {
    owed: Owed,
    /// Let go of before the consumer that it belongs to.
    asking: Asking,
    bell: Arc<Bell>,
    /// Until when nothing is asked for, since the last request failed.
    rests_until: Option<Instant>,
}

impl Debts {
    pub(super) fn new(client: &Client<Group>, bell: &Arc<Bell>) -> Self {
        Self {
            owed: Owed::default(),
            asking: Asking::new(client, bell),
            bell: Arc::clone(bell),
            rests_until: None,
        }
    }

    /// Takes up offsets, and asks for them as soon as may be.
    ///
    /// # Errors
    /// See [`pay`](Self::pay).
    pub(super) fn owe(
        &mut self,
        consumer: &BaseConsumer<Group>,
        offsets: impl Iterator<Item = GroupOffset>,
    ) -> Result<(), LogError> {
        self.owed.owe(offsets);
        self.pay(consumer)
    }

    /// Hears what has become of the last request, and makes the next if anything is owed. What fails and may pass by itself is asked for
    /// again.
    ///
    /// # Errors
    /// If the broker refuses the offsets, and would again.
    pub(super) fn pay(&mut self, consumer: &BaseConsumer<Group>) -> Result<(), LogError> {
        if self.owed.is_asked()
            && let Some(answer) = self.asking.answer()
        {
            self.owed.answered(&answer.committed);
            if let Some(error) = answer.error {
                self.judge(&error)?;
            }
        }
        let rests = |until| Instant::now() < until;
        if self.rests_until.is_some_and(rests) {
            return Ok(());
        }
        if let Some(offsets) = self.owed.next() {
            let list = native_offsets(offsets.iter())?;
            if let Err(error) = self.asking.ask(consumer.client(), &list) {
                self.owed.answered(&[]);
                self.judge(&error)?;
            }
        }
        Ok(())
    }

    /// What a failed request means. Who is fenced learns it from the client.
    fn judge(&mut self, error: &KafkaError) -> Result<(), LogError> {
        if fault(error, None, true) == Fault::Refused {
            return Err(LogError::Refused(format!("offsets: {error}")));
        }
        tracing::debug!(%error, "offsets are not committed yet");
        self.rests_until = Some(Instant::now() + PAUSE);
        Ok(())
    }

    /// Pays everything, and waits for it.
    ///
    /// What a member has it keeps from one generation of the group to the next until it has answered a revocation, unless the group took it
    /// for dead, which the client knows. So the next generation is waited for where one is about to come: going back would write
    /// everything twice each time that a worker is added.
    ///
    /// # Errors
    /// If it is refused, or takes too long. Then it is owed still.
    pub(super) fn settle(&mut self, consumer: &BaseConsumer<Group>) -> Result<(), LogError> {
        let deadline = Instant::now() + AGREEMENT;
        loop {
            self.pay(consumer)?;
            if self.owed.is_empty() {
                return Ok(());
            }
            let is_out = consumer.assignment_lost() || consumer.client().fatal_error().is_some();
            if is_out || Instant::now() >= deadline {
                let why = "the group has not taken the offsets";
                return Err(LogError::Unavailable(why.to_owned()));
            }
            self.bell.wait([], PAUSE);
        }
    }

    /// Partitions are somebody else's now, who goes on from where the group stands.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) {
        self.owed.forget(partitions);
    }
}
