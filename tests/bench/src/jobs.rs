//! The jobs: what each should make of the clicks, and how what came is compared with it.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher as _;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use foldhash::fast::FixedState;
use serde::Deserialize;

use crate::clicks::{BEGIN, Click, MINUTE};

/// What is computed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Job {
    /// Every value as it is.
    Identity,
    /// Clicks with status 200, with three of their fields.
    FilterMap,
    /// Distinct users in each minute.
    Headline,
    /// Clicks of each page in each minute.
    Keyed,
    /// Distinct users in each minute, from all rows of the minute at once.
    WindowApply,
    /// Distinct users in each minute among those with status 200, with a map between: three functions in a row.
    ThreeSteps,
    /// Clicks in the last minute, each second.
    Sliding,
    /// Clicks of each user, until none comes for five seconds.
    Session,
}

/// The gap of sessions, in milliseconds.
pub(crate) const GAP: u64 = 5_000;
/// The slide of sliding windows, in milliseconds.
pub(crate) const SLIDE: u64 = 1_000;

/// What should come out: results by their window and key, or the number of records and the sum of their hashes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    Results(BTreeMap<(u64, String), u64>),
    Records { count: u64, sum: u64 },
}

/// A result as some system has written it.
#[derive(Deserialize)]
struct Written<'a> {
    window_start_ms: u64,
    #[serde(default, alias = "url", borrow)]
    key: Option<&'a str>,
    #[serde(alias = "unique_visitors", alias = "count")]
    rows: u64,
}

/// Fields of a click as filter-map writes them.
#[derive(Deserialize)]
struct Mapped<'a> {
    event_time: u64,
    user_id: &'a str,
    url: &'a str,
}

impl Job {
    /// Its name on command lines and in tables.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What comes of so many clicks in one topic, and of one more in each of its partitions that closes all windows.
    pub(crate) fn expected(self, events: u64, minutes: u64, partitions: u64) -> Expected {
        let clicks = || (0..events).map(move |number| Click::of(number, events, minutes));
        let last = (0..partitions).map(|_| Click::last(minutes));
        match self {
            Job::Identity => {
                let mut text = String::new();
                let mut tally = Tally::default();
                for click in clicks().chain(last) {
                    click.write(&mut text);
                    tally.add(text.as_bytes());
                }
                tally.expected()
            }
            Job::FilterMap => {
                let mut tally = Tally::default();
                for click in clicks().chain(last).filter(|click| click.status == 200) {
                    tally.add_mapped(
                        click.event_time,
                        &format!("user-{:07}", click.user),
                        &format!("/products/{:04}", click.url),
                    );
                }
                tally.expected()
            }
            Job::Headline | Job::WindowApply => distinct(clicks()),
            Job::ThreeSteps => distinct(clicks().filter(|click| click.status == 200)),
            Job::Keyed => {
                let mut counts = BTreeMap::new();
                for click in clicks() {
                    let url = format!("/products/{:04}", click.url);
                    *counts.entry((click.minute(), url)).or_default() += 1;
                }
                Expected::Results(counts)
            }
            Job::Sliding => {
                let mut seconds: BTreeMap<u64, u64> = BTreeMap::new();
                for click in clicks() {
                    *seconds.entry(click.event_time / SLIDE * SLIDE).or_default() += 1;
                }
                let first = BEGIN - MINUTE + SLIDE;
                let starts = (first..BEGIN + minutes * MINUTE).step_by(1_000);
                let counted = starts.filter_map(|start| {
                    let rows: u64 = seconds.range(start..start + MINUTE).map(|(_, n)| n).sum();
                    (rows > 0).then(|| ((start, String::new()), rows))
                });
                Expected::Results(counted.collect())
            }
            Job::Session => sessions(clicks()),
        }
    }
}

/// Distinct users in each minute.
fn distinct(clicks: impl Iterator<Item = Click>) -> Expected {
    let mut users: BTreeMap<u64, HashSet<u64>> = BTreeMap::new();
    for click in clicks {
        users.entry(click.minute()).or_default().insert(click.user);
    }
    let count =
        |(minute, users): (u64, HashSet<u64>)| ((minute, String::new()), users.len() as u64);
    Expected::Results(users.into_iter().map(count).collect())
}

/// Sessions of each user.
fn sessions(clicks: impl Iterator<Item = Click>) -> Expected {
    let mut times: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for click in clicks {
        times.entry(click.user).or_default().push(click.event_time);
    }
    let mut results = BTreeMap::new();
    for (user, mut times) in times {
        times.sort_unstable();
        let key = format!("user-{user:07}");
        for session in times.chunk_by(|before, after| after - before <= GAP) {
            results.insert((session[0], key.clone()), session.len() as u64);
        }
    }
    Expected::Results(results)
}

/// Records without an order: how many, and the sum of their hashes.
#[derive(Clone, Debug, Default)]
struct Tally {
    count: u64,
    sum: u64,
}

impl Tally {
    fn add(&mut self, bytes: &[u8]) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(FixedState::default().hash_one(bytes));
    }

    fn add_mapped(&mut self, event_time: u64, user: &str, url: &str) {
        self.count += 1;
        let hash = FixedState::default().hash_one((event_time, user, url));
        self.sum = self.sum.wrapping_add(hash);
    }

    fn expected(self) -> Expected {
        Expected::Records {
            count: self.count,
            sum: self.sum,
        }
    }
}

/// What has come so far.
pub(crate) struct Received {
    job: Job,
    results: BTreeMap<(u64, String), u64>,
    tally: Tally,
}

impl Received {
    pub(crate) fn new(job: Job) -> Self {
        Self {
            job,
            results: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Takes a record of the sink.
    ///
    /// # Errors
    /// If it is none that the job writes, or comes for the second time.
    pub(crate) fn add(&mut self, value: &[u8]) -> Result<()> {
        match self.job {
            Job::Identity => self.tally.add(value),
            Job::FilterMap => {
                let mapped: Mapped<'_> = serde_json::from_slice(value)?;
                self.tally
                    .add_mapped(mapped.event_time, mapped.user_id, mapped.url);
            }
            _ => {
                let written: Written<'_> = serde_json::from_slice(value)?;
                let key = written.key.unwrap_or_default().to_owned();
                let place = (written.window_start_ms, key);
                if let Some(before) = self.results.insert(place.clone(), written.rows) {
                    bail!("{place:?} came twice: {before}, then {}", written.rows);
                }
            }
        }
        Ok(())
    }

    /// How many records have come.
    pub(crate) fn count(&self) -> u64 {
        self.tally.count + self.results.len() as u64
    }

    /// Compares all that has come with what was expected.
    ///
    /// # Errors
    /// With the first that differs.
    pub(crate) fn judge(&self, expected: &Expected) -> Result<()> {
        match expected {
            Expected::Records { count, sum } => ensure!(
                (self.tally.count, self.tally.sum) == (*count, *sum),
                "{} records came, {count} were expected, or they are others",
                self.tally.count
            ),
            Expected::Results(expected) => {
                for (place, rows) in expected {
                    let came = self.results.get(place);
                    ensure!(
                        came == Some(rows),
                        "of {place:?} came {came:?}, {rows} was expected"
                    );
                }
                ensure!(
                    self.results.len() == expected.len(),
                    "{} results came, {} were expected",
                    self.results.len(),
                    expected.len()
                );
            }
        }
        Ok(())
    }
}

impl Expected {
    /// How many records the sink has in the end.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Expected::Records { count, .. } => *count,
            Expected::Results(results) => results.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_is_missing_wrong_or_twice_is_told() {
        let expected = Job::Keyed.expected(100, 1, 1);
        let Expected::Results(results) = &expected else {
            panic!("a keyed job has results");
        };
        let mut received = Received::new(Job::Keyed);
        for ((start, url), rows) in results {
            let text = format!(r#"{{"window_start_ms":{start},"url":"{url}","count":{rows}}}"#);
            received.add(text.as_bytes()).unwrap();
        }
        received.judge(&expected).unwrap();
        assert_eq!(received.count(), expected.count());
        let ((start, url), rows) = results.first_key_value().unwrap();
        let text = format!(r#"{{"window_start_ms":{start},"key":"{url}","rows":{rows}}}"#);
        let told = received.add(text.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("twice"), "{told}");
        assert!(Received::new(Job::Keyed).judge(&expected).is_err());
    }

    #[test]
    fn records_are_compared_in_any_order() {
        let expected = Job::FilterMap.expected(50, 1, 2);
        let mut clicks: Vec<Click> = (0..50).map(|number| Click::of(number, 50, 1)).collect();
        clicks.extend([Click::last(1), Click::last(1)]);
        let mut received = Received::new(Job::FilterMap);
        for click in clicks.iter().rev().filter(|click| click.status == 200) {
            let text = format!(
                r#"{{"event_time":{},"user_id":"user-{:07}","url":"/products/{:04}"}}"#,
                click.event_time, click.user, click.url
            );
            received.add(text.as_bytes()).unwrap();
        }
        received.judge(&expected).unwrap();
        received
            .add(br#"{"event_time":1,"user_id":"u","url":"x"}"#)
            .unwrap();
        assert!(received.judge(&expected).is_err());
    }

    #[test]
    fn a_sliding_window_sees_each_click_sixty_times() {
        let Expected::Results(results) = Job::Sliding.expected(1_000, 2, 1) else {
            panic!("windows have results");
        };
        assert_eq!(results.values().sum::<u64>(), 60_000);
    }
}
