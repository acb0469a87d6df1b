//! Instants and durations as text: short where they can be.
//!
//! | text | is |
//! |---|---|
//! | `12:00:05`, `12:00:05.250` | that time of the day on which most scenarios play, 2026-01-01, in UTC |
//! | `5ms`, `-3ms` | so many milliseconds after or before 1970 |
//! | `2026-03-29T01:30:00+01:00` | RFC 3339 |

use jiff::{SignedDuration, Timestamp};

/// 2026-01-01T00:00:00Z.
const DAY: i64 = 1_767_225_600_000;
const DAY_MS: i64 = 86_400_000;
/// Up to here, milliseconds are easier to read.
const SHORT: i64 = 1_000_000;

/// Reads an instant.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok();
    }
    let text = match text.contains('T') {
        true => text.to_owned(),
        false => format!("2026-01-01T{text}Z"),
    };
    Some(text.parse::<Timestamp>().ok()?.as_millisecond())
}

/// Writes an instant so that [`parse`] reads it.
pub(crate) fn show(at: i64) -> String {
    if (-SHORT..SHORT).contains(&at) {
        return format!("{at}ms");
    }
    let text = match at % 1_000 {
        0 => format!("{}", Timestamp::from_millisecond(at).unwrap()),
        _ => format!("{:.3}", Timestamp::from_millisecond(at).unwrap()),
    };
    if (DAY..DAY + DAY_MS).contains(&at) {
        let time = text.split_once('T').unwrap().1;
        return time.trim_end_matches('Z').to_owned();
    }
    text
}

/// Reads a duration as pipeline files have it, in milliseconds.
pub(crate) fn duration(text: &str) -> i64 {
    let duration: SignedDuration = text.parse().unwrap_or_else(|error| panic!("{error}"));
    i64::try_from(duration.as_millis()).unwrap()
}

#[test]
fn what_is_shown_is_read_again() {
    for text in [
        "12:00:05",
        "00:00:00.250",
        "0ms",
        "-3ms",
        "2026-03-29T00:30:00Z",
    ] {
        assert_eq!(show(parse(text).unwrap()), text);
    }
    assert_eq!(parse("2026-01-01T01:00:00+01:00"), parse("00:00:00"));
}
