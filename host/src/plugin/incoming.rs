//! What a component returned, checked: lengths, offsets, indices, UTF-8, JSON, types.
//!
//! A component is hostile until it has been proved otherwise. What passes here may be indexed without a second look.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMillisecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use super::contract::{
    ColumnOut, MappedOut, ProducedOut, RowErrorsOut, SelectionOut, ValuesOut, VarValuesOut,
};
use super::sandbox::clip;
use crate::rows::{Field, FieldType, Rows};

/// How long a message for one row may be; the rest is cut.
const MESSAGE_BYTES: usize = 1_024;

/// Rows that a component could not process: their indices, ascending, each with a message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RowErrors(pub Vec<(u32, String)>);

/// What a filter said of a batch.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selection {
    /// The rows to keep, ascending.
    pub kept: Vec<u32>,
    /// The rows that could not be judged.
    pub errors: RowErrors,
}

/// Rows that a component produced.
#[derive(Clone, Debug, Default)]
pub struct Produced {
    /// The index of what each row came from, ascending.
    pub source: Vec<u32>,
    /// The rows: one column for each field that the component produces.
    pub rows: Rows,
}

/// What is wrong with a value that was returned.
type Checked<T> = Result<T, String>;

pub(super) fn selection(out: SelectionOut, rows: usize) -> Checked<Selection> {
    ascending("kept", &out.kept, rows, Repeats::Refused)?;
    let errors = row_errors(out.errors, rows)?;
    if errors
        .0
        .iter()
        .any(|(row, _)| out.kept.binary_search(row).is_ok())
    {
        return Err("a row is both kept and in error".to_owned());
    }
    Ok(Selection {
        kept: out.kept,
        errors,
    })
}

pub(super) fn mapped(
    out: MappedOut,
    rows: usize,
    fields: &[Field],
    most: usize,
) -> Checked<(Produced, RowErrors)> {
    let produced = produced(out.rows, rows, fields, most)?;
    let errors = row_errors(out.errors, rows)?;
    if errors
        .0
        .iter()
        .any(|(row, _)| produced.source.binary_search(row).is_ok())
    {
        return Err("a row in error produced rows".to_owned());
    }
    Ok((produced, errors))
}

/// Rows made of so many inputs, and at most `most` of them.
pub(super) fn produced(
    out: ProducedOut,
    inputs: usize,
    fields: &[Field],
    most: usize,
) -> Checked<Produced> {
    if out.source.len() > most {
        return Err(format!(
            "it returned {} rows, and one call may return {most}",
            out.source.len()
        ));
    }
    ascending("source", &out.source, inputs, Repeats::Allowed)?;
    if out.columns.len() != fields.len() {
        return Err(format!(
            "it returned {} columns and describes {}",
            out.columns.len(),
            fields.len()
        ));
    }
    let len = out.source.len();
    let columns = out
        .columns
        .into_iter()
        .zip(fields)
        .map(|(out, field)| {
            column(out, len, field).map_err(|what| format!("column {}: {what}", field.name))
        })
        .collect::<Checked<Vec<ArrayRef>>>()?;
    Ok(Produced {
        source: out.source,
        rows: Rows::new(len, columns),
    })
}

pub(super) fn row_errors(out: RowErrorsOut, rows: usize) -> Checked<RowErrors> {
    if out.rows.is_empty() {
        return Ok(RowErrors::default());
    }
    ascending("errors", &out.rows, rows, Repeats::Refused)?;
    let messages = partials(out.messages, out.rows.len())
        .map_err(|what| format!("messages of errors: {what}"))?;
    let errors = out.rows.iter().enumerate().map(|(i, row)| {
        let message = String::from_utf8_lossy(messages.value(i));
        (*row, clip(&message, MESSAGE_BYTES).to_owned())
    });
    Ok(RowErrors(errors.collect()))
}

/// One value of bytes for each of `len` things.
pub(super) fn partials(out: VarValuesOut, len: usize) -> Checked<BinaryArray> {
    let (offsets, data) = var_values(out, len)?;
    BinaryArray::try_new(offsets, data, None).map_err(|error| error.to_string())
}

/// The partials that `given` were turned into: one for each, of zero bytes where it was.
pub(super) fn migrated(out: VarValuesOut, given: &BinaryArray) -> Checked<BinaryArray> {
    let migrated = partials(out, given.len())?;
    let filled = |at: &usize| given.value_length(*at) == 0 && migrated.value_length(*at) > 0;
    match (0..given.len()).find(filled) {
        None => Ok(migrated),
        Some(at) => Err(format!(
            "it made something of partial {at}, which was empty"
        )),
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Repeats {
    Allowed,
    Refused,
}

fn ascending(what: &str, indices: &[u32], below: usize, repeats: Repeats) -> Checked<()> {
    let in_order = indices
        .windows(2)
        .all(|pair| pair[0] < pair[1] || (pair[0] == pair[1] && repeats == Repeats::Allowed));
    if !in_order {
        return Err(format!("the indices in {what} do not ascend"));
    }
    match indices.last() {
        Some(&last) if last as usize >= below => Err(format!(
            "index {last} in {what} is beyond the {below} given"
        )),
        _ => Ok(()),
    }
}

fn column(out: ColumnOut, len: usize, field: &Field) -> Checked<ArrayRef> {
    let nulls = out
        .validity
        .map(|bits| bitmap("validity", bits, len))
        .transpose()?;
    let nulls = nulls
        .map(NullBuffer::new)
        .filter(|nulls| nulls.null_count() > 0);
    if nulls.is_some() && !field.optional {
        return Err("it has nulls and is not described as optional".to_owned());
    }
    Ok(match (out.values, field.ty) {
        (ValuesOut::Bool(bits), FieldType::Bool) => {
            Arc::new(BooleanArray::new(bitmap("values", bits, len)?, nulls))
        }
        (ValuesOut::Int64(values), FieldType::Int64) => {
            Arc::new(Int64Array::new(fixed(values, len)?, nulls))
        }
        (ValuesOut::Float64(values), FieldType::Float64) => {
            Arc::new(Float64Array::new(fixed(values, len)?, nulls))
        }
        (ValuesOut::Timestamp(values), FieldType::Timestamp) => {
            Arc::new(TimestampMillisecondArray::new(fixed(values, len)?, nulls))
        }
        (ValuesOut::Text(values), FieldType::Text) => Arc::new(text(values, len, nulls)?),
        (ValuesOut::Json(values), FieldType::Json) => {
            let array = text(values, len, nulls)?;
            if let Some(bad) = array.iter().flatten().position(|value| !is_json(value)) {
                return Err(format!("value {bad} is not JSON"));
            }
            Arc::new(array)
        }
        (ValuesOut::Bytes(values), FieldType::Bytes) => {
            let (offsets, data) = var_values(values, len)?;
            Arc::new(BinaryArray::try_new(offsets, data, nulls).map_err(|error| error.to_string())?)
        }
        _ => return Err(format!("its type is not {}", field.ty)),
    })
}

fn bitmap(what: &str, bits: Vec<u8>, len: usize) -> Checked<BooleanBuffer> {
    if bits.len() != len.div_ceil(8) {
        return Err(format!("{what} of {} bytes for {len} rows", bits.len()));
    }
    Ok(BooleanBuffer::new(Buffer::from_vec(bits), 0, len))
}

fn fixed<T: arrow_buffer::ArrowNativeType>(values: Vec<T>, len: usize) -> Checked<ScalarBuffer<T>> {
    if values.len() != len {
        return Err(format!("{} values for {len} rows", values.len()));
    }
    Ok(values.into())
}

fn text(out: VarValuesOut, len: usize, nulls: Option<NullBuffer>) -> Checked<StringArray> {
    let (offsets, data) = var_values(out, len)?;
    // Checks that each value is UTF-8 on its own.
    StringArray::try_new(offsets, data, nulls).map_err(|error| error.to_string())
}

fn var_values(out: VarValuesOut, len: usize) -> Checked<(OffsetBuffer<i32>, Buffer)> {
    let offsets = &out.offsets;
    if offsets.len() != len + 1 {
        return Err(format!("{} offsets for {len} rows", offsets.len()));
    }
    if offsets[0] != 0 || offsets.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err("offsets do not ascend from 0".to_owned());
    }
    let end = usize::try_from(offsets[len]).expect("offsets ascend from 0");
    if end != out.data.len() {
        return Err(format!(
            "offsets end at {end} and there are {} bytes",
            out.data.len()
        ));
    }
    Ok((
        OffsetBuffer::new(out.offsets.into()),
        Buffer::from_vec(out.data),
    ))
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(offsets: &[i32], data: &[u8]) -> VarValuesOut {
        VarValuesOut {
            offsets: offsets.to_vec(),
            data: data.to_vec(),
        }
    }

    fn field(ty: FieldType, optional: bool) -> Field {
        Field {
            name: "f".to_owned(),
            ty,
            optional,
        }
    }

    fn one(values: ValuesOut, validity: Option<Vec<u8>>, field: &Field) -> Checked<ArrayRef> {
        column(ColumnOut { validity, values }, 2, field)
    }

    #[test]
    fn offsets_that_lie_are_refused() {
        let field = field(FieldType::Text, false);
        for (offsets, data) in [
            (&[0, 1][..], &b"ab"[..]),
            (&[0, 1, 2, 2], b"ab"),
            (&[1, 1, 2], b"ab"),
            (&[0, 2, 1], b"ab"),
            (&[0, -1, 2], b"ab"),
            (&[0, 1, 3], b"ab"),
            (&[0, 1, 1], b"ab"),
            (&[], b""),
        ] {
            let values = ValuesOut::Text(var(offsets, data));
            assert!(one(values, None, &field).is_err(), "{offsets:?}");
        }
    }

    #[test]
    fn text_must_be_utf8_value_by_value() {
        let field = field(FieldType::Text, false);
        let split = ValuesOut::Text(var(&[0, 1, 2], "ä".as_bytes()));
        assert!(one(split, None, &field).is_err());
        let broken = ValuesOut::Text(var(&[0, 1, 2], b"a\xff"));
        assert!(one(broken, None, &field).is_err());
    }

    #[test]
    fn json_must_be_json() {
        let field = field(FieldType::Json, false);
        let bad = one(ValuesOut::Json(var(&[0, 1, 2], b"1{")), None, &field);
        assert_eq!(bad.expect_err("`{` is no JSON"), "value 1 is not JSON");
        assert!(one(ValuesOut::Json(var(&[0, 1, 3], b"1{}")), None, &field).is_ok());
    }

    #[test]
    fn bitmaps_must_fit_and_nulls_be_announced() {
        let required = field(FieldType::Int64, false);
        let optional = field(FieldType::Int64, true);
        let values = || ValuesOut::Int64(vec![1, 2]);
        assert!(one(values(), Some(vec![0b11]), &required).is_ok());
        assert!(one(values(), Some(vec![0b01]), &required).is_err());
        assert!(one(values(), Some(vec![0b01]), &optional).is_ok());
        assert!(one(values(), Some(vec![]), &optional).is_err());
        assert!(one(values(), Some(vec![1, 1]), &optional).is_err());
        assert!(one(ValuesOut::Int64(vec![1]), None, &required).is_err());
        assert!(one(ValuesOut::Float64(vec![1., 2.]), None, &required).is_err());
    }

    #[test]
    fn indices_must_ascend_and_exist() {
        let none = || RowErrorsOut {
            rows: vec![],
            messages: var(&[0], b""),
        };
        let judge = |kept: &[u32]| {
            selection(
                SelectionOut {
                    kept: kept.to_vec(),
                    errors: none(),
                },
                3,
            )
        };
        assert!(judge(&[0, 2]).is_ok());
        assert!(judge(&[2, 0]).is_err());
        assert!(judge(&[1, 1]).is_err());
        assert!(judge(&[3]).is_err());
    }

    #[test]
    fn more_rows_than_allowed_are_refused() {
        let out = |rows| ProducedOut {
            source: vec![0; rows],
            columns: vec![],
        };
        assert!(produced(out(3), 1, &[], 3).is_ok());
        let told = produced(out(4), 1, &[], 3).expect_err("one too many");
        assert!(
            told.contains("4 rows") && told.contains("may return 3"),
            "{told}"
        );
    }

    #[test]
    fn migrated_partials_are_as_many_and_nothing_stays_nothing() {
        let given = BinaryArray::from_vec(vec![b"ab", b""]);
        assert!(migrated(var(&[0, 3, 3], b"abc"), &given).is_ok());
        assert!(migrated(var(&[0, 0, 0], b""), &given).is_ok());
        assert!(migrated(var(&[0, 3], b"abc"), &given).is_err());
        assert!(migrated(var(&[0, 3, 3, 3], b"abc"), &given).is_err());
        let told = migrated(var(&[0, 2, 3], b"abc"), &given).expect_err("out of nothing");
        assert!(told.contains("partial 1"), "{told}");
    }

    #[test]
    fn a_row_cannot_be_both_kept_and_in_error() {
        let out = SelectionOut {
            kept: vec![0, 1],
            errors: RowErrorsOut {
                rows: vec![1],
                messages: var(&[0, 2], b"no"),
            },
        };
        assert!(selection(out, 2).is_err());
    }
}
