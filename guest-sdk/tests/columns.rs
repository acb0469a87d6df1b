//! Columns against their plain model, a vector of options; and columns that break the contract.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Debug;

use millstream_sdk::expanded::wire::{Column, FieldType, Values, VarValues};
use millstream_sdk::expanded::{ColumnBuilder, FieldSpec, FromColumn, IntoColumn};
use millstream_sdk::{Json, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

fn field(ty: FieldType) -> FieldSpec {
    FieldSpec {
        name: "field",
        ty,
        optional: true,
    }
}

/// Appends the rows, takes back all but the first `keep`, appends them again, and returns the column.
fn build<T: IntoColumn>(rows: &[Option<T>], keep: usize) -> Column {
    let mut column = ColumnBuilder::new(&field(T::TYPE));
    for row in rows {
        column.push(row.scalar());
    }
    column.truncate(keep);
    for row in rows.iter().skip(keep) {
        column.push(row.scalar());
    }
    column.finish()
}

fn check_round_trip<'a, T>(column: &'a Column, rows: &[Option<T>]) -> Result<(), TestCaseError>
where
    T: PartialEq + Debug + Clone,
    Option<T>: FromColumn<'a>,
{
    let opened = Option::<T>::open(column, rows.len()).unwrap();
    let read: Vec<Option<T>> = (0..rows.len())
        .map(|row| Option::<T>::get(&opened, row))
        .collect();
    prop_assert_eq!(read, rows);
    // A bitmap only where there is a null, and the bits after the last row are clear.
    prop_assert_eq!(column.validity.is_some(), rows.contains(&None));
    if let Some(validity) = &column.validity {
        let set: u32 = validity.iter().map(|byte| byte.count_ones()).sum();
        prop_assert_eq!(set as usize, rows.iter().flatten().count());
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:#04x}")).collect();
    format!("[{}]", bytes.join(", "))
}

#[test]
fn a_column_lies_as_the_example_in_the_page_on_the_contract_has_it() {
    let page = include_str!("../../docs/contract.md");
    let column = build(&[Some("ab"), None, Some("ü")], 0);
    let Values::Text(text) = &column.values else {
        panic!("not text: {column:?}");
    };
    for (part, value) in [
        ("validity", hex(&column.validity.unwrap())),
        ("offsets", format!("{:?}", text.offsets)),
        ("data", hex(&text.data)),
    ] {
        let row = format!("| `{part}` | `{value}` |");
        assert!(page.contains(&row), "docs/contract.md lacks {row}");
    }
}

/// Whatever the column, it is refused or each of its rows can be read.
fn check_no_panic<'a, T: FromColumn<'a>>(column: &'a Column, rows: usize) -> bool {
    let Ok(opened) = T::open(column, rows) else {
        return false;
    };
    for row in 0..rows {
        T::get(&opened, row);
    }
    true
}

fn var_values() -> impl Strategy<Value = VarValues> {
    (vec(-1..12i32, 0..6), vec(any::<u8>(), 0..12), any::<bool>()).prop_map(
        |(mut offsets, data, mend)| {
            if mend {
                offsets.sort_unstable();
                offsets.insert(0, 0);
                offsets.push(i32::try_from(data.len()).unwrap());
            }
            VarValues { offsets, data }
        },
    )
}

fn any_column() -> impl Strategy<Value = Column> {
    let values = prop_oneof![
        vec(any::<u8>(), 0..3).prop_map(Values::Bool),
        vec(any::<i64>(), 0..9).prop_map(Values::Int64),
        vec(any::<f64>(), 0..9).prop_map(Values::Float64),
        vec(any::<i64>(), 0..9).prop_map(Values::Timestamp),
        var_values().prop_map(Values::Text),
        var_values().prop_map(Values::Bytes),
        var_values().prop_map(Values::Json),
    ];
    (prop::option::of(vec(any::<u8>(), 0..3)), values)
        .prop_map(|(validity, values)| Column { validity, values })
}

proptest! {
    #[test]
    fn what_is_built_is_read(
        bools in vec(any::<Option<bool>>(), 0..40),
        ints in vec(any::<Option<i64>>(), 0..40),
        floats in vec(prop::option::of(-1e300..1e300), 0..40),
        texts in vec(any::<Option<String>>(), 0..40),
        blobs in vec(any::<Option<Vec<u8>>>(), 0..40),
        keep in 0..50usize,
    ) {
        check_round_trip(&build(&bools, keep), &bools)?;
        check_round_trip(&build(&ints, keep), &ints)?;
        check_round_trip(&build(&floats, keep), &floats)?;
        let times: Vec<_> = ints.iter().map(|int| int.map(Timestamp::from_millis)).collect();
        check_round_trip(&build(&times, keep), &times)?;
        let texts: Vec<_> = texts.iter().map(Option::as_deref).collect();
        check_round_trip(&build(&texts, keep), &texts)?;
        let jsons: Vec<_> = texts.iter().map(|text| text.map(Json::new)).collect();
        check_round_trip(&build(&jsons, keep), &jsons)?;
        let blobs: Vec<_> = blobs.iter().map(Option::as_deref).collect();
        check_round_trip(&build(&blobs, keep), &blobs)?;
    }

    #[test]
    fn no_column_makes_reading_panic(column in any_column(), rows in 0..9usize) {
        let read = [
            check_no_panic::<bool>(&column, rows) || check_no_panic::<Option<bool>>(&column, rows),
            check_no_panic::<i64>(&column, rows) || check_no_panic::<Option<i64>>(&column, rows),
            check_no_panic::<f64>(&column, rows) || check_no_panic::<Option<f64>>(&column, rows),
            check_no_panic::<Timestamp>(&column, rows) || check_no_panic::<Option<Timestamp>>(&column, rows),
            check_no_panic::<&str>(&column, rows) || check_no_panic::<Option<&str>>(&column, rows),
            check_no_panic::<&[u8]>(&column, rows) || check_no_panic::<Option<&[u8]>>(&column, rows),
            check_no_panic::<Json<'_>>(&column, rows) || check_no_panic::<Option<Json<'_>>>(&column, rows),
        ];
        // A column is of one type.
        prop_assert!(read.into_iter().filter(|read| *read).count() <= 1);
    }
}

proptest! {
    #[test]
    fn a_column_of_text_is_taken_if_each_of_its_rows_is_text(
        written in "[aü€😀]{0,8}",
        cuts in vec(any::<prop::sample::Index>(), 0..5),
        damage in prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut data = written.into_bytes();
        if let (Some((at, byte)), false) = (damage, data.is_empty()) {
            let at = at.index(data.len());
            data[at] = byte;
        }
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
        ends.extend([0, data.len()]);
        ends.sort_unstable();
        let rows: Vec<&[u8]> = ends.windows(2).map(|ends| &data[ends[0]..ends[1]]).collect();
        let offsets: Vec<i32> = ends.iter().map(|end| i32::try_from(*end).unwrap()).collect();

        let column = text(&offsets, &data);
        let is_text = rows.iter().all(|row| str::from_utf8(row).is_ok());
        match <&str>::open(&column, rows.len()) {
            Ok(opened) => {
                prop_assert!(is_text);
                for (index, row) in rows.iter().enumerate() {
                    prop_assert_eq!(<&str>::get(&opened, index).as_bytes(), *row);
                }
            }
            Err(error) => prop_assert!(!is_text, "{error}"),
        }
    }
}

#[track_caller]
fn refused<'a, T: FromColumn<'a>>(column: &'a Column, rows: usize) -> String {
    let refused = T::open(column, rows).err().map(|error| error.to_string());
    refused.unwrap_or_else(|| panic!("{column:?} was taken for {rows} rows"))
}

fn text(offsets: &[i32], data: &[u8]) -> Column {
    let values = VarValues {
        offsets: offsets.to_vec(),
        data: data.to_vec(),
    };
    Column {
        validity: None,
        values: Values::Text(values),
    }
}

#[test]
fn a_null_in_a_field_that_is_not_optional_is_refused() {
    let column = build(&[Some(1i64), None], 2);
    let message = "row 1 is null in a field that is not optional";
    assert_eq!(refused::<i64>(&column, 2), message);
}

#[test]
fn a_bitmap_without_nulls_is_taken_for_a_field_that_is_not_optional() {
    let column = Column {
        validity: Some(vec![0b11]),
        values: Values::Int64(vec![4, 5]),
    };
    let opened = i64::open(&column, 2).unwrap();
    assert_eq!(i64::get(&opened, 1), 5);
}

#[test]
fn wrong_lengths_are_refused() {
    let column = Column {
        validity: Some(vec![]),
        values: Values::Int64(vec![4]),
    };
    refused::<Option<i64>>(&column, 1);
    refused::<i64>(
        &Column {
            validity: None,
            values: Values::Int64(vec![4]),
        },
        2,
    );
    refused::<bool>(
        &Column {
            validity: None,
            values: Values::Bool(vec![1]),
        },
        9,
    );
}

#[test]
fn offsets_that_do_not_ascend_from_zero_to_the_end_are_refused() {
    for offsets in [&[1, 2][..], &[0, 1], &[0, 3], &[0, -1], &[0], &[]] {
        refused::<&str>(&text(offsets, b"ab"), 1);
    }
    refused::<&str>(&text(&[0, 2, 1, 2], b"ab"), 3);
}

#[test]
fn a_row_that_starts_inside_a_character_is_refused() {
    let message = "row 1 starts inside a character";
    assert_eq!(
        refused::<&str>(&text(&[0, 1, 2], "ü".as_bytes()), 2),
        message
    );
    assert_eq!(
        refused::<&str>(&text(&[0, 1], &[0xff]), 1)
            .split(':')
            .next(),
        Some("text is not valid UTF-8")
    );
}
