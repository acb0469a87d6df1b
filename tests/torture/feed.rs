//! The clicks: written at a steady pace until the torture is over, and what is right of them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millstream::generate::{Click, Clicks, Oracle, Place, Truth};
use millstream::log::kafka::KafkaLog;
use millstream::log::{Log, Outbox, RecordParts, Writer};
use millstream::time::Timestamp;
use serde::Deserialize;

use crate::plan::Round;
use crate::watch::{number_in, read_to_end, rows};

/// How often clicks are written.
const TICK: Duration = Duration::from_millis(20);
/// The most clicks that are written at once.
const MOST: u64 = 5_000;

/// A window, and the country where there is a result for each.
pub(crate) type ResultKey = (i64, Option<String>);

/// The name of the header in which a click has its number.
const NUMBER: &str = "number";

/// What is right of the clicks that stand in the topic.
pub(crate) struct Answer {
    oracle: Oracle,
    window: i64,
    disorder: i64,
    /// The latest event time in each partition so far.
    latest: BTreeMap<i32, i64>,
    /// The people of each window and country who were not late.
    people: BTreeMap<(i64, String), HashSet<u32>>,
    /// How many clicks stand in the topic more than once.
    pub(crate) repeated: u64,
}

#[derive(Deserialize)]
struct Country {
    country: String,
}

impl Answer {
    fn new(round: &Round) -> Self {
        let clicks = &round.clicks;
        Self {
            oracle: Oracle::new(clicks.window, clicks.disorder, clicks.partitions).unwrap(),
            window: i64::try_from(clicks.window.as_millis()).unwrap(),
            disorder: i64::try_from(clicks.disorder.as_millis()).unwrap(),
            latest: BTreeMap::new(),
            people: BTreeMap::new(),
            repeated: 0,
        }
    }

    /// The answer for what stands in the topic once `written` clicks have been written to it. That need not be the clicks
    /// once each: when the broker is killed, the harness's own writer, which uses no transactions, may write some once
    /// more. For a pipeline these are rows like any other.
    pub(crate) fn of_topic(round: &Round, log: &KafkaLog, topic: &str, written: u64) -> Self {
        let clicks = Clicks::new(round.clicks.clone()).unwrap();
        let clicks: Vec<Click> = clicks.take(usize::try_from(written).unwrap()).collect();
        let mut stand = BTreeMap::new();
        read_to_end(log, topic, |fetched| {
            for (batch, row) in rows(fetched) {
                let at = (batch.partition().partition, batch.offset(row));
                let number = number_in(batch, row, NUMBER).unwrap();
                stand.insert(at, usize::try_from(number).unwrap());
            }
        });
        let mut answer = Answer::new(round);
        let mut has_come = vec![false; clicks.len()];
        for number in stand.into_values() {
            answer.repeated += u64::from(has_come[number]);
            has_come[number] = true;
            answer.observe(&clicks[number]);
        }
        assert!(!has_come.contains(&false), "the harness lost a click");
        answer
    }

    fn observe(&mut self, click: &Click) {
        self.oracle.observe(click);
        let (Truth::Visit { event_time, .. } | Truth::Bot { event_time }) = click.truth else {
            return;
        };
        let start = event_time.div_euclid(self.window) * self.window;
        let latest = self.latest.entry(click.partition).or_insert(i64::MIN);
        let is_late = start + self.window <= latest.saturating_sub(self.disorder);
        *latest = event_time.max(*latest);
        if let (Truth::Visit { user, .. }, false) = (click.truth, is_late) {
            let value = click.value.as_deref().unwrap();
            let Country { country } = serde_json::from_slice(value).unwrap();
            let people = self.people.entry((start, country)).or_default();
            people.insert(user);
        }
    }

    /// The results of closed windows: of each country apart, or of all together.
    ///
    /// A person has one country, so the countries of a window must sum up to what the oracle says: this checks the
    /// harness.
    pub(crate) fn results(&self, by_country: bool) -> BTreeMap<ResultKey, u64> {
        let mut results = BTreeMap::new();
        for window in self.oracle.closed() {
            let from = (window.start, String::new());
            let to = (window.end, String::new());
            let countries = self.people.range(from..to);
            let mut sum = 0;
            for ((start, country), people) in countries {
                let visitors = people.len() as u64;
                sum += visitors;
                if by_country {
                    results.insert((*start, Some(country.clone())), visitors);
                }
            }
            assert_eq!(
                sum, window.unique_visitors,
                "the harness contradicts the oracle"
            );
            if !by_country {
                results.insert((window.start, None), sum);
            }
        }
        results
    }

    /// Where malformed and late rows stand, by partition and offset: the topic holds nothing but clicks, and is not written
    /// in transactions.
    pub(crate) fn dead_and_late(&self) -> [Vec<(i32, i64)>; 2] {
        let expected = self.oracle.expected();
        [expected.malformed_rows, expected.late_rows].map(|rows| {
            let place = |at: Place| (at.partition, i64::try_from(at.index).unwrap());
            let mut places: Vec<_> = rows.into_iter().map(place).collect();
            places.sort_unstable();
            places
        })
    }

    /// How many clicks stand in the topic.
    pub(crate) fn rows(&self) -> u64 {
        self.oracle.expected().rows
    }
}

/// Writes the clicks of a round.
pub(crate) struct Feed<'a> {
    pub(crate) round: &'a Round,
    pub(crate) topic: &'a str,
    /// Set when the torture is over.
    pub(crate) enough: &'a AtomicBool,
    /// How many clicks have been written.
    pub(crate) written: &'a AtomicU64,
}

impl Feed<'_> {
    /// Writes at the round's pace until it is told that it is enough, and then what is left of the round's number at once.
    ///
    /// While the broker is away the writer waits inside librdkafka, which tries again. Returns how many clicks it has written.
    pub(crate) fn write(self, log: &KafkaLog) -> u64 {
        let mut clicks = Clicks::new(self.round.clicks.clone()).unwrap();
        let topic: Arc<str> = self.topic.into();
        let mut writer = log.writer().unwrap();
        let mut outbox = Outbox::new();
        let begin = Instant::now();
        let mut written = 0;
        loop {
            let due = if self.enough.load(Ordering::Relaxed) {
                self.round.events
            } else {
                due(self.round.pace, begin.elapsed())
            };
            outbox.clear();
            let count = due.saturating_sub(written).min(MOST);
            for (number, click) in (written..written + count).zip(clicks.by_ref()) {
                let number = number.to_string();
                let parts = RecordParts {
                    partition: Some(click.partition),
                    timestamp: Timestamp(click.timestamp),
                    key: Some(&click.key),
                    value: click.value.as_deref(),
                    headers: &[(NUMBER, number.as_bytes())],
                };
                outbox.push(&topic, parts);
            }
            if outbox.is_empty() {
                if self.enough.load(Ordering::Relaxed) && written >= self.round.events {
                    return written;
                }
                std::thread::park_timeout(TICK);
            } else {
                writer.append(&outbox).unwrap();
                written += outbox.len() as u64;
                self.written.store(written, Ordering::Relaxed);
            }
        }
    }
}

/// How many clicks are written after a time.
fn due(pace: u32, after: Duration) -> u64 {
    let due = u128::from(pace) * after.as_millis() / 1_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}
