//! Where a run ends that is to end: at the ends that the source had when it began. Decided here, without a log.
//!
//! A partition that has been read so far has *ended*. When all partitions of the process have, their watermarks are moved to the end of
//! the last window that has rows, and whoever fires is told that nothing more comes. That is not state: it is told again now and then,
//! and forgotten as soon as something else comes from the partition, so that a later run goes on as ever.
//!
//! The run is over when every worker of the process has nothing more to do, and what the group has committed says the same of the
//! whole pipeline: every source partition is read to its end, and every final task has come as far as time has. So nothing is
//! missed that is on its way from one worker to another just then.

use std::collections::BTreeMap;

use crate::log::{GroupOffset, Log, LogError, Offset, RecordBatch, TopicPartition};
use crate::state::{Committed, Mark};
use crate::time::Timestamp;

/// Where a run ends in each partition of its source.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Ends(BTreeMap<TopicPartition, Offset>);

impl Ends {
    /// As the log has them now, for readers of committed records.
    ///
    /// # Errors
    /// If the log can't be reached, or a topic does not exist.
    pub(super) fn take<L: Log>(log: &L, topics: &[String]) -> Result<Self, LogError> {
        let mut ends = BTreeMap::new();
        for topic in topics {
            for (partition, bounds) in (0..).zip(log.bounds(topic)?) {
                ends.insert(TopicPartition::new(topic.as_str(), partition), bounds.end);
            }
        }
        Ok(Self(ends))
    }

    /// Where the run ends in a partition. Of one that was added later nothing is read.
    pub(super) fn of(&self, at: &TopicPartition) -> Offset {
        self.0.get(at).copied().unwrap_or_default()
    }

    /// How many records of a batch belong to the run.
    pub(super) fn within(&self, batch: &RecordBatch) -> usize {
        let end = self.of(batch.partition());
        let is_beyond = |row: &usize| batch.offset(*row) >= end;
        (0..batch.len())
            .rev()
            .take_while(is_beyond)
            .last()
            .unwrap_or(batch.len())
    }

    /// Whether what a group has committed says that the run is over: all of the source has been read, and each of the `finals`,
    /// which settle windows, has come as far as any source partition has.
    pub(super) fn are_reached(
        &self,
        committed: &[GroupOffset],
        finals: impl Iterator<Item = TopicPartition>,
    ) -> bool {
        let find = |at: &TopicPartition| committed.iter().find(|offset| offset.at == *at);
        let is_read = |(at, end): (&TopicPartition, &Offset)| {
            find(at).is_some_and(|committed| committed.offset >= *end)
        };
        let sources = self.0.keys().filter_map(|at| mark(find(at)?));
        let furthest = sources.map(|mark| mark.watermark).max();
        let furthest = furthest.unwrap_or(Timestamp::MIN);
        let has_come = |at: TopicPartition| {
            let mark = find(&at).and_then(mark);
            mark.is_some_and(|mark| mark.watermark >= furthest)
        };
        self.0.iter().all(is_read) && finals.into_iter().all(has_come)
    }
}

fn mark(committed: &GroupOffset) -> Option<Mark> {
    match Committed::parse(&committed.metadata) {
        Ok(Committed::Mark(mark)) => Some(mark),
        Ok(Committed::Start | Committed::Importing) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Shape;

    fn at(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(topic, partition)
    }

    fn ends() -> Ends {
        Ends([(at("in", 0), Offset(10)), (at("in", 1), Offset(0))].into())
    }

    fn committed(topic: &str, partition: i32, offset: i64, watermark: i64) -> GroupOffset {
        let mark = Mark {
            watermark: Timestamp(watermark),
            highest: Timestamp::MIN,
            shape: Shape::default(),
            state: None,
            generation: 0,
        };
        GroupOffset {
            at: at(topic, partition),
            offset: Offset(offset),
            metadata: mark.to_json(),
        }
    }

    #[test]
    fn a_batch_is_cut_where_the_run_ends() {
        let batch = |offsets: &[i64]| {
            let mut batch = RecordBatch::new(at("in", 0));
            for offset in offsets {
                batch.push(Offset(*offset), Timestamp(0), None, None);
            }
            batch
        };
        assert_eq!(ends().within(&batch(&[7, 8, 9])), 3);
        assert_eq!(ends().within(&batch(&[8, 9, 10, 11])), 2);
        assert_eq!(ends().within(&batch(&[12])), 0);
        assert_eq!(ends().within(&batch(&[])), 0);
        assert_eq!(ends().of(&at("in", 2)), Offset(0), "it was added later");
    }

    #[test]
    fn a_run_is_over_when_all_is_read_and_every_final_task_has_come_as_far_as_time() {
        let over = |committed: &[GroupOffset]| {
            let finals = (0..2).map(|partition| at("between", partition));
            ends().are_reached(committed, finals)
        };
        let mut all = vec![
            committed("in", 0, 10, 500),
            committed("in", 1, 0, 400),
            committed("between", 0, 3, 500),
            committed("between", 1, 0, 500),
        ];
        assert!(over(&all));
        all[0].offset = Offset(9);
        assert!(!over(&all), "a record is not read");
        all[0].offset = Offset(11);
        all[2] = committed("between", 0, 3, 499);
        assert!(!over(&all), "windows have not fired");
        all[2] = committed("between", 0, 3, 500);
        all.remove(1);
        assert!(!over(&all), "nobody has looked at a partition");
        assert!(!over(&[]));
    }
}
