//! Where a commit's records have come to lie.

use super::{Offset, TopicPartition};

/// The next offset of each partition that a commit wrote to. A partition is left out where the log could not tell.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Written(Vec<(TopicPartition, Offset)>);

impl Written {
    /// The offset after the last record that the commit wrote to a partition.
    pub fn get(&self, at: &TopicPartition) -> Option<Offset> {
        self.place(&at.topic, at.partition)
            .map(|place| self.0[place].1)
    }

    /// Notes that the record at `offset` was written.
    pub fn note(&mut self, topic: &str, partition: i32, offset: Offset) {
        match self.place(topic, partition) {
            Some(place) => {
                let next = &mut self.0[place].1;
                *next = (*next).max(offset.next());
            }
            None => self
                .0
                .push((TopicPartition::new(topic, partition), offset.next())),
        }
    }

    /// Forgets a partition.
    pub fn forget(&mut self, topic: &str, partition: i32) {
        self.0
            .retain(|(at, _)| at.partition != partition || *at.topic != *topic);
    }

    /// A commit writes to few partitions, and to one of them many records in a row.
    fn place(&self, topic: &str, partition: i32) -> Option<usize> {
        self.0
            .iter()
            .rposition(|(at, _)| at.partition == partition && *at.topic == *topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_offset_follows_the_last_record_whatever_the_order_of_the_notes() {
        let mut written = Written::default();
        for (topic, partition, offset) in [("a", 0, 7), ("a", 1, 3), ("a", 0, 9), ("a", 0, 8)] {
            written.note(topic, partition, Offset(offset));
        }
        let get = |topic: &str, partition| written.get(&TopicPartition::new(topic, partition));
        assert_eq!(get("a", 0), Some(Offset(10)));
        assert_eq!(get("a", 1), Some(Offset(4)));
        assert_eq!(get("b", 0), None);
        written.forget("a", 0);
        assert_eq!(written.get(&TopicPartition::new("a", 0)), None);
        assert_eq!(written.get(&TopicPartition::new("a", 1)), Some(Offset(4)));
    }
}
