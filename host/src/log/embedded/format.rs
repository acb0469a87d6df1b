//! What lies in the folder: keys and values as bytes.
//!
//! # Constraints
//! One process at a time has the folder open. Records are only ever added. What is committed together must be
//! found together after a crash, or not at all.
//!
//! # Layout, version 1
//! Numbers are big-endian, so that keys sort as numbers do. The engine guards every byte with checksums.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `meta` | `format` | version: u32 |
//! | `topics` | name: UTF-8 | topic id: u32, partitions: u32 |
//! | `groups` | length of the group's name: u16, name: UTF-8, topic id: u32, partition: u32 | offset: u64, metadata: UTF-8 |
//! | `records` | topic id: u32, partition: u32, offset of the block's last record: u64 | a block of records, see [`super::block`] |
//!
//! The records that one commit adds to a partition form one block, or several where they are many: the engine's
//! cost is by entry, so single records would be dear. A block is filed under its **last** offset, so the block
//! that holds an offset is the first one found from that offset on, and reading on is one forward scan.
//!
//! The next offset of a partition is not stored; it follows its last block. Who may commit under
//! a transactional id is not stored either: a session keeps the folder open, so none outlives the process that
//! knows.
//!
//! # What a crash leaves
//! Each commit is one atomic batch of the engine, synced to disk before it is acknowledged and before readers see it.
//! - *Before the batch is whole in the engine's journal:* the torn end of the journal is cut off when it is opened. No
//!   record, no group offset of it is there. The caller was not told of success.
//! - *After that, but before the answer:* the whole commit is there. The caller can't know and finds out from the group's
//!   committed offsets, as [`CommitError::Unknown`](crate::log::CommitError::Unknown) tells it.
//! - *When the sync fails:* the engine takes no more writes and nobody is shown the commit; opening the folder again
//!   decides it by the two rules above.
//! - *Between creating the folder and writing its version:* a folder without version and topics is new.

use std::ops::RangeInclusive;

use crate::log::Offset;

/// The version of the layout above.
pub(super) const VERSION: u32 = 1;
/// Where the version is.
pub(super) const VERSION_KEY: &[u8] = b"format";

/// A topic's short name in keys.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct TopicId(pub(super) u32);

impl TopicId {
    /// The keys of all its blocks.
    pub(super) fn blocks(self) -> RangeInclusive<[u8; 16]> {
        let first = PartitionId {
            topic: self,
            partition: 0,
        };
        let mut last = [u8::MAX; 16];
        last[..4].copy_from_slice(&self.0.to_be_bytes());
        first.block_key(Offset(0))..=last
    }

    /// Whether a key says where a group stands in it.
    pub(super) fn is_of_group_key(self, key: &[u8]) -> bool {
        let end = key.len().checked_sub(8).and_then(|at| key.get(at..));
        end.is_some_and(|end| end.starts_with(&self.0.to_be_bytes()))
    }
}

/// What is stored of a topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct StoredTopic {
    pub(super) id: TopicId,
    pub(super) partitions: i32,
}

impl StoredTopic {
    pub(super) fn encode(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.id.0.to_be_bytes());
        bytes[4..].copy_from_slice(&self.partitions.cast_unsigned().to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (id, partitions) = bytes.split_first_chunk::<4>()?;
        let partitions = u32::from_be_bytes(partitions.try_into().ok()?);
        Some(Self {
            id: TopicId(u32::from_be_bytes(*id)),
            partitions: i32::try_from(partitions).ok().filter(|count| *count > 0)?,
        })
    }
}

/// A partition in keys.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct PartitionId {
    pub(super) topic: TopicId,
    pub(super) partition: i32,
}

impl PartitionId {
    fn encode(self) -> [u8; 8] {
        StoredTopic {
            id: self.topic,
            partitions: self.partition,
        }
        .encode()
    }

    /// The key of the block that ends with `last`.
    pub(super) fn block_key(self, last: Offset) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.encode());
        key[8..].copy_from_slice(&last.0.cast_unsigned().to_be_bytes());
        key
    }

    /// The keys of the block that holds `from` and of all after it.
    pub(super) fn blocks_from(self, from: Offset) -> RangeInclusive<[u8; 16]> {
        self.block_key(from)..=self.block_key(Offset(i64::MAX))
    }

    /// Where `group` keeps its offset.
    pub(super) fn group_key(self, group: &str) -> Vec<u8> {
        let length = u16::try_from(group.len()).expect("names of groups are checked at joining");
        let mut key = Vec::with_capacity(2 + group.len() + 8);
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(group.as_bytes());
        key.extend_from_slice(&self.encode());
        key
    }
}

/// The last offset of the block stored under `key`.
pub(super) fn last_offset(key: &[u8]) -> Option<Offset> {
    let last = key.get(8..)?.try_into().ok().map(u64::from_be_bytes)?;
    i64::try_from(last).ok().map(Offset)
}

/// A group's offset and what it stored beside it.
pub(super) fn encode_group_offset(offset: Offset, metadata: &str) -> Vec<u8> {
    let mut value = Vec::with_capacity(8 + metadata.len());
    value.extend_from_slice(&offset.0.cast_unsigned().to_be_bytes());
    value.extend_from_slice(metadata.as_bytes());
    value
}

pub(super) fn decode_group_offset(value: &[u8]) -> Option<(Offset, String)> {
    let (offset, metadata) = value.split_first_chunk::<8>()?;
    let offset = i64::try_from(u64::from_be_bytes(*offset)).ok()?;
    let metadata = std::str::from_utf8(metadata).ok()?;
    Some((Offset(offset), metadata.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use proptest::prelude::*;

    use super::*;

    fn partition() -> impl Strategy<Value = PartitionId> {
        (any::<u32>(), 0..i32::MAX).prop_map(|(topic, partition)| PartitionId {
            topic: TopicId(topic),
            partition,
        })
    }

    proptest! {
        #[test]
        fn keys_of_blocks_sort_as_partitions_and_offsets_do(
            a in partition(), b in partition(), x in 0..i64::MAX, y in 0..i64::MAX,
        ) {
            let (x, y) = (Offset(x), Offset(y));
            prop_assert_eq!((a, x).cmp(&(b, y)), a.block_key(x).cmp(&b.block_key(y)));
            prop_assert_eq!(a.blocks_from(x).contains(&b.block_key(y)), a == b && x <= y);
            prop_assert_eq!(last_offset(&a.block_key(x)), Some(x));
        }

        #[test]
        fn values_come_back(id: u32, partitions in 1..i32::MAX, offset in 0..i64::MAX, metadata: String) {
            let topic = StoredTopic { id: TopicId(id), partitions };
            prop_assert_eq!(StoredTopic::decode(&topic.encode()), Some(topic));
            let value = encode_group_offset(Offset(offset), &metadata);
            prop_assert_eq!(decode_group_offset(&value), Some((Offset(offset), metadata)));
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
            let _ = StoredTopic::decode(&bytes);
            let _ = decode_group_offset(&bytes);
            let _ = last_offset(&bytes);
        }
    }

    #[test]
    fn groups_whose_names_run_together_keep_apart() {
        let at = PartitionId {
            topic: TopicId(0x6100_0000),
            partition: 1,
        };
        assert_ne!(at.group_key("a"), at.group_key("aa"));
        assert!(!at.group_key("aa").starts_with(&at.group_key("a")));
    }

    #[test]
    fn a_topic_without_partitions_is_damage() {
        assert_eq!(StoredTopic::decode(&[0; 8]), None);
        assert_eq!(StoredTopic::decode(&[0, 0, 0, 1, 0xff, 0, 0, 0]), None);
    }
}
