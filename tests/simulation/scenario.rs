//! What a seed makes of a run before it begins: the pipeline, the partitions, the events, and when they are written.

use millstream::time::Timestamp;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::clock::BEGIN;
use crate::faults::{Fault, Odds, Tally};
use crate::kinds::KINDS;
use crate::pipelines::{DISORDER, Key, Kind, Time};
use crate::sim_log::Topics;

/// The names of the topics; the group has the pipeline's.
pub(crate) const GROUP: &str = "p";
pub(crate) const SOURCE: &str = "clicks";
pub(crate) const SINK: &str = "sink";
pub(crate) const DEAD: &str = "dead";
pub(crate) const LATE: &str = "late";
pub(crate) const CHANGELOG: &str = "p-changelog";
pub(crate) const REPARTITION: &str = "p-repartition";

/// What an event is meant to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Truth {
    Click {
        at: i64,
        user: u32,
        page: u32,
        country: Option<&'static str>,
        is_bot: bool,
        is_poison: bool,
    },
    /// It can't be decoded.
    Malformed,
}

/// A record of the source.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) partition: i32,
    /// Its number among all.
    pub(crate) n: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) truth: Truth,
}

/// See the opening of this file.
pub(crate) struct Scenario {
    pub(crate) kind: &'static Kind,
    pub(crate) kind_number: usize,
    pub(crate) partitions: i32,
    pub(crate) topics: Topics,
    /// Events that are written together, each with the time since the ones before.
    pub(crate) chunks: Vec<(u64, Vec<Event>)>,
    /// How many workers run at the same time at most.
    pub(crate) workers: usize,
    /// How many are there in the end.
    pub(crate) last_workers: usize,
    pub(crate) odds: Odds,
    /// The seed of the schedule.
    pub(crate) schedule: u64,
    /// What was drawn that counts as a fault.
    pub(crate) tally: Tally,
}

impl Scenario {
    /// What `seed` makes of a run.
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let kind_number = rng.random_range(0..KINDS.len());
        let kind = &KINDS[kind_number];
        let needs_one = kind.time.counts() && kind.key != Key::Record;
        let partitions = if needs_one {
            1
        } else {
            rng.random_range(1..=4)
        };
        let mut tally = Tally::default();
        let topics = Topics {
            // With what the host leaves for the rest of a record, values of 1 KiB.
            most: rng.random_bool(0.5).then_some(81 << 10),
            tombstones: [None, None, Some(1_000), Some(6_000)][rng.random_range(0..4)],
        };
        let events = events(&mut rng, kind, partitions, &mut tally);
        let chunks = chunks(&mut rng, kind, events, partitions, &mut tally);
        let odds = Odds::of(&mut rng);
        Self {
            kind,
            kind_number,
            partitions,
            topics,
            chunks,
            workers: rng.random_range(1..=3),
            last_workers: rng.random_range(1..=3),
            odds,
            schedule: rng.next_u64(),
            tally,
        }
    }

    /// All events, in the order in which they stand in their partitions.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.chunks.iter().flat_map(|(_, events)| events)
    }
}

/// 2026-03-26T00:00:00Z, before clocks change in Vienna.
const MARCH: i64 = 1_774_483_200_000;
const COUNTRIES: [&str; 5] = ["AT", "CH", "DE", "FR", "NL"];

fn events(rng: &mut ChaCha8Rng, kind: &Kind, partitions: i32, tally: &mut Tally) -> Vec<Event> {
    let count = [60, 150, 300, 600, 1_200][rng.random_range(0..5)];
    let users = [5, 50, 500, 3_000][rng.random_range(0..4)];
    let pages = [3, 40, 400][rng.random_range(0..3)];
    // From many windows of few rows to few windows of many.
    let pace = [6, 30, 100, 500][rng.random_range(0..4)];
    let (late, malformed, odd) = (
        rng.random_range(0.0..0.1),
        rng.random_range(0.0..0.05),
        rng.random_range(0.0..0.1),
    );
    let silent = (partitions > 1 && rng.random_bool(0.05)).then(|| rng.random_range(0..partitions));
    if silent.is_some() {
        tally.count(Fault::SilentPartition);
    }
    let mut now = rng.random_range(0..60_000);
    let at = |time: i64| match kind.time {
        Time::Calendar(_) => MARCH + time * kind.time.scale(),
        _ => BEGIN + time,
    };
    let mut events = Vec::new();
    for n in 0..count {
        now += rng.random_range(0..2 * pace);
        if rng.random_bool(0.004) {
            // Time leaps over many windows.
            now += rng.random_range(0..100_000);
        }
        let user = rng.random_range(0..users);
        let partition = match kind.key {
            Key::Record => i32::try_from(user % 11).unwrap() % partitions,
            Key::None | Key::Country => rng.random_range(0..partitions),
        };
        let back = if rng.random_bool(late) {
            rng.random_range(0..60_000)
        } else {
            rng.random_range(0..DISORDER)
        };
        let country = (!rng.random_bool(odd * 0.3)).then(|| COUNTRIES[rng.random_range(0..5)]);
        let truth = match rng.random_bool(malformed) {
            true => Truth::Malformed,
            false => Truth::Click {
                at: at(now - back),
                user,
                page: rng.random_range(0..pages),
                country,
                is_bot: rng.random_bool(odd),
                is_poison: kind.poison && rng.random_bool(0.003),
            },
        };
        let has_key = !rng.random_bool(odd * 0.3);
        let value = value(rng, &truth, n);
        if silent != Some(partition) {
            events.push(Event {
                partition,
                n,
                key: has_key.then(|| format!("k{}", user % 11)),
                value,
                truth,
            });
        }
    }
    // With these, most of the windows fire.
    if rng.random_bool(0.7) {
        for partition in (0..partitions).filter(|partition| silent != Some(*partition)) {
            let truth = Truth::Click {
                at: at(now + 30_000),
                user: 0,
                page: 0,
                country: Some("DE"),
                is_bot: false,
                is_poison: false,
            };
            let n = count + i64::from(partition);
            events.push(Event {
                partition,
                n,
                // Keys of records are in one partition each.
                key: Some(format!("k{partition}")),
                value: value(rng, &truth, n),
                truth,
            });
        }
    }
    events
}

/// What stands in the log for an event.
fn value(rng: &mut ChaCha8Rng, truth: &Truth, n: i64) -> Option<Vec<u8>> {
    let Truth::Click {
        at,
        user,
        page,
        country,
        is_bot,
        is_poison,
    } = truth
    else {
        let broken: [Option<&[u8]>; 4] = [
            None,
            Some(b""),
            Some(b"{\"event_time\":17"),
            Some(b"{\"user_id\":\"u\",\"n\":1}"),
        ];
        return broken[rng.random_range(0..4)].map(<[u8]>::to_vec);
    };
    let user = if *is_poison {
        "poison".to_owned()
    } else {
        format!("user-{user:05}")
    };
    let value = json!({
        "event_time": at,
        "user_id": user,
        "user_agent": if *is_bot { "curl/8.14" } else { "Firefox" },
        "country": country,
        "path": page_name(*page),
        "url": format!("{}?ref=mail", page_name(*page)),
        "n": n,
    });
    Some(value.to_string().into_bytes())
}

/// The path of a page.
pub(crate) fn page_name(page: u32) -> String {
    format!("/pages/{page:04}")
}

/// Deals events to chunks. A partition may be idle for long: what it has then comes at the very end, or, where silence means
/// something, while others go on.
fn chunks(
    rng: &mut ChaCha8Rng,
    kind: &Kind,
    events: Vec<Event>,
    partitions: i32,
    tally: &mut Tally,
) -> Vec<(u64, Vec<Event>)> {
    let (idle, steady) = if kind.idle { (0.8, 0.7) } else { (0.15, 0.1) };
    let idle = (partitions > 1 && rng.random_bool(idle)).then(|| rng.random_range(0..partitions));
    if idle.is_some() {
        tally.count(Fault::IdlePartition);
    }
    let (held, mut events): (Vec<Event>, Vec<Event>) = events
        .into_iter()
        .partition(|event| Some(event.partition) == idle);
    // Now and then so many small ones that deltas pile up.
    let is_steady = rng.random_bool(steady);
    let parts = if is_steady {
        50
    } else {
        rng.random_range(1..12)
    };
    let size = (events.len() / parts).max(1);
    let mut chunks = Vec::new();
    while !events.is_empty() {
        let rest = events.split_off(size.min(events.len()));
        let waits = [0, rng.random_range(0..300), rng.random_range(0..2_000)];
        let wait = if is_steady {
            150
        } else {
            waits[rng.random_range(0..3)]
        };
        chunks.push((wait, std::mem::replace(&mut events, rest)));
    }
    if !held.is_empty() {
        let at = match kind.idle {
            true => rng.random_range(chunks.len() / 2..=chunks.len()),
            false => chunks.len(),
        };
        chunks.insert(at, (rng.random_range(0..3_000), held));
    }
    chunks
}

/// When a record is written, as its timestamp.
pub(crate) fn written_at(now: u64) -> Timestamp {
    Timestamp(BEGIN + i64::try_from(now).unwrap())
}
