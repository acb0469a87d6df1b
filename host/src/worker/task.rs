//! A task: one stage of the pipeline on one partition, with where it stands and, where it owns windows, their state.
//!
//! A *source* task reads a partition of a source topic, a *final* task one of the repartition topic. A task is what moves when
//! workers come and go, and what recovers: what it commits is its offset and, beside it, its [`Mark`].

use std::time::Duration;

use super::owned::OwnedWindows;
use crate::log::{GroupOffset, Offset, TopicPartition};
use crate::state::{Mark, Origin, Pieces, Shape, Stage};
use crate::time::Timestamp;
use crate::window::{PartitionWatermark, Silence};

/// How far a task has read, and how far event time has come there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Point {
    /// The next offset to read.
    pub(super) next: Offset,
    /// The watermark of a source partition; of a final task that its state has.
    pub(super) watermark: Timestamp,
    /// The highest event time of a source partition.
    pub(super) highest: Timestamp,
}

/// A task that runs.
pub(super) struct Task {
    pub(super) at: TopicPartition,
    pub(super) stage: Stage,
    /// The number of its partition among those of the source.
    pub(super) source: u32,
    pub(super) next: Offset,
    /// Of a source partition; unused by a final task, whose windows have those of all partitions.
    pub(super) watermark: PartitionWatermark,
    /// What is committed.
    pub(super) committed: Point,
    /// Nothing has ever been committed for it: where it began must not depend on when that is asked again.
    pub(super) is_new: bool,
    pub(super) windows: Option<OwnedWindows>,
    /// Partials of which only some pieces have come.
    pub(super) pieces: Pieces,
    pub(super) origin: Option<Origin>,
    /// The version of the function's state that its windows have now.
    pub(super) state_version: u32,
    /// The one that is committed.
    pub(super) committed_version: u32,
    /// How long its partition has brought nothing.
    pub(super) silence: Silence,
    /// The run ends with what has been read, here and in all partitions of the process.
    pub(super) is_over: bool,
}

impl Task {
    /// How far it is.
    pub(super) fn point(&self) -> Point {
        let watermark = match (&self.windows, self.stage) {
            (Some(windows), Stage::Final) => windows.watermarks.lowest(),
            _ => self.watermark.at(),
        };
        Point {
            next: self.next,
            watermark,
            highest: self.watermark.highest(),
        }
    }

    /// Whether there is something to commit.
    pub(super) fn has_moved(&self) -> bool {
        self.is_new
            || self.point() != self.committed
            || self.state_version != self.committed_version
    }

    /// What is committed for it when it has come as far as this, in a version of this shape and generation.
    pub(super) fn offset(&self, shape: &Shape, generation: u64) -> GroupOffset {
        let Point {
            next,
            watermark,
            highest,
        } = self.point();
        let mark = Mark {
            watermark,
            highest,
            shape: Shape {
                state_version: match self.windows {
                    Some(_) => self.state_version,
                    None => shape.state_version,
                },
                ..shape.clone()
            },
            state: self.origin.clone(),
            generation,
        };
        GroupOffset {
            at: self.at.clone(),
            offset: next,
            metadata: mark.to_json(),
        }
    }

    /// Takes note that it was committed as it is.
    pub(super) fn commit(&mut self) {
        self.committed = self.point();
        self.committed_version = self.state_version;
        self.is_new = false;
    }

    /// Goes back to what is committed; its windows go back by themselves.
    pub(super) fn roll_back(&mut self, disorder: Duration) {
        self.next = self.committed.next;
        self.state_version = self.committed_version;
        let Point {
            watermark, highest, ..
        } = self.committed;
        self.watermark = PartitionWatermark::resumed(disorder, watermark, highest);
        self.pieces = Pieces::new();
        self.is_over = false;
    }
}
