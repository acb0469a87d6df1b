//! Compares what a pipeline wrote with what is right.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::feed::{Answer, ResultKey};
use crate::job::Kind;
use crate::watch::{Records, Seen};

/// How many there should be, and what became of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    /// Those that should be there.
    pub(crate) expected: u64,
    /// Those that are there, once, as they should be.
    pub(crate) right: u64,
    /// Those that are not there.
    pub(crate) lost: u64,
    /// Those that are there once more than they should.
    pub(crate) twice: u64,
    /// Those that are there with another content, or should not be there at all.
    pub(crate) wrong: u64,
}

impl Tally {
    /// Whether all is as it should be.
    pub(crate) fn is_clean(&self) -> bool {
        self.right == self.expected && self.lost + self.twice + self.wrong == 0
    }

    /// Both together.
    pub(crate) fn add(&mut self, other: Tally) {
        self.expected += other.expected;
        self.right += other.right;
        self.lost += other.lost;
        self.twice += other.twice;
        self.wrong += other.wrong;
    }
}

/// What is to be said of a pipeline.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) results: Tally,
    pub(crate) dead: Tally,
    pub(crate) late: Tally,
}

impl Verdict {
    /// Whether all is as it should be.
    pub(crate) fn is_clean(&self) -> bool {
        self.tallies().iter().all(|(_, tally)| tally.is_clean())
    }

    /// Each with its name.
    pub(crate) fn tallies(&self) -> [(&'static str, Tally); 3] {
        [
            ("results", self.results),
            ("dead letters", self.dead),
            ("late rows", self.late),
        ]
    }

    /// Both together.
    pub(crate) fn add(&mut self, other: Verdict) {
        self.results.add(other.results);
        self.dead.add(other.dead);
        self.late.add(other.late);
    }
}

/// How many records of each topic are right.
pub(crate) fn wanted(kind: Kind, answer: &Answer) -> [usize; 3] {
    let [dead, late] = answer.dead_and_late();
    let results = answer.results(kind.is_keyed());
    [results.len(), dead.len(), late.len()]
}

/// Compares everything. Each difference is added to `told` in a sentence.
pub(crate) fn judge(kind: Kind, answer: &Answer, seen: &Seen, told: &mut Vec<String>) -> Verdict {
    let right = answer.results(kind.is_keyed());
    let found = seen.results.values().map(|record| {
        let value = record.value.as_deref().unwrap_or_default();
        parse(value).unwrap_or_else(|| {
            let text = String::from_utf8_lossy(value).into_owned();
            ((i64::MIN, Some(text)), 0)
        })
    });
    let results = compare("result", &right, found, told);
    let [dead, late] = answer.dead_and_late();
    let mut places = |what, right: Vec<(i32, i64)>, records: &Records| {
        let right = right.into_iter().map(|at| (at, ())).collect();
        let nowhere = (-1, -1);
        let found = records.values().map(|record| record.origin);
        let found = found.map(|origin| (origin.unwrap_or(nowhere), ()));
        compare(what, &right, found, told)
    };
    Verdict {
        results,
        dead: places("dead letter", dead, &seen.dead),
        late: places("late row", late, &seen.late),
    }
}

#[derive(Deserialize)]
struct Written {
    window_start_ms: i64,
    key: Option<String>,
    unique_visitors: u64,
    revision: u32,
}

/// A result as it stands in its record. There is one for each window and key, the first.
fn parse(value: &[u8]) -> Option<(ResultKey, u64)> {
    let written: Written = serde_json::from_slice(value).ok()?;
    let key = (written.window_start_ms, written.key);
    (written.revision == 0).then_some((key, written.unique_visitors))
}

/// Compares what was found with what is right.
fn compare<K: Ord + std::fmt::Debug, V: Eq + std::fmt::Debug>(
    what: &str,
    right: &BTreeMap<K, V>,
    found: impl Iterator<Item = (K, V)>,
    told: &mut Vec<String>,
) -> Tally {
    let mut tally = Tally {
        expected: right.len() as u64,
        ..Tally::default()
    };
    let mut times: BTreeMap<K, u64> = BTreeMap::new();
    for (key, value) in found {
        let wanted = right.get(&key);
        let is_right = wanted == Some(&value);
        if !is_right {
            tally.wrong += 1;
            told.push(format!(
                "{what} {key:?}: found {value:?}, right is {wanted:?}"
            ));
        }
        let times = times.entry(key).or_default();
        *times += 1;
        if *times == 1 {
            tally.right += u64::from(is_right);
        } else {
            tally.twice += 1;
        }
    }
    for (key, times) in times.iter().filter(|(_, times)| **times > 1) {
        told.push(format!("{what} {key:?}: {times} times"));
    }
    for key in right.keys().filter(|key| !times.contains_key(key)) {
        tally.lost += 1;
        told.push(format!("{what} {key:?}: lost"));
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(found: &[(&str, u64)]) -> (Tally, Vec<String>) {
        let right = BTreeMap::from([("a", 1), ("b", 2)]);
        let mut told = Vec::new();
        let tally = compare("result", &right, found.iter().copied(), &mut told);
        (tally, told)
    }

    #[test]
    fn each_kind_of_difference_is_counted_and_told() {
        let clean = Tally {
            expected: 2,
            right: 2,
            ..Tally::default()
        };
        assert_eq!(compared(&[("a", 1), ("b", 2)]), (clean, vec![]));
        assert!(clean.is_clean());
        for (found, (lost, twice, wrong), said) in [
            (&[("a", 1)][..], (1, 0, 0), "result \"b\": lost"),
            (
                &[("a", 1), ("b", 2), ("a", 1)],
                (0, 1, 0),
                "result \"a\": 2 times",
            ),
            (
                &[("a", 1), ("b", 3)],
                (0, 0, 1),
                "result \"b\": found 3, right is Some(2)",
            ),
            (
                &[("a", 1), ("b", 2), ("c", 9)],
                (0, 0, 1),
                "result \"c\": found 9, right is None",
            ),
        ] {
            let (tally, told) = compared(found);
            assert_eq!((tally.lost, tally.twice, tally.wrong), (lost, twice, wrong));
            assert_eq!(told, [said]);
            assert!(!tally.is_clean());
        }
    }

    #[test]
    fn a_result_is_read_as_it_is_written() {
        let value = br#"{"window_start":"-","window_start_ms":5,"window_end_ms":9,"key":"DE","unique_visitors":12,"revision":0}"#;
        assert_eq!(parse(value), Some(((5, Some("DE".to_owned())), 12)));
        let value = br#"{"window_start_ms":5,"unique_visitors":12,"revision":1}"#;
        assert_eq!(parse(value), None, "no window has a second result");
        assert_eq!(parse(b"{}"), None);
    }
}
