//! The names and types of columns.

use std::fmt;

use arrow_schema::{DataType, TimeUnit};

/// The type of a field, as in the contract (`wit/types.wit`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FieldType {
    /// True or false.
    Bool,
    /// A signed 64-bit integer.
    Int64,
    /// A double.
    Float64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Bytes,
    /// One JSON value as text.
    Json,
}

impl FieldType {
    /// The Arrow type of the arrays that hold it.
    pub fn data_type(self) -> DataType {
        match self {
            FieldType::Bool => DataType::Boolean,
            FieldType::Int64 => DataType::Int64,
            FieldType::Float64 => DataType::Float64,
            FieldType::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            FieldType::Text | FieldType::Json => DataType::Utf8,
            FieldType::Bytes => DataType::Binary,
        }
    }
}

/// The name in the contract: `int64`.
impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FieldType::Bool => "bool",
            FieldType::Int64 => "int64",
            FieldType::Float64 => "float64",
            FieldType::Timestamp => "timestamp",
            FieldType::Text => "text",
            FieldType::Bytes => "bytes",
            FieldType::Json => "json",
        })
    }
}

/// A field that a function reads or produces.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Field {
    /// Its name; for one that is read, a path (`user.id`) or a property of the record (`$value`).
    pub name: String,
    /// Its type.
    pub ty: FieldType,
    /// Whether its value may be missing.
    pub optional: bool,
}

/// `name: type`, or `name: option<type>`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.optional {
            write!(f, "{}: option<{}>", self.name, self.ty)
        } else {
            write!(f, "{}: {}", self.name, self.ty)
        }
    }
}
