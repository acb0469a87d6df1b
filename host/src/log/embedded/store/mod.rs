//! Where the log's bytes are: in a folder, or in memory for as long as the log is open.
//!
//! Both keep the same keys and values (see [`super::format`]), and each commit is one step: all of it is there afterwards, or
//! nothing. What is in memory survives no process, so it serves tests and simulations.

mod folder;
mod memory;

use std::path::Path;

use super::block::{self, Wanted};
use super::format::{self, PartitionId, StoredTopic, TopicId};
use crate::log::{GroupOffset, LogError, Offset, RecordBatch};
use folder::FolderStore;
use memory::MemoryStore;

/// A partition gives at most about this many records to a poll, and so many bytes: the block that passes it is the last.
const POLL_RECORDS: usize = 1_000;
const POLL_BYTES: usize = 1 << 20;

/// A block to be written.
#[derive(Debug)]
pub(super) struct NewBlock {
    pub(super) at: PartitionId,
    pub(super) last: Offset,
    pub(super) bytes: Vec<u8>,
}

/// A group's offset to be written.
#[derive(Debug)]
pub(super) struct NewGroupOffset<'a> {
    pub(super) group: &'a str,
    pub(super) at: PartitionId,
    pub(super) offset: &'a GroupOffset,
}

/// What is done with a block's key and bytes; whether the next one is wanted too.
type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool, LogError> + 'a;

/// The open store.
pub(super) enum Store {
    Folder(FolderStore),
    Memory(MemoryStore),
}

impl Store {
    /// Opens the folder, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        FolderStore::open(path).map(Store::Folder)
    }

    /// An empty store in memory.
    pub(super) fn in_memory() -> Self {
        Store::Memory(MemoryStore::default())
    }

    /// All topics by name, each with the next offset of every partition.
    pub(super) fn topics(&self) -> Result<Vec<(String, TopicId, Vec<Offset>)>, LogError> {
        match self {
            Store::Folder(folder) => folder.topics(),
            // It begins empty, and what is added later is known to those who add it.
            Store::Memory(_) => Ok(Vec::new()),
        }
    }

    /// Adds a topic.
    pub(super) fn put_topic(&self, name: &str, topic: StoredTopic) -> Result<(), LogError> {
        match self {
            Store::Folder(folder) => folder.put_topic(name, topic),
            Store::Memory(_) => Ok(()),
        }
    }

    /// Removes a topic, its records and where groups stand in it: all or nothing, since its number may be given again.
    pub(super) fn delete_topic(&self, name: &str, topic: TopicId) -> Result<(), LogError> {
        match self {
            Store::Folder(folder) => folder.delete_topic(name, topic),
            Store::Memory(memory) => {
                memory.delete_topic(topic);
                Ok(())
            }
        }
    }

    /// Writes all of it or nothing, and returns when it is safe.
    pub(super) fn commit(
        &self,
        blocks: Vec<NewBlock>,
        offsets: &[NewGroupOffset<'_>],
    ) -> Result<(), LogError> {
        match self {
            Store::Folder(folder) => folder.commit(blocks, offsets),
            Store::Memory(memory) => {
                memory.commit(blocks, offsets);
                Ok(())
            }
        }
    }

    /// Where a group stands in a partition.
    pub(super) fn group_offset(
        &self,
        group: &str,
        at: PartitionId,
    ) -> Result<Option<(Offset, String)>, LogError> {
        let key = at.group_key(group);
        let value = match self {
            Store::Folder(folder) => folder.group_value(&key)?,
            Store::Memory(memory) => memory.group_value(&key),
        };
        value
            .map(|value| {
                format::decode_group_offset(&value).ok_or_else(|| {
                    LogError::Damaged(format!("the offset of group {group} in {at:?}"))
                })
            })
            .transpose()
    }

    /// Appends what a poll takes of a partition to `into`: at least one record, which must be there.
    pub(super) fn read(
        &self,
        at: PartitionId,
        wanted: Wanted,
        into: &mut RecordBatch,
    ) -> Result<(), LogError> {
        let visit: &mut Visit<'_> = &mut |key, bytes| {
            format::last_offset(key)
                .and_then(|last| block::read(bytes, last, wanted, into))
                .ok_or_else(|| damaged_block(into, wanted.from))?;
            let is_enough = into.len() >= POLL_RECORDS || into.byte_len() >= POLL_BYTES;
            let is_all = into.last_offset().is_some_and(|o| o.next() >= wanted.end);
            Ok(!is_enough && !is_all)
        };
        match self {
            Store::Folder(folder) => folder.blocks_from(at, wanted.from, visit)?,
            Store::Memory(memory) => memory.blocks_from(at, wanted.from, visit)?,
        }
        match into.is_empty() {
            false => Ok(()),
            true => Err(damaged_block(into, wanted.from)),
        }
    }
}

fn damaged_block(of: &RecordBatch, from: Offset) -> LogError {
    let at = of.partition();
    LogError::Damaged(format!("the records of {at} from offset {from} on"))
}
