//! Properties of a record as fields: `$value`, `$key` and so on.

use serde_json::value::RawValue;

use super::Format;
use super::cell::{Datum, absent};
use crate::log::RecordBatch;
use crate::rows::{Field, FieldType};
use crate::time::Timestamp;

/// What a log says when a record has no timestamp.
pub(super) const NO_TIMESTAMP: Timestamp = Timestamp(-1);

/// A property of the record itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Property {
    Value,
    Key,
    Topic,
    Partition,
    Offset,
    Timestamp,
    EventTime,
}

impl Property {
    pub(super) const ALL: [Property; 7] = [
        Property::Value,
        Property::Key,
        Property::Topic,
        Property::Partition,
        Property::Offset,
        Property::Timestamp,
        Property::EventTime,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Property::Value => "$value",
            Property::Key => "$key",
            Property::Topic => "$topic",
            Property::Partition => "$partition",
            Property::Offset => "$offset",
            Property::Timestamp => "$timestamp",
            Property::EventTime => "$event_time",
        }
    }

    /// The types that it may be read as.
    pub(super) fn types(self) -> &'static [FieldType] {
        match self {
            Property::Value => &[FieldType::Bytes, FieldType::Text, FieldType::Json],
            Property::Key => &[FieldType::Bytes, FieldType::Text],
            Property::Topic => &[FieldType::Text],
            Property::Partition | Property::Offset => &[FieldType::Int64],
            Property::Timestamp | Property::EventTime => &[FieldType::Timestamp],
        }
    }

    /// The property of record `row` as `field` declares it, whose type must be one of [`Property::types`].
    pub(super) fn datum<'a>(
        self,
        field: &Field,
        format: Format,
        batch: &'a RecordBatch,
        row: usize,
        event_time: Timestamp,
    ) -> Result<Datum<'a>, String> {
        match self {
            Property::Value => match batch.value(row) {
                Some(value) if field.ty == FieldType::Json => json(value, format),
                value => bytes(field, value),
            },
            Property::Key => bytes(field, batch.key(row)),
            Property::Topic => Ok(Datum::Text(&batch.partition().topic)),
            Property::Partition => Ok(Datum::Int(batch.partition().partition.into())),
            Property::Offset => Ok(Datum::Int(batch.offset(row).0)),
            Property::Timestamp => match batch.timestamp(row) {
                NO_TIMESTAMP => absent(field),
                timestamp => Ok(Datum::Int(timestamp.0)),
            },
            Property::EventTime => Ok(Datum::Int(event_time.0)),
        }
    }
}

fn bytes<'a>(field: &Field, bytes: Option<&'a [u8]>) -> Result<Datum<'a>, String> {
    let Some(bytes) = bytes else {
        return absent(field);
    };
    if field.ty == FieldType::Bytes {
        return Ok(Datum::Bytes(bytes));
    }
    utf8(bytes, &field.name).map(Datum::Text)
}

fn json(value: &[u8], format: Format) -> Result<Datum<'_>, String> {
    let text = utf8(value, "$value")?;
    if format == Format::Json {
        // Its grammar was checked when the record was read.
        return Ok(Datum::Text(text.trim_ascii()));
    }
    serde_json::from_str::<&RawValue>(text)
        .map(|raw| Datum::Text(raw.get()))
        .map_err(|error| format!("field $value is not JSON: {error}"))
}

/// The bytes as text; `what` names them in the message.
pub(super) fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, String> {
    std::str::from_utf8(bytes)
        .map_err(|error| format!("{what} is not UTF-8 (at byte {})", error.valid_up_to()))
}
