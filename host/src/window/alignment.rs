//! Which partitions wait for others: those whose watermark is far ahead, so that a backfill of partitions that cover different times
//! does not open windows without end. Pure.
//!
//! Only what is being read holds others back. A partition that is at its end has nothing to catch up with, and one of whose time
//! nothing is known yet cannot be compared.

use std::time::Duration;

use super::{Reading, Standing};
use crate::time::Timestamp;

/// The lowest watermark of the partitions that are being read; `None` if there are none.
pub fn slowest(standings: &[Standing]) -> Option<Timestamp> {
    let is_read = |standing: &&Standing| {
        standing.reading == Reading::Active && standing.watermark != Timestamp::MIN
    };
    let read = standings.iter().filter(is_read);
    read.map(|standing| standing.watermark).min()
}

/// Whether a partition with this watermark is to wait when the slowest stands there: it is more than `max_drift` ahead. One that
/// waits already goes on when half of that is caught up, since stopping and going on cost something.
pub fn waits(
    watermark: Timestamp,
    slowest: Option<Timestamp>,
    max_drift: Duration,
    is_waiting: bool,
) -> bool {
    let most = if is_waiting { max_drift / 2 } else { max_drift };
    slowest.is_some_and(|slowest| watermark > slowest.plus(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DRIFT: Duration = Duration::from_millis(100);

    fn standing(watermark: i64, reading: Reading) -> Standing {
        Standing {
            watermark: Timestamp(watermark),
            highest: Timestamp(watermark),
            reading,
        }
    }

    #[test]
    fn what_is_at_its_end_has_ended_or_has_no_time_holds_nobody_back() {
        let quiet = standing(1, Reading::Quiet(Duration::ZERO));
        let ended = standing(2, Reading::Ended);
        let pending = standing(i64::MIN, Reading::Pending);
        let unknown = standing(i64::MIN, Reading::Active);
        let read = standing(500, Reading::Active);
        let all = [quiet, ended, pending, unknown, read];
        assert_eq!(slowest(&all), Some(Timestamp(500)));
        assert_eq!(slowest(&all[..4]), None);
        assert!(!waits(Timestamp(1_000), None, DRIFT, true));
    }

    #[test]
    fn one_that_is_ahead_waits_until_the_others_have_caught_up_half_of_it() {
        let waits = |at, is_waiting| waits(Timestamp(at), Some(Timestamp(0)), DRIFT, is_waiting);
        assert!(!waits(100, false));
        assert!(waits(101, false));
        assert!(waits(51, true));
        assert!(!waits(50, true));
    }

    proptest! {
        /// Else a pipeline could stand still.
        #[test]
        fn the_slowest_never_waits(
            marks in prop::collection::vec(any::<i64>(), 1..6),
            is_waiting: bool,
            millis in 0_u64..1_000,
        ) {
            let all: Vec<Standing> =
                marks.iter().map(|at| standing(*at, Reading::Active)).collect();
            let slowest = slowest(&all);
            let lowest = all.iter().map(|standing| standing.watermark).min();
            let lowest = lowest.unwrap_or(Timestamp::MIN);
            if slowest == Some(lowest) {
                prop_assert!(!waits(lowest, slowest, Duration::from_millis(millis), is_waiting));
            }
        }
    }
}
