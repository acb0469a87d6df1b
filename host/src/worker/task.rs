//! One source partition: how far it has been read, its watermark, and what is committed for it.
//!
//! # What is committed beside an offset
//! The offset that the group commits is where reading has to begin again. Beside it stands, as JSON:
//!
//! ```json
//! {"v":1,"watermark":1700000000000,"next":1234,"fired":1699999980000}
//! ```
//!
//! - `v`: the version of this format.
//! - `watermark`: the partition's watermark before the committed offset, in milliseconds; absent if it had none.
//! - `next`: the offset up to which rows have been read and everything that came of them has been written, open
//!   windows excepted.
//! - `fired`: windows that end at or before this have fired; absent if none had.
//!
//! # Stories of a crash
//! - *Between two commits*: nothing of the time since the last one is visible; the next owner starts where that
//!   stood.
//! - *After a commit*: the next owner reads again from the committed offset. What came of rows before `next` was
//!   written, so dead letters and late rows are not written again; windows that end by `fired` fired, so
//!   their rows are passed over. All other rows build up their windows as before, since each is judged by the
//!   watermark of its own partition, which starts from `watermark`.
//! - *Somebody has set the group's offsets by hand*: the metadata is gone, and reading starts there with time unknown.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::log::{GroupOffset, Offset, TopicPartition};
use crate::time::Timestamp;
use crate::window::{FirstRow, PartitionWatermark};

/// The version of the metadata that is written and read.
const VERSION: u32 = 1;

#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Metadata {
    v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watermark: Option<i64>,
    next: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fired: Option<i64>,
}

/// Where a partition stands and where it was when it was taken over.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) at: TopicPartition,
    /// The next offset to read.
    pub(super) next: Offset,
    pub(super) watermark: PartitionWatermark,
    /// What came of rows before this offset has been written already.
    pub(super) written_to: Offset,
}

/// What a task starts from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Resume {
    /// Where reading begins.
    pub(super) from: Offset,
    /// The watermark before it.
    pub(super) watermark: Timestamp,
    /// What came of rows before this offset has been written.
    pub(super) written_to: Offset,
    /// Windows that end at or before this have fired.
    pub(super) fired: Timestamp,
}

impl Resume {
    /// From an offset of which nothing more is known.
    pub(super) fn fresh(from: Offset) -> Self {
        Self {
            from,
            watermark: Timestamp::MIN,
            written_to: from,
            fired: Timestamp::MIN,
        }
    }

    /// From what the group has committed.
    ///
    /// # Errors
    /// If the metadata is not of a version that is read here.
    pub(super) fn committed(committed: &GroupOffset) -> Result<Self, String> {
        if committed.metadata.is_empty() {
            return Ok(Self::fresh(committed.offset));
        }
        let metadata: Metadata = serde_json::from_str(&committed.metadata).map_err(|error| {
            format!(
                "the metadata of the committed offset is not this program's ({error}): the group belongs to something \
                 else; choose another pipeline name, or delete the group's offsets"
            )
        })?;
        if metadata.v != VERSION {
            return Err(format!(
                "the committed offset was written by another release (format {}, this one reads {VERSION}): run that \
                 release",
                metadata.v
            ));
        }
        Ok(Self {
            from: committed.offset,
            watermark: metadata.watermark.map_or(Timestamp::MIN, Timestamp),
            written_to: Offset(metadata.next).max(committed.offset),
            fired: metadata.fired.map_or(Timestamp::MIN, Timestamp),
        })
    }
}

impl Task {
    pub(super) fn new(at: TopicPartition, resume: Resume, disorder: Duration) -> Self {
        Self {
            at,
            next: resume.from,
            watermark: PartitionWatermark::resumed(disorder, resume.watermark),
            written_to: resume.written_to,
        }
    }

    /// What to commit: `first` is the first row that an open window needs, if any does; windows that end at or before
    /// `fired` have fired.
    pub(super) fn commit(&self, first: Option<FirstRow>, fired: Timestamp) -> GroupOffset {
        let restart = first.unwrap_or(FirstRow {
            offset: self.next,
            watermark: self.watermark.at(),
        });
        let known = |at: Timestamp| (at != Timestamp::MIN).then_some(at.0);
        let metadata = Metadata {
            v: VERSION,
            watermark: known(restart.watermark),
            // While rows are read again, what was written before is more than what has been read.
            next: self.next.max(self.written_to).0,
            fired: known(fired),
        };
        GroupOffset {
            at: self.at.clone(),
            offset: restart.offset,
            metadata: serde_json::to_string(&metadata).expect("numbers can be written as JSON"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(next: i64, written_to: i64) -> Task {
        let resume = Resume {
            from: Offset(next),
            watermark: Timestamp(5_000),
            written_to: Offset(written_to),
            fired: Timestamp::MIN,
        };
        Task::new(TopicPartition::new("t", 0), resume, Duration::from_secs(1))
    }

    #[test]
    fn what_is_committed_is_what_the_next_owner_starts_from() {
        let first = FirstRow {
            offset: Offset(40),
            watermark: Timestamp(3_000),
        };
        let committed = task(100, 0).commit(Some(first), Timestamp(2_000));
        assert_eq!(
            Resume::committed(&committed),
            Ok(Resume {
                from: Offset(40),
                watermark: Timestamp(3_000),
                written_to: Offset(100),
                fired: Timestamp(2_000),
            })
        );
    }

    #[test]
    fn without_open_windows_reading_goes_on_where_it_stopped() {
        let committed = task(100, 0).commit(None, Timestamp::MIN);
        let resume = Resume::committed(&committed).expect("our own metadata");
        assert_eq!((resume.from, resume.written_to), (Offset(100), Offset(100)));
        assert_eq!(resume.watermark, Timestamp(5_000));
        assert_eq!(resume.fired, Timestamp::MIN);
    }

    #[test]
    fn a_commit_while_rows_are_read_again_does_not_forget_how_far_they_had_been_written() {
        let committed = task(50, 100).commit(None, Timestamp::MIN);
        let resume = Resume::committed(&committed).expect("our own metadata");
        assert_eq!((resume.from, resume.written_to), (Offset(50), Offset(100)));
    }

    #[test]
    fn offsets_set_by_hand_start_afresh_and_foreign_metadata_is_refused() {
        let mut committed = task(7, 0).commit(None, Timestamp::MIN);
        committed.metadata = String::new();
        assert_eq!(Resume::committed(&committed), Ok(Resume::fresh(Offset(7))));
        committed.metadata = "something else".to_owned();
        assert!(Resume::committed(&committed).is_err());
        committed.metadata = r#"{"v":2,"next":1}"#.to_owned();
        assert!(
            Resume::committed(&committed)
                .expect_err("v2")
                .contains("another release")
        );
    }

    /// Version 1 as it is written today: a later release must read it.
    #[test]
    fn version_1_is_read() {
        let committed = GroupOffset {
            at: TopicPartition::new("t", 0),
            offset: Offset(3),
            metadata: r#"{"v":1,"watermark":-1,"next":9,"fired":-5}"#.to_owned(),
        };
        let resume = Resume::committed(&committed).expect("version 1");
        assert_eq!(resume.watermark, Timestamp(-1));
        assert_eq!(
            (resume.written_to, resume.fired),
            (Offset(9), Timestamp(-5))
        );
    }
}
