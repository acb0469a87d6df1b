//! The folder: the engine's keyspaces and the operations on them that the log needs.

use std::error::Error;
use std::io;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{NewBlock, NewGroupOffset, Visit};
use crate::log::embedded::format::{self, PartitionId, StoredTopic, TopicId};
use crate::log::{LogError, Offset};

/// The open folder. It stays locked against other processes until this is dropped.
pub(in super::super) struct FolderStore {
    engine: Database,
    topics: Keyspace,
    groups: Keyspace,
    records: Keyspace,
}

impl FolderStore {
    /// Opens the folder, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let failed = |error| match error {
            fjall::Error::Locked => LogError::Unavailable(format!(
                "folder {} is open already, here or in another process: stop that, or choose another folder",
                path.display()
            )),
            error => in_folder(path, &storage_error(error)),
        };
        let engine = Database::builder(path).open().map_err(failed)?;
        let keyspace = |name| {
            engine
                .keyspace(name, KeyspaceCreateOptions::default)
                .map_err(failed)
        };
        let (meta, topics) = (keyspace("meta")?, keyspace("topics")?);
        let (groups, records) = (keyspace("groups")?, keyspace("records")?);
        let store = Self {
            engine,
            topics,
            groups,
            records,
        };
        store
            .check_version(&meta)
            .map_err(|error| in_folder(path, &error))?;
        Ok(store)
    }

    /// Refuses a folder of another version, and writes the version into a new one.
    fn check_version(&self, meta: &Keyspace) -> Result<(), LogError> {
        let version = meta.get(format::VERSION_KEY).map_err(storage_error)?;
        match version.as_deref().map(<[u8; 4]>::try_from) {
            Some(Ok(bytes)) if u32::from_be_bytes(bytes) == format::VERSION => Ok(()),
            Some(Ok(bytes)) => Err(LogError::Refused(format!(
                "its format has version {}, and this program knows version {}: use the program that wrote it",
                u32::from_be_bytes(bytes),
                format::VERSION
            ))),
            None if self.topics.is_empty().map_err(storage_error)? => {
                let version = format::VERSION.to_be_bytes();
                let mut batch = self.batch();
                batch.insert(meta, format::VERSION_KEY, version);
                batch.commit().map_err(storage_error)
            }
            Some(Err(_)) | None => Err(LogError::Damaged(
                "the version of its format can't be read".to_owned(),
            )),
        }
    }

    /// A batch that is on disk when its commit returns.
    fn batch(&self) -> fjall::OwnedWriteBatch {
        self.engine.batch().durability(Some(PersistMode::SyncAll))
    }

    /// All topics by name, each with the next offset of every partition.
    pub(super) fn topics(&self) -> Result<Vec<(String, TopicId, Vec<Offset>)>, LogError> {
        let read = |entry: fjall::Guard| {
            let (name, value) = entry.into_inner().map_err(storage_error)?;
            let damaged = || LogError::Damaged(format!("the record of topic {name:?}"));
            let stored = StoredTopic::decode(&value).ok_or_else(damaged)?;
            let name = std::str::from_utf8(&name).map_err(|_| damaged())?;
            let ends = (0..stored.partitions).map(|partition| {
                let topic = stored.id;
                self.end(PartitionId { topic, partition })
            });
            Ok((name.to_owned(), stored.id, ends.collect::<Result<_, _>>()?))
        };
        self.topics.iter().map(read).collect()
    }

    fn end(&self, at: PartitionId) -> Result<Offset, LogError> {
        let Some(block) = self.records.range(at.blocks_from(Offset(0))).next_back() else {
            return Ok(Offset(0));
        };
        let key = block.key().map_err(storage_error)?;
        let last = format::last_offset(&key).filter(|last| *last < Offset(i64::MAX));
        last.map(Offset::next)
            .ok_or_else(|| LogError::Damaged(format!("the key of a block of {at:?}")))
    }

    /// Adds a topic.
    pub(super) fn put_topic(&self, name: &str, topic: StoredTopic) -> Result<(), LogError> {
        let mut batch = self.batch();
        batch.insert(&self.topics, name, topic.encode());
        batch.commit().map_err(storage_error)
    }

    /// Removes a topic and all that is in it.
    pub(super) fn delete_topic(&self, name: &str, topic: TopicId) -> Result<(), LogError> {
        let mut batch = self.batch();
        batch.remove(&self.topics, name);
        for block in self.records.range(topic.blocks()) {
            batch.remove(&self.records, block.key().map_err(storage_error)?);
        }
        for offset in self.groups.iter() {
            let key = offset.key().map_err(storage_error)?;
            if topic.is_of_group_key(&key) {
                batch.remove(&self.groups, key);
            }
        }
        batch.commit().map_err(storage_error)
    }

    /// Writes all of it or nothing, and returns when it is on disk.
    pub(super) fn commit(
        &self,
        blocks: Vec<NewBlock>,
        offsets: &[NewGroupOffset<'_>],
    ) -> Result<(), LogError> {
        let mut batch = self.batch();
        for block in blocks {
            batch.insert(&self.records, block.at.block_key(block.last), block.bytes);
        }
        for NewGroupOffset { group, at, offset } in offsets {
            let value = format::encode_group_offset(offset.offset, &offset.metadata);
            batch.insert(&self.groups, at.group_key(group), value);
        }
        batch.commit().map_err(storage_error)
    }

    pub(super) fn group_value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LogError> {
        let value = self.groups.get(key).map_err(storage_error)?;
        Ok(value.map(|value| value.to_vec()))
    }

    pub(super) fn blocks_from(
        &self,
        at: PartitionId,
        from: Offset,
        visit: &mut Visit<'_>,
    ) -> Result<(), LogError> {
        for entry in self.records.range(at.blocks_from(from)) {
            let (key, bytes) = entry.into_inner().map_err(storage_error)?;
            if !visit(&key, &bytes)? {
                break;
            }
        }
        Ok(())
    }
}

/// The engine's error in our words. A failed write is not tried again: the engine takes no more of them.
fn storage_error(error: fjall::Error) -> LogError {
    let first: &(dyn Error + 'static) = &error;
    let cause = std::iter::successors(Some(first), |error| (*error).source())
        .find_map(|error| error.downcast_ref::<io::Error>());
    match (cause, &error) {
        (Some(cause), _) => LogError::Refused(format!("the disk: {cause}")),
        (None, fjall::Error::Poisoned) => LogError::Refused(
            "an earlier write to the disk failed: look after the disk, then start again".to_owned(),
        ),
        (None, error) => LogError::Damaged(error.to_string()),
    }
}

fn in_folder(path: &Path, error: &LogError) -> LogError {
    let path = path.display();
    match error {
        LogError::Damaged(what) => LogError::Damaged(format!("folder {path}: {what}")),
        LogError::Refused(why) => LogError::Refused(format!("folder {path}: {why}")),
        other => other.clone(),
    }
}
