//! Running a function natively on rows written as JSON, for its unit tests.
//!
//! Rows become columns and results come back from columns through the same code as in a component.
//!
//! A row is a JSON object. The field `user.id` is `{"user": {"id": ...}}`, the property `$value` is
//! `{"$value": ...}`. A timestamp is a number of milliseconds; bytes are text or, where they are not UTF-8, a
//! list of numbers; a field of JSON is any value.
//!
//! A plugin's sample is read from its files with [`ndjson`] and [`row_errors`].
//!
//! # Panics
//! All of these panic, as a failed assertion does, if the configuration is refused or if a row lacks a field
//! that is neither optional nor has a default, or has it with another type: the host would not hand over
//! such a row. So do the readers of samples on a line that is not what it should be.

use serde::Deserialize;
use serde_json::{Map as Object, Value};

pub use serde_json::json;

use crate::column::build::{ColumnBuilder, IntoColumn, Scalar, end_row, no_values};
use crate::column::read::FromColumn;
use crate::column::wire::{Batch, Column, FieldType, Produced, RowErrors, Values};
use crate::column::{ContractError, FieldSpec};
use crate::function::aggregate::Aggregate;
use crate::function::configure;
use crate::function::filter::{self, Filter};
use crate::function::map::{self, Map};
use crate::function::slots::Slots;
use crate::function::window_apply::{self, Window, WindowApply};
use crate::output::Output;
use crate::row::Row;
use crate::{Json, Timestamp};

/// What a filter answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Filtered {
    /// Indices of the rows that it kept.
    pub kept: Vec<usize>,
    /// Indices of the rows that it could not judge, with the messages.
    pub errors: Vec<(usize, String)>,
}

/// What a map or an aggregate answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The rows that it produced.
    pub rows: Vec<Value>,
    /// Indices of the input rows that it refused, with the messages.
    pub errors: Vec<(usize, String)>,
}

/// Runs a filter on one batch.
#[track_caller]
pub fn filter<F: Filter>(config: Value, rows: &[Value]) -> Filtered {
    let function = expect_ok(configure(&config.to_string(), F::new));
    let selection = expect_kept(filter::run(&function, &batch_of::<F::Row<'_>>(rows)));
    Filtered {
        kept: selection.kept.iter().map(|&row| row as usize).collect(),
        errors: errors_of(&selection.errors),
    }
}

/// Runs a map on one batch.
#[track_caller]
pub fn map<F: Map>(config: Value, rows: &[Value]) -> Outcome {
    let function = expect_ok(configure(&config.to_string(), F::new));
    let mapped = expect_kept(map::run(&function, &batch_of::<F::Row<'_>>(rows)));
    Outcome {
        rows: rows_of::<F::Output<'_>>(&mapped.rows),
        errors: errors_of(&mapped.errors),
    }
}

/// Runs an aggregate on one batch, all rows of one window and key.
#[track_caller]
pub fn aggregate<F: Aggregate>(config: Value, rows: &[Value]) -> Outcome {
    let mut slots = Slots::<F>::new(expect_ok(configure(&config.to_string(), F::new)));
    let errors = expect_kept(slots.accumulate(&vec![0; rows.len()], &batch_of::<F::Row<'_>>(rows)));
    if rows.is_empty() {
        begin(&mut slots);
    }
    Outcome {
        rows: rows_of::<F::Output<'_>>(&expect_kept(slots.finish(&[0]))),
        errors: errors_of(&errors),
    }
}

/// Runs an aggregate as it runs on many workers: each part of the rows in an instance of its own, one row at a time,
/// whose deltas are merged where the result is made. The result should equal that of [`aggregate`] on all rows.
#[track_caller]
pub fn aggregate_in_parts<F: Aggregate>(config: Value, parts: &[&[Value]]) -> Vec<Value> {
    let new = || Slots::<F>::new(expect_ok(configure(&config.to_string(), F::new)));
    let mut whole = new();
    begin(&mut whole);
    for part in parts {
        let mut instance = new();
        for row in *part {
            let batch = batch_of::<F::Row<'_>>(std::slice::from_ref(row));
            expect_kept(instance.accumulate(&[0], &batch));
            let delta = expect_kept(instance.take_deltas(&[0]));
            expect_ok(whole.merge(&[0], &delta).map_err(|error| error.0));
        }
    }
    rows_of::<F::Output<'_>>(&expect_kept(whole.finish(&[0])))
}

/// Runs a function of windows on one window.
///
/// # Errors
/// If the function gives one.
#[track_caller]
pub fn window_apply<F: WindowApply>(
    config: Value,
    window: Window,
    rows: &[Value],
) -> Result<Vec<Value>, String> {
    let function = expect_ok(configure(&config.to_string(), F::new));
    let batch = batch_of::<F::Row<'_>>(rows);
    let produced = window_apply::run(&function, &[window], &[0, batch.rows], &batch)?;
    Ok(rows_of::<F::Output<'_>>(&produced))
}

/// The rows of a sample file: one JSON value a line. Blank lines are skipped.
///
/// ```
/// use millstream_sdk::testing::{json, ndjson};
///
/// let rows = ndjson("{\"user_id\": \"ada\"}\n{\"user_id\": \"bob\"}\n");
/// assert_eq!(rows, [json!({"user_id": "ada"}), json!({"user_id": "bob"})]);
/// ```
#[track_caller]
pub fn ndjson(text: &str) -> Vec<Value> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("line {number}: {error}"))
        })
        .collect()
}

/// The errors that a sample file expects: one object with `row`, the index of the input row, and `message` a line.
///
/// ```
/// use millstream_sdk::testing::row_errors;
///
/// let errors = row_errors("{\"row\": 2, \"message\": \"no price\"}\n");
/// assert_eq!(errors, [(2, "no price".to_owned())]);
/// ```
#[track_caller]
pub fn row_errors(text: &str) -> Vec<(usize, String)> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct RowError {
        row: usize,
        message: String,
    }
    ndjson(text)
        .into_iter()
        .map(|value| {
            let error: RowError = serde_json::from_value(value)
                .unwrap_or_else(|error| panic!("not the error of a row: {error}"));
            (error.row, error.message)
        })
        .collect()
}

/// Makes slot 0 begin, empty.
fn begin<F: Aggregate>(slots: &mut Slots<F>) {
    let mut nothing = no_values();
    end_row(&mut nothing);
    expect_ok(slots.merge(&[0], &nothing).map_err(|error| error.0));
}

#[track_caller]
fn expect_ok<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn expect_kept<T>(result: Result<T, ContractError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// A batch of the fields that a row reads.
#[track_caller]
pub(crate) fn batch_of<'a, R: Row<'a>>(rows: &[Value]) -> Batch {
    Batch {
        rows: u32::try_from(rows.len()).expect("a batch has fewer than 2^32 rows"),
        columns: R::FIELDS
            .iter()
            .map(|field| column_of(field, rows))
            .collect(),
    }
}

#[track_caller]
fn column_of(field: &FieldSpec, rows: &[Value]) -> Column {
    let mut column = ColumnBuilder::new(field);
    for (index, row) in rows.iter().enumerate() {
        match lookup(row, field.name) {
            Some(value) => push_json(&mut column, field.ty, value).unwrap_or_else(|| {
                panic!(
                    "row {index}: `{}` should be {:?}, not {value}",
                    field.name, field.ty
                )
            }),
            None if field.optional => column.push(None),
            None => panic!("row {index} lacks `{}`", field.name),
        }
    }
    column.finish()
}

/// The value at a path; nothing if it is missing or null.
fn lookup<'v>(row: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.')
        .try_fold(row, |value, name| value.get(name))
        .filter(|value| !value.is_null())
}

fn push_json(column: &mut ColumnBuilder, ty: FieldType, value: &Value) -> Option<()> {
    let list: Vec<u8>;
    let scalar = match ty {
        FieldType::Bool => Scalar::Bool(value.as_bool()?),
        FieldType::Int64 => Scalar::Int64(value.as_i64()?),
        FieldType::Float64 => Scalar::Float64(value.as_f64()?),
        FieldType::Timestamp => Scalar::Timestamp(Timestamp::from_millis(value.as_i64()?)),
        FieldType::Text => Scalar::Text(value.as_str()?),
        FieldType::Bytes => match value.as_str() {
            Some(text) => Scalar::Bytes(text.as_bytes()),
            None => {
                list = serde_json::from_value(value.clone()).ok()?;
                Scalar::Bytes(&list)
            }
        },
        FieldType::Json => return value.scalar().map(|json| column.push(Some(json))),
    };
    column.push(Some(scalar));
    Some(())
}

/// Rows that a function produced.
fn rows_of<O: Output>(produced: &Produced) -> Vec<Value> {
    let rows = produced.source.len();
    let mut objects = vec![Object::new(); rows];
    for (field, column) in O::FIELDS.iter().zip(&produced.columns) {
        let values = expect_kept(values_of(field.ty, column, rows));
        for (object, value) in objects.iter_mut().zip(values) {
            object.insert(field.name.to_owned(), value);
        }
    }
    objects.into_iter().map(Value::Object).collect()
}

fn values_of(ty: FieldType, column: &Column, rows: usize) -> Result<Vec<Value>, ContractError> {
    fn read<'a, T>(
        column: &'a Column,
        rows: usize,
        to_json: impl Fn(T) -> Value,
    ) -> Result<Vec<Value>, ContractError>
    where
        Option<T>: FromColumn<'a>,
    {
        let column = Option::<T>::open(column, rows)?;
        let value = |row| Option::<T>::get(&column, row).map_or(Value::Null, &to_json);
        Ok((0..rows).map(value).collect())
    }
    match ty {
        FieldType::Bool => read(column, rows, |value: bool| value.into()),
        FieldType::Int64 => read(column, rows, |value: i64| value.into()),
        FieldType::Float64 => read(column, rows, |value: f64| value.into()),
        FieldType::Timestamp => read(column, rows, |value: Timestamp| value.as_millis().into()),
        FieldType::Text => read(column, rows, |value: &str| value.into()),
        FieldType::Bytes => read(column, rows, |value: &[u8]| {
            std::str::from_utf8(value).map_or_else(|_| value.into(), Value::from)
        }),
        FieldType::Json => read(column, rows, |value: Json<'_>| {
            value
                .parse()
                .unwrap_or_else(|error| panic!("produced text that is not JSON: {error}"))
        }),
    }
}

fn errors_of(errors: &RowErrors) -> Vec<(usize, String)> {
    let text = Column {
        validity: None,
        values: Values::Text(errors.messages.clone()),
    };
    let messages = expect_kept(<&str>::open(&text, errors.rows.len()));
    let row_and_message = |(index, &row): (usize, &u32)| {
        (
            row as usize,
            <&str as FromColumn>::get(&messages, index).to_owned(),
        )
    };
    errors
        .rows
        .iter()
        .enumerate()
        .map(row_and_message)
        .collect()
}
