//! Building: values are appended row by row, straight into the buffers that cross to the host.

use std::borrow::Cow;

use super::FieldSpec;
use super::wire::{Column, FieldType, Values, VarValues};
use crate::{Json, Timestamp};

/// A type that a field of an output can have.
///
/// `bool`, the integers that fit an `i64`, `f64`, [`Timestamp`], text (`&str`, `String`, `Cow<str>`), bytes
/// (`&[u8]`, `Vec<u8>`), JSON ([`Json`], [`serde_json::Value`]), and an [`Option`] of each.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of an output",
    label = "an output cannot hold this type",
    note = "an output holds `bool`, `i64` and smaller integers, `f64`, `Timestamp`, `&str`, `String`, `Cow<str>`, `&[u8]`, `Vec<u8>`, `Json`, `serde_json::Value`, or an `Option` of one of these; `u64` and `usize` do not fit an `i64`, so convert them"
)]
pub trait IntoColumn {
    /// The type that the host gets.
    const TYPE: FieldType;
    /// Whether the value may be missing.
    const OPTIONAL: bool = false;

    /// The value; nothing if it is missing.
    fn scalar(&self) -> Option<Scalar<'_>>;
}

/// One value of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'v> {
    /// True or false.
    Bool(bool),
    /// An integer.
    Int64(i64),
    /// A double.
    Float64(f64),
    /// An instant.
    Timestamp(Timestamp),
    /// Text.
    Text(&'v str),
    /// Bytes.
    Bytes(&'v [u8]),
    /// A JSON value as text.
    Json(Cow<'v, str>),
}

/// Implements [`IntoColumn`] for types that have one type in the contract.
macro_rules! into_column {
    ($variant:ident, |$value:ident| $scalar:expr, $($type:ty),+) => {$(
        #[diagnostic::do_not_recommend]
        impl IntoColumn for $type {
            const TYPE: FieldType = FieldType::$variant;

            #[inline]
            fn scalar(&self) -> Option<Scalar<'_>> {
                let $value = self;
                Some(Scalar::$variant($scalar))
            }
        }
    )+};
}

into_column!(Bool, |value| *value, bool);
into_column!(Int64, |value| *value, i64);
into_column!(Int64, |value| i64::from(*value), i8, i16, i32, u8, u16, u32);
into_column!(Float64, |value| *value, f64);
into_column!(Float64, |value| f64::from(*value), f32);
into_column!(Timestamp, |value| *value, Timestamp);
into_column!(Text, |value| value, &str, String, Cow<'_, str>);
into_column!(Bytes, |value| value, &[u8], Vec<u8>, Cow<'_, [u8]>);
into_column!(Json, |value| Cow::Borrowed(value.text()), Json<'_>);
into_column!(
    Json,
    |value| Cow::Owned(value.to_string()),
    serde_json::Value
);

#[diagnostic::do_not_recommend]
impl<T: IntoColumn> IntoColumn for Option<T> {
    const TYPE: FieldType = T::TYPE;
    const OPTIONAL: bool = true;

    #[inline]
    fn scalar(&self) -> Option<Scalar<'_>> {
        self.as_ref().and_then(T::scalar)
    }
}

/// A column that grows row by row.
#[derive(Debug)]
pub struct ColumnBuilder {
    rows: usize,
    column: Column,
}

impl ColumnBuilder {
    /// An empty column for a field.
    pub fn new(field: &FieldSpec) -> Self {
        let values = match field.ty {
            FieldType::Bool => Values::Bool(Vec::new()),
            FieldType::Int64 => Values::Int64(Vec::new()),
            FieldType::Float64 => Values::Float64(Vec::new()),
            FieldType::Timestamp => Values::Timestamp(Vec::new()),
            FieldType::Text => Values::Text(no_values()),
            FieldType::Bytes => Values::Bytes(no_values()),
            FieldType::Json => Values::Json(no_values()),
        };
        Self {
            rows: 0,
            column: Column {
                validity: None,
                values,
            },
        }
    }

    /// Appends a row.
    ///
    /// # Panics
    /// If the value is not of the column's type, or if the column would pass 2 GiB.
    #[inline]
    pub fn push(&mut self, value: Option<Scalar<'_>>) {
        let row = self.rows;
        if value.is_none() && self.column.validity.is_none() {
            self.column.validity = Some(ones(row));
        }
        if let Some(validity) = &mut self.column.validity {
            push_bit(validity, row, value.is_some());
        }
        match (&mut self.column.values, value) {
            (Values::Bool(bits), Some(Scalar::Bool(value))) => push_bit(bits, row, value),
            (Values::Bool(bits), None) => push_bit(bits, row, false),
            (Values::Int64(values), Some(Scalar::Int64(value))) => values.push(value),
            (Values::Float64(values), Some(Scalar::Float64(value))) => values.push(value),
            (Values::Timestamp(values), Some(Scalar::Timestamp(value))) => {
                values.push(value.as_millis());
            }
            (Values::Int64(values) | Values::Timestamp(values), None) => values.push(0),
            (Values::Float64(values), None) => values.push(0.0),
            (Values::Text(values), Some(Scalar::Text(value))) => {
                push_bytes(values, value.as_bytes());
            }
            (Values::Bytes(values), Some(Scalar::Bytes(value))) => push_bytes(values, value),
            (Values::Json(values), Some(Scalar::Json(value))) => {
                push_bytes(values, value.as_bytes());
            }
            (Values::Text(values) | Values::Bytes(values) | Values::Json(values), None) => {
                push_bytes(values, &[]);
            }
            (values, Some(value)) => panic!("{value:?} does not belong in {values:?}"),
        }
        self.rows += 1;
    }

    /// Takes rows off the end until `rows` are left.
    pub fn truncate(&mut self, rows: usize) {
        if rows >= self.rows {
            return;
        }
        self.rows = rows;
        if let Some(validity) = &mut self.column.validity {
            truncate_bits(validity, rows);
        }
        match &mut self.column.values {
            Values::Bool(bits) => truncate_bits(bits, rows),
            Values::Int64(values) | Values::Timestamp(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Text(values) | Values::Bytes(values) | Values::Json(values) => {
                values.offsets.truncate(rows + 1);
                let end = usize::try_from(values.offsets[rows]).expect("offsets ascend from 0");
                values.data.truncate(end);
            }
        }
    }

    /// The column.
    pub fn finish(self) -> Column {
        self.column
    }
}

/// Values of no rows.
pub(crate) fn no_values() -> VarValues {
    VarValues {
        offsets: vec![0],
        data: Vec::new(),
    }
}

/// Marks what has been appended to the data as one more row.
///
/// # Panics
/// If the data pass 2 GiB, the most that an offset can say; a component's memory is smaller.
pub(crate) fn end_row(values: &mut VarValues) {
    let end = i32::try_from(values.data.len()).expect("a column holds at most 2 GiB");
    values.offsets.push(end);
}

/// Appends a row of bytes.
#[inline]
pub(crate) fn push_bytes(values: &mut VarValues, row: &[u8]) {
    values.data.extend_from_slice(row);
    end_row(values);
}

fn push_bit(bits: &mut Vec<u8>, index: usize, bit: bool) {
    if index.is_multiple_of(8) {
        bits.push(0);
    }
    if let Some(last) = bits.last_mut() {
        *last |= u8::from(bit) << (index % 8);
    }
}

/// Bits of rows that are all set; the bits after them are clear.
fn ones(rows: usize) -> Vec<u8> {
    let mut bits = vec![u8::MAX; rows.div_ceil(8)];
    truncate_bits(&mut bits, rows);
    bits
}

fn truncate_bits(bits: &mut Vec<u8>, rows: usize) {
    bits.truncate(rows.div_ceil(8));
    if let Some(last) = bits.last_mut().filter(|_| !rows.is_multiple_of(8)) {
        *last &= (1 << (rows % 8)) - 1;
    }
}
