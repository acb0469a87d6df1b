//! Columns, in the layout of the contract: checked once and then read by row, or built row by row.

pub(crate) mod build;
pub(crate) mod read;

use std::fmt;

pub use crate::bindings::common::millstream::udf::types as wire;
use wire::FieldType;

/// A field that a function reads or produces, known at compile time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FieldSpec {
    /// Its name; for one that is read, a path or a property of the record.
    pub name: &'static str,
    /// Its type.
    pub ty: FieldType,
    /// Whether its value may be missing.
    pub optional: bool,
}

impl From<&FieldSpec> for wire::Field {
    fn from(spec: &FieldSpec) -> Self {
        Self {
            name: spec.name.to_owned(),
            type_: spec.ty,
            optional: spec.optional,
        }
    }
}

/// How the host broke the contract in a call: a fault of the host, never of a row or of the author.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContractError(pub(crate) String);

impl ContractError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The same, said of one field.
    fn in_field(self, name: &str) -> Self {
        Self(format!("column `{name}`: {}", self.0))
    }
}

impl fmt::Display for ContractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ContractError {}
