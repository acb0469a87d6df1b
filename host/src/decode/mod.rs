//! Wire formats to columns: each record is parsed once, and only the fields that some step declared are extracted.

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
