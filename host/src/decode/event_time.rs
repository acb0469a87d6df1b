//! The event time of a row, from the record or from one of its fields.

use super::TimeUnit;
use super::cell::{Cell, Scratch, clip};
use super::property::NO_TIMESTAMP;
use crate::time::Timestamp;

/// Where the event time is found once the fields have their cells.
#[derive(Debug)]
pub(super) enum Input {
    /// In the record's own timestamp.
    Record,
    /// In a cell.
    Cell {
        /// Which; with [`TimeUnit::Seconds`] it holds the number's source text.
        cell: usize,
        /// The field's path, for messages.
        path: String,
        /// How it is written.
        unit: TimeUnit,
    },
}

impl Input {
    /// The event time of a row, or why there is none.
    pub(super) fn read(
        &self,
        record: Timestamp,
        cells: &[Cell<'_>],
        scratch: &Scratch,
    ) -> Result<Timestamp, String> {
        match self {
            Input::Record if record == NO_TIMESTAMP => {
                Err("the record has no timestamp to take as its event time".to_owned())
            }
            Input::Record if record.is_representable() => Ok(record),
            Input::Record => Err(out_of_range("event time", &record.0.to_string())),
            Input::Cell { cell, path, unit } => {
                let cell = cells[*cell];
                if cell.is_absent() {
                    return Err(format!(
                        "field {path} is missing (the event time is needed)"
                    ));
                }
                of_field(cell, path, *unit, "event time", scratch)
            }
        }
    }

    /// The watermark in the field of a row, or why it can't be read; nothing if the row lacks the field.
    pub(super) fn read_if_there(
        &self,
        cells: &[Cell<'_>],
        scratch: &Scratch,
    ) -> Result<Option<Timestamp>, String> {
        let Input::Cell { cell, path, unit } = self else {
            return Ok(None);
        };
        match cells[*cell] {
            // A field whose source text is read has no cell of its own for null.
            Cell::Missing | Cell::Null | Cell::Raw("null") => Ok(None),
            cell => of_field(cell, path, *unit, "watermark", scratch).map(Some),
        }
    }
}

fn of_field(
    cell: Cell<'_>,
    path: &str,
    unit: TimeUnit,
    what: &str,
    scratch: &Scratch,
) -> Result<Timestamp, String> {
    let millis = match (unit, cell) {
        (TimeUnit::Millis, Cell::Int(millis)) => Some(millis),
        (TimeUnit::Millis, Cell::Uint(_)) => None,
        (TimeUnit::Seconds, Cell::Raw(text)) if is_number(text) => seconds_to_millis(text),
        (TimeUnit::Rfc3339, Cell::Text(_) | Cell::Resolved(_)) => {
            let text = cell.text(scratch).unwrap_or_default();
            let instant = rfc3339_millis(text);
            return instant
                .map(Timestamp)
                .filter(|t| t.is_representable())
                .ok_or_else(|| {
                    format!(
                        "field {path} is {:?}, the {what} as RFC 3339 text is needed",
                        clip(text)
                    )
                });
        }
        _ => {
            let needed = match unit {
                TimeUnit::Millis => "a whole number of milliseconds",
                TimeUnit::Seconds => "a number of seconds",
                TimeUnit::Rfc3339 => "RFC 3339 text",
            };
            let found = cell.describe();
            return Err(format!(
                "field {path} is {found}, the {what} as {needed} is needed"
            ));
        }
    };
    millis
        .map(Timestamp)
        .filter(|timestamp| timestamp.is_representable())
        .ok_or_else(|| out_of_range(&format!("{what} in field {path}"), &cell.describe()))
}

#[cold]
fn out_of_range(what: &str, value: &str) -> String {
    let (from, to) = (Timestamp::EARLIEST, Timestamp::LATEST);
    format!("{what} is {value}, outside {from} to {to}")
}

/// The milliseconds of an instant written by RFC 3339, rounded towards the past.
pub(super) fn rfc3339_millis(text: &str) -> Option<i64> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(instant.as_nanosecond().div_euclid(1_000_000)).ok()
}

fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// The milliseconds of a JSON number of seconds, rounded towards the past; `None` beyond an `i64`.
///
/// It works on the digits as written. A double near 1.7 billion has steps of a quarter of a microsecond, so a time
/// written with three decimals may lie just below its millisecond and would be rounded down to the one before.
fn seconds_to_millis(number: &str) -> Option<i64> {
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (decimal, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));

    // The number is `mantissa` times ten to the power of `power`, in milliseconds, and a bit more if `more`.
    let mut mantissa: u128 = 0;
    let mut more = false;
    let mut power = exponent_value(exponent).saturating_add(3);
    for (digits, step) in [(whole, 0), (fraction, 1)] {
        for digit in digits
            .bytes()
            .map(|byte| u128::from(byte.wrapping_sub(b'0')))
        {
            match mantissa.checked_mul(10).and_then(|m| m.checked_add(digit)) {
                Some(longer) => {
                    mantissa = longer;
                    power = power.saturating_sub(step);
                }
                None => {
                    more |= digit != 0;
                    power = power.saturating_add(1 - step);
                }
            }
        }
    }
    if mantissa == 0 {
        return Some(0);
    }
    let scale = u32::try_from(power.unsigned_abs())
        .ok()
        .and_then(|power| 10u128.checked_pow(power));
    let floor = match (power >= 0, scale) {
        (true, scale) => mantissa.checked_mul(scale?)?,
        (false, Some(scale)) => {
            more |= !mantissa.is_multiple_of(scale);
            mantissa / scale
        }
        (false, None) => {
            more = true;
            0
        }
    };
    let floor = i128::try_from(floor).ok()?;
    let floor = if negative {
        -floor - i128::from(more)
    } else {
        floor
    };
    i64::try_from(floor).ok()
}

/// The exponent of a JSON number. One with too many digits for an `i64` is as good as the furthest one.
fn exponent_value(text: &str) -> i64 {
    text.parse().unwrap_or(if text.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seconds_become_milliseconds_rounded_towards_the_past() {
        for (number, millis) in [
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("0e999999999999999999999", Some(0)),
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000.123", Some(1_700_000_000_123)),
            ("1700000000.1239999", Some(1_700_000_000_123)),
            ("-0.0001", Some(-1)),
            ("-1.5", Some(-1500)),
            ("-1.5001", Some(-1501)),
            ("1.7e9", Some(1_700_000_000_000)),
            ("17E+8", Some(1_700_000_000_000)),
            ("1e-99999999999999999999999", Some(0)),
            ("-1e-50", Some(-1)),
            ("1e17", None),
            ("1e99999999999999999999999", None),
            ("9223372036854775.807", Some(i64::MAX)),
            ("9223372036854775.808", None),
            (
                "0.00100000000000000000000000000000000000000000000000001",
                Some(1),
            ),
            (
                "-0.00100000000000000000000000000000000000000000000000001",
                Some(-2),
            ),
            (
                "1000000000000000000000000000000000000000000000000e-45",
                Some(1_000_000),
            ),
        ] {
            assert_eq!(seconds_to_millis(number), millis, "{number}");
        }
    }

    #[test]
    fn rfc3339_before_1970_is_rounded_towards_the_past() {
        assert_eq!(rfc3339_millis("1969-12-31T23:59:59.9999Z"), Some(-1));
        assert_eq!(rfc3339_millis("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(rfc3339_millis("1970-01-01T00:00:00"), None);
    }

    proptest! {
        #[test]
        fn whole_microseconds_are_divided_with_floor(micros in -10_000_000_000_000_000i64..10_000_000_000_000_000) {
            let sign = if micros < 0 { "-" } else { "" };
            let (whole, part) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
            let text = format!("{sign}{whole}.{part:06}");
            prop_assert_eq!(seconds_to_millis(&text), Some(micros.div_euclid(1000)));
        }
    }
}
