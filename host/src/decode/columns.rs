//! Arrow builders behind one type: values of whole rows go in, finished columns come out.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMillisecondBuilder,
};

use super::cell::{Datum, Scratch};
use crate::rows::FieldType;

/// The column of one field while its rows are decoded.
#[derive(Debug)]
pub(super) enum ColumnBuilder {
    Bool(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Timestamp(TimestampMillisecondBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

impl ColumnBuilder {
    /// An empty column with room for `rows` values, of `bytes` together where their width varies.
    pub(super) fn new(ty: FieldType, rows: usize, bytes: usize) -> Self {
        match ty {
            FieldType::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            FieldType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            FieldType::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            FieldType::Timestamp => {
                Self::Timestamp(TimestampMillisecondBuilder::with_capacity(rows))
            }
            FieldType::Text | FieldType::Json => {
                Self::Text(StringBuilder::with_capacity(rows, bytes))
            }
            FieldType::Bytes => Self::Bytes(BinaryBuilder::with_capacity(rows, bytes)),
        }
    }

    /// Appends a value, which must be of the field's type.
    pub(super) fn append(&mut self, datum: Datum<'_>, scratch: &Scratch) {
        match (self, datum) {
            (Self::Bool(builder), Datum::Bool(value)) => builder.append_value(value),
            (Self::Int64(builder), Datum::Int(value)) => builder.append_value(value),
            (Self::Float64(builder), Datum::Float(value)) => builder.append_value(value),
            (Self::Timestamp(builder), Datum::Int(value)) => builder.append_value(value),
            (Self::Text(builder), Datum::Text(text)) => builder.append_value(text),
            (Self::Text(builder), Datum::ScratchText(span)) => {
                builder.append_value(scratch.text(span));
            }
            (Self::Bytes(builder), Datum::Bytes(bytes)) => builder.append_value(bytes),
            (Self::Bytes(builder), Datum::ScratchBytes(span)) => {
                builder.append_value(scratch.bytes(span));
            }
            (Self::Bool(builder), Datum::Null) => builder.append_null(),
            (Self::Int64(builder), Datum::Null) => builder.append_null(),
            (Self::Float64(builder), Datum::Null) => builder.append_null(),
            (Self::Timestamp(builder), Datum::Null) => builder.append_null(),
            (Self::Text(builder), Datum::Null) => builder.append_null(),
            (Self::Bytes(builder), Datum::Null) => builder.append_null(),
            (builder, datum) => unreachable!(
                "a value was converted for another type than its column's: {datum:?}, {builder:?}"
            ),
        }
    }

    /// How many bytes its values take, where their width varies.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(builder) => builder.values_slice().len(),
            Self::Bytes(builder) => builder.values_slice().len(),
            _ => 0,
        }
    }

    /// The finished column.
    pub(super) fn finish(self) -> ArrayRef {
        match self {
            Self::Bool(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::Float64(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder) => Arc::new(builder.finish()),
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
        }
    }
}
