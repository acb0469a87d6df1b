//! How far event time has come.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::log::TopicPartition;
use crate::time::Timestamp;

/// The watermark of one partition: its highest event time less the disorder allowed. It never goes back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartitionWatermark {
    at: Timestamp,
    disorder: Duration,
}

impl PartitionWatermark {
    /// The watermark of a partition of which nothing has been read.
    pub fn new(disorder: Duration) -> Self {
        Self::resumed(disorder, Timestamp::MIN)
    }

    /// The watermark of a partition that has been read before.
    pub fn resumed(disorder: Duration, at: Timestamp) -> Self {
        Self { at, disorder }
    }

    /// Takes note of a row, and returns the watermark as it was *before* it: the one the row is judged by.
    pub fn observe(&mut self, event_time: Timestamp) -> Timestamp {
        let before = self.at;
        self.at = self.at.max(event_time.minus(self.disorder));
        before
    }

    /// Where it is.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

/// The watermarks of all partitions that feed a window.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Watermarks {
    partitions: BTreeMap<TopicPartition, Timestamp>,
}

impl Watermarks {
    /// Of these partitions, of each of which nothing is known.
    pub fn new(partitions: impl IntoIterator<Item = TopicPartition>) -> Self {
        let unknown = |at| (at, Timestamp::MIN);
        Self {
            partitions: partitions.into_iter().map(unknown).collect(),
        }
    }

    /// Moves the watermark of a partition; one that is behind is not taken back. A partition that was not known joins the
    /// others.
    pub fn advance(&mut self, partition: &TopicPartition, to: Timestamp) {
        match self.partitions.get_mut(partition) {
            Some(at) => *at = (*at).max(to),
            None => drop(self.partitions.insert(partition.clone(), to)),
        }
    }

    /// The lowest of all: no window that ends at or before it gets another row. [`Timestamp::MIN`] as long as any
    /// partition has brought nothing, or there are none.
    pub fn lowest(&self) -> Timestamp {
        let lowest = self.partitions.values().copied().min();
        lowest.unwrap_or(Timestamp::MIN)
    }

    /// Each partition with its watermark.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, Timestamp)> {
        self.partitions
            .iter()
            .map(|(at, watermark)| (at, *watermark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_judged_by_the_watermark_before_it() {
        let mut watermark = PartitionWatermark::new(Duration::from_millis(5));
        assert_eq!(watermark.observe(Timestamp(100)), Timestamp::MIN);
        assert_eq!(watermark.observe(Timestamp(50)), Timestamp(95));
        assert_eq!(watermark.at(), Timestamp(95));
    }

    #[test]
    fn a_partition_without_rows_holds_time_still() {
        let [one, two] = [0, 1].map(|partition| TopicPartition::new("t", partition));
        let mut watermarks = Watermarks::new([one.clone(), two.clone()]);
        watermarks.advance(&one, Timestamp(1_000));
        assert_eq!(watermarks.lowest(), Timestamp::MIN);
        watermarks.advance(&two, Timestamp(10));
        watermarks.advance(&one, Timestamp(5));
        assert_eq!(watermarks.lowest(), Timestamp(10));
    }
}
