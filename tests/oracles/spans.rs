//! Which windows hold an instant, where the clock alone says so.

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

/// A span of event time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CalendarUnit {
    Day,
    Week,
    Month,
}

/// Sliding windows, of which the last to end comes last. Tumbling ones slide by their size.
pub(crate) fn sliding(size: i64, slide: i64, offset: i64, at: i64) -> Vec<Span> {
    let last = (at - offset).div_euclid(slide) * slide + offset;
    let starts = (0..).map(|back| last - back * slide);
    let mut spans: Vec<Span> = starts
        .take_while(|start| at < start + size)
        .map(|start| Span {
            start,
            end: start + size,
        })
        .collect();
    spans.reverse();
    spans
}

/// The day, week or month of a time zone that holds an instant.
pub(crate) fn calendar(unit: CalendarUnit, zone: &TimeZone, at: i64) -> Span {
    let at = Timestamp::from_millisecond(at).unwrap();
    let day = at.to_zoned_datetime(zone.clone()).date();
    let (first, next) = match unit {
        CalendarUnit::Day => (day, day.tomorrow().unwrap()),
        CalendarUnit::Week => {
            let since_monday = i64::from(day.weekday().to_monday_zero_offset());
            let monday = day
                .checked_sub(jiff::Span::new().days(since_monday))
                .unwrap();
            (
                monday,
                monday.checked_add(jiff::Span::new().days(7)).unwrap(),
            )
        }
        CalendarUnit::Month => {
            let first = day.first_of_month();
            (
                first,
                first.checked_add(jiff::Span::new().months(1)).unwrap(),
            )
        }
    };
    let instant = |day: civil::Date| {
        let start = day.to_zoned_datetime(zone.clone()).unwrap();
        start.timestamp().as_millisecond()
    };
    Span {
        start: instant(first),
        end: instant(next),
    }
}
