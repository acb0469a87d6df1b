//! What a commit or an append will write: the records of an outbox dealt to partitions and packed into blocks. No I/O.

use std::collections::BTreeMap;

use super::block::{self, BlockBuilder};
use super::format::{PartitionId, TopicId};
use super::store::NewBlock;
use crate::log::{LogError, Offset, Outbox, OutboxRecord, murmur2};

/// A topic as it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Topic {
    pub(super) id: TopicId,
    /// The next offset of each partition.
    pub(super) ends: Vec<Offset>,
    /// The partition that takes the next batch of records without key.
    pub(super) turn: i32,
}

impl Topic {
    pub(super) fn new(id: TopicId, ends: Vec<Offset>) -> Self {
        Self { id, ends, turn: 0 }
    }

    pub(super) fn partitions(&self) -> i32 {
        i32::try_from(self.ends.len()).expect("partitions are numbered by i32")
    }

    /// The next offset of a partition; `None` where there is no such partition.
    pub(super) fn end(&self, partition: i32) -> Option<Offset> {
        self.ends.get(usize::try_from(partition).ok()?).copied()
    }

    pub(super) fn partition_id(&self, partition: i32) -> PartitionId {
        PartitionId {
            topic: self.id,
            partition,
        }
    }
}

/// Blocks to write, and how their topics stand once they are written.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) blocks: Vec<NewBlock>,
    pub(super) topics: BTreeMap<&'a str, Topic>,
}

impl<'a> Plan<'a> {
    /// Plans for the records of `outbox`, whose topics `find` knows.
    ///
    /// # Errors
    /// Names the topic, partition or record that can't be written.
    pub(super) fn new(
        outbox: &'a Outbox,
        find: impl Fn(&str) -> Option<Topic>,
    ) -> Result<Self, LogError> {
        let mut topics = BTreeMap::new();
        let mut blocks = Vec::new();
        for record in outbox.records() {
            let name = record.topic();
            if !topics.contains_key(name) {
                let topic = find(name).ok_or_else(|| LogError::NoTopic(name.to_owned()))?;
                topics.insert(name, Filling::new(topic));
            }
            if let Some(filling) = topics.get_mut(name) {
                filling.push(record, &mut blocks)?;
            }
        }
        let topics = topics
            .into_iter()
            .map(|(name, filling)| (name, filling.finish(&mut blocks)))
            .collect();
        Ok(Self { blocks, topics })
    }
}

/// A topic with an open block for each partition.
struct Filling {
    topic: Topic,
    open: Vec<BlockBuilder>,
    had_keyless: bool,
}

impl Filling {
    fn new(topic: Topic) -> Self {
        Self {
            open: topic.ends.iter().map(|_| BlockBuilder::new()).collect(),
            topic,
            had_keyless: false,
        }
    }

    fn push(
        &mut self,
        record: OutboxRecord<'_>,
        blocks: &mut Vec<NewBlock>,
    ) -> Result<(), LogError> {
        let bytes = block::record_bytes(record);
        if bytes > block::MAX_RECORD_BYTES {
            return Err(LogError::Refused(format!(
                "a record for topic {} has {bytes} bytes, of which {} are allowed",
                record.topic(),
                block::MAX_RECORD_BYTES
            )));
        }
        let partitions = self.topic.partitions();
        let partition = match (record.partition(), record.key()) {
            (Some(partition), _) => partition,
            (None, Some(key)) => murmur2::partition_of(key, partitions),
            (None, None) => {
                self.had_keyless = true;
                self.topic.turn
            }
        };
        let place = usize::try_from(partition)
            .ok()
            .filter(|place| *place < self.open.len());
        let place = place.ok_or_else(|| {
            LogError::Refused(format!(
                "topic {} has no partition {partition}: it has {partitions}",
                record.topic()
            ))
        })?;
        if self.open[place].is_full_for(bytes) {
            self.close(place, partition, blocks);
        }
        self.open[place].push(record);
        self.topic.ends[place] = self.topic.ends[place].next();
        Ok(())
    }

    fn close(&mut self, place: usize, partition: i32, blocks: &mut Vec<NewBlock>) {
        let block = std::mem::replace(&mut self.open[place], BlockBuilder::new());
        if !block.is_empty() {
            blocks.push(NewBlock {
                at: self.topic.partition_id(partition),
                last: Offset(self.topic.ends[place].0 - 1),
                bytes: block.finish(),
            });
        }
    }

    fn finish(mut self, blocks: &mut Vec<NewBlock>) -> Topic {
        for (place, partition) in (0..self.topic.partitions()).enumerate() {
            self.close(place, partition, blocks);
        }
        if self.had_keyless {
            self.topic.turn = (self.topic.turn + 1) % self.topic.partitions();
        }
        self.topic
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use std::sync::Arc;

    use super::*;
    use crate::log::RecordParts;
    use crate::time::Timestamp;

    fn topic(partitions: usize) -> Topic {
        Topic::new(TopicId(3), vec![Offset(10); partitions])
    }

    fn outbox(records: &[(Option<i32>, Option<&str>, usize)]) -> Outbox {
        let mut outbox = Outbox::new();
        for (partition, key, bytes) in records {
            let parts = RecordParts {
                partition: *partition,
                timestamp: Timestamp(0),
                key: key.map(str::as_bytes),
                value: Some(&vec![0; *bytes]),
                headers: &[],
            };
            outbox.push(&Arc::from("t"), parts);
        }
        outbox
    }

    /// Partition and last offset of every block.
    fn blocks(plan: &Plan<'_>) -> Vec<(i32, i64)> {
        let blocks = plan.blocks.iter();
        blocks.map(|b| (b.at.partition, b.last.0)).collect()
    }

    #[test]
    fn a_partition_gets_one_block_under_its_last_offset() {
        let outbox = outbox(&[(Some(0), None, 1), (Some(1), None, 1), (Some(0), None, 1)]);
        let plan = Plan::new(&outbox, |_| Some(topic(2))).unwrap();
        assert_eq!(blocks(&plan), [(0, 11), (1, 10)]);
        assert_eq!(plan.topics["t"].ends, [Offset(12), Offset(11)]);
    }

    #[test]
    fn many_records_become_several_blocks() {
        let outbox = outbox(&[(Some(0), None, 1); 1_100]);
        let plan = Plan::new(&outbox, |_| Some(topic(1))).unwrap();
        assert_eq!(blocks(&plan), [(0, 521), (0, 1033), (0, 1109)]);
    }

    #[test]
    fn a_large_record_has_a_block_to_itself() {
        let outbox = outbox(&[
            (Some(0), None, 1),
            (Some(0), None, 1 << 20),
            (Some(0), None, 1),
        ]);
        let plan = Plan::new(&outbox, |_| Some(topic(1))).unwrap();
        assert_eq!(blocks(&plan), [(0, 10), (0, 11), (0, 12)]);
    }

    #[test]
    fn keys_choose_partitions_as_kafka_does_and_batches_without_keys_take_turns() {
        let keyed = outbox(&[(None, Some("foobar"), 1)]);
        let plan = Plan::new(&keyed, |_| Some(topic(4))).unwrap();
        assert_eq!((blocks(&plan), plan.topics["t"].turn), (vec![(2, 10)], 0));

        let keyless = outbox(&[(None, None, 1), (None, None, 1)]);
        let mut now = topic(2);
        let turns: Vec<_> = (0..3)
            .map(|_| {
                let plan = Plan::new(&keyless, |_| Some(now.clone())).unwrap();
                let to = blocks(&plan);
                now = plan.topics["t"].clone();
                to
            })
            .collect();
        assert_eq!(turns, [[(0, 11)], [(1, 11)], [(0, 13)]]);
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let message = |outbox: &Outbox, topic: Option<Topic>| {
            Plan::new(outbox, |_| topic.clone())
                .unwrap_err()
                .to_string()
        };
        let away = message(&outbox(&[(Some(2), None, 1)]), Some(topic(2)));
        assert!(
            away.contains("topic t has no partition 2: it has 2"),
            "{away}"
        );
        let below = message(&outbox(&[(Some(-1), None, 1)]), Some(topic(2)));
        assert!(below.contains("no partition -1"), "{below}");
        let unknown = message(&outbox(&[(None, None, 1)]), None);
        assert!(unknown.contains("topic t does not exist"), "{unknown}");
        let large = outbox(&[(None, None, block::MAX_RECORD_BYTES + 1)]);
        let large = message(&large, Some(topic(2)));
        assert!(large.contains("67108865 bytes"), "{large}");
    }
}
