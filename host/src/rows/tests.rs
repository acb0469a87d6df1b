//! Selecting, joining and writing rows.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMillisecondArray,
};
use proptest::prelude::*;

use super::*;
use crate::decode::{Decoded, Decoder, EventTime, Format};
use crate::log::{Offset, RecordBatch, TopicPartition};
use crate::time::Timestamp;

const TYPES: [FieldType; 7] = [
    FieldType::Bool,
    FieldType::Int64,
    FieldType::Float64,
    FieldType::Timestamp,
    FieldType::Text,
    FieldType::Bytes,
    FieldType::Json,
];

/// A row of one optional field of each type.
type Row = (
    Option<bool>,
    Option<i64>,
    Option<f64>,
    Option<i64>,
    Option<String>,
    Option<Vec<u8>>,
    Option<String>,
);

fn fields() -> Vec<Field> {
    let field = |ty: FieldType| Field {
        name: ty.to_string(),
        ty,
        optional: true,
    };
    TYPES.map(field).to_vec()
}

fn rows(rows: &[Row]) -> Rows {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
        Arc::new(
            rows.iter()
                .map(|row| row.3)
                .collect::<TimestampMillisecondArray>(),
        ),
        Arc::new(
            rows.iter()
                .map(|row| row.4.as_deref())
                .collect::<StringArray>(),
        ),
        Arc::new(
            rows.iter()
                .map(|row| row.5.as_deref())
                .collect::<BinaryArray>(),
        ),
        Arc::new(
            rows.iter()
                .map(|row| row.6.as_deref())
                .collect::<StringArray>(),
        ),
    ];
    Rows::new(rows.len(), columns)
}

fn json(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn write(fields: &[Field], rows: &Rows, row: usize) -> Result<String, String> {
    serde_json::to_string(&RowJson { fields, rows, row }).map_err(|error| error.to_string())
}

#[test]
fn each_type_has_its_json() {
    let text = Some("a\"ü".to_owned());
    let row: Row = (
        Some(true),
        Some(-7),
        Some(0.1),
        Some(-1),
        text,
        Some(vec![0, 255]),
        json("[1, {}]"),
    );
    let none: Row = (None, None, Some(f64::NAN), None, None, None, None);
    let rows = rows(&[row, none]);
    assert_eq!(
        write(&fields(), &rows, 0).unwrap(),
        r#"{"bool":true,"int64":-7,"float64":0.1,"timestamp":-1,"text":"a\"ü","bytes":"AP8=","json":[1, {}]}"#
    );
    assert_eq!(
        write(&fields(), &rows, 1).unwrap(),
        r#"{"bool":null,"int64":null,"float64":null,"timestamp":null,"text":null,"bytes":null,"json":null}"#
    );
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let rows = rows(&[(None, None, None, None, None, None, json("[1"))]);
    let mut fields = fields();
    let error = write(&fields, &rows, 0).unwrap_err();
    assert!(
        error.starts_with("field json is not JSON: EOF while parsing a list"),
        "{error}"
    );
    assert!(
        write(&fields, &rows, 1)
            .unwrap_err()
            .starts_with("row 1 of 7 fields")
    );
    fields[0].ty = FieldType::Text;
    assert!(
        write(&fields, &rows, 0)
            .unwrap_err()
            .starts_with("column bool is Boolean, not text")
    );
}

#[test]
fn rows_without_columns_are_counted() {
    let rows = Rows::new(3, vec![]);
    assert_eq!(rows.take(&[2, 2]).unwrap().len, 2);
    assert_eq!(Rows::concat(&[rows.clone(), rows]).unwrap().len, 6);
    assert_eq!(Rows::concat(&[]).unwrap().len, 0);
}

#[test]
fn indices_out_of_bounds_and_other_schemas_are_errors() {
    let rows = rows(&[(None, None, None, None, None, None, None)]);
    assert!(
        rows.take(&[0, 1])
            .unwrap_err()
            .to_string()
            .ends_with("row 1 of 1 rows")
    );
    assert!(Rows::new(1, vec![]).take(&[1]).is_err());
    assert!(Rows::concat(&[rows.clone(), Rows::new(1, vec![])]).is_err());
    let mut swapped = rows.clone();
    swapped.columns.swap(0, 1);
    assert!(Rows::concat(&[rows, swapped]).is_err());
}

fn any_row() -> impl Strategy<Value = Row> {
    let finite = any::<f64>().prop_filter("JSON has no others", |x| x.is_finite());
    (
        any::<Option<bool>>(),
        any::<Option<i64>>(),
        proptest::option::of(finite),
        any::<Option<i64>>(),
        any::<Option<String>>(),
        any::<Option<Vec<u8>>>(),
        proptest::option::of(proptest::sample::select(vec![
            "1e999".to_owned(),
            r#"{"a": [true, "\u00fc"]}"#.to_owned(),
            "[]".to_owned(),
        ])),
    )
}

proptest! {
    #[test]
    fn rows_written_as_json_decode_to_themselves(list in proptest::collection::vec(any_row(), 0..8)) {
        let rows = rows(&list);
        let mut batch = RecordBatch::new(TopicPartition::new("results", 0));
        for row in 0..rows.len {
            let text = write(&fields(), &rows, row).unwrap();
            batch.push(Offset(0), Timestamp(0), None, Some(text.as_bytes()));
        }
        let mut decoded = Decoded::new();
        let mut decoder = Decoder::new(Format::Json, EventTime::Record, fields()).unwrap();
        decoder.decode(&batch, 0..batch.len(), &mut decoded);
        prop_assert_eq!(decoded.failures, vec![]);
        prop_assert_eq!(decoded.rows.columns, rows.columns);
    }

    #[test]
    fn rows_are_taken_and_joined_like_items_of_a_list(
        list in proptest::collection::vec(any_row(), 1..8),
        indices in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        cut in any::<proptest::sample::Index>(),
    ) {
        let indices: Vec<usize> = indices.iter().map(|index| index.index(list.len())).collect();
        let picked: Vec<Row> = indices.iter().map(|index| list[*index].clone()).collect();
        let numbers: Vec<u32> = indices.iter().map(|index| u32::try_from(*index).unwrap()).collect();
        prop_assert_eq!(rows(&list).take(&numbers).unwrap().columns, rows(&picked).columns);

        let (left, right) = list.split_at(cut.index(list.len()));
        let joined = Rows::concat(&[rows(left), rows(right)]).unwrap();
        prop_assert_eq!(joined.len, list.len());
        prop_assert_eq!(joined.columns, rows(&list).columns);
    }
}

fn encode(rows: &Rows, which: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_rows(&fields(), rows, which, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn rows_as_bytes_come_back_however_they_were_cut(
        lists in proptest::collection::vec(proptest::collection::vec(any_row(), 0..12), 0..4),
        indices in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let mut parts = Vec::new();
        let mut expected = Vec::new();
        for list in &lists {
            let which: Vec<usize> = indices.iter().filter(|_| !list.is_empty()).map(|index| index.index(list.len())).collect();
            expected.extend(which.iter().map(|row| list[*row].clone()));
            parts.push(encode(&rows(list), which.into_iter()));
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let decoded = decode_rows(&fields(), &parts).unwrap();
        prop_assert_eq!(decoded.len, expected.len());
        prop_assert_eq!(decoded.columns, rows(&expected).columns);
    }

    #[test]
    fn no_bytes_make_decoding_rows_panic(
        bytes: Vec<u8>, list in proptest::collection::vec(any_row(), 1..8), at in any::<proptest::sample::Index>(), byte: u8,
    ) {
        let _ = decode_rows(&fields(), &[&bytes]);
        let mut part = encode(&rows(&list), 0..list.len());
        let at = at.index(part.len());
        prop_assert!(decode_rows(&fields(), &[&part[..at]]).is_err());
        part[at] = byte;
        let _ = decode_rows(&fields(), &[&part]);
        let required: Vec<Field> = fields().into_iter().map(|field| Field { optional: false, ..field }).collect();
        let _ = decode_rows(&required, &[&part]);
    }
}

#[test]
fn a_count_of_rows_that_the_bytes_do_not_bear_out_is_damage() {
    let mut bytes = encode(&rows(&[(None, None, None, None, None, None, None)]), 0..1);
    bytes[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(decode_rows(&fields(), &[&bytes]).is_err());
}

#[test]
fn rows_without_columns_keep_their_number_as_bytes() {
    let mut bytes = Vec::new();
    encode_rows(&[], &Rows::new(3, vec![]), 0..2, &mut bytes);
    assert_eq!(decode_rows(&[], &[&bytes, &bytes]).unwrap().len, 4);
}
