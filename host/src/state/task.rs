//! Tasks, and how far the local copy of a task's state has come.
//!
//! # The position, version 1
//! Stored beside a task's entries, in the same batch as they are:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 4 and as many as they say | the lineage's name: UTF-8 |
//! | 8 | the next offset of the changelog: i64, not below 0 |
//! | 8 | when it was written, in milliseconds: i64 |
//!
//! # Stories of a crash
//! - *Between the log's commit and the store's*: the position is behind the changelog; the records from there on are
//!   applied when the task is taken over again.
//! - *The topic was deleted and made again, or the folder comes from elsewhere*: offsets alone would not tell, so the
//!   position names the lineage of its offsets; where the committed one is another, the slice is worth nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::format::{FormatError, Reading, put_bytes};
use crate::log::Offset;
use crate::time::Timestamp;

/// The part of a pipeline that a task runs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// From a source partition on: to the results, or to the partials that the final stage merges.
    Source,
    /// Merges the partials that come through a partition of the repartition topic, and fires their windows.
    Final,
}

/// One stage of a pipeline on one partition: what moves between workers, and what state belongs to.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TaskId {
    /// The stage.
    pub stage: Stage,
    /// The partition, which is also that of its changelog.
    pub partition: i32,
}

/// `source-0`, `final-3`.
impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Source => "source",
            Stage::Final => "final",
        };
        write!(f, "{stage}-{}", self.partition)
    }
}

/// Reads what `Display` writes, and nothing else.
impl FromStr for TaskId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let parse = || {
            let (stage, partition) = text.split_once('-')?;
            let stage = match stage {
                "source" => Stage::Source,
                "final" => Stage::Final,
                _ => return None,
            };
            let partition = partition.parse().ok().filter(|number| *number >= 0)?;
            Some(TaskId { stage, partition })
        };
        parse()
            .filter(|task| task.to_string() == text)
            .ok_or(FormatError::Damaged("the name of a task"))
    }
}

/// Names one history of a task's state. Two histories have different names, so that the records of one are never
/// applied to the entries of another.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String")]
pub struct Lineage(String);

impl Lineage {
    /// The longest name that is read.
    const MOST: usize = 256;

    /// The name of a history that `member` begins now.
    pub fn new(now: Timestamp, member: &str, task: TaskId) -> Self {
        let mut name = format!("{task}/{}/{member}", now.0);
        name.truncate(name.floor_char_boundary(Self::MOST));
        Self(name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Lineage {
    type Error = FormatError;

    fn try_from(name: String) -> Result<Self, FormatError> {
        match name.len() {
            1..=Self::MOST => Ok(Self(name)),
            _ => Err(FormatError::Damaged("the name of a lineage")),
        }
    }
}

/// How far the entries of a task have come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Position {
    /// The history that they belong to.
    pub lineage: Lineage,
    /// The offset of the changelog from which on nothing has been applied.
    pub next: Offset,
    /// The wall clock's time when they were last applied to.
    pub applied: Timestamp,
}

const WHAT: &str = "the position of a task";
const VERSION: u8 = 1;

impl Position {
    /// The position as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_bytes(out, self.lineage.0.as_bytes());
        out.extend_from_slice(&self.next.0.to_be_bytes());
        out.extend_from_slice(&self.applied.0.to_be_bytes());
    }

    /// Reads what [`Position::encode`] wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reading = Reading::versioned(WHAT, VERSION, bytes)?;
        let lineage = Lineage::try_from(reading.text()?.to_owned())?;
        let next = Offset(reading.i64()?);
        let applied = reading.timestamp()?;
        if next < Offset(0) {
            return Err(reading.damaged());
        }
        reading.end()?;
        Ok(Self {
            lineage,
            next,
            applied,
        })
    }
}
