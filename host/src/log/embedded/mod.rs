//! The log that lives in one folder of one process: durable, transactional, and the same to its users as Kafka.
//!
//! It serves the demo, tests and small installations on a single node. It is not a server: one process has the folder
//! open at a time, and sessions share partitions within that process. It keeps every record: there is no retention, and
//! no compaction, so a topic with tombstones grows like any other. For tests and simulations it can do without the folder.
//!
//! From the bottom up: `format` says what the bytes on disk are and what a crash leaves; `block` packs records;
//! `store` is the folder or the memory; `plan` deals records to partitions; `group` deals partitions to sessions;
//! `shared` puts everything in order; `position` reads on; `session` and `outside` are what users hold.

mod block;
mod format;
mod group;
mod outside;
mod plan;
mod position;
mod session;
mod shared;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use outside::{EmbeddedReader, EmbeddedWriter};
pub use session::EmbeddedSession;

use super::{
    Bounds, Fetched, GroupOffset, Log, LogError, Membership, Offset, Reader, TopicInfo,
    TopicPartition, TopicSpec,
};
use crate::time::Timestamp;
use shared::Shared;
use store::Store;

/// The log in a folder. A clone is the same log; the folder is closed when the last clone, session, reader and writer
/// of it is dropped.
#[derive(Clone)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
}

impl EmbeddedLog {
    /// Opens the log in a folder, which is made where there is none.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if it is open already, [`LogError::Refused`] if the disk or its permissions or the
    /// version of the format forbid, [`LogError::Damaged`] if what is there can't be read.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let shared = Arc::new(Shared::new(Store::open(path)?)?);
        Ok(Self { shared })
    }

    /// An empty log that is gone when it is dropped. With no time to wait, nothing in it blocks.
    pub fn in_memory() -> Self {
        let shared = Arc::new(Shared::empty(Store::in_memory()));
        Self { shared }
    }

    /// Takes the partitions of a live member of a group away without its doing, as a broker does that has not heard of it for too
    /// long. `member` is what it commits under.
    pub fn expel(&self, group: &str, member: &str) {
        self.shared.expel(group, member);
    }

    /// The first offset of a partition whose record has a timestamp at or after `at`.
    fn offset_at(&self, of: &TopicPartition, at: Timestamp) -> Result<Offset, LogError> {
        let mut reader = EmbeddedReader::of_partition(&self.shared, of, Offset(0))?;
        let mut fetched = Fetched::new();
        let mut next = Offset(0);
        loop {
            reader.poll(&mut fetched, Duration::ZERO)?;
            let Some(batch) = fetched.batches().next() else {
                return Ok(next);
            };
            if let Some(row) = (0..batch.len()).find(|row| batch.timestamp(*row) >= at) {
                return Ok(batch.offset(row));
            }
            next = batch.last_offset().map_or(next, Offset::next);
        }
    }
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog").finish_non_exhaustive()
    }
}

impl Log for EmbeddedLog {
    type Session = EmbeddedSession;
    type Reader = EmbeddedReader;
    type Writer = EmbeddedWriter;

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        let state = self.shared.state();
        let info = |(name, topic): (&str, &plan::Topic)| TopicInfo {
            name: name.to_owned(),
            partitions: topic.partitions(),
        };
        Ok(state.topics().map(info).collect())
    }

    /// Topics of the embedded log keep every record and have no settings: those given are Kafka's and are passed
    /// over, so that a pipeline runs on either log.
    fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.shared.create_topic(spec)
    }

    fn delete_topics(&self, names: &[String]) -> Result<(), LogError> {
        names
            .iter()
            .try_for_each(|name| self.shared.delete_topic(name))
    }

    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError> {
        let start = Offset(0);
        let state = self.shared.state();
        let ends = state.topic(topic)?.ends.iter();
        let bounds = |end: &Offset| Bounds {
            start,
            end: *end,
            written: *end,
        };
        Ok(ends.map(bounds).collect())
    }

    fn max_record_bytes(&self, topic: &str) -> Result<usize, LogError> {
        self.shared.state().topic(topic)?;
        Ok(block::MAX_RECORD_BYTES)
    }

    fn join(&self, membership: &Membership) -> Result<EmbeddedSession, LogError> {
        EmbeddedSession::join(&self.shared, membership)
    }

    fn reader(&self, topic: &str, from: &[(i32, Offset)]) -> Result<EmbeddedReader, LogError> {
        EmbeddedReader::new(&self.shared, topic, from)
    }

    fn partition_reader(
        &self,
        at: &TopicPartition,
        from: Offset,
    ) -> Result<EmbeddedReader, LogError> {
        EmbeddedReader::of_partition(&self.shared, at, from)
    }

    fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, String>, LogError> {
        let state = self.shared.state();
        state.topic(topic).map(|_| BTreeMap::new())
    }

    fn offsets_at(&self, topic: &str, at: Timestamp) -> Result<Vec<Offset>, LogError> {
        let partitions = self.shared.state().topic(topic)?.partitions();
        let topic: Arc<str> = topic.into();
        (0..partitions)
            .map(|p| self.offset_at(&TopicPartition::new(Arc::clone(&topic), p), at))
            .collect()
    }

    fn members(&self, group: &str) -> Result<Vec<String>, LogError> {
        let state = self.shared.state();
        Ok(state
            .group(group)
            .map(group::Group::names)
            .unwrap_or_default())
    }

    fn group_offsets(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<Vec<GroupOffset>, LogError> {
        self.shared.group_offsets(group, of)
    }

    fn set_group_offsets(&self, group: &str, offsets: &[GroupOffset]) -> Result<(), LogError> {
        self.shared.set_group_offsets(group, offsets)
    }

    /// A commit is one step here, so nobody leaves a transaction open.
    fn end_transactions(&self, _: &str, _: &dyn Fn(&str) -> bool) -> Result<usize, LogError> {
        Ok(0)
    }

    fn writer(&self) -> Result<EmbeddedWriter, LogError> {
        Ok(EmbeddedWriter::new(&self.shared))
    }
}
