//! Which window a row belongs to.

use std::fmt;
use std::time::Duration;

use crate::time::{Timestamp, millis};

/// A span of event time: from `start`, up to and without `end`. Ordered by end, then start: the order of firing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Window {
    /// The first instant in it.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Window {
    /// Before every other in the order of firing.
    pub const FIRST: Window = Window {
        start: Timestamp::MIN,
        end: Timestamp::MIN,
    };
}

impl Ord for Window {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.end, self.start).cmp(&(other.end, other.start))
    }
}

impl PartialOrd for Window {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// Windows of one size that follow each other without gap or overlap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tumbling {
    size: i64,
    offset: i64,
}

impl Tumbling {
    /// Windows of `size` whose starts are multiples of it since 1970-01-01T00:00:00Z, moved by `offset`.
    ///
    /// Returns `None` if `size` is less than a millisecond.
    pub fn new(size: Duration, offset: Duration) -> Option<Self> {
        let size = millis(size);
        (size > 0).then(|| Self {
            size,
            offset: millis(offset) % size,
        })
    }

    /// The window that holds `at`. Floor division puts times before 1970 into the right one too.
    pub fn window_of(&self, at: Timestamp) -> Window {
        let start = at.0 - (at.0 - self.offset).rem_euclid(self.size);
        Window {
            start: Timestamp(start),
            end: Timestamp(start + self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn minute() -> Tumbling {
        Tumbling::new(Duration::from_secs(60), Duration::ZERO).expect("a minute is a size")
    }

    #[test]
    fn the_end_belongs_to_the_next_window() {
        assert_eq!(minute().window_of(Timestamp(59_999)).start, Timestamp(0));
        assert_eq!(
            minute().window_of(Timestamp(60_000)).start,
            Timestamp(60_000)
        );
    }

    #[test]
    fn times_before_1970_lie_in_the_window_that_holds_them() {
        let window = minute().window_of(Timestamp(-1));
        assert_eq!((window.start.0, window.end.0), (-60_000, 0));
        assert_eq!(minute().window_of(Timestamp(-60_000)).start.0, -60_000);
        assert_eq!(minute().window_of(Timestamp(-60_001)).start.0, -120_000);
    }

    #[test]
    fn a_size_of_nothing_is_no_size() {
        assert_eq!(
            Tumbling::new(Duration::from_micros(10), Duration::ZERO),
            None
        );
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_its_window_and_windows_tile(
            at in Timestamp::EARLIEST.0..=Timestamp::LATEST.0,
            size in 1_u64..100_000_000,
            offset in 0_u64..200_000_000,
        ) {
            let windows = Tumbling::new(Duration::from_millis(size), Duration::from_millis(offset))
                .expect("the size is positive");
            let window = windows.window_of(Timestamp(at));
            prop_assert!(window.start.0 <= at && at < window.end.0);
            prop_assert_eq!(u64::try_from(window.end.0 - window.start.0), Ok(size));
            prop_assert_eq!(windows.window_of(window.end).start, window.end);
            prop_assert_eq!(windows.window_of(Timestamp(window.start.0 - 1)).end, window.start);
        }
    }
}
