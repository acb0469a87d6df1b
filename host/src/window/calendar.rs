//! Windows as people count time: days, weeks and months of a time zone. A day on which clocks change has 23 or 25 hours.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use super::Window;
use crate::time::Timestamp;

/// A span of the calendar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday (ISO 8601).
    Week,
    /// From the first to the last day of a month.
    Month,
}

/// Days, weeks or months in a time zone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Calendar {
    unit: Unit,
    zone: TimeZone,
}

impl Calendar {
    /// Windows of `unit` in `zone`.
    pub fn new(unit: Unit, zone: TimeZone) -> Self {
        Self { unit, zone }
    }

    /// The window that holds `at`. At the ends of what the calendar can show, before the year 0 and after 9999, it ends or begins
    /// there.
    pub fn window_of(&self, at: Timestamp) -> Window {
        let Ok(instant) = jiff::Timestamp::from_millisecond(at.0) else {
            return Window {
                start: at,
                end: Timestamp(at.0 + 1),
            };
        };
        let date = self.zone.to_datetime(instant).date();
        let (first, next) = match self.unit {
            Unit::Day => (Some(date), date.checked_add(1.day()).ok()),
            Unit::Week => {
                let since = date.weekday().since(Weekday::Monday);
                let first = date.checked_sub(i64::from(since).days()).ok();
                (
                    first,
                    first.and_then(|first| first.checked_add(7.days()).ok()),
                )
            }
            Unit::Month => {
                let first = date.first_of_month();
                (Some(first), first.checked_add(1.month()).ok())
            }
        };
        let start = first.and_then(|date| self.midnight(date));
        let end = next.and_then(|date| self.midnight(date));
        Window {
            start: start.unwrap_or(Timestamp::EARLIEST),
            end: end.unwrap_or(Timestamp(Timestamp::LATEST.0 + 1)),
        }
    }

    /// The first instant of a day: where clocks are put forward at midnight, that is when they show something again.
    fn midnight(&self, date: Date) -> Option<Timestamp> {
        let first = date.to_zoned_datetime(self.zone.clone()).ok()?;
        Some(Timestamp(first.timestamp().as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().unwrap();
        Timestamp(instant.as_millisecond())
    }

    fn window(unit: Unit, zone: &str, instant: &str) -> (String, String) {
        let calendar = Calendar::new(unit, TimeZone::get(zone).unwrap());
        let window = calendar.window_of(at(instant));
        (window.start.to_string(), window.end.to_string())
    }

    fn told(start: &str, end: &str) -> (String, String) {
        (start.to_owned(), end.to_owned())
    }

    #[test]
    fn days_on_which_clocks_change_have_23_and_25_hours() {
        assert_eq!(
            window(Unit::Day, "Europe/Vienna", "2026-03-29T12:00:00Z"),
            told("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")
        );
        assert_eq!(
            window(Unit::Day, "Europe/Vienna", "2026-10-25T12:00:00Z"),
            told("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
        );
    }

    #[test]
    fn where_midnight_is_skipped_the_day_begins_later() {
        // Clocks went from 0:00 to 1:00.
        assert_eq!(
            window(Unit::Day, "America/Sao_Paulo", "2018-11-04T12:00:00Z"),
            told("2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z")
        );
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        assert_eq!(
            window(Unit::Week, "UTC", "2026-11-29T23:59:59Z"),
            told("2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z")
        );
        assert_eq!(
            window(Unit::Month, "Asia/Tokyo", "2024-02-29T15:00:00Z"),
            told("2024-02-29T15:00:00Z", "2024-03-31T15:00:00Z")
        );
    }

    proptest! {
        #[test]
        fn windows_hold_their_instants_and_tile(
            at in Timestamp::EARLIEST.0..=Timestamp::LATEST.0,
            unit in prop::sample::select(vec![Unit::Day, Unit::Week, Unit::Month]),
            zone in prop::sample::select(vec!["UTC", "Europe/Vienna", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"]),
        ) {
            let calendar = Calendar::new(unit, TimeZone::get(zone).unwrap());
            let window = calendar.window_of(Timestamp(at));
            prop_assert!(window.start.0 <= at && at < window.end.0, "{window}");
            if window.end <= Timestamp::LATEST {
                prop_assert_eq!(calendar.window_of(window.end).start, window.end);
            }
            if window.start > Timestamp::EARLIEST {
                prop_assert_eq!(calendar.window_of(Timestamp(window.start.0 - 1)).end, window.start);
            }
        }
    }
}
