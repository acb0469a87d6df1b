//! A group's offsets are set, and beside each stands that the pipeline begins there with nothing known.

use super::standing::{Standing, Task};
use super::{Begin, OutsideError};
use crate::log::{GroupOffset, Log, Offset, TopicPartition};
use crate::pipeline::config::PipelineConfig;
use crate::state::Committed;
use crate::time::Clock;

/// A reset that may be made: the pipeline rests, and these are the offsets.
#[derive(Clone, Debug)]
pub(crate) struct Reset {
    standing: Standing,
    moves: Vec<Move>,
}

impl Reset {
    /// Looks where a pipeline stands and would begin. Changes nothing.
    ///
    /// # Errors
    /// If it runs anywhere, the offsets are none of its source, or the log does not answer.
    pub(crate) fn plan<L: Log>(
        to: &Begin,
        config: &PipelineConfig,
        log: &L,
        clock: &impl Clock,
    ) -> Result<Self, OutsideError> {
        let standing = Standing::read(config, log, clock)?;
        standing.must_be_still()?;
        let sources = to.offsets(log, &config.source.topics)?;
        let moves = moves(&standing, &sources);
        Ok(Self { standing, moves })
    }

    /// What it sets.
    pub(crate) fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// Does it.
    ///
    /// # Errors
    /// If the log refuses, as it does when the pipeline was started meanwhile.
    pub(crate) fn make<L: Log>(&self, log: &L, clock: &impl Clock) -> Result<(), OutsideError> {
        set(log, &self.standing, &self.moves, clock)
    }
}

/// Sets where a pipeline begins that has never committed anything.
///
/// # Errors
/// If it has, if it is running, or if the log refuses.
pub(crate) fn begin<L: Log>(
    begin: &Begin,
    config: &PipelineConfig,
    log: &L,
    clock: &impl Clock,
) -> Result<(), OutsideError> {
    let standing = Standing::read(config, log, clock)?;
    may_begin(&standing).map_err(OutsideError::Begun)?;
    standing.must_be_still()?;
    let sources = begin.offsets(log, &config.source.topics)?;
    for (at, offset) in &sources {
        tracing::info!(partition = %at, %offset, "beginning here");
    }
    set(log, &standing, &moves(&standing, &sources), clock)
}

/// Whether a beginning may be given: only to a pipeline that has not begun. One that was reset and has not run since has
/// not.
fn may_begin(standing: &Standing) -> Result<(), String> {
    let begun = |task: &&Task| !matches!(task.mark(), None | Some(Ok(Committed::Start)));
    match standing.tasks().find(begun) {
        None => Ok(()),
        Some(task) => Err(format!(
            "--from is for a pipeline that has never committed anything, and {} has for {}: leave it out to go on from \
             there, or begin anew with `millstream state reset`",
            standing.group, task.at
        )),
    }
}

/// A partition that begins somewhere else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Move {
    /// The partition.
    pub(crate) at: TopicPartition,
    /// What was committed for it.
    pub(crate) from: Option<Offset>,
    /// Where it begins.
    pub(crate) to: Offset,
}

/// What is to be set for a source that begins at these offsets. Partials on their way are of rows that are read again, or
/// not at all: they are passed over.
fn moves(standing: &Standing, sources: &[(TopicPartition, Offset)]) -> Vec<Move> {
    let committed = |at: &TopicPartition| {
        let task = standing.tasks().find(|task| task.at == *at)?;
        task.committed.as_ref().map(|committed| committed.offset)
    };
    let finals = standing
        .finals
        .iter()
        .map(|task| (task.at.clone(), task.bounds.written));
    let all = sources.iter().cloned().chain(finals);
    all.map(|(at, to)| Move {
        from: committed(&at),
        at,
        to,
    })
    .collect()
}

fn set<L: Log>(
    log: &L,
    standing: &Standing,
    moves: &[Move],
    clock: &impl Clock,
) -> Result<(), OutsideError> {
    super::end_dead(log, &standing.group, clock)?;
    let offsets: Vec<GroupOffset> = moves
        .iter()
        .map(|to| GroupOffset {
            at: to.at.clone(),
            offset: to.to,
            metadata: Committed::Start.to_json(),
        })
        .collect();
    Ok(super::set_offsets(log, &standing.group, &offsets, clock)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;
    use crate::log::Bounds;
    use crate::state::Stages;

    fn task(topic: &str, end: i64, committed: Option<(i64, &str)>) -> Task {
        let at = TopicPartition::new(topic, 0);
        Task {
            bounds: Bounds {
                start: Offset(0),
                end: Offset(end),
                written: Offset(end + 1),
            },
            committed: committed.map(|(offset, metadata)| GroupOffset {
                at: at.clone(),
                offset: Offset(offset),
                metadata: metadata.to_owned(),
            }),
            at,
        }
    }

    fn standing(sources: Vec<Task>, finals: Vec<Task>) -> Standing {
        Standing {
            group: "p".to_owned(),
            stages: Stages::Two,
            members: Vec::new(),
            sources,
            finals,
            changelog: Vec::new(),
        }
    }

    #[test]
    fn a_beginning_is_given_only_to_a_pipeline_that_has_not_begun() {
        let may = |metadata: Option<&str>| {
            let committed = metadata.map(|metadata| (3, metadata));
            may_begin(&standing(vec![task("in", 9, committed)], vec![]))
        };
        assert_eq!(may(None), Ok(()));
        assert_eq!(may(Some(&Committed::Start.to_json())), Ok(()));
        for begun in ["", r#"{"v":1,"next":3}"#, "something else"] {
            let why = may(Some(begun)).unwrap_err();
            assert!(
                why.contains("in/0") && why.contains("millstream state reset"),
                "{why}"
            );
        }
    }

    #[test]
    fn partials_on_their_way_are_passed_over() {
        let standing = standing(
            vec![task("in", 9, Some((3, "")))],
            vec![task("p-repartition", 20, None)],
        );
        let sources = [(TopicPartition::new("in", 0), Offset(1))];
        let moves = moves(&standing, &sources);
        let [source, last] = &moves[..] else {
            panic!("two partitions");
        };
        assert_eq!((source.from, source.to), (Some(Offset(3)), Offset(1)));
        assert_eq!((last.from, last.to), (None, Offset(21)));
    }
}
