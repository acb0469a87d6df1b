//! Where a session or a reader stands in its partitions, and reading on from there.

use super::block::Wanted;
use super::format::PartitionId;
use super::shared::State;
use super::store::Store;
use crate::log::{Fetched, LogError, Offset, TopicPartition};

#[derive(Debug)]
pub(super) struct Position {
    pub(super) at: TopicPartition,
    pub(super) id: PartitionId,
    /// The offset to read next.
    pub(super) next: Offset,
    /// It is not read for the time being.
    pub(super) is_paused: bool,
}

/// The positions in all partitions that are read, sorted by partition.
#[derive(Debug, Default)]
pub(super) struct Positions(Vec<Position>);

/// How far readers may look, by position.
pub(super) struct Ends(Vec<Offset>);

impl Positions {
    pub(super) fn new(positions: Vec<Position>) -> Self {
        Self(positions)
    }

    /// Adds a partition that is not there yet.
    pub(super) fn add(&mut self, position: Position) {
        if let Err(place) = self.0.binary_search_by(|p| p.at.cmp(&position.at)) {
            self.0.insert(place, position);
        }
    }

    /// Reads these partitions no longer.
    pub(super) fn remove(&mut self, partitions: &[TopicPartition]) {
        self.0.retain(|p| !partitions.contains(&p.at));
    }

    /// Moves the position in a partition.
    ///
    /// # Errors
    /// If the partition is not among them or the offset is below 0.
    pub(super) fn seek(&mut self, at: &TopicPartition, to: Offset) -> Result<(), LogError> {
        if to < Offset(0) {
            let message = format!("offset {to} of {at} is below 0");
            return Err(LogError::Refused(message));
        }
        match self.0.binary_search_by(|p| p.at.cmp(at)) {
            Ok(place) => {
                self.0[place].next = to;
                Ok(())
            }
            Err(_) => Err(LogError::Refused(format!(
                "partition {at} is not read here: seek only in those that are"
            ))),
        }
    }

    /// Stops or goes on reading a partition.
    ///
    /// # Errors
    /// If the partition is not among them.
    pub(super) fn pause(&mut self, at: &TopicPartition, is_paused: bool) -> Result<(), LogError> {
        match self.0.binary_search_by(|p| p.at.cmp(at)) {
            Ok(place) => {
                self.0[place].is_paused = is_paused;
                Ok(())
            }
            Err(_) => Err(LogError::Refused(format!(
                "partition {at} is not read here: pause only those that are"
            ))),
        }
    }

    pub(super) fn ends(&self, state: &State) -> Ends {
        Ends(self.0.iter().map(|p| end(state, p)).collect())
    }

    /// Whether any partition that is read has more.
    pub(super) fn has_news(&self, state: &State) -> bool {
        self.0
            .iter()
            .any(|p| !p.is_paused && p.next < end(state, p))
    }

    /// The partitions that have no more.
    pub(super) fn at_end(&self, state: &State) -> Vec<i32> {
        let read = self.0.iter().filter(|p| p.next >= end(state, p));
        read.map(|p| p.at.partition).collect()
    }

    /// Appends to `into` what every partition that is not paused has, up to its end and the limits of a poll, and moves on.
    pub(super) fn read(
        &mut self,
        store: &Store,
        ends: &Ends,
        headers: bool,
        into: &mut Fetched,
    ) -> Result<(), LogError> {
        for (position, end) in self.0.iter_mut().zip(&ends.0) {
            let wanted = Wanted {
                from: position.next,
                end: *end,
                headers,
            };
            if wanted.from < wanted.end && !position.is_paused {
                let batch = into.batch_mut(&position.at.topic, position.at.partition);
                store.read(position.id, wanted, batch)?;
                position.next = batch.last_offset().map_or(position.next, Offset::next);
            }
        }
        Ok(())
    }
}

fn end(state: &State, position: &Position) -> Offset {
    let topic = state.topic(&position.at.topic).ok();
    let end = topic.and_then(|topic| topic.end(position.at.partition));
    end.unwrap_or_default()
}
