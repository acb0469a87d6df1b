//! Where reading begins, as people write it, and which offsets that is.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::OutsideError;
use crate::log::{Bounds, Log, LogError, Offset, TopicPartition};
use crate::time::Timestamp;

/// Where to begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Begin {
    /// At the oldest records still there.
    Earliest,
    /// At the next records to be written.
    Latest,
    /// At the first records whose timestamps are not before this.
    At(Timestamp),
    /// At these offsets.
    Offsets(Listed),
}

/// Offsets that are named one by one.
pub(crate) type Listed = BTreeMap<TopicPartition, Offset>;

impl FromStr for Begin {
    type Err = String;

    /// What has a `=` in it is a list, what reads as a time is one.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => Ok(Begin::Earliest),
            "latest" => Ok(Begin::Latest),
            _ if text.contains('=') => listed(text).map(Begin::Offsets),
            _ => match text.parse::<jiff::Timestamp>() {
                Ok(instant) => Ok(Begin::At(Timestamp(instant.as_millisecond()))),
                Err(_) => Err(format!(
                    "{text:?}: expected `earliest`, `latest`, a time such as 2026-01-31T08:00:00Z, or offsets as \
                     topic/partition=offset with commas between"
                )),
            },
        }
    }
}

/// As it is read.
impl fmt::Display for Begin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Begin::Earliest => f.write_str("earliest"),
            Begin::Latest => f.write_str("latest"),
            Begin::At(time) => time.fmt(f),
            Begin::Offsets(listed) => {
                for (number, (at, offset)) in listed.iter().enumerate() {
                    let comma = if number == 0 { "" } else { "," };
                    write!(f, "{comma}{at}={offset}")?;
                }
                Ok(())
            }
        }
    }
}

/// Reads `topic/partition=offset`, any number of them, with commas or line ends between. What follows a `#` is a comment.
pub(crate) fn listed(text: &str) -> Result<Listed, String> {
    let mut offsets = Listed::new();
    let uncommented = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""));
    for entry in uncommented.flat_map(|line| line.split(',')).map(str::trim) {
        if entry.is_empty() {
            continue;
        }
        let (at, offset) = entry_of(entry)
            .ok_or_else(|| format!("`{entry}` is not of the form topic/partition=offset"))?;
        if offsets.insert(at.clone(), offset).is_some() {
            return Err(format!("{at} is named twice"));
        }
    }
    if offsets.is_empty() {
        return Err("no offsets in it".to_owned());
    }
    Ok(offsets)
}

fn entry_of(entry: &str) -> Option<(TopicPartition, Offset)> {
    let (at, offset) = entry.split_once('=')?;
    let (topic, partition) = at.trim().rsplit_once('/')?;
    let partition: i32 = partition.parse().ok()?;
    let offset: i64 = offset.trim().parse().ok()?;
    let good = !topic.is_empty() && partition >= 0 && offset >= 0;
    good.then(|| (TopicPartition::new(topic, partition), Offset(offset)))
}

impl Begin {
    /// The offset for each partition of `topics`, in their order.
    ///
    /// # Errors
    /// If the log can't tell, or the offsets are not those of the topics.
    pub(crate) fn offsets<L: Log>(
        &self,
        log: &L,
        topics: &[String],
    ) -> Result<Vec<(TopicPartition, Offset)>, OutsideError> {
        let mut bounds = BTreeMap::new();
        for topic in topics {
            bounds.extend(partitions(topic, log.bounds(topic)?));
        }
        match self {
            Begin::Earliest => Ok(each(&bounds, |bounds| bounds.start)),
            Begin::Latest => Ok(each(&bounds, |bounds| bounds.end)),
            Begin::At(time) => Ok(at_time(log, topics, *time)?),
            Begin::Offsets(listed) => {
                settle(listed, &bounds).map_err(|why| OutsideError::Offsets(why.join("\n")))
            }
        }
    }
}

fn partitions<T>(topic: &str, of: Vec<T>) -> impl Iterator<Item = (TopicPartition, T)> {
    let topic: Arc<str> = topic.into();
    let at = move |(partition, of)| (TopicPartition::new(Arc::clone(&topic), partition), of);
    (0..).zip(of).map(at)
}

fn each(
    bounds: &BTreeMap<TopicPartition, Bounds>,
    offset: impl Fn(&Bounds) -> Offset,
) -> Vec<(TopicPartition, Offset)> {
    let of = |(at, bounds): (&TopicPartition, &Bounds)| (at.clone(), offset(bounds));
    bounds.iter().map(of).collect()
}

fn at_time<L: Log>(
    log: &L,
    topics: &[String],
    time: Timestamp,
) -> Result<Vec<(TopicPartition, Offset)>, LogError> {
    let mut offsets = Vec::new();
    for topic in topics {
        offsets.extend(partitions(topic, log.offsets_at(topic, time)?));
    }
    Ok(offsets)
}

/// The listed offsets, if they are one for each partition and the log has them. A partition that is left out is no
/// partition that stays where it is: what its rows have come to is forgotten with the state of the others.
fn settle(
    listed: &Listed,
    bounds: &BTreeMap<TopicPartition, Bounds>,
) -> Result<Vec<(TopicPartition, Offset)>, Vec<String>> {
    let mut wrong = Vec::new();
    for (at, offset) in listed {
        match bounds.get(at) {
            None => wrong.push(format!("{at} is not a partition that the pipeline reads")),
            Some(Bounds { start, end, .. }) if !(start..=end).contains(&offset) => {
                wrong.push(format!(
                    "{at} has no offset {offset}: its records are those from {start} up to {end}"
                ));
            }
            Some(_) => {}
        }
    }
    let left_out = bounds.keys().filter(|at| !listed.contains_key(at));
    wrong.extend(left_out.map(|at| format!("{at} is left out: give every partition its offset")));
    if wrong.is_empty() {
        Ok(listed.iter().map(|(at, o)| (at.clone(), *o)).collect())
    } else {
        Err(wrong)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    fn bounds(of: &[(&str, i32, i64, i64)]) -> BTreeMap<TopicPartition, Bounds> {
        let one = |(topic, partition, start, end): &(&str, i32, i64, i64)| {
            let bounds = Bounds {
                start: Offset(*start),
                end: Offset(*end),
                written: Offset(*end),
            };
            (TopicPartition::new(*topic, *partition), bounds)
        };
        of.iter().map(one).collect()
    }

    #[test]
    fn a_beginning_is_a_word_or_a_time_or_offsets_and_is_shown_as_it_is_read() {
        let read = |text: &str| text.parse::<Begin>().unwrap();
        assert_eq!(read("1970-01-01T00:00:01.5Z"), Begin::At(Timestamp(1_500)));
        assert_eq!(read("1970-01-01T01:00:00+01:00"), Begin::At(Timestamp(0)));
        let at = |partition| TopicPartition::new("clicks", partition);
        let offsets = Begin::Offsets([(at(0), Offset(5)), (at(1), Offset(0))].into());
        assert_eq!(read("clicks/0=5, clicks/1=0"), offsets);
        for begin in [
            Begin::Earliest,
            Begin::Latest,
            Begin::At(Timestamp(1)),
            offsets,
        ] {
            assert_eq!(read(&begin.to_string()), begin);
        }
        for wrong in ["", "soon"] {
            let why = wrong.parse::<Begin>().unwrap_err();
            assert!(why.contains("`earliest`"), "{why}");
        }
    }

    #[test]
    fn offsets_are_listed_in_a_line_or_one_a_line_with_comments() {
        let lines = "# noted before the change\na/0=1 # first\n\nb.c/12 = 3,\n";
        let listed = listed(lines).unwrap();
        let texts: Vec<String> = listed.iter().map(|(at, o)| format!("{at}={o}")).collect();
        assert_eq!(texts, ["a/0=1", "b.c/12=3"]);
    }

    #[test]
    fn what_is_no_list_of_offsets_is_refused_with_the_entry() {
        for (text, part) in [
            ("a/0=1,a/0=2", "a/0 is named twice"),
            ("a=1", "`a=1` is not of the form"),
            ("a/0=", "`a/0=` is not"),
            ("a/0=-1", "is not"),
            ("a/-1=1", "is not"),
            ("/0=1", "is not"),
            ("a/0=99999999999999999999", "is not"),
            ("# a/0=1", "no offsets"),
        ] {
            let why = listed(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn offsets_are_taken_if_there_is_one_for_each_partition_and_the_log_has_them() {
        let bounds = bounds(&[("a", 0, 10, 20), ("a", 1, 0, 0)]);
        let settled = settle(&listed("a/0=20,a/1=0").unwrap(), &bounds).unwrap();
        assert_eq!(settled.len(), 2);
        let refused = |text: &str| settle(&listed(text).unwrap(), &bounds).unwrap_err();
        assert_eq!(
            refused("a/0=9,b/0=0"),
            [
                "a/0 has no offset 9: its records are those from 10 up to 20",
                "b/0 is not a partition that the pipeline reads",
                "a/1 is left out: give every partition its offset",
            ]
        );
        assert_eq!(refused("a/0=21,a/1=0").len(), 1);
    }
}
