//! How far a pipeline is behind its source.

use crate::log::{Log, TopicPartition};
use crate::worker::Snapshot;

/// How many records have not been read; `None` while the log does not tell, or not all partitions are read.
pub(crate) fn lag<L: Log>(now: &Snapshot, log: &L, topics: &[String]) -> Option<u64> {
    let mut lag = 0;
    for topic in topics {
        let bounds = log.bounds(topic).ok()?;
        for (partition, bounds) in (0..).zip(bounds) {
            let at = TopicPartition::new(topic.as_str(), partition);
            let position = now.positions.get(&at)?;
            lag += u64::try_from(bounds.end.0 - position.0).unwrap_or(0);
        }
    }
    Some(lag)
}
