//! Wire formats to columns: each record is parsed once, and only the fields that some step declared are extracted.
//!
//! A [`Decoder`] takes a stretch of a record batch and gives [`Decoded`]: the rows as columns with their event times,
//! and for each record that could not be read the reason why. A bad record leaves no trace in the columns.
//!
//! # Every format
//! - A record without a value (a tombstone) or with an empty one fails.
//! - A required field that is missing or null fails its record; an optional one is null.
//! - Names that begin with `$` are properties of the record itself: `$value` (bytes, text or json), `$key` (bytes or
//!   text), `$topic` (text), `$partition` and `$offset` (int64), `$timestamp` and `$event_time` (timestamp). A record
//!   without a key or a timestamp counts as one that lacks the property.
//! - A watermark that a record carries is written like the event time, and may be missing or null. One that can't be read leaves the
//!   record as good as it was, and is told apart.
//! - The event time must lie from [`Timestamp::EARLIEST`] to [`Timestamp::LATEST`]; anything else, such as the year
//!   300000, fails the record. Fractions of a millisecond are rounded towards the past.
//!
//! # JSON
//! - A record is one object in UTF-8 with only white space around it. All of it is checked against the grammar, also
//!   what nobody reads. What the grammar allows and no value can hold (half of a surrogate pair in a string, a number
//!   beyond every double) is an error only where a declared field makes the decoder look at it.
//! - A dot in a name descends into objects: `user.id`. A path that meets anything but an object is missing.
//! - Where a key occurs twice in an object, the last one counts; whatever the first one held is forgotten.
//! - What nobody reads may be nested to any depth.
//!
//! | type | is read from |
//! |---|---|
//! | bool | `true` and `false` |
//! | int64 | a number without fraction and exponent, in range; `1.0` and `1e3` are refused |
//! | float64 | any number that a double can hold |
//! | timestamp | a whole number of milliseconds, or RFC 3339 text |
//! | text | a string |
//! | bytes | a string in base64 (the standard alphabet, padded) |
//! | json | any value but null, its text as it was written |
//!
//! # Access log
//! One line of the combined format of Apache and nginx, or of the common format, which lacks the last two fields:
//!
//! ```text
//! host ident user [time] "request" status bytes "referer" "user_agent"
//! ```
//!
//! - The fields are `host`, `ident`, `user`, `request`, `method`, `path`, `protocol`, `referer` and `user_agent`
//!   (text), `status` and `bytes` (int64), and `time` (timestamp). `-` is null.
//! - `method`, `path` and `protocol` are the parts of a request that has at least the first two; otherwise null.
//! - Quoted parts may hold the escapes that both servers write: `\"`, `\\`, `\xHH` and `\b`, `\n`, `\r`, `\t`, `\v`.
//!   Where the bytes so written are not UTF-8, reading that field fails the record.
//!
//! # Raw
//! Nothing is parsed, so the properties are the only fields.

mod access_log;
mod cell;
mod columns;
mod decoder;
mod event_time;
mod json;
mod ordinary;
mod plan;
mod property;
mod scan;

#[cfg(test)]
mod tests;

use crate::rows::Rows;
use crate::time::Timestamp;

pub use decoder::Decoder;
pub use plan::DecoderError;

/// How the values of a topic are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One JSON object a record.
    Json,
    /// One line of the Apache and nginx combined log format a record.
    AccessLog,
    /// Bytes that are handed on as they are; only the record's own properties (`$value`, `$key`, …) are fields.
    Raw,
}

/// Where a row's event time comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EventTime {
    /// The timestamp that the log has for the record.
    Record,
    /// A field of the row.
    Field {
        /// Its path, as in a function's fields.
        path: String,
        /// How it is written.
        unit: TimeUnit,
    },
}

/// How a field writes an instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimeUnit {
    /// A whole number of milliseconds since 1970-01-01T00:00:00Z.
    Millis,
    /// Seconds since then, possibly with a fraction.
    Seconds,
    /// Text by RFC 3339.
    Rfc3339,
}

/// What decoding made of a stretch of a record batch.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Of each row, the record it came from, as its index in the batch; ascending.
    pub source: Vec<u32>,
    /// The event time of each row.
    pub event_times: Vec<Timestamp>,
    /// The watermark that each row carries, if any; empty unless the decoder reads watermarks.
    pub watermarks: Vec<Option<Timestamp>>,
    /// The records whose watermark can't be read; ascending. They are rows like others.
    pub unread_watermarks: Vec<Failure>,
    /// The rows: one column for each field that the decoder was made for, in that order.
    pub rows: Rows,
    /// The records that could not be read; ascending.
    pub failures: Vec<Failure>,
}

impl Decoded {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn clear(&mut self) {
        self.source.clear();
        self.event_times.clear();
        self.watermarks.clear();
        self.unread_watermarks.clear();
        self.rows = Rows::default();
        self.failures.clear();
    }
}

/// A record that could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The record, as its index in the batch.
    pub row: u32,
    /// Why, in a short lower-case message that names the field.
    pub reason: String,
}
