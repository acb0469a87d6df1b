//! Where a task begins that this worker has been given: decided from what the group has committed, what the log has and
//! what the local store has. Pure.
//!
//! # Stories of a crash
//! - *Between two commits*: nothing of the time since the last one is visible; the next owner begins where that stood.
//! - *After a commit, before the store has it*: the store lags its changelog. The next owner reads the changelog on from
//!   where the store stands.
//! - *The store is gone, cut off, or that of another history*: the changelog is read from where this history begins.
//! - *The store is ahead*: it has what the log has not. It never gets there by our own doing, but a folder may be copied, and a log set
//!   back. It is read anew.

use std::time::Duration;

use super::WorkerError;
use crate::log::{Bounds, GroupOffset, Offset, TopicPartition};
use crate::pipeline::config::Start;
use crate::state::{Committed, FormatError, Origin, Position, Shape};
use crate::time::{Timestamp, millis};

/// Where a task begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Begin {
    pub(super) next: Offset,
    pub(super) watermark: Timestamp,
    pub(super) highest: Timestamp,
    /// Of its state, where it has had one.
    pub(super) origin: Option<Origin>,
    /// The version of the function's state that it has, where something was committed.
    pub(super) state_version: Option<u32>,
    /// Nothing has been committed for it.
    pub(super) is_new: bool,
    /// How many records the log has deleted that had not been read.
    pub(super) lost: i64,
}

/// Where the task of partition `at` begins. `start` is for one that never committed.
///
/// # Errors
/// If what is committed is not this pipeline's, or the log ends before it.
pub(super) fn begin(
    at: &TopicPartition,
    committed: Option<&GroupOffset>,
    bounds: Bounds,
    start: Start,
) -> Result<Begin, WorkerError> {
    let fresh = |next, is_new| Begin {
        next,
        watermark: Timestamp::MIN,
        highest: Timestamp::MIN,
        origin: None,
        state_version: None,
        is_new,
        lost: 0,
    };
    let Some(committed) = committed else {
        let next = match start {
            Start::Earliest => bounds.start,
            Start::Latest => bounds.end,
        };
        return Ok(fresh(next, true));
    };
    let mut begin = match parse(committed)? {
        Committed::Start => fresh(committed.offset, true),
        Committed::Importing => {
            return Err(WorkerError::Committed {
                at: at.clone(),
                what: "an import of its state was not finished: import again, or begin anew with `millstream state reset`"
                    .to_owned(),
            });
        }
        Committed::Mark(mark) => Begin {
            next: committed.offset,
            watermark: mark.watermark,
            highest: mark.highest,
            origin: mark.state,
            state_version: Some(mark.shape.state_version),
            is_new: false,
            lost: 0,
        },
    };
    if begin.next > bounds.end.max(bounds.written) {
        return Err(WorkerError::Committed {
            at: at.clone(),
            what: format!(
                "it had been read up to offset {}, and now ends at {}: the topic was deleted and created again, or its end was \
                 cut off; begin anew with `millstream state reset`, or choose another pipeline name",
                begin.next, bounds.end
            ),
        });
    }
    if begin.next < bounds.start {
        begin.lost = bounds.start.0 - begin.next.0;
        begin.next = bounds.start;
    }
    Ok(begin)
}

/// Whether a version can go on with what the group has committed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fit {
    /// It can.
    Follows,
    /// A version of this generation has committed, and this process does not have it yet.
    Waits(u64),
}

/// Refuses a pipeline that its state can't follow. Looks at all that the group has committed, whoever owns it. `generation` is the
/// highest one that is in place here; `migrates` says whether the function reads an earlier version of its state.
///
/// # Errors
/// If the state was made by a pipeline of another shape, or not by this program.
pub(super) fn fits(
    committed: &[GroupOffset],
    now: &Shape,
    generation: u64,
    migrates: &dyn Fn(u32) -> bool,
) -> Result<Fit, WorkerError> {
    for offset in committed {
        let Committed::Mark(mut mark) = parse(offset)? else {
            continue;
        };
        if mark.generation > generation {
            return Ok(Fit::Waits(mark.generation));
        }
        // A task without state of its own has none to be carried over, and what it sends says of which version it is.
        if mark.state.is_none() || migrates(mark.shape.state_version) {
            mark.shape.state_version = now.state_version;
        }
        let differences = mark.shape.differences(now);
        if !differences.is_empty() {
            return Err(WorkerError::Shape(differences));
        }
    }
    Ok(Fit::Follows)
}

fn parse(committed: &GroupOffset) -> Result<Committed, WorkerError> {
    Committed::parse(&committed.metadata).map_err(|error: FormatError| WorkerError::Committed {
        at: committed.at.clone(),
        what: format!(
            "what stands beside its committed offset is not this release's ({error}): the offset was set by another tool, or the group \
             belongs to something else; say where to begin with `millstream state reset`, or choose another pipeline name"
        ),
    })
}

/// What becomes of a task's slice of the local store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Slice {
    /// It is read on from where it stands.
    Continue(Offset),
    /// It is thrown away, for this reason, and the changelog read from where the history begins.
    Rebuild(Offset, String),
}

/// What becomes of the slice that stands at `position`, for a history that began at `origin` in a changelog with `bounds`.
/// `tombstones_for` is how long the log keeps a tombstone, if it ever drops one.
///
/// # Errors
/// If the changelog no longer has what is needed: why, for the operator.
pub(super) fn slice(
    position: Option<&Position>,
    origin: &Origin,
    bounds: Bounds,
    now: Timestamp,
    tombstones_for: Option<Duration>,
) -> Result<Slice, String> {
    let end = bounds.written.max(bounds.end);
    if end < origin.base {
        return Err(format!(
            "its state begins at offset {} of the changelog, which now ends at {end}: the topic was deleted and created again",
            origin.base
        ));
    }
    let why = match position {
        None => None,
        Some(position) if position.lineage != origin.lineage => {
            Some("it is of another history of this state".to_owned())
        }
        Some(position) if position.next > end => Some(format!(
            "it stands at offset {} of a changelog that ends at {end}",
            position.next
        )),
        Some(position) if position.next < origin.base => {
            Some("it is older than this history of the state".to_owned())
        }
        Some(position) if is_stale(position, now, tombstones_for) => Some(format!(
            "it was last written at {}, and the log may have dropped tombstones since",
            position.applied
        )),
        Some(position) if position.next >= bounds.start => {
            return Ok(Slice::Continue(position.next));
        }
        Some(position) => Some(format!(
            "it stands at offset {} of a changelog that now begins at {}",
            position.next, bounds.start
        )),
    };
    if bounds.start > origin.base {
        return Err(format!(
            "its state begins at offset {} of the changelog, which now begins at {}: records were deleted from a topic that is to be \
             compacted only{}",
            origin.base,
            bounds.start,
            why.map(|why| format!("; and the local store does not help: {why}"))
                .unwrap_or_default()
        ));
    }
    let why = why.unwrap_or_else(|| "there is none".to_owned());
    Ok(Slice::Rebuild(origin.base, why))
}

/// Since when a slice that stands at `position` counts as written if it is read on: since now only where nothing is left to
/// read. A slice that is only looked at, again and again, must not seem fresh: tombstones that it has not seen go away meanwhile.
pub(super) fn applied(position: &Position, bounds: Bounds, now: Timestamp) -> Timestamp {
    if position.next >= bounds.end {
        now
    } else {
        position.applied
    }
}

/// Whether the log may have dropped tombstones that a slice at `position` has not seen: half of the time that it keeps them has
/// gone by, so that reading on is over before the other half has.
fn is_stale(position: &Position, now: Timestamp, tombstones_for: Option<Duration>) -> bool {
    tombstones_for.is_some_and(|kept| now.0 - position.applied.0 > millis(kept) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Lineage;

    fn bounds(start: i64, end: i64) -> Bounds {
        Bounds {
            start: Offset(start),
            end: Offset(end),
            written: Offset(end),
        }
    }

    fn lineage(name: i64) -> Lineage {
        let task = crate::state::TaskId {
            stage: crate::state::Stage::Final,
            partition: 0,
        };
        Lineage::new(Timestamp(name), "member", task)
    }

    fn position(next: i64, applied: i64) -> Position {
        Position {
            lineage: lineage(1),
            next: Offset(next),
            applied: Timestamp(applied),
        }
    }

    fn judge(position: Option<&Position>, base: i64, bounds: Bounds) -> Result<Slice, String> {
        let origin = Origin {
            lineage: lineage(1),
            base: Offset(base),
        };
        let day = Some(Duration::from_secs(86_400));
        slice(position, &origin, bounds, Timestamp(1_000), day)
    }

    fn rebuilt(slice: Result<Slice, String>) -> (i64, String) {
        match slice {
            Ok(Slice::Rebuild(from, why)) => (from.0, why),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_store_that_lags_is_read_on() {
        let slice = judge(Some(&position(50, 0)), 10, bounds(0, 100));
        assert_eq!(slice, Ok(Slice::Continue(Offset(50))));
        let slice = judge(Some(&position(100, 0)), 10, bounds(0, 100));
        assert_eq!(slice, Ok(Slice::Continue(Offset(100))));
    }

    #[test]
    fn a_store_that_is_missing_ahead_or_of_another_history_is_rebuilt() {
        assert_eq!(rebuilt(judge(None, 10, bounds(0, 100))).0, 10);
        let (from, why) = rebuilt(judge(Some(&position(101, 0)), 10, bounds(0, 100)));
        assert!(from == 10 && why.contains("101"), "{why}");
        let mut other = position(50, 0);
        other.lineage = lineage(2);
        let (_, why) = rebuilt(judge(Some(&other), 10, bounds(0, 100)));
        assert!(why.contains("another history"), "{why}");
    }

    #[test]
    fn a_store_that_may_have_missed_tombstones_is_rebuilt() {
        let days = 43_200_000;
        let slice = judge(Some(&position(50, 1_000 - days)), 10, bounds(0, 100));
        assert_eq!(slice, Ok(Slice::Continue(Offset(50))));
        let (_, why) = rebuilt(judge(Some(&position(50, 999 - days)), 10, bounds(0, 100)));
        assert!(why.contains("tombstones"), "{why}");
    }

    #[test]
    fn a_slice_is_as_fresh_as_its_last_reading_however_often_it_is_claimed() {
        let now = Timestamp(1_000);
        assert_eq!(applied(&position(50, 7), bounds(0, 100), now), Timestamp(7));
        assert_eq!(applied(&position(100, 7), bounds(0, 100), now), now);
    }

    #[test]
    fn a_changelog_whose_start_was_deleted_past_our_position_is_refused() {
        let slice = judge(Some(&position(50, 0)), 10, bounds(40, 100));
        assert_eq!(slice, Ok(Slice::Continue(Offset(50))), "not past it");
        let told = judge(Some(&position(50, 0)), 10, bounds(60, 100)).expect_err("a gap");
        assert!(told.contains("begins at 60"), "{told}");
        assert!(judge(None, 10, bounds(11, 100)).is_err());
        assert!(judge(None, 10, bounds(0, 9)).is_err(), "created again");
    }

    fn committed(offset: i64, metadata: &str) -> GroupOffset {
        GroupOffset {
            at: TopicPartition::new("t", 0),
            offset: Offset(offset),
            metadata: metadata.to_owned(),
        }
    }

    fn begun(committed: Option<&GroupOffset>, bounds: Bounds) -> Result<Begin, WorkerError> {
        begin(
            &TopicPartition::new("t", 0),
            committed,
            bounds,
            Start::Latest,
        )
    }

    fn marked(generation: u64, state_version: u32) -> GroupOffset {
        let mark = crate::state::Mark {
            watermark: Timestamp(0),
            highest: Timestamp(0),
            shape: shape(state_version),
            state: Some(Origin {
                lineage: lineage(1),
                base: Offset(0),
            }),
            generation,
        };
        committed(7, &mark.to_json())
    }

    fn shape(state_version: u32) -> Shape {
        Shape {
            stages: crate::state::Stages::One,
            function: "f".to_owned(),
            state_version,
            ..Shape::default()
        }
    }

    #[test]
    fn what_a_newer_version_has_committed_is_waited_for_and_what_an_older_one_has_is_carried_over()
    {
        let told = |mark, generation, migrates: &dyn Fn(u32) -> bool| {
            fits(&[mark], &shape(2), generation, migrates)
        };
        let never = |_| false;
        assert_eq!(told(marked(5, 3), 4, &never).ok(), Some(Fit::Waits(5)));
        assert_eq!(told(marked(4, 2), 4, &never).ok(), Some(Fit::Follows));
        let refused = told(marked(4, 1), 4, &never).expect_err("another state version");
        assert!(
            refused.to_string().contains("state version was 1, now 2"),
            "{refused}"
        );
        assert_eq!(
            told(marked(4, 1), 4, &|from| from == 1).ok(),
            Some(Fit::Follows)
        );
    }

    #[test]
    fn a_task_begins_where_it_was_committed_told_or_configured() {
        let fresh = begun(None, bounds(5, 9)).expect("nothing is wrong");
        assert_eq!((fresh.next, fresh.is_new), (Offset(9), true));
        let told = committed(7, &Committed::Start.to_json());
        let told = begun(Some(&told), bounds(5, 9)).expect("nothing is wrong");
        assert_eq!((told.next, told.is_new), (Offset(7), true));
    }

    #[test]
    fn records_that_are_gone_are_counted_and_offsets_that_never_were_refused() {
        let told = committed(2, &Committed::Start.to_json());
        let begin = begun(Some(&told), bounds(5, 9)).expect("it goes on with what is left");
        assert_eq!((begin.next, begin.lost), (Offset(5), 3));
        let told = committed(10, &Committed::Start.to_json());
        let refused = begun(Some(&told), bounds(5, 9)).expect_err("the log ends before it");
        assert!(refused.to_string().contains("created again"), "{refused}");
        let foreign = committed(7, "");
        let refused = begun(Some(&foreign), bounds(5, 9)).expect_err("not ours");
        assert!(refused.to_string().contains("state reset"), "{refused}");
    }
}
