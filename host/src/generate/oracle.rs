//! What a pipeline must make of the clicks: the right answer, worked out from what the generator knows.
//!
//! The rules, written plainly and apart from the engine that they judge:
//! - Malformed rows go to the dead letters. They do not move time.
//! - The watermark of a partition is the latest event time in its rows so far, bots included, less the allowed
//!   disorder.
//! - Bots are filtered before windows: a bot is neither counted nor late.
//! - A visit is late if the watermark of its own partition has reached the end of its window before it came.
//!   Every other visit is counted in the window.
//! - A window is closed once the lowest watermark of all partitions has reached its end. A partition without a
//!   well-formed row has no watermark and keeps every window open.

use std::collections::{BTreeMap, HashSet};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::clicks::{Click, Truth};
use super::config::{ConfigError, disorder_millis, partition_count, window_millis};

/// A row by where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// How many rows of the clicks stand before it in the partition. This is its offset where the topic was
    /// empty before and was not written in transactions, whose markers take up offsets too.
    pub index: u64,
}

/// What is counted in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedWindow {
    /// Its first instant, in milliseconds since 1970.
    pub start: i64,
    /// The first instant after it, in milliseconds since 1970.
    pub end: i64,
    /// How many different people visited.
    pub unique_visitors: u64,
    /// How often they did.
    pub clicks: u64,
}

/// The right answer for the clicks observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The windows that are closed, in the order of time. A window without a visit is not listed.
    pub windows: Vec<ExpectedWindow>,
    /// The windows that further clicks may still change, in the order of time.
    pub open: Vec<ExpectedWindow>,
    /// How many visits were late.
    pub late: u64,
    /// Where the late visits stand, in the order observed.
    pub late_rows: Vec<Place>,
    /// How many rows were malformed.
    pub malformed: u64,
    /// Where the malformed rows stand, in the order observed.
    pub malformed_rows: Vec<Place>,
    /// How many rows were a bot's.
    pub bots: u64,
    /// How many rows there were.
    pub rows: u64,
}

#[derive(Debug, Clone, Default)]
struct Partition {
    rows: u64,
    latest: Option<i64>,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    visitors: HashSet<u32>,
    clicks: u64,
}

/// Works out the right answer click by click, so that it can be asked for at any time.
#[derive(Debug, Clone)]
pub struct Oracle {
    window: i64,
    disorder: i64,
    partitions: Vec<Partition>,
    /// By the start of the window.
    windows: BTreeMap<i64, Contents>,
    late: Vec<Place>,
    malformed: Vec<Place>,
    bots: u64,
}

impl Oracle {
    /// An oracle for a pipeline with tumbling windows of this size and this allowed disorder, on a topic of so
    /// many partitions.
    pub fn new(
        window: SignedDuration,
        disorder: SignedDuration,
        partitions: i32,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            window: window_millis(window)?,
            disorder: disorder_millis(disorder)?,
            partitions: vec![Partition::default(); partition_count(partitions)?],
            windows: BTreeMap::new(),
            late: Vec::new(),
            malformed: Vec::new(),
            bots: 0,
        })
    }

    /// Takes in a click. Clicks of a partition come in the order in which they stand there; how those of
    /// different partitions alternate makes no difference to the counts.
    ///
    /// # Panics
    /// If the click is of a partition that the topic does not have.
    pub fn observe(&mut self, click: &Click) {
        let partition = usize::try_from(click.partition)
            .ok()
            .and_then(|partition| self.partitions.get_mut(partition))
            .expect("clicks and oracle are for the same number of partitions");
        let place = Place {
            partition: click.partition,
            index: partition.rows,
        };
        partition.rows += 1;
        let watermark = partition.latest.map(|latest| latest - self.disorder);

        match click.truth {
            Truth::Malformed(_) => self.malformed.push(place),
            Truth::Bot { event_time } => {
                self.bots += 1;
                partition.latest = partition.latest.max(Some(event_time));
            }
            Truth::Visit {
                user, event_time, ..
            } => {
                let start = event_time.div_euclid(self.window) * self.window;
                let end = start + self.window;
                if watermark.is_some_and(|watermark| end <= watermark) {
                    self.late.push(place);
                } else {
                    let contents = self.windows.entry(start).or_default();
                    contents.visitors.insert(user);
                    contents.clicks += 1;
                }
                partition.latest = partition.latest.max(Some(event_time));
            }
        }
    }

    /// The lowest watermark of all partitions, in milliseconds since 1970; none as long as a partition has no
    /// well-formed row.
    pub fn watermark(&self) -> Option<i64> {
        let latest = self.partitions.iter().map(|partition| partition.latest);
        latest.min().flatten().map(|latest| latest - self.disorder)
    }

    /// The windows closed so far, in the order of time. What is listed once stays as it is.
    pub fn closed(&self) -> Vec<ExpectedWindow> {
        self.list(|end| self.has_passed(end))
    }

    /// The answer as of the clicks observed so far.
    pub fn expected(&self) -> Expected {
        Expected {
            windows: self.closed(),
            open: self.list(|end| !self.has_passed(end)),
            late: self.late.len() as u64,
            late_rows: self.late.clone(),
            malformed: self.malformed.len() as u64,
            malformed_rows: self.malformed.clone(),
            bots: self.bots,
            rows: self.partitions.iter().map(|partition| partition.rows).sum(),
        }
    }

    fn has_passed(&self, end: i64) -> bool {
        self.watermark().is_some_and(|watermark| end <= watermark)
    }

    fn list(&self, wanted: impl Fn(i64) -> bool) -> Vec<ExpectedWindow> {
        let windows = self
            .windows
            .iter()
            .map(|(&start, contents)| ExpectedWindow {
                start,
                end: start + self.window,
                unique_visitors: contents.visitors.len() as u64,
                clicks: contents.clicks,
            });
        windows.filter(|window| wanted(window.end)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::Malformed;
    use super::*;

    /// Windows of ten seconds, disorder of two, two partitions.
    fn oracle() -> Oracle {
        let (ten, two) = (SignedDuration::from_secs(10), SignedDuration::from_secs(2));
        Oracle::new(ten, two, 2).unwrap()
    }

    fn click(partition: i32, truth: Truth) -> Click {
        Click {
            partition,
            key: Vec::new(),
            value: None,
            timestamp: 0,
            truth,
        }
    }

    fn visit(partition: i32, user: u32, event_time: i64) -> Click {
        let late = false;
        click(
            partition,
            Truth::Visit {
                user,
                event_time,
                late,
            },
        )
    }

    fn after(clicks: &[Click]) -> Expected {
        let mut oracle = oracle();
        clicks.iter().for_each(|click| oracle.observe(click));
        oracle.expected()
    }

    fn window(start: i64, unique_visitors: u64, clicks: u64) -> ExpectedWindow {
        let end = start + 10_000;
        ExpectedWindow {
            start,
            end,
            unique_visitors,
            clicks,
        }
    }

    #[test]
    fn a_visitor_counts_once_in_a_window_and_again_in_the_next() {
        let expected = after(&[visit(0, 7, 1), visit(0, 7, 9_999), visit(0, 7, 10_000)]);
        assert_eq!(expected.open, [window(0, 1, 2), window(10_000, 1, 1)]);
    }

    #[test]
    fn a_window_closes_when_the_slowest_partition_has_passed_its_end() {
        let mut clicks = vec![visit(0, 1, 5), visit(0, 1, 30_000), visit(1, 2, 11_999)];
        assert_eq!(after(&clicks).windows, []);
        clicks.push(visit(1, 2, 12_000));
        assert_eq!(after(&clicks).windows, [window(0, 1, 1)]);
    }

    #[test]
    fn a_partition_without_rows_keeps_every_window_open() {
        let expected = after(&[visit(0, 1, 5), visit(0, 1, 1_000_000)]);
        assert_eq!(expected.windows, []);
        assert_eq!(expected.open.len(), 2);
    }

    #[test]
    fn lateness_is_judged_by_the_watermark_of_the_own_partition() {
        let expected = after(&[visit(0, 1, 12_000), visit(1, 2, 9_999), visit(0, 1, 9_999)]);
        let index = 1;
        assert_eq!(
            expected.late_rows,
            [Place {
                partition: 0,
                index
            }]
        );
        assert_eq!(expected.open, [window(0, 1, 1), window(10_000, 1, 1)]);
    }

    #[test]
    fn a_bot_moves_time_but_is_neither_counted_nor_late() {
        let bot = |event_time| click(0, Truth::Bot { event_time });
        let expected = after(&[bot(12_000), bot(1), visit(0, 1, 1)]);
        assert_eq!((expected.bots, expected.late, expected.rows), (2, 1, 3));
        assert_eq!(expected.open, []);
    }

    #[test]
    fn a_malformed_row_takes_a_place_and_does_nothing_else() {
        let broken = click(1, Truth::Malformed(Malformed::Empty));
        let expected = after(&[visit(1, 1, 1), broken.clone(), broken]);
        let indices: Vec<u64> = expected
            .malformed_rows
            .iter()
            .map(|row| row.index)
            .collect();
        assert_eq!((expected.malformed, indices), (2, vec![1, 2]));
        assert_eq!(expected.open, [window(0, 1, 1)]);
    }

    #[test]
    fn a_time_before_1970_is_in_the_window_that_began_before_it() {
        let expected = after(&[visit(0, 1, -1), visit(0, 1, -10_000), visit(0, 1, 0)]);
        assert_eq!(expected.open, [window(-10_000, 1, 2), window(0, 1, 1)]);
    }
}
