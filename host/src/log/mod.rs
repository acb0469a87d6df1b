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
//! - **Groups.** The partitions of a group's topics are shared out among its sessions: each belongs to at most one. A
//!   partition changes hands only after its owner has given it up ([`Session::release`]) or has been given up itself.

mod batch;
pub mod embedded;
mod error;
pub mod kafka;
mod murmur2;
mod outbox;
mod whole;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use batch::{Fetched, Header, RecordBatch};
pub use error::{CommitError, LogError};
pub use murmur2::partition_of;
pub use outbox::{Outbox, OutboxMark, OutboxRecord, RecordParts};
pub use whole::read_whole;
pub use written::Written;

use crate::time::Timestamp;

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

/// The ends of a partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// The offset of the oldest record still there.
    pub start: Offset,
    /// Where readers of committed records come to an end: the first offset whose record is not decided yet, or the offset
    /// that the next record will get.
    pub end: Offset,
    /// The offset that the next record will get, behind those of transactions that are not decided yet. Never less than
    /// `end`.
    pub written: Offset,
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
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Delivery {
    /// Records and offsets in one transaction.
    #[default]
    ExactlyOnce,
    /// Records first, and offsets once the log has acknowledged every record, without waiting for them. Readers see records sooner, and
    /// see those again that a failure in between makes the next owner write once more.
    AtLeastOnce,
}

/// How a worker takes part in a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Membership {
    /// The consumer group.
    pub group: String,
    /// Who this is within the group. Who joins again under the same name is the same member: it fences its former self, and
    /// gets its partitions back.
    pub member: String,
    /// The topics whose partitions the group shares.
    pub topics: Vec<String>,
    /// One more, whose partitions weigh differently, so that it is shared out by itself: each member gets its part of it, and its part of
    /// the others.
    pub apart: Option<String>,
    /// How it commits.
    pub delivery: Delivery,
}

impl Membership {
    /// The name under which it commits, and that the group knows it by: `{group}-{member}`.
    pub fn transactional_id(&self) -> String {
        format!("{}-{}", self.group, self.member)
    }

    /// The topics that are shared, in the one way or the other.
    pub fn all_topics(&self) -> Vec<String> {
        self.topics.iter().chain(&self.apart).cloned().collect()
    }
}

/// What a poll brought. Any but [`Polled::Records`] has fetched nothing. No record that was fetched is lost by it either: an
/// event that arrives in the middle of a poll is told by the next one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Polled {
    /// There may be records in the [`Fetched`] given; it may also be empty.
    Records,
    /// These partitions belong to this session from now on. Nothing is fetched of them before [`Session::begin`].
    Assigned(Vec<TopicPartition>),
    /// These are to be given up. They are still this session's: the caller commits what is staged, then calls
    /// [`Session::release`].
    Revoked(Vec<TopicPartition>),
    /// These have been taken away and may be another's already. The caller throws staged work away, then calls
    /// [`Session::release`].
    Lost(Vec<TopicPartition>),
}

/// A place where topics are.
pub trait Log: Clone + Send + Sync + 'static {
    /// A worker's part in a group.
    type Session: Session;
    /// A reader outside any group.
    type Reader: Reader + Send;
    /// A writer outside transactions.
    type Writer: Writer + Send;

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

    /// Deletes topics with all that is in them, as far as they exist. Nobody may read or write them any more.
    ///
    /// # Errors
    /// If the log can't be reached or refuses.
    fn delete_topics(&self, names: &[String]) -> Result<(), LogError>;

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

    /// A reader of committed records of one partition, from an offset on. If the log no longer has that offset, its first poll
    /// fails.
    ///
    /// # Errors
    /// If the log can't be reached, or the topic or partition does not exist.
    fn partition_reader(&self, at: &TopicPartition, from: Offset)
    -> Result<Self::Reader, LogError>;

    /// The settings of a topic in Kafka's names; empty where the log has none.
    ///
    /// # Errors
    /// If the log can't be reached or the topic does not exist.
    fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, String>, LogError>;

    /// By partition number, the first offset whose record has a timestamp at or after `at`; the partition's end where there is
    /// none.
    ///
    /// # Errors
    /// If the log can't be reached or the topic does not exist.
    fn offsets_at(&self, topic: &str, at: Timestamp) -> Result<Vec<Offset>, LogError>;

    /// The live members of a group, by the names under which they commit, sorted. A member that died counts as live until the log
    /// has missed it for long enough.
    ///
    /// # Errors
    /// If the log can't be reached.
    fn members(&self, group: &str) -> Result<Vec<String>, LogError>;

    /// Where a group stands in these partitions, asked from outside it; partitions never committed are left out. Waits
    /// for transactions that have not been decided.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if a transaction stays undecided or the log can't be reached.
    fn group_offsets(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<Vec<GroupOffset>, LogError>;

    /// Sets where a group stands.
    ///
    /// # Errors
    /// [`LogError::Refused`] while the group has live members; otherwise if the log can't be reached.
    fn set_group_offsets(&self, group: &str, offsets: &[GroupOffset]) -> Result<(), LogError>;

    /// Ends, at once, whatever transactions those members of a group have left open for which `dead` says so, of all that have
    /// ever joined. They are told apart by the names under which they commit. A member that is alive after all is only
    /// disturbed: its commit fails with [`CommitError::Unknown`], and it joins again. Returns how many there were.
    ///
    /// # Errors
    /// If the log can't be reached.
    fn end_transactions(&self, group: &str, dead: &dyn Fn(&str) -> bool)
    -> Result<usize, LogError>;

    /// The same for the members that are no longer alive.
    ///
    /// # Errors
    /// If the log can't be reached.
    fn end_dead_transactions(&self, group: &str) -> Result<usize, LogError> {
        let live = self.members(group)?;
        self.end_transactions(group, &|id| live.iter().all(|live| live != id))
    }

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

    /// The partitions that have been assigned to this session and that it has not released yet, sorted.
    fn assignment(&self) -> Vec<TopicPartition>;

    /// Where the group stands in these partitions, whoever owns them; partitions never committed are left out. Waits
    /// for transactions that have not been decided.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if a transaction stays undecided or the log can't be reached.
    fn committed(&mut self, of: &[TopicPartition]) -> Result<Vec<GroupOffset>, LogError>;

    /// Starts fetching partitions that were assigned, each from its offset.
    ///
    /// # Errors
    /// If a partition is not assigned or was begun before.
    fn begin(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError>;

    /// Goes on reading at these offsets, in partitions that were begun; records fetched before and not yet handed out are
    /// dropped.
    ///
    /// # Errors
    /// If a partition was not begun or the log can't be reached.
    fn seek(&mut self, to: &[(TopicPartition, Offset)]) -> Result<(), LogError>;

    /// Fetches no more of these partitions, which were begun, until [`Session::resume`]; nothing of them is handed out meanwhile,
    /// also of what had been fetched. They stay this session's, and a seek leaves them paused. What is given up is paused no
    /// longer.
    ///
    /// # Errors
    /// If a partition was not begun.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;

    /// Fetches partitions again that were paused, each from its offset.
    ///
    /// # Errors
    /// If a partition was not begun or the log can't be reached.
    fn resume(&mut self, from: &[(TopicPartition, Offset)]) -> Result<(), LogError>;

    /// Gives up partitions that were revoked or lost. Nothing of them is handed out afterwards.
    ///
    /// # Errors
    /// If a partition was neither.
    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;

    /// Commits records and the group's offsets as [`Membership::delivery`] says. Blocks until it is decided; where offsets are apart from
    /// records ([`Delivery::AtLeastOnce`]) until the records are safe. Their offsets are committed soon after, and at the latest before
    /// [`Session::committed`] and [`Session::release`] return or the session ends. Refuses with
    /// [`CommitError::Aborted`], before anything is sent, offsets of partitions that don't belong to this session now, and
    /// everything if the group no longer takes this session for a member.
    ///
    /// # Errors
    /// See [`CommitError`], which says for each case what has become of the transaction and the session.
    fn commit(&mut self, outbox: &Outbox, offsets: &[GroupOffset]) -> Result<Written, CommitError>;
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
