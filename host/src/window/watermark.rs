//! How far event time has come.

use std::time::Duration;

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
    partitions: Vec<Timestamp>,
}

impl Watermarks {
    /// Of `partitions` partitions, of each of which nothing is known.
    pub fn new(partitions: usize) -> Self {
        Self {
            partitions: vec![Timestamp::MIN; partitions],
        }
    }

    /// Moves the watermark of a partition; one that is behind is not taken back.
    pub fn advance(&mut self, partition: usize, to: Timestamp) {
        let at = &mut self.partitions[partition];
        *at = (*at).max(to);
    }

    /// The lowest of all: no window that ends at or before it gets another row. [`Timestamp::MIN`] as long as any
    /// partition has brought nothing, or there are none.
    pub fn lowest(&self) -> Timestamp {
        self.partitions
            .iter()
            .copied()
            .min()
            .unwrap_or(Timestamp::MIN)
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
        let mut watermarks = Watermarks::new(2);
        watermarks.advance(0, Timestamp(1_000));
        assert_eq!(watermarks.lowest(), Timestamp::MIN);
        watermarks.advance(1, Timestamp(10));
        watermarks.advance(0, Timestamp(5));
        assert_eq!(watermarks.lowest(), Timestamp(10));
    }
}
