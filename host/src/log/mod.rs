//! The log: topics, partitions, groups and transactions, as the host needs them.
//!
//! [`Log`] is the border to Kafka ([`kafka`]) and to the log that lives in one folder ([`embedded`]). What passes it
//! is ours: nothing else in the host names a client library. Both implementations pass one
//! suite of tests, `tests/suite/log_suite`.
//!
//! # What every implementation promises
//! - **Order.** The records of a partition have ascending offsets and are read in that order. Offsets may have gaps.
//! - **Read committed.** A record of a transaction is visible to readers when, and only when, the transaction
//!   has been committed; then all its records and offsets are.
//! - **Fencing.** Joining with a transactional id ends whatever an earlier owner of that id left open, and makes
//!   every later commit of it fail with [`CommitError::Fenced`].
//! - **Groups.** The partitions of a group's topics are shared out among its sessions: each belongs to at most one.

mod batch;
pub mod embedded;
mod error;
pub mod kafka;
mod murmur2;
mod outbox;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use batch::{Fetched, Header, RecordBatch};
pub use error::{CommitError, LogError};
pub use outbox::{Outbox, OutboxMark, OutboxRecord, RecordParts};

/// A position in a partition.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset after this one.
    #[must_use]
    pub fn next(self) -> Offset {
        Offset(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition of a topic. Cheap to clone.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

/// `topic/partition`.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// What is known of a topic.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
}

/// A topic to create.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions it gets.
    pub partitions: i32,
    /// Settings in Kafka's names, such as `cleanup.policy`. The embedded log keeps every record and takes none.
    pub settings: BTreeMap<String, String>,
}

/// The first and the next offset of a partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// The offset of the oldest record still there.
    pub start: Offset,
    /// The offset that the next record will get, as readers of committed records see it.
    pub end: Offset,
}

/// Where a group stands in a partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupOffset {
    /// The partition.
    pub at: TopicPartition,
    /// The offset to read next.
    pub offset: Offset,
    /// What the group stored beside it: at most 4,096 bytes.
    pub metadata: String,
}

/// How a session's commits are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// Records and offsets in one transaction: both or neither.
    ExactlyOnce,
    /// Records are produced and acknowledged first, and offsets committed after them, without a transaction: a crash between
    /// the two writes the records again.
    AtLeastOnce,
}

/// How a worker takes part in a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Membership {
    /// The consumer group.
    pub group: String,
    /// The name under which it commits; a session that joins under the same name fences this one.
    pub transactional_id: String,
    /// The topics whose partitions the group shares.
    pub topics: Vec<String>,
}

/// What a poll brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Polled {
    /// There may be records in the [`Fetched`] given; it may also be empty.
    Records,
    /// The partitions that belong to this session have changed. Nothing was fetched; the caller reads
    /// [`Session::assignment`], throws its staged work away and seeks in all of them before it polls again.
    Reassigned,
}

/// A place where topics are.
pub trait Log: Clone + Send + Sync + 'static {
    /// A worker's part in a group.
    type Session: Session;
    /// A reader outside any group.
    type Reader: Reader;
    /// A writer outside transactions.
    type Writer: Writer;

    /// All topics, by name. Blocks for a round trip to the log.
    ///
    /// # Errors
    /// If the log can't be reached.
    fn topics(&self) -> Result<Vec<TopicInfo>, LogError>;

    /// One topic, or `None` if it does not exist. Never creates it.
    ///
    /// # Errors
    /// If the log can't be reached.
    fn topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        Ok(self.topics()?.into_iter().find(|t| t.name == name))
    }

    /// Creates a topic. A topic of that name that exists already is left as it is, and that is no error.
    ///
    /// # Errors
    /// If the log can't be reached or refuses the name or the settings.
    fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError>;

    /// The bounds of all partitions of a topic, by partition number.
    ///
    /// # Errors
    /// If the log can't be reached or the topic does not exist.
    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError>;

    /// The largest record that a topic takes, in bytes: key, value, headers and some overhead together.
    ///
    /// # Errors
    /// If the log can't be reached or the topic does not exist.
    fn max_record_bytes(&self, topic: &str) -> Result<usize, LogError>;

    /// Joins a group and fences earlier owners of the transactional id. Blocks until the log has confirmed the
    /// fencing; partitions are assigned later, by [`Session::poll`].
    ///
    /// # Errors
    /// If the log can't be reached or refuses.
    fn join(&self, membership: &Membership) -> Result<Self::Session, LogError>;

    /// A reader of committed records of one topic, all partitions: those listed from the given offsets on, the others from
    /// their start.
    ///
    /// # Errors
    /// If the log can't be reached or the topic does not exist.
    fn reader(&self, topic: &str, from: &[(i32, Offset)]) -> Result<Self::Reader, LogError>;

    /// A writer whose records are visible as soon as they are acknowledged.
    ///
    /// # Errors
    /// If the configuration is refused.
    fn writer(&self) -> Result<Self::Writer, LogError>;
}

/// A worker's part in a group: reads the partitions assigned to it and commits what came of them. Used from one thread.
pub trait Session {
    /// Fetches records, waiting at most `wait` for the first. Called all the time, also when there is nothing to do:
    /// it keeps the membership alive. Clears `into` first.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] may pass by itself and be polled through; after any other error the session is of no
    /// more use.
    fn poll(&mut self, into: &mut Fetched, wait: Duration) -> Result<Polled, LogError>;

    /// The partitions that belong to this session now, sorted.
    fn assignment(&self) -> Vec<TopicPartition>;

    /// Where the group stands in the partitions assigned; partitions never committed are left out. Waits
    /// for transactions that have not been decided.
    ///
    /// # Errors
    /// If the log can't be reached.
    fn committed(&mut self) -> Result<Vec<GroupOffset>, LogError>;

    /// Goes on reading at these offsets; records fetched before and not yet handed out are dropped.
    ///
    /// # Errors
    /// If a partition is not assigned or the log can't be reached.
    fn seek(&mut self, to: &[(TopicPartition, Offset)]) -> Result<(), LogError>;

    /// Commits records and the group's offsets in one transaction: all or nothing. Blocks until it is decided.
    ///
    /// # Errors
    /// See [`CommitError`], which says for each case what has become of the transaction and the session.
    fn commit(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<(), CommitError>;
}

/// Reads committed records of a topic outside any group.
pub trait Reader {
    /// Fetches records with their headers, waiting at most `wait` for the first. Clears `into` first.
    ///
    /// # Errors
    /// If the log can't be read.
    fn poll(&mut self, into: &mut Fetched, wait: Duration) -> Result<(), LogError>;

    /// The partitions in which no committed record was left when it last looked, as [`Reader::poll`] makes it do. Tells
    /// what offsets can't: a partition may end with offsets that no reader gets, such as those of aborted records.
    fn at_end(&self) -> Vec<i32>;
}

/// Writes records outside transactions.
pub trait Writer {
    /// Appends all records and blocks until the log has them safe.
    ///
    /// # Errors
    /// If a record was refused or the log can't be reached; some of the records may have been written.
    fn append(&mut self, outbox: &Outbox) -> Result<(), LogError>;
}
