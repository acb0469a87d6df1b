//! Reads on in a topic, from its first record.

use std::time::{Duration, Instant};

use crate::log::{Fetched, Log, LogError, Reader};

/// How long records that must be there are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A reader of committed records.
pub(super) struct Tail<L: Log> {
    reader: L::Reader,
    fetched: Fetched,
    read: u64,
    /// When records came last.
    since: Instant,
    /// Whether the last poll brought none.
    empty_handed: bool,
}

impl<L: Log> Tail<L> {
    /// Of a topic that exists.
    ///
    /// # Errors
    /// If the log can't be reached.
    pub(super) fn new(log: &L, topic: &str) -> Result<Self, LogError> {
        Ok(Self {
            reader: log.reader(topic, &[])?,
            fetched: Fetched::new(),
            read: 0,
            since: Instant::now(),
            empty_handed: false,
        })
    }

    /// The values that come within `wait`; nothing in place of a tombstone.
    ///
    /// # Errors
    /// If the log can't be read.
    pub(super) fn poll(&mut self, wait: Duration) -> Result<Vec<Vec<u8>>, LogError> {
        self.reader.poll(&mut self.fetched, wait)?;
        self.empty_handed = self.fetched.is_empty();
        if !self.empty_handed {
            self.since = Instant::now();
        }
        self.read += self.fetched.len() as u64;
        let rows = self
            .fetched
            .batches()
            .flat_map(|batch| (0..batch.len()).map(move |row| batch.value(row)));
        Ok(rows
            .map(|value| value.unwrap_or_default().to_vec())
            .collect())
    }

    /// How many records have come.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Whether to poll on for the last records of a topic to which nothing is written any more, and which should hold
    /// `expected`: there may be more, until a poll brings nothing, and fewer, which is waited for only so long.
    pub(super) fn has_more(&self, expected: u64) -> bool {
        !self.empty_handed || (self.read < expected && self.since.elapsed() < PATIENCE)
    }
}
