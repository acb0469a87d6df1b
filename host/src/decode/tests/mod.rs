//! Tests of decoding: each rule and its message, and what must hold for any record.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod access_log;
mod json;
mod oracle;
mod record;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef};

use super::*;
use crate::log::{Offset, RecordBatch, TopicPartition};
use crate::rows::{Field, FieldType};

const TIMESTAMP: Timestamp = Timestamp(1_000);

/// A field from `name: type` or `name: option<type>`.
fn field(text: &str) -> Field {
    let (name, ty) = text.split_once(": ").unwrap();
    let inner = ty
        .strip_prefix("option<")
        .and_then(|ty| ty.strip_suffix('>'));
    let types = [
        FieldType::Bool,
        FieldType::Int64,
        FieldType::Float64,
        FieldType::Timestamp,
        FieldType::Text,
        FieldType::Bytes,
        FieldType::Json,
    ];
    Field {
        name: name.to_owned(),
        ty: types
            .into_iter()
            .find(|t| t.to_string() == inner.unwrap_or(ty))
            .unwrap(),
        optional: inner.is_some(),
    }
}

fn decoder(format: Format, event_time: EventTime, fields: &[&str]) -> Decoder {
    Decoder::new(
        format,
        event_time,
        fields.iter().copied().map(field).collect(),
    )
    .unwrap()
}

fn batch<'a>(values: impl IntoIterator<Item = Option<&'a [u8]>>) -> RecordBatch {
    let mut batch = RecordBatch::new(TopicPartition::new("clicks", 3));
    for (offset, value) in (70..).zip(values) {
        batch.push(Offset(offset), TIMESTAMP, Some(b"key"), value);
    }
    batch
}

fn decode(decoder: &mut Decoder, batch: &RecordBatch) -> Decoded {
    let mut decoded = Decoded::new();
    decoder.decode(batch, 0..batch.len(), &mut decoded);
    decoded
}

/// A value of a column, as text.
fn show(column: &ArrayRef, ty: FieldType, row: usize) -> String {
    if column.is_null(row) {
        return "null".to_owned();
    }
    match ty {
        FieldType::Bool => column.as_boolean().value(row).to_string(),
        FieldType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        FieldType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        FieldType::Timestamp => {
            let column = column.as_primitive::<TimestampMillisecondType>();
            column.value(row).to_string()
        }
        FieldType::Text | FieldType::Json => column.as_string::<i32>().value(row).to_owned(),
        FieldType::Bytes => format!("{:?}", column.as_binary::<i32>().value(row)),
    }
}

/// The columns of one record as text, or why it failed.
fn one(decoder: &mut Decoder, fields: &[&str], value: &[u8]) -> Result<Vec<String>, String> {
    let decoded = decode(decoder, &batch([Some(value)]));
    match decoded.failures.as_slice() {
        [] => Ok(fields
            .iter()
            .zip(&decoded.rows.columns)
            .map(|(text, column)| show(column, field(text).ty, 0))
            .collect()),
        [failure] => {
            assert_eq!((failure.row, decoded.rows.len), (0, 0));
            Err(failure.reason.clone())
        }
        more => panic!("{more:?}"),
    }
}
