//! For [`crate::fuzzing`]: what a component may return, and files of compiled code.

use super::cache::{self, Key};
use super::contract::{
    ColumnOut, MappedOut, ProducedOut, RowErrorsOut, SelectionOut, ValuesOut, VarValuesOut,
};
use super::incoming;
use crate::rows::{Field, FieldType, RowJson, decode_rows, encode_rows};

/// Reads a file of compiled code, of a component and an engine whose digests are all zeros.
pub fn compiled_code(file: &[u8]) -> bool {
    let key = Key {
        component: [0; 32],
        engine: [0; 32],
    };
    cache::is_usable(&key, file)
}

/// Makes of bytes what a map and a filter returned for some rows, and checks both. Returns whether both have passed.
///
/// # Panics
/// If what has passed can't be written and read again.
pub fn returned(bytes: &[u8]) -> bool {
    let mut made = Made(bytes);
    let rows = made.number().into();
    let selection = SelectionOut {
        kept: made.indices(),
        errors: made.errors(),
    };
    let selection = incoming::selection(selection, rows);
    if let Ok(selection) = &selection {
        let indices = selection
            .kept
            .iter()
            .chain(selection.errors.0.iter().map(|(row, _)| row));
        assert!(indices.copied().all(|row| (row as usize) < rows));
    }

    let types = [
        FieldType::Bool,
        FieldType::Int64,
        FieldType::Float64,
        FieldType::Timestamp,
        FieldType::Text,
        FieldType::Bytes,
        FieldType::Json,
    ];
    let fields: Vec<Field> = types
        .into_iter()
        .filter_map(|ty| {
            let bits = made.number();
            (bits & 1 != 0).then(|| Field {
                name: ty.to_string(),
                ty,
                optional: bits & 2 != 0,
            })
        })
        .collect();
    let out = MappedOut {
        rows: ProducedOut {
            source: made.indices(),
            columns: fields.iter().map(|_| made.column()).collect(),
        },
        errors: made.errors(),
    };
    let mapped = incoming::mapped(out, rows, &fields, 64);
    if let Ok((produced, _)) = &mapped {
        let rows = &produced.rows;
        assert_eq!(rows.len, produced.source.len());
        let mut kept = Vec::new();
        encode_rows(&fields, rows, 0..rows.len, &mut kept);
        let again = decode_rows(&fields, &[&kept]).expect("checked rows can be kept");
        for row in 0..rows.len {
            let json = |rows| {
                let fields = &fields;
                serde_json::to_string(&RowJson { fields, rows, row }).expect("and written")
            };
            assert_eq!(json(rows), json(&again));
        }
    }
    selection.is_ok() && mapped.is_ok()
}

/// Bytes of which values are made; where they have ended, they go on with zeros.
struct Made<'a>(&'a [u8]);

impl Made<'_> {
    fn number(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A count, and as many numbers.
    fn numbers(&mut self) -> Vec<u8> {
        (0..self.number()).map(|_| self.number()).collect()
    }

    fn indices(&mut self) -> Vec<u32> {
        self.numbers().into_iter().map(u32::from).collect()
    }

    fn var_values(&mut self) -> VarValuesOut {
        // Negative ones too.
        let offset = |byte: u8| i32::from(byte.cast_signed());
        VarValuesOut {
            offsets: self.numbers().into_iter().map(offset).collect(),
            data: self.numbers(),
        }
    }

    fn errors(&mut self) -> RowErrorsOut {
        RowErrorsOut {
            rows: self.indices(),
            messages: self.var_values(),
        }
    }

    fn longs(&mut self) -> Vec<i64> {
        // The extremes too.
        let spread = |byte: u8| i64::from_be_bytes([byte; 8]);
        self.numbers().into_iter().map(spread).collect()
    }

    fn column(&mut self) -> ColumnOut {
        let validity = (self.number() & 1 != 0).then(|| self.numbers());
        let values = match self.number() {
            0 => ValuesOut::Bool(self.numbers()),
            1 => ValuesOut::Int64(self.longs()),
            2 => {
                let longs = self.longs().into_iter();
                ValuesOut::Float64(
                    longs
                        .map(|bits| f64::from_bits(bits.cast_unsigned()))
                        .collect(),
                )
            }
            3 => ValuesOut::Timestamp(self.longs()),
            4 => ValuesOut::Text(self.var_values()),
            5 => ValuesOut::Bytes(self.var_values()),
            _ => ValuesOut::Json(self.var_values()),
        };
        ColumnOut { validity, values }
    }
}
