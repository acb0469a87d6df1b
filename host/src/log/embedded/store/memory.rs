//! A store that lives as long as the log is open.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{NewBlock, NewGroupOffset, Visit};
use crate::log::embedded::format::{self, PartitionId, TopicId};
use crate::log::{LogError, Offset};

/// Blocks and offsets of groups under the keys that they would have in a folder.
#[derive(Default)]
pub(in super::super) struct MemoryStore(Mutex<Contents>);

#[derive(Default)]
struct Contents {
    records: BTreeMap<[u8; 16], Vec<u8>>,
    groups: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryStore {
    /// Every change is made in one step that can't fail half-way.
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn commit(&self, blocks: Vec<NewBlock>, offsets: &[NewGroupOffset<'_>]) {
        let mut contents = self.contents();
        let blocks = blocks
            .into_iter()
            .map(|block| (block.at.block_key(block.last), block.bytes));
        contents.records.extend(blocks);
        contents.groups.extend(offsets.iter().map(|new| {
            let value = format::encode_group_offset(new.offset.offset, &new.offset.metadata);
            (new.at.group_key(new.group), value)
        }));
    }

    pub(super) fn delete_topic(&self, topic: TopicId) {
        let mut contents = self.contents();
        let blocks = topic.blocks();
        contents.records.retain(|key, _| !blocks.contains(key));
        contents.groups.retain(|key, _| !topic.is_of_group_key(key));
    }

    pub(super) fn group_value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.contents().groups.get(key).cloned()
    }

    pub(super) fn blocks_from(
        &self,
        at: PartitionId,
        from: Offset,
        visit: &mut Visit<'_>,
    ) -> Result<(), LogError> {
        for (key, bytes) in self.contents().records.range(at.blocks_from(from)) {
            if !visit(key, bytes)? {
                break;
            }
        }
        Ok(())
    }
}
