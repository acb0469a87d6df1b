//! Rows as bytes: what a window-apply keeps of a window.
//!
//! # Constraints
//! Rows are added to a window bit by bit, and each bit is stored by itself: reading puts many such pieces together, in
//! their order. Names and types of the fields are not repeated in each: the pipeline's shape says them once.
//!
//! # Layout, version 1
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 4 | how many rows: u32 |
//! | each column | 1 byte: whether values are missing; if it is 1, a bit for each row, the lowest bit of a byte first, set where there is a value; then the values that there are |
//!
//! A value is 1 byte for a bool, 0 or 1; 8 bytes for int64, float64 and timestamp; for text, bytes and json a length, u32,
//! and as many bytes.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef};

use super::{Field, FieldType, Rows};
use crate::format::{FormatError, Reading, put_bytes};

const WHAT: &str = "rows of a window";
const VERSION: u8 = 1;

/// The values of a column of text or bytes lie in one buffer, which is addressed by an i32.
const MOST_BYTES: usize = i32::MAX as usize;

/// Appends some rows as bytes, in the order in which `which` names them.
///
/// # Panics
/// If a column is not of its field's type, or a row is not there.
pub fn encode_rows(
    fields: &[Field],
    rows: &Rows,
    which: impl Iterator<Item = usize>,
    out: &mut Vec<u8>,
) {
    let which: Vec<usize> = which.collect();
    let count = u32::try_from(which.len()).expect("a call of a function has far fewer rows");
    out.push(VERSION);
    out.extend_from_slice(&count.to_be_bytes());
    for (field, column) in fields.iter().zip(&rows.columns) {
        let there: Vec<usize> = which
            .iter()
            .copied()
            .filter(|row| column.is_valid(*row))
            .collect();
        if there.len() == which.len() {
            out.push(0);
        } else {
            out.push(1);
            for eight in which.chunks(8) {
                let bits = eight.iter().enumerate();
                out.push(bits.fold(0, |bits, (at, row)| {
                    bits | u8::from(column.is_valid(*row)) << at
                }));
            }
        }
        for row in there {
            put_value(field.ty, column, row, out);
        }
    }
}

fn put_value(ty: FieldType, column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    match ty {
        FieldType::Bool => out.push(column.as_boolean().value(row).into()),
        FieldType::Int64 => {
            let value = column.as_primitive::<Int64Type>().value(row);
            out.extend_from_slice(&value.to_be_bytes());
        }
        FieldType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            out.extend_from_slice(&value.to_be_bytes());
        }
        FieldType::Timestamp => {
            let value = column.as_primitive::<TimestampMillisecondType>().value(row);
            out.extend_from_slice(&value.to_be_bytes());
        }
        FieldType::Text | FieldType::Json => {
            put_bytes(out, column.as_string::<i32>().value(row).as_bytes());
        }
        FieldType::Bytes => put_bytes(out, column.as_binary::<i32>().value(row)),
    }
}

/// Reads what [`encode_rows`] wrote: the rows of all parts, one after the other.
///
/// # Errors
/// If a part is something else, is of other fields, or if a column would take more than 2 GiB.
pub fn decode_rows(fields: &[Field], parts: &[&[u8]]) -> Result<Rows, FormatError> {
    let mut columns: Vec<Column> = fields.iter().map(|field| Column::new(field.ty)).collect();
    let mut len = 0;
    for part in parts {
        let mut reading = Reading::versioned(WHAT, VERSION, part)?;
        let count = usize::try_from(reading.u32()?).map_err(|_| reading.damaged())?;
        for (field, column) in fields.iter().zip(&mut columns) {
            let bits = match reading.u8()? {
                0 => None,
                1 if field.optional => Some(reading.take(count.div_ceil(8))?),
                _ => return Err(reading.damaged()),
            };
            for row in 0..count {
                if bits.is_some_and(|bits| bits[row / 8] & 1 << (row % 8) == 0) {
                    column.push_null();
                } else {
                    column.push(&mut reading)?;
                }
            }
        }
        reading.end()?;
        len += count;
    }
    let columns = columns.into_iter().map(Column::finish).collect();
    Ok(Rows::new(len, columns))
}

/// A column that is being built.
enum Column {
    Bool(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Timestamp(TimestampMillisecondBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

impl Column {
    fn new(ty: FieldType) -> Self {
        match ty {
            FieldType::Bool => Column::Bool(BooleanBuilder::new()),
            FieldType::Int64 => Column::Int64(Int64Builder::new()),
            FieldType::Float64 => Column::Float64(Float64Builder::new()),
            FieldType::Timestamp => Column::Timestamp(TimestampMillisecondBuilder::new()),
            FieldType::Text | FieldType::Json => Column::Text(StringBuilder::new()),
            FieldType::Bytes => Column::Bytes(BinaryBuilder::new()),
        }
    }

    fn push(&mut self, reading: &mut Reading<'_>) -> Result<(), FormatError> {
        match self {
            Column::Bool(column) => match reading.u8()? {
                value @ (0 | 1) => column.append_value(value == 1),
                _ => return Err(reading.damaged()),
            },
            Column::Int64(column) => column.append_value(reading.i64()?),
            Column::Float64(column) => column.append_value(f64::from_bits(reading.u64()?)),
            Column::Timestamp(column) => column.append_value(reading.i64()?),
            Column::Text(column) => {
                let value = reading.text()?;
                if value.len() > MOST_BYTES - column.values_slice().len() {
                    return Err(reading.damaged());
                }
                column.append_value(value);
            }
            Column::Bytes(column) => {
                let value = reading.bytes()?;
                if value.len() > MOST_BYTES - column.values_slice().len() {
                    return Err(reading.damaged());
                }
                column.append_value(value);
            }
        }
        Ok(())
    }

    fn push_null(&mut self) {
        match self {
            Column::Bool(column) => column.append_null(),
            Column::Int64(column) => column.append_null(),
            Column::Float64(column) => column.append_null(),
            Column::Timestamp(column) => column.append_null(),
            Column::Text(column) => column.append_null(),
            Column::Bytes(column) => column.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Column::Bool(mut column) => Arc::new(column.finish()),
            Column::Int64(mut column) => Arc::new(column.finish()),
            Column::Float64(mut column) => Arc::new(column.finish()),
            Column::Timestamp(mut column) => Arc::new(column.finish()),
            Column::Text(mut column) => Arc::new(column.finish()),
            Column::Bytes(mut column) => Arc::new(column.finish()),
        }
    }
}
