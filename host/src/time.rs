//! Instants and the clock.
//!
//! Event time is a [`Timestamp`] of its own type, so that it is never mixed up with an offset or a duration. The
//! clock is a trait: whoever decides by wall-clock time takes one, and a test hands in its own.

use std::fmt;
use std::time::Duration;

/// An instant in milliseconds since 1970-01-01T00:00:00Z; negative before it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before every instant: the watermark of a partition of which nothing is known.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every instant.
    pub const MAX: Timestamp = Timestamp(i64::MAX);
    /// The earliest instant that can be written as RFC 3339: 0000-01-01T00:00:00Z.
    pub const EARLIEST: Timestamp = Timestamp(-62_167_219_200_000);
    /// The latest instant that can be written as RFC 3339: 9999-12-30T21:59:59.999Z. It is some hours short of the
    /// year's end, so that every time zone can show it.
    pub const LATEST: Timestamp = Timestamp(253_402_207_199_999);

    /// This instant less `duration`, no earlier than [`Timestamp::MIN`].
    #[must_use]
    pub fn minus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(millis(duration)))
    }

    /// This instant and `duration`, no later than the last one that the type holds.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(millis(duration)))
    }

    /// Whether it lies between [`Timestamp::EARLIEST`] and [`Timestamp::LATEST`]: only such instants are
    /// accepted as event times.
    pub fn is_representable(self) -> bool {
        (Self::EARLIEST..=Self::LATEST).contains(&self)
    }
}

/// RFC 3339 with milliseconds where there are any (`2026-11-23T14:05:00Z`); the bare number outside
/// years 0 to 9999.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) if self.is_representable() => write!(f, "{instant}"),
            _ => write!(f, "{}ms", self.0),
        }
    }
}

/// Whole milliseconds of a duration, at most `i64::MAX`.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Where wall-clock time comes from.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;

    /// Lets the thread rest for this long; it may come back earlier.
    fn pause(&self, duration: Duration);
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts at zero.
    #[expect(
        clippy::new_without_default,
        reason = "it reads the clock, which a default should not"
    )]
    pub fn new() -> Self {
        Self {
            started: std::time::Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn pause(&self, duration: Duration) {
        std::thread::park_timeout(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_rfc3339_and_falls_back_to_the_number() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(
            Timestamp(9_405_000_000_000_000).to_string(),
            "9405000000000000ms"
        );
    }

    #[test]
    fn the_bounds_are_the_last_that_can_be_shown() {
        assert_eq!(Timestamp::EARLIEST.to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp::LATEST.to_string(), "9999-12-30T21:59:59.999Z");
    }
}
