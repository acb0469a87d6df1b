//! Which rows made a function fail, found by giving it fewer and fewer of them. Pure.
//!
//! A call that fails names no row. Everything is thrown away and comes again; the rows of that call are *suspects*, and are tried in
//! halves, each half after a commit of all that was before it. A half that fails is halved again, down to one row. That one is tried once
//! more, by an instance that has done nothing else: a function that leaks, or has worn itself out, fails at rows that are innocent. A row at
//! which a fresh instance fails is *guilty*, and no function sees it any more.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use crate::log::{Offset, TopicPartition};

/// The time in which guilty rows are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// Why a row is guilty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Verdict {
    /// The number of the function that fails at it.
    pub(super) function: usize,
    /// What it does then.
    pub(super) reason: String,
}

/// What is known of rows at which functions fail.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    suspects: BTreeMap<TopicPartition, Range<Offset>>,
    guilty: BTreeMap<TopicPartition, BTreeMap<Offset, Verdict>>,
    /// When rows were found guilty, of the last minute.
    convicted: VecDeque<Duration>,
}

/// What to do with the next rows of a batch.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Next<'a> {
    /// The row behind them.
    pub(super) end: usize,
    pub(super) how: How<'a>,
}

/// How the next rows are dealt with.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum How<'a> {
    /// Nothing is known of them.
    Together,
    /// One of them may have made a function fail.
    AsSuspects,
    /// It is one row, and it goes to no function.
    Aside(&'a Verdict),
}

impl Quarantine {
    /// What to do with the first of the rows `start..end`, given their offsets, which ascend.
    pub(super) fn next(
        &self,
        at: &TopicPartition,
        rows: Range<usize>,
        offset: impl Fn(usize) -> Offset,
    ) -> Next<'_> {
        let first = offset(rows.start);
        let guilty = self.guilty.get(at);
        let mut next_guilty = guilty.into_iter().flat_map(|of| of.range(first..));
        let next_guilty = next_guilty.next();
        if let Some((at, verdict)) = next_guilty
            && *at == first
        {
            return Next {
                end: rows.start + 1,
                how: How::Aside(verdict),
            };
        }
        // The first row at or after an offset.
        let before = |until: Offset| {
            let mut rows = rows.clone();
            rows.find(|row| offset(*row) >= until).unwrap_or(rows.end)
        };
        let limit = next_guilty.map_or(rows.end, |(at, _)| before(*at));
        let Some(suspects) = self.suspects.get(at).filter(|range| range.end > first) else {
            return Next {
                end: limit,
                how: How::Together,
            };
        };
        if suspects.start > first {
            return Next {
                end: limit.min(before(suspects.start)),
                how: How::Together,
            };
        }
        let all = before(suspects.end) - rows.start;
        Next {
            end: limit.min(rows.start + all.div_ceil(2)),
            how: How::AsSuspects,
        }
    }

    /// A function failed at these rows.
    pub(super) fn suspect(&mut self, at: &TopicPartition, rows: Range<Offset>) {
        self.suspects.insert(at.clone(), rows);
    }

    /// A fresh instance failed at this row alone. Returns how many rows have been found guilty within a minute.
    pub(super) fn convict(
        &mut self,
        at: &TopicPartition,
        row: Offset,
        verdict: Verdict,
        now: Duration,
    ) -> usize {
        self.suspects.remove(at);
        let of = self.guilty.entry(at.clone()).or_default();
        of.insert(row, verdict);
        let is_old = |then: &mut Duration| now.saturating_sub(*then) >= MINUTE;
        while self.convicted.pop_front_if(is_old).is_some() {}
        self.convicted.push_back(now);
        self.convicted.len()
    }

    /// What is before `next` is committed, and does not come again.
    pub(super) fn committed(&mut self, at: &TopicPartition, next: Offset) {
        if self.suspects.get(at).is_some_and(|range| range.end <= next) {
            self.suspects.remove(at);
        }
        if let Some(of) = self.guilty.get_mut(at) {
            *of = of.split_off(&next);
            if of.is_empty() {
                self.guilty.remove(at);
            }
        }
    }

    /// Partitions that are another's now.
    pub(super) fn forget(&mut self, at: &TopicPartition) {
        self.suspects.remove(at);
        self.guilty.remove(at);
    }

    /// Whether nothing is known of any row that may come.
    pub(super) fn is_empty(&self) -> bool {
        self.suspects.is_empty() && self.guilty.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at() -> TopicPartition {
        TopicPartition::new("t", 0)
    }

    fn verdict() -> Verdict {
        Verdict {
            function: 0,
            reason: "trapped".to_owned(),
        }
    }

    /// Runs rows through functions that fail at some, as a lane does. Returns the rows processed, those put aside, and how often
    /// everything began again.
    fn run(rows: usize, batch: usize, poison: &BTreeSet<usize>) -> (Vec<usize>, Vec<usize>, usize) {
        let mut quarantine = Quarantine::default();
        let offset = |row: usize| Offset(i64::try_from(row).expect("a small number"));
        let (mut processed, mut aside) = (Vec::new(), Vec::new());
        let (mut committed, mut restarts) = (0, 0);
        let mut staged: Vec<usize> = Vec::new();
        let mut set_aside: Vec<usize> = Vec::new();
        let mut row = 0;
        while row < rows {
            let end = rows.min(row + batch);
            let next = quarantine.next(&at(), row..end, offset);
            let (end, is_suspect) = (next.end, next.how == How::AsSuspects);
            assert!(end > row);
            if let How::Aside(_) = next.how {
                set_aside.push(row);
                row = end;
                continue;
            }
            if is_suspect {
                processed.append(&mut staged);
                aside.append(&mut set_aside);
                committed = row;
                quarantine.committed(&at(), offset(committed));
            }
            if (row..end).any(|row| poison.contains(&row)) {
                restarts += 1;
                assert!(restarts < 10_000);
                if is_suspect && end - row == 1 {
                    quarantine.convict(&at(), offset(row), verdict(), Duration::ZERO);
                } else {
                    quarantine.suspect(&at(), offset(row)..offset(end));
                }
                staged.clear();
                set_aside.clear();
                row = committed;
                continue;
            }
            staged.extend(row..end);
            row = end;
        }
        processed.append(&mut staged);
        aside.append(&mut set_aside);
        (processed, aside, restarts)
    }

    proptest! {
        #[test]
        fn exactly_the_rows_at_which_a_function_fails_are_put_aside(
            rows in 1_usize..300,
            batch in 1_usize..64,
            poison in proptest::collection::btree_set(0_usize..300, 0..12),
        ) {
            let (processed, aside, restarts) = run(rows, batch, &poison);
            let good: Vec<usize> = (0..rows).filter(|row| !poison.contains(row)).collect();
            let bad: Vec<usize> = poison.iter().copied().filter(|row| *row < rows).collect();
            prop_assert_eq!(processed, good);
            // Each takes one failure for each halving of its batch, and one alone.
            let halvings = usize::try_from(batch.next_power_of_two().ilog2()).expect("a small number");
            prop_assert!(restarts <= bad.len() * (halvings + 2));
            prop_assert_eq!(aside, bad);
        }
    }

    #[test]
    fn guilty_rows_are_counted_for_a_minute() {
        let mut quarantine = Quarantine::default();
        let second = Duration::from_secs(1);
        let mut convict = |row, now| quarantine.convict(&at(), Offset(row), verdict(), now);
        assert_eq!(convict(1, second), 1);
        assert_eq!(convict(2, second * 30), 2);
        assert_eq!(convict(3, second * 61), 2);
        assert_eq!(convict(4, second * 200), 1);
    }

    #[test]
    fn what_is_committed_or_anothers_is_forgotten() {
        let mut quarantine = Quarantine::default();
        quarantine.convict(&at(), Offset(3), verdict(), Duration::ZERO);
        quarantine.suspect(&at(), Offset(5)..Offset(9));
        quarantine.committed(&at(), Offset(4));
        assert!(!quarantine.is_empty());
        quarantine.committed(&at(), Offset(9));
        assert!(quarantine.is_empty());
        quarantine.suspect(&at(), Offset(10)..Offset(12));
        quarantine.forget(&at());
        assert!(quarantine.is_empty());
    }
}
