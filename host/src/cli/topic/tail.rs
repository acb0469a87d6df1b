//! `millstream topic tail`: the records of a topic, as they are or as they come.

use std::collections::BTreeMap;
use std::io;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::line::Record;
use crate::cli::out::{Format, Stdout};
use crate::cli::place::Place;
use crate::cli::{Failure, out, signals};
use crate::log::{Bounds, Fetched, Log, Offset, Reader};

/// How long to wait for records before looking whether to stop.
const WAIT: Duration = Duration::from_millis(100);

/// Show the committed records of a topic
///
/// Without --follow it ends where the topic ended when it started. The records of a partition come in their order; how
/// those of several partitions alternate is left open. Ctrl-C ends it with exit code 0.
///
/// As text, a record is a line `partition:offset timestamp key value`, and each of its headers an indented line below.
/// A key or value that is missing is `null`; control characters and bytes that are not UTF-8 are escaped.
///
/// As JSON, a record is an object with topic, partition, offset, timestamp (milliseconds since 1970), key, value and
/// headers. What is not UTF-8 is in base64 under key_base64, value_base64 or the header's name with _base64. A header
/// that comes more than once has a list of its values.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The topic
    topic: String,
    #[command(flatten)]
    pub(super) place: Place,
    /// Where to begin in each partition: `earliest`, `latest` or an offset
    #[arg(
        long,
        value_name = "earliest|latest|OFFSET",
        default_value = "earliest"
    )]
    from: From,
    /// End after this many records
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Wait for more records at the end of the topic
    #[arg(long, short)]
    follow: bool,
    /// How records are shown
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum From {
    Earliest,
    Latest,
    At(Offset),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "earliest" => Ok(From::Earliest),
            "latest" => Ok(From::Latest),
            offset => match offset.parse() {
                Ok(offset @ 0..) => Ok(From::At(Offset(offset))),
                _ => Err("neither `earliest` nor `latest` nor an offset from 0 on".to_owned()),
            },
        }
    }
}

impl From {
    /// The offset to begin at: one that the partition has, or its end.
    fn offset(self, bounds: Bounds) -> Offset {
        match self {
            From::Earliest => bounds.start,
            From::Latest => bounds.end,
            From::At(offset) => offset.max(bounds.start).min(bounds.end),
        }
    }
}

pub(super) fn run<L: Log>(args: &Args, log: &L) -> Result<(), Failure> {
    let bounds: Vec<(i32, Bounds)> = (0..).zip(log.bounds(&args.topic)?).collect();
    let from: Vec<(i32, Offset)> = bounds
        .iter()
        .map(|(partition, bounds)| (*partition, args.from.offset(*bounds)))
        .collect();
    let ends = bounds
        .iter()
        .zip(&from)
        .filter(|((_, bounds), (_, from))| *from < bounds.end)
        .map(|((partition, bounds), _)| (*partition, bounds.end));
    let mut remaining = Remaining {
        count: args.count,
        ends: (!args.follow).then(|| ends.collect()),
    };
    let mut reader = log.reader(&args.topic, &from)?;
    let mut fetched = Fetched::new();
    let stop = signals::stop_flag()?;
    while !remaining.is_done() && !stop.load(Ordering::Relaxed) {
        let polled = reader.poll(&mut fetched, WAIT);
        // Records may have come before the failure.
        let flow = out::piece(|out| show(&fetched, &mut remaining, args.output, out))?;
        if flow.is_break() {
            return Ok(());
        }
        match polled {
            Ok(()) => {}
            Err(error) if args.follow && error.is_retriable() => {
                tracing::warn!(%error, "trying again")
            }
            Err(error) => return Err(error.into()),
        }
        for partition in reader.at_end() {
            remaining.end(partition);
        }
    }
    Ok(())
}

fn show(
    fetched: &Fetched,
    remaining: &mut Remaining,
    format: Format,
    out: &mut Stdout,
) -> io::Result<()> {
    for batch in fetched.batches() {
        for row in 0..batch.len() {
            if remaining.take(batch.partition().partition, batch.offset(row)) {
                Record { batch, row }.show(format, out)?;
            }
        }
    }
    Ok(())
}

/// What is still to be shown.
#[derive(Debug)]
struct Remaining {
    /// How many records; `None` is any number.
    count: Option<u64>,
    /// The partitions in which there is more, with the offsets at which they end; `None` is without an end.
    ends: Option<BTreeMap<i32, Offset>>,
}

impl Remaining {
    /// Whether the next record of a partition, which is at this offset, is to be shown. If so, it counts as shown.
    fn take(&mut self, partition: i32, offset: Offset) -> bool {
        if let Some(ends) = &mut self.ends {
            let Some(end) = ends.get(&partition).copied() else {
                return false;
            };
            if offset.next() >= end {
                ends.remove(&partition);
            }
            if offset >= end {
                return false;
            }
        }
        match &mut self.count {
            None => true,
            Some(0) => false,
            Some(count) => {
                *count -= 1;
                true
            }
        }
    }

    /// Notes that no record is left in a partition.
    fn end(&mut self, partition: i32) {
        if let Some(ends) = &mut self.ends {
            ends.remove(&partition);
        }
    }

    fn is_done(&self) -> bool {
        self.count == Some(0) || self.ends.as_ref().is_some_and(BTreeMap::is_empty)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    fn remaining(count: Option<u64>, ends: Option<&[(i32, i64)]>) -> Remaining {
        let ends = ends.map(|ends| ends.iter().map(|(p, end)| (*p, Offset(*end))).collect());
        Remaining { count, ends }
    }

    #[test]
    fn a_tail_begins_where_it_is_told_but_within_the_topic() {
        let bounds = Bounds {
            start: Offset(10),
            end: Offset(20),
            written: Offset(20),
        };
        let begins = |from: &str| from.parse::<From>().unwrap().offset(bounds).0;
        assert_eq!(begins("earliest"), 10);
        assert_eq!(begins("latest"), 20);
        assert_eq!(begins("15"), 15);
        assert_eq!(begins("3"), 10);
        assert_eq!(begins("21"), 20);
        assert!("-1".parse::<From>().is_err());
        assert!("first".parse::<From>().is_err());
    }

    #[test]
    fn a_tail_ends_when_every_partition_has_come_to_where_it_ended() {
        let mut tail = remaining(None, Some(&[(0, 2), (1, 1)]));
        assert!(tail.take(0, Offset(0)));
        assert!(tail.take(1, Offset(0)));
        assert!(!tail.take(1, Offset(1)), "it came later");
        assert!(!tail.is_done());
        assert!(tail.take(0, Offset(1)));
        assert!(tail.is_done());
    }

    #[test]
    fn a_partition_may_end_without_a_record_at_its_last_offset() {
        let mut tail = remaining(None, Some(&[(0, 3), (1, 3)]));
        assert!(tail.take(0, Offset(1)));
        tail.end(0);
        assert!(!tail.is_done());
        assert!(!tail.take(1, Offset(5)), "the first that came later");
        assert!(tail.is_done());
    }

    #[test]
    fn a_tail_ends_after_as_many_records_as_asked_for() {
        let mut tail = remaining(Some(2), None);
        assert!(tail.take(0, Offset(0)) && tail.take(1, Offset(0)));
        assert!(tail.is_done());
        assert!(!tail.take(0, Offset(1)));
        assert!(remaining(Some(0), None).is_done());
    }

    #[test]
    fn a_tail_of_nothing_is_done_and_one_that_follows_is_not() {
        assert!(remaining(None, Some(&[])).is_done());
        let mut follows = remaining(None, None);
        follows.end(0);
        assert!(!follows.is_done());
        assert!(follows.take(0, Offset(i64::MAX - 1)));
    }
}
