//! Reading and writing outside groups and transactions.

use std::sync::Arc;
use std::time::Duration;

use super::position::{Position, Positions};
use super::shared::Shared;
use crate::log::{Fetched, LogError, Offset, Outbox, Reader, TopicPartition, Writer};

/// Reads all partitions of a topic.
pub struct EmbeddedReader {
    shared: Arc<Shared>,
    positions: Positions,
}

impl EmbeddedReader {
    /// A reader of one partition.
    pub(super) fn of_partition(
        shared: &Arc<Shared>,
        at: &TopicPartition,
        from: Offset,
    ) -> Result<Self, LogError> {
        let id = shared.state().partition_id(at)?;
        let mut positions = Positions::new(vec![Position {
            at: at.clone(),
            id,
            next: Offset(0),
            is_paused: false,
        }]);
        positions.seek(at, from)?;
        Ok(Self {
            shared: Arc::clone(shared),
            positions,
        })
    }

    /// A reader from the given offsets on, and from the start of partitions not given.
    pub(super) fn new(
        shared: &Arc<Shared>,
        topic: &str,
        from: &[(i32, Offset)],
    ) -> Result<Self, LogError> {
        let name: Arc<str> = topic.into();
        let found = shared.state().topic(topic)?.clone();
        let start = |partition| Position {
            at: TopicPartition::new(Arc::clone(&name), partition),
            id: found.partition_id(partition),
            next: Offset(0),
            is_paused: false,
        };
        let mut positions = Positions::new((0..found.partitions()).map(start).collect());
        for (partition, offset) in from {
            let at = TopicPartition::new(Arc::clone(&name), *partition);
            positions.seek(&at, *offset)?;
        }
        Ok(Self {
            shared: Arc::clone(shared),
            positions,
        })
    }
}

impl Reader for EmbeddedReader {
    fn poll(&mut self, into: &mut Fetched, wait: Duration) -> Result<(), LogError> {
        into.clear();
        let state = self
            .shared
            .state_when(wait, |state| self.positions.has_news(state));
        let ends = self.positions.ends(&state);
        drop(state);
        self.positions.read(&self.shared.store, &ends, true, into)
    }

    fn at_end(&self) -> Vec<i32> {
        self.positions.at_end(&self.shared.state())
    }
}

/// Writes without transactions. Unlike on Kafka, an append is also all or nothing.
pub struct EmbeddedWriter {
    shared: Arc<Shared>,
}

impl EmbeddedWriter {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
        }
    }
}

impl Writer for EmbeddedWriter {
    fn append(&mut self, outbox: &Outbox) -> Result<(), LogError> {
        let turn = self.shared.turn();
        let plan = self.shared.plan(&turn, outbox)?;
        match plan.blocks.is_empty() {
            true => Ok(()),
            false => self.shared.write(&turn, plan, &[]),
        }
    }
}
