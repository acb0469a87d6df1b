//! How far in the future an event may lie. One that is dated far ahead would close every window before it.

use std::time::Duration;

use crate::time::Timestamp;

/// The latest instant that is taken for time, by the wall clock at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Horizon {
    now: Timestamp,
    most: Duration,
}

impl Horizon {
    /// `most` after `now`.
    pub fn new(now: Timestamp, most: Duration) -> Self {
        Self { now, most }
    }

    /// Why an instant is not taken for time, if it lies beyond. `what` says what it is.
    pub fn refusal(&self, what: &str, at: Timestamp) -> Option<String> {
        let Self { now, most } = *self;
        (at > now.plus(most)).then(|| {
            format!(
                "{what} is {at}, which is more than {most:?} (max_future) after the clock's {now}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_at_the_horizon_is_taken_and_what_lies_behind_it_is_not() {
        let horizon = Horizon::new(Timestamp(1_000), Duration::from_secs(3_600));
        let refusal = |at| horizon.refusal("its event time", Timestamp(at));
        assert_eq!(refusal(3_601_000), None);
        let told = refusal(3_601_001).expect("a millisecond too far");
        assert_eq!(
            told,
            "its event time is 1970-01-01T01:00:01.001Z, which is more than 3600s (max_future) after the clock's 1970-01-01T00:00:01Z"
        );
    }
}
