//! `millstream state reset`, and the beginning that `millstream run --from` gives: a group's offsets are set, and beside
//! each stands that the pipeline begins there with nothing known.

use std::io::{self, Write};
use std::path::PathBuf;

use super::begin::Begin;
use super::standing::{Standing, Task};
use crate::cli::place::{AnyLog, open};
use crate::cli::{Failure, out};
use crate::log::{GroupOffset, Log, Offset, TopicPartition};
use crate::pipeline::config::{self, PipelineConfig};
use crate::state::Committed;
use crate::time::{Clock, SystemClock};

/// Let a pipeline forget what it knows, and begin at other offsets
///
/// Windows that are open are forgotten, and so is the time that each partition had come to. What was written stays, so
/// results that come of rows read again are written again. Refused while the pipeline runs anywhere.
///
/// A time is RFC 3339, such as 2026-01-31T08:00:00Z: reading begins at the first record of each partition that is not
/// older. Offsets are topic/partition=offset with commas between, or a file of such, one a line; each partition of the source
/// must have one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file
    #[arg(value_name = "PIPELINE.toml")]
    file: PathBuf,
    /// Where to begin
    #[arg(long, value_name = "earliest|latest|TIME|OFFSETS|FILE")]
    to: Begin,
    /// Do it; without this, only show what would be done
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::load(&args.file)?;
    match open(&config.log.place)? {
        AnyLog::Kafka(log) => reset(args, &config, &log),
        AnyLog::Embedded(log) => reset(args, &config, &log),
    }
}

fn reset<L: Log>(args: &Args, config: &PipelineConfig, log: &L) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let standing = Standing::read(config, log, &clock)?;
    standing.must_be_still()?;
    let sources = args.to.offsets(log, &config.source.topics)?;
    let moves = moves(&standing, &sources);
    if args.yes {
        set(log, &standing, &moves, &clock)?;
    }
    out::stdout(|out| show(&moves, args.yes, out))
}

/// Sets where a pipeline begins that has never committed anything.
///
/// # Errors
/// If it has, if it is running, or if the log refuses.
pub(in crate::cli) fn begin<L: Log>(
    begin: &Begin,
    config: &PipelineConfig,
    log: &L,
    clock: &impl Clock,
) -> Result<(), Failure> {
    let standing = Standing::read(config, log, clock)?;
    may_begin(&standing).map_err(Failure::Usage)?;
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
struct Move {
    at: TopicPartition,
    from: Option<Offset>,
    to: Offset,
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
) -> Result<(), Failure> {
    super::end_dead(log, &standing.group, clock)?;
    let offsets: Vec<GroupOffset> = moves
        .iter()
        .map(|to| GroupOffset {
            at: to.at.clone(),
            offset: to.to,
            metadata: Committed::Start.to_json(),
        })
        .collect();
    super::set_offsets(log, &standing.group, &offsets, clock)
}

fn show(moves: &[Move], done: bool, out: &mut dyn Write) -> io::Result<()> {
    let width = moves.iter().map(|to| to.at.to_string().len()).max();
    for Move { at, from, to } in moves {
        let at = at.to_string();
        let width = width.unwrap_or_default();
        let from = from.map_or("nothing committed".to_owned(), |from| from.to_string());
        writeln!(out, "{at:width$}  {from} -> {to}")?;
    }
    if done {
        writeln!(out, "done: the next run begins there, with nothing known")
    } else {
        writeln!(out, "nothing has been changed: --yes does it")
    }
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

    #[test]
    fn what_would_be_done_is_shown_as_what_was_done_is() {
        let moves = [Move {
            at: TopicPartition::new("in", 0),
            from: Some(Offset(3)),
            to: Offset(0),
        }];
        let shown = |done| {
            let mut out = Vec::new();
            show(&moves, done, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            shown(false),
            "in/0  3 -> 0\nnothing has been changed: --yes does it\n"
        );
        assert!(shown(true).ends_with("done: the next run begins there, with nothing known\n"));
    }
}
