//! Which results are asked for, and the places that answers name so that the next request goes on there.

use std::fmt;
use std::str::FromStr;

use crate::time::Timestamp;

/// Which results are asked for.
#[derive(Clone, Debug)]
pub struct WantedResults {
    /// Those of this key.
    pub key: Option<String>,
    /// Those of windows that start at or after this; records without windows count by their timestamps.
    pub from: Option<Timestamp>,
    /// Those of windows that start before this.
    pub to: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
    /// Those that come after the last one of an earlier answer.
    pub page: Option<Cursor>,
    /// What was written after these positions, as it was written.
    pub after: Option<Positions>,
    /// How many offsets of the sink are looked at, at the end of its partitions together.
    pub look_back: i64,
}

/// Where a page begins: after the result of this place in the order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    pub(super) order: i64,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// `order.partition.offset`.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.order, self.partition, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let mut part = || parts.next().and_then(|part| part.parse().ok());
        let cursor = match (part(), part(), part()) {
            (Some(order), Some(partition), Some(offset)) => {
                let partition = i32::try_from(partition).ok();
                partition.map(|partition| Cursor {
                    order,
                    partition,
                    offset,
                })
            }
            _ => None,
        };
        cursor
            .filter(|_| parts.next().is_none())
            .ok_or("expected what an answer had as `next`")
    }
}

impl Cursor {
    /// By which results are put into order: the latest windows first.
    pub(super) fn rank(self) -> (std::cmp::Reverse<i64>, i32, i64) {
        (std::cmp::Reverse(self.order), self.partition, self.offset)
    }
}

/// The next offset to read in each partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Positions(pub(super) Vec<i64>);

/// `offset,offset,…`.
impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(i64::to_string).collect();
        f.write_str(&all.join(","))
    }
}

impl FromStr for Positions {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A sink that is not there yet has no partitions.
        let parts = text.split(',').filter(|part| !part.is_empty());
        let all: Option<Vec<i64>> = parts
            .map(|part| part.parse().ok().filter(|offset| *offset >= 0))
            .collect();
        all.map(Positions)
            .ok_or("expected what an answer had as `after`")
    }
}
