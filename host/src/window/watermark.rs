//! How far event time has come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::log::TopicPartition;
use crate::time::Timestamp;

/// The watermark of one partition: its highest event time less the disorder allowed, or the highest watermark that its records carry.
/// It never goes back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartitionWatermark {
    at: Timestamp,
    highest: Timestamp,
    disorder: Duration,
}

impl PartitionWatermark {
    /// The watermark of a partition of which nothing has been read.
    pub fn new(disorder: Duration) -> Self {
        Self::resumed(disorder, Timestamp::MIN, Timestamp::MIN)
    }

    /// The watermark of a partition that has been read before, and its highest event time.
    pub fn resumed(disorder: Duration, at: Timestamp, highest: Timestamp) -> Self {
        Self {
            at,
            highest,
            disorder,
        }
    }

    /// Takes note of a row, and returns the watermark as it was *before* it: the one the row is judged by.
    pub fn observe(&mut self, event_time: Timestamp) -> Timestamp {
        self.observe_marked(event_time, Some(event_time.minus(self.disorder)))
    }

    /// The same for a row that may carry a watermark, where it is rows that say how far time has come.
    pub fn observe_marked(
        &mut self,
        event_time: Timestamp,
        watermark: Option<Timestamp>,
    ) -> Timestamp {
        let before = self.at;
        self.at = self.at.max(watermark.unwrap_or(Timestamp::MIN));
        self.highest = self.highest.max(event_time);
        before
    }

    /// Promises that what is still to come is judged as if the partition had come as far as `to`. Returns whether that is further
    /// than before.
    pub fn promise(&mut self, to: Timestamp) -> bool {
        let moves = to > self.at;
        self.at = self.at.max(to);
        moves
    }

    /// Where it is.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The highest event time seen; [`Timestamp::MIN`] if there was none.
    pub fn highest(&self) -> Timestamp {
        self.highest
    }
}

/// The watermarks of all partitions that feed a window.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Watermarks {
    partitions: BTreeMap<TopicPartition, Timestamp>,
    /// Those of which nothing more comes in this run.
    ended: BTreeSet<TopicPartition>,
}

impl Watermarks {
    /// Of these partitions, of each of which nothing is known.
    pub fn new(partitions: impl IntoIterator<Item = TopicPartition>) -> Self {
        let unknown = |at| (at, Timestamp::MIN);
        Self {
            partitions: partitions.into_iter().map(unknown).collect(),
            ended: BTreeSet::new(),
        }
    }

    /// Moves the watermark of a partition; one that is behind is not taken back. A partition that was not known joins the
    /// others; one that had ended goes on.
    pub fn advance(&mut self, partition: &TopicPartition, to: Timestamp) {
        match self.partitions.get_mut(partition) {
            Some(at) => *at = (*at).max(to),
            None => drop(self.partitions.insert(partition.clone(), to)),
        }
        self.ended.remove(partition);
    }

    /// Takes note that nothing more comes from a partition in this run: it holds the others back no longer.
    pub fn end(&mut self, partition: &TopicPartition) {
        self.ended.insert(partition.clone());
    }

    /// Whether nothing more comes from any partition: then everything is due.
    pub fn have_ended(&self) -> bool {
        self.partitions.keys().all(|at| self.ended.contains(at))
    }

    /// The lowest of all: no window that ends at or before it gets another row. [`Timestamp::MIN`] as long as any
    /// partition has brought nothing, or there are none. Partitions that have ended do not count; once all have, it is the highest,
    /// which lies behind every window that has rows.
    pub fn lowest(&self) -> Timestamp {
        let ended = |at: &TopicPartition| self.ended.contains(at);
        let going_on = self.partitions.iter().filter(|(at, _)| !ended(at));
        let lowest = going_on.map(|(_, watermark)| *watermark).min();
        let highest = || self.partitions.values().copied().max();
        lowest.or_else(highest).unwrap_or(Timestamp::MIN)
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
    fn rows_that_carry_watermarks_move_it_and_others_do_not() {
        let mut watermark = PartitionWatermark::new(Duration::ZERO);
        let mut observe = |time, mark: Option<i64>| {
            watermark.observe_marked(Timestamp(time), mark.map(Timestamp))
        };
        assert_eq!(observe(100, None), Timestamp::MIN);
        assert_eq!(observe(10, Some(40)), Timestamp::MIN);
        assert_eq!(observe(20, Some(30)), Timestamp(40));
        assert_eq!(watermark.at(), Timestamp(40));
        assert_eq!(watermark.highest(), Timestamp(100));
    }

    #[test]
    fn a_promise_holds_for_what_comes_later_and_is_never_taken_back() {
        let mut watermark = PartitionWatermark::new(Duration::from_millis(5));
        watermark.observe(Timestamp(100));
        assert!(!watermark.promise(Timestamp(95)));
        assert!(watermark.promise(Timestamp(200)));
        assert_eq!(watermark.observe(Timestamp(150)), Timestamp(200));
        assert_eq!(watermark.at(), Timestamp(200));
        assert_eq!(watermark.highest(), Timestamp(150));
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

    #[test]
    fn a_partition_that_has_ended_holds_nobody_back_until_it_brings_something_again() {
        let [one, two] = [0, 1].map(|partition| TopicPartition::new("t", partition));
        let mut watermarks = Watermarks::new([one.clone(), two.clone()]);
        watermarks.advance(&one, Timestamp(10));
        watermarks.end(&one);
        assert_eq!(watermarks.lowest(), Timestamp::MIN);
        watermarks.advance(&two, Timestamp(1_000));
        assert_eq!(watermarks.lowest(), Timestamp(1_000));
        assert!(!watermarks.have_ended());
        watermarks.end(&two);
        assert!(watermarks.have_ended());
        assert_eq!(watermarks.lowest(), Timestamp(1_000));
        watermarks.advance(&one, Timestamp(20));
        assert_eq!(watermarks.lowest(), Timestamp(20));
    }
}
