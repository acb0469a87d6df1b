//! A row as the members of a JSON object.
//!
//! Numbers, text and booleans are written as such, a timestamp as its milliseconds since 1970, bytes in base64, json as
//! it is. Null, NaN and the infinities are written as `null`: JSON has no others. Decoding gives the same row
//! again, but for these.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef};
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Error, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::{Field, FieldType, Rows};

/// One row, to be written by serde_json. (Other serializers do not know how to embed JSON text.)
#[derive(Clone, Copy, Debug)]
pub struct RowJson<'a> {
    /// The fields, one for each column.
    pub fields: &'a [Field],
    /// The rows.
    pub rows: &'a Rows,
    /// Which of them.
    pub row: usize,
}

impl RowJson<'_> {
    /// Writes a member for each field into an object that may have others.
    ///
    /// # Errors
    /// If the row or a column of a field's type is not there, if a json value is not JSON, or if writing fails.
    pub fn serialize_entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { fields, rows, row } = *self;
        if fields.len() != rows.columns.len() || row >= rows.len {
            return Err(M::Error::custom(format!(
                "row {row} of {} fields, where there are {} rows of {} columns",
                fields.len(),
                rows.len,
                rows.columns.len()
            )));
        }
        for (field, column) in fields.iter().zip(&rows.columns) {
            map.serialize_entry(&field.name, &CellJson { field, column, row })?;
        }
        Ok(())
    }
}

impl Serialize for RowJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        self.serialize_entries(&mut map)?;
        map.end()
    }
}

struct CellJson<'a> {
    field: &'a Field,
    column: &'a ArrayRef,
    row: usize,
}

impl Serialize for CellJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { field, column, row } = *self;
        if *column.data_type() != field.ty.data_type() {
            let (name, ty, is) = (&field.name, field.ty, column.data_type());
            return Err(S::Error::custom(format!("column {name} is {is}, not {ty}")));
        }
        if column.is_null(row) {
            return serializer.serialize_unit();
        }
        match field.ty {
            FieldType::Bool => serializer.serialize_bool(column.as_boolean().value(row)),
            FieldType::Int64 => {
                serializer.serialize_i64(column.as_primitive::<Int64Type>().value(row))
            }
            // serde_json writes NaN and the infinities as null.
            FieldType::Float64 => {
                serializer.serialize_f64(column.as_primitive::<Float64Type>().value(row))
            }
            FieldType::Timestamp => {
                let column = column.as_primitive::<TimestampMillisecondType>();
                serializer.serialize_i64(column.value(row))
            }
            FieldType::Text => serializer.serialize_str(column.as_string::<i32>().value(row)),
            FieldType::Bytes => {
                let bytes = column.as_binary::<i32>().value(row);
                serializer.collect_str(&Base64Display::new(bytes, &STANDARD))
            }
            FieldType::Json => {
                let text = column.as_string::<i32>().value(row);
                let raw: &RawValue = serde_json::from_str(text).map_err(|error| {
                    S::Error::custom(format!("field {} is not JSON: {error}", field.name))
                })?;
                raw.serialize(serializer)
            }
        }
    }
}
