//! What functions count for the operator, and what of their messages and numbers was left out.
//!
//! A [`Meter`] belongs to one plugin in one step of one pipeline: all instances count into it, on whichever worker they run. It is
//! bounded whatever they do: so many names, each so long, and one number for all that was left out. Numbers belong to the
//! process and outlive a run of the pipeline.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many names a meter has, counters and histograms together.
const MAX_NAMES: usize = 64;
/// How long a name may be.
pub(super) const MAX_NAME_BYTES: usize = 64;

/// The upper bounds of a histogram's buckets; one more, without a bound, comes after them.
pub const BUCKETS: [f64; 28] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 25., 50., 100.,
    250., 500., 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6,
];

/// Where a function works.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// The pipeline.
    pub pipeline: String,
    /// The step.
    pub step: String,
    /// `name@version` of the plugin.
    pub plugin: String,
}

/// The meters of a process.
#[derive(Clone, Debug, Default)]
pub struct Meters(Arc<Mutex<BTreeMap<Place, Arc<Meter>>>>);

impl Meters {
    /// The meter of a place, which begins here if there is none.
    pub(super) fn meter(&self, pipeline: &str, step: &str, plugin: &str) -> Arc<Meter> {
        let place = Place {
            pipeline: pipeline.to_owned(),
            step: step.to_owned(),
            plugin: plugin.to_owned(),
        };
        let mut meters = lock(&self.0);
        let meter = meters.entry(place.clone()).or_insert_with(|| {
            Arc::new(Meter {
                plugin: place.plugin.clone(),
                place: Some(place),
                reading: Mutex::default(),
            })
        });
        Arc::clone(meter)
    }

    /// What stands on each meter, by place.
    pub fn readings(&self) -> Vec<(Place, Reading)> {
        let meters = lock(&self.0);
        let read = |(place, meter): (&Place, &Arc<Meter>)| (place.clone(), meter.reading());
        meters.iter().map(read).collect()
    }

    /// Forgets what a pipeline's functions have counted, once it is deleted.
    pub fn forget(&self, pipeline: &str) {
        lock(&self.0).retain(|place, _| place.pipeline != pipeline);
    }
}

/// What the instances of a plugin count in one place. See the opening of this file.
#[derive(Debug)]
pub(super) struct Meter {
    plugin: String,
    place: Option<Place>,
    reading: Mutex<Reading>,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Measure {
    /// So much more on a counter.
    Count(u64),
    /// A value for a histogram.
    Observe(f64),
}

/// What is left out of what a function wants to tell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// A message, because there are too many.
    Message,
    /// A measurement, because of its name or value.
    Measure,
    /// A call of the host, because a call of the guest made too many.
    Call,
}

impl Meter {
    /// A meter that nobody reads: the plugin runs in no pipeline.
    pub(super) fn unplaced(plugin: &str) -> Arc<Self> {
        Arc::new(Self {
            plugin: plugin.to_owned(),
            place: None,
            reading: Mutex::default(),
        })
    }

    /// `name@version`.
    pub(super) fn who(&self) -> &str {
        &self.plugin
    }

    /// Where the plugin works; `None` where it is only looked at.
    pub(super) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Takes a measurement, or notes that it was left out.
    pub(super) fn measure(&self, name: &str, measure: Measure) {
        if !lock(&self.reading).take(name, measure) {
            self.lose(Loss::Measure);
        }
    }

    /// Notes that something was left out. The operator is told of the first, second, fourth, eighth and so on, so that a flood
    /// does not become one of warnings.
    pub(super) fn lose(&self, what: Loss) {
        let (so_far, said) = {
            let lost = &mut lock(&self.reading).lost;
            let (so_far, said) = match what {
                Loss::Message => (
                    &mut lost.messages,
                    "messages to the log, of which it writes too many",
                ),
                Loss::Measure => (
                    &mut lost.measures,
                    "measurements, because of too many names, a name or a value that is not allowed",
                ),
                Loss::Call => (
                    &mut lost.calls,
                    "calls of log and metrics, of which one call makes too many",
                ),
            };
            *so_far = so_far.saturating_add(1);
            (*so_far, said)
        };
        if so_far.is_power_of_two() {
            let plugin = self.plugin.as_str();
            let pipeline = self.place.as_ref().map(|place| place.pipeline.as_str());
            let step = self.place.as_ref().map(|place| place.step.as_str());
            tracing::warn!(pipeline, step, plugin, "left out {so_far} {said}");
        }
    }

    fn reading(&self) -> Reading {
        lock(&self.reading).clone()
    }
}

/// What stands on a meter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Counters by name.
    pub counters: BTreeMap<String, u64>,
    /// Histograms by name.
    pub histograms: BTreeMap<String, Histogram>,
    /// What was left out.
    pub lost: Lost,
}

/// How much was left out of what a function wanted to tell.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Lost {
    /// Messages to the log beyond what it may write in a second.
    pub messages: u64,
    /// Measurements whose name or value is not allowed, or whose name is one too many.
    pub measures: u64,
    /// Calls of `log` and `metrics` beyond what one call may make.
    pub calls: u64,
}

impl Reading {
    /// Takes a measurement if its name and value are allowed, the name is not that of the other kind, and there is room.
    fn take(&mut self, name: &str, measure: Measure) -> bool {
        if !is_metric_name(name) {
            return false;
        }
        let names = self.counters.len() + self.histograms.len();
        let has_room = names < MAX_NAMES;
        match measure {
            Measure::Count(by) if !self.histograms.contains_key(name) => {
                slot(&mut self.counters, name, has_room).is_some_and(|so_far| {
                    *so_far = so_far.saturating_add(by);
                    true
                })
            }
            Measure::Observe(value) if value.is_finite() && !self.counters.contains_key(name) => {
                slot(&mut self.histograms, name, has_room).is_some_and(|histogram| {
                    histogram.observe(value);
                    true
                })
            }
            _ => false,
        }
    }
}

/// What is under a name, which begins here if there is room for it.
fn slot<'m, T: Default>(
    map: &'m mut BTreeMap<String, T>,
    name: &str,
    has_room: bool,
) -> Option<&'m mut T> {
    match map.entry(name.to_owned()) {
        Entry::Occupied(entry) => Some(entry.into_mut()),
        Entry::Vacant(entry) if has_room => Some(entry.insert(T::default())),
        Entry::Vacant(_) => None,
    }
}

/// Whether a counter or histogram may have this name: lower-case letters, digits and underscores, first a letter.
fn is_metric_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(plain)
}

/// Values by size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many values are in each bucket of [`BUCKETS`] and no smaller one, and last how many are in none.
    pub counts: [u64; BUCKETS.len() + 1],
    /// The sum of all values.
    pub sum: f64,
}

impl Histogram {
    fn observe(&mut self, value: f64) {
        self.counts[BUCKETS.partition_point(|bound| *bound < value)] += 1;
        self.sum += value;
    }
}

/// What is under a lock is changed in single steps, so a thread that panicked has left it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_of_a_place_share_a_meter_and_it_outlives_them() {
        let meters = Meters::default();
        let first = meters.meter("p", "s", "a@1");
        first.measure("hits", Measure::Count(2));
        drop(first);
        meters
            .meter("p", "s", "a@1")
            .measure("hits", Measure::Count(3));
        meters
            .meter("p", "s", "a@2")
            .measure("hits", Measure::Count(7));
        let hits: Vec<u64> = meters
            .readings()
            .iter()
            .map(|(_, reading)| reading.counters["hits"])
            .collect();
        assert_eq!(hits, [5, 7]);
        meters.forget("q");
        assert_eq!(meters.readings().len(), 2);
        meters.forget("p");
        assert_eq!(meters.readings(), []);
    }

    #[test]
    fn names_are_bounded_and_what_is_beyond_is_counted() {
        let meter = Meter::unplaced("a@1");
        for name in 0..1_000 {
            meter.measure(&format!("n{name}"), Measure::Count(1));
        }
        meter.measure("n0", Measure::Count(4));
        meter.measure("late", Measure::Observe(1.));
        let reading = meter.reading();
        assert_eq!(reading.counters.len(), MAX_NAMES);
        assert_eq!(reading.counters["n0"], 5);
        assert_eq!(reading.histograms.len(), 0);
        assert_eq!(reading.lost.measures, 1_000 - MAX_NAMES as u64 + 1);
    }

    #[test]
    fn a_name_is_of_one_kind_and_of_plain_letters() {
        let mut reading = Reading::default();
        assert!(reading.take("a_1", Measure::Count(1)));
        assert!(!reading.take("a_1", Measure::Observe(1.)));
        assert!(reading.take("b", Measure::Observe(1.)));
        assert!(!reading.take("b", Measure::Count(1)));
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for name in [
            "", "1a", "_a", "A", "a-b", "a b", "a\n", "ä", "a\"} 1", &long,
        ] {
            assert!(!reading.take(name, Measure::Count(1)), "{name}");
        }
        assert!(reading.take(&long[1..], Measure::Count(1)));
    }

    #[test]
    fn values_fall_into_the_first_bucket_that_holds_them() {
        let mut reading = Reading::default();
        for value in [-1., 0.001, 1., 1.1, 1e6, 1e7] {
            assert!(reading.take("v", Measure::Observe(value)));
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!reading.take("v", Measure::Observe(value)));
        }
        let histogram = &reading.histograms["v"];
        let at =
            |bound: f64| histogram.counts[BUCKETS.iter().position(|b| *b == bound).unwrap_or(28)];
        assert_eq!((at(0.001), at(1.), at(2.5), at(1e6)), (2, 1, 1, 1));
        assert_eq!(histogram.counts[BUCKETS.len()], 1);
        assert_eq!(histogram.counts.iter().sum::<u64>(), 6);
        assert!(BUCKETS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_counter_stays_at_its_highest() {
        let mut reading = Reading::default();
        assert!(reading.take("n", Measure::Count(u64::MAX)));
        assert!(reading.take("n", Measure::Count(2)));
        assert_eq!(reading.counters["n"], u64::MAX);
    }
}
