//! The log that lives in one folder of one process: durable, transactional, and the same to its users as Kafka.
//!
//! It serves the demo, tests and small installations on a single node. It is not a server: one process has the folder
//! open at a time, and sessions share partitions within that process.
//!
//! From the bottom up: `format` says what the bytes on disk are and what a crash leaves; `block` packs records;
//! `store` is the folder; `plan` deals records to partitions; `group` deals partitions to sessions;
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

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use outside::{EmbeddedReader, EmbeddedWriter};
pub use session::EmbeddedSession;

use super::{Bounds, Log, LogError, Membership, Offset, TopicInfo, TopicSpec};
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

    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError> {
        let start = Offset(0);
        let state = self.shared.state();
        let ends = state.topic(topic)?.ends.iter();
        Ok(ends.map(|end| Bounds { start, end: *end }).collect())
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

    fn writer(&self) -> Result<EmbeddedWriter, LogError> {
        Ok(EmbeddedWriter::new(&self.shared))
    }
}
