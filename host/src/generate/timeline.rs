//! When rows arrive and when what they tell of happened.

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;

use super::config::{ConfigError, at_least_one, disorder_millis};

/// Years 1 to 9999 in milliseconds: the times that every rendering can write with a year of four digits.
const FIRST_MILLISECOND: i128 = -62_135_596_800_000;
const LAST_MILLISECOND: i128 = 253_402_207_200_000;

/// Rows arrive evenly and never out of order; what they tell of happened up to `disorder` before.
#[derive(Debug)]
pub(super) struct Timeline {
    start: i64,
    rate: u32,
    disorder: i64,
    resolution: i64,
}

impl Timeline {
    /// A timeline of `events` rows. `reach` is how far back, in milliseconds, the caller's own event times may lie
    /// beside the disorder, and `resolution` the number of milliseconds that every event time is a multiple of.
    pub(super) fn new(
        start: Timestamp,
        events: u64,
        rate: u32,
        disorder: SignedDuration,
        reach: i64,
        resolution: i64,
    ) -> Result<Self, ConfigError> {
        at_least_one("rate", rate)?;
        let disorder = disorder_millis(disorder)?;
        let start = start.as_millisecond();
        let first = i128::from(start) - i128::from(disorder) * 2 - i128::from(reach);
        let last = i128::from(start) + i128::from(events) * 1000 / i128::from(rate);
        if first < FIRST_MILLISECOND || last > LAST_MILLISECOND {
            let problem = "and the length of the stream put events outside the years 1 to 9999";
            return Err(ConfigError::new("start", problem));
        }
        Ok(Self {
            start,
            rate,
            disorder,
            resolution,
        })
    }

    /// When the row with this number arrives, in milliseconds.
    pub(super) fn arrival(&self, number: u64) -> i64 {
        let since_start = u128::from(number) * 1000 / u128::from(self.rate);
        self.start + i64::try_from(since_start).expect("`new` checked the last event time")
    }

    /// When that which a row tells of happened, in milliseconds: never more than the disorder before any
    /// event time drawn for this arrival or an earlier one.
    pub(super) fn event_time(&self, arrival: i64, rng: &mut impl RngExt) -> i64 {
        // The arrival is rounded, not the difference: rounding that could add to the disorder.
        let steps = rng.random_range(0..=self.disorder / self.resolution);
        self.round_down(arrival) - steps * self.resolution
    }

    /// The nearest time at or before `time` that the rendering can write.
    pub(super) fn round_down(&self, time: i64) -> i64 {
        time - time.rem_euclid(self.resolution)
    }

    /// The allowed disorder in milliseconds.
    pub(super) fn disorder(&self) -> i64 {
        self.disorder
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn timeline(rate: u32, resolution: i64) -> Timeline {
        let start = Timestamp::from_millisecond(-1_500).unwrap();
        let disorder = SignedDuration::from_secs(2);
        Timeline::new(start, 1000, rate, disorder, 0, resolution).unwrap()
    }

    #[test]
    fn rows_arrive_evenly_at_the_rate() {
        let arrivals: Vec<i64> = (0..5).map(|n| timeline(3, 1).arrival(n)).collect();
        assert_eq!(arrivals, [-1500, -1167, -834, -500, -167]);
    }

    #[test]
    fn event_times_stay_within_the_disorder_and_on_the_resolution() {
        let timeline = timeline(10, 1000);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let times: Vec<i64> = (0..1000)
            .map(|_| timeline.event_time(-1, &mut rng))
            .collect();
        assert_eq!(times.iter().min(), Some(&-3000));
        assert_eq!(times.iter().max(), Some(&-1000));
        assert!(times.iter().all(|time| time % 1000 == 0));
    }
}
