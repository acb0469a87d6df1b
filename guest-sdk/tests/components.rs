//! Functions called through the exports of their component, as the host calls them, but natively.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use millstream_sdk::bindings::aggregate::exports::millstream::udf::aggregate_function::Guest as _;
use millstream_sdk::bindings::aggregate_migration::exports::millstream::udf::aggregate_migration::Guest as _;
use millstream_sdk::bindings::common::exports::millstream::udf::plugin::{self, Guest as _};
use millstream_sdk::bindings::filter::exports::millstream::udf::filter_function::Guest as _;
use millstream_sdk::bindings::window_apply::exports::millstream::udf::window_apply_function::{
    self, Guest as _,
};
use millstream_sdk::component::Exported;
use millstream_sdk::expanded::wire::{Batch, Column, Produced, Values, VarValues};
use millstream_sdk::prelude::*;
use millstream_sdk::testing::{self, json};
use serde::Deserialize;

#[derive(Row)]
struct Amount {
    amount: i64,
}

#[derive(Output)]
struct Total {
    total: i64,
}

/// A sum, with what has come in since the last delta.
#[derive(Default)]
struct Sum {
    whole: i64,
    delta: i64,
}

impl Sum {
    fn add(&mut self, amount: i64) {
        self.whole += amount;
        self.delta += amount;
    }
}

fn put(amount: i64, out: &mut Vec<u8>) {
    if amount != 0 {
        out.extend(amount.to_le_bytes());
    }
}

impl Accumulator for Sum {
    fn snapshot(&self, out: &mut Vec<u8>) {
        put(self.whole, out);
    }

    fn take_delta(&mut self, out: &mut Vec<u8>) {
        put(std::mem::take(&mut self.delta), out);
    }

    fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
        if partial.is_empty() {
            return Ok(());
        }
        let bytes = partial
            .try_into()
            .map_err(|_| PartialError(format!("a sum of {} bytes", partial.len())))?;
        self.add(i64::from_le_bytes(bytes));
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    most: i64,
}

struct Totals {
    most: i64,
}

/// The state of version 1: numbers as text, one a line.
#[derive(Default)]
struct Lines(i64);

impl Accumulator for Lines {
    fn snapshot(&self, _: &mut Vec<u8>) {
        unreachable!("only read")
    }

    fn take_delta(&mut self, _: &mut Vec<u8>) {
        unreachable!("only read")
    }

    fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
        let text = str::from_utf8(partial).map_err(|error| PartialError(error.to_string()))?;
        for line in text.lines() {
            let number = line.parse::<i64>();
            self.0 += number.map_err(|_| PartialError(format!("`{line}` is no number")))?;
        }
        Ok(())
    }
}

impl From<Lines> for Sum {
    fn from(Lines(amount): Lines) -> Self {
        let mut sum = Sum::default();
        sum.add(amount);
        sum
    }
}

/// The state of version 2: a sum in the other order of bytes.
#[derive(Default)]
struct BigEndian(i64);

impl Accumulator for BigEndian {
    fn snapshot(&self, _: &mut Vec<u8>) {
        unreachable!("only read")
    }

    fn take_delta(&mut self, _: &mut Vec<u8>) {
        unreachable!("only read")
    }

    fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
        let bytes = partial.try_into();
        let bytes = bytes.map_err(|_| PartialError(format!("{} bytes", partial.len())))?;
        self.0 += i64::from_be_bytes(bytes);
        Ok(())
    }
}

impl From<BigEndian> for Sum {
    fn from(BigEndian(amount): BigEndian) -> Self {
        Lines(amount).into()
    }
}

#[aggregate(state_version = 3, migrates(1 = Lines, 2 = BigEndian))]
impl Aggregate for Totals {
    type Config = Limit;
    type Row<'a> = Amount;
    type State = Sum;
    type Output<'a> = Total;

    fn new(limit: Limit) -> Result<Self, Error> {
        if limit.most < 0 {
            return Err(format!("`most` is {}", limit.most).into());
        }
        Ok(Totals { most: limit.most })
    }

    fn add(&self, sum: &mut Sum, row: Amount) -> RowResult {
        if row.amount > self.most {
            return Err("too much".into());
        }
        sum.add(row.amount);
        Ok(())
    }

    fn result(&self, sum: &Sum, out: &mut Collector<Total>) {
        out.push(Total { total: sum.whole });
    }
}

type TotalsComponent = Exported<Totals>;

fn amounts(amounts: &[i64]) -> Batch {
    Batch {
        rows: u32::try_from(amounts.len()).unwrap(),
        columns: vec![Column {
            validity: None,
            values: Values::Int64(amounts.to_vec()),
        }],
    }
}

fn totals(produced: &Produced) -> (Vec<u32>, Vec<i64>) {
    let Values::Int64(totals) = &produced.columns[0].values else {
        panic!("totals are integers: {produced:?}");
    };
    (produced.source.clone(), totals.clone())
}

fn init_totals() {
    TotalsComponent::init(r#"{"most": 100}"#.to_owned()).unwrap();
}

#[test]
fn a_component_describes_itself_by_its_crate_and_structs() {
    let description = TotalsComponent::describe();
    assert_eq!(description.name, "millstream-sdk");
    assert_eq!(description.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(description.kind, plugin::Kind::Aggregate);
    assert_eq!(description.state_version, 3);
    assert_eq!(description.reads[0].name, "amount");
    assert_eq!(description.produces[0].name, "total");
    assert_eq!(Exported::<NotNegative>::describe().produces.len(), 0);
}

#[test]
fn a_wrong_configuration_says_what_is_wrong_with_it() {
    let refused = |config: &str| TotalsComponent::init(config.to_owned()).unwrap_err();
    assert!(refused(r#"{"most": 1, "least": 0}"#).starts_with("config: unknown field `least`"));
    assert!(refused("{}").starts_with("config: missing field `most`"));
    assert_eq!(refused(r#"{"most": -1}"#), "config: `most` is -1");
    let none = Exported::<NotNegative>::init(r#"{"most": 1}"#.to_owned()).unwrap_err();
    assert!(none.starts_with("config: unknown field `most`"), "{none}");
}

#[test]
fn slots_keep_apart_what_comes_in_and_what_has_been_taken() {
    init_totals();
    let errors = TotalsComponent::accumulate(vec![0, 2, 0, 2], amounts(&[1, 10, 2, 101]));
    assert_eq!(errors.rows, [3]);
    assert_eq!(errors.messages.data, b"too much");

    let taken = TotalsComponent::take_deltas(vec![2, 0]);
    assert_eq!(taken.offsets, [0, 8, 16]);
    assert_eq!(TotalsComponent::take_deltas(vec![0]).data, b"");
    assert_eq!(TotalsComponent::snapshot(vec![2, 0]).data, taken.data);

    TotalsComponent::merge(vec![1, 1], taken).unwrap();
    let produced = TotalsComponent::finish(vec![1, 0, 2]);
    assert_eq!(totals(&produced), (vec![0, 1, 2], vec![13, 3, 10]));
}

#[test]
fn rows_that_follow_one_another_into_a_slot_are_each_added_and_errors_name_their_rows() {
    init_totals();
    let rows = [1, 2, 101, 4, 102, 8, 16, 103, 32];
    let errors = TotalsComponent::accumulate(vec![1, 1, 1, 0, 0, 0, 1, 2, 2], amounts(&rows));
    assert_eq!(errors.rows, [2, 4, 7]);
    let produced = TotalsComponent::finish(vec![0, 1, 2]);
    assert_eq!(totals(&produced).1, [12, 19, 32]);
}

#[test]
fn a_closed_slot_begins_again_empty() {
    init_totals();
    TotalsComponent::accumulate(vec![0, 1], amounts(&[1, 2]));
    TotalsComponent::close(vec![1, 0]);
    TotalsComponent::accumulate(vec![0], amounts(&[0]));
    assert_eq!(totals(&TotalsComponent::finish(vec![0])).1, [0]);
}

#[test]
fn a_partial_of_another_function_is_refused_by_name_of_its_slot() {
    init_totals();
    let partial = VarValues {
        offsets: vec![0, 3],
        data: vec![1, 2, 3],
    };
    let error = TotalsComponent::merge(vec![4], partial).unwrap_err();
    assert_eq!(error, "slot 4: a sum of 3 bytes");
}

#[test]
fn partials_out_of_bounds_are_refused() {
    init_totals();
    for offsets in [vec![0], vec![0, 9], vec![2, 1], vec![-1, 0]] {
        let partials = VarValues {
            offsets,
            data: vec![0; 8],
        };
        TotalsComponent::merge(vec![0], partials).unwrap_err();
    }
}

fn var_values(values: &[&[u8]]) -> VarValues {
    let mut offsets = vec![0];
    for value in values {
        offsets.push(offsets[offsets.len() - 1] + i32::try_from(value.len()).unwrap());
    }
    VarValues {
        offsets,
        data: values.concat(),
    }
}

#[test]
fn partials_of_each_version_that_is_named_become_its_own() {
    init_totals();
    assert_eq!(TotalsComponent::from_versions(), [1, 2]);
    let first = TotalsComponent::migrate(1, var_values(&[b"3\n4\n", b"", b"-1"])).unwrap();
    assert_eq!(first.offsets, [0, 8, 8, 16], "nothing stays nothing");
    let second = TotalsComponent::migrate(2, var_values(&[&5_i64.to_be_bytes()])).unwrap();
    TotalsComponent::merge(vec![0, 1, 2], first).unwrap();
    TotalsComponent::merge(vec![0], second).unwrap();
    assert_eq!(
        totals(&TotalsComponent::finish(vec![0, 1, 2])).1,
        [12, 0, -1]
    );
}

#[test]
fn a_partial_that_is_not_of_its_version_is_named() {
    let refused = |from, values| TotalsComponent::migrate(from, values).unwrap_err();
    assert_eq!(
        refused(1, var_values(&[b"1", b"x"])),
        "partial 1 of state version 1: `x` is no number"
    );
    assert_eq!(
        refused(2, var_values(&[b"abc"])),
        "partial 0 of state version 2: 3 bytes"
    );
    for unknown in [0, 3, 4] {
        let told = refused(unknown, var_values(&[]));
        assert!(
            told.contains("none of those") && told.contains("[1, 2]"),
            "{told}"
        );
    }
    let out_of_bounds = VarValues {
        offsets: vec![0, 9],
        data: vec![],
    };
    assert!(refused(1, out_of_bounds).contains("do not lie in their data"));
}

#[test]
#[should_panic(expected = "the host broke the contract: slot 7 is not in use")]
fn a_slot_that_never_began_cannot_be_finished() {
    init_totals();
    TotalsComponent::finish(vec![7]);
}

#[test]
#[should_panic(expected = "the host broke the contract: 1 slots where 2 are due")]
fn each_row_has_a_slot() {
    init_totals();
    TotalsComponent::accumulate(vec![0], amounts(&[1, 2]));
}

#[test]
#[should_panic(expected = "called before `init`")]
fn a_call_before_init_is_refused() {
    TotalsComponent::close(vec![]);
}

#[test]
fn an_aggregate_in_parts_gives_what_it_gives_in_one() {
    let config = json!({"most": 100});
    let rows = [1, 20, 101, 300, 4].map(|amount| json!({"amount": amount}));
    let outcome = testing::aggregate::<Totals>(config.clone(), &rows);
    let (refused, _): (Vec<_>, Vec<_>) = outcome.errors.into_iter().unzip();
    assert_eq!(refused, [2, 3]);
    assert_eq!(outcome.rows, [json!({"total": 25})]);
    for split in 0..=rows.len() {
        let (first, second) = rows.split_at(split);
        let parts = testing::aggregate_in_parts::<Totals>(config.clone(), &[first, second, &[]]);
        assert_eq!(parts, outcome.rows, "split before row {split}");
    }
}

#[test]
fn an_aggregate_of_no_rows_gives_what_an_empty_state_gives() {
    let outcome = testing::aggregate::<Totals>(json!({"most": 1}), &[]);
    assert_eq!(outcome.rows, [json!({"total": 0})]);
}

#[test]
#[should_panic(expected = "config: missing field `most`")]
fn a_test_with_a_refused_configuration_fails() {
    testing::aggregate::<Totals>(json!({}), &[]);
}

#[derive(Default)]
struct NotNegative;

#[filter]
impl Filter for NotNegative {
    type Row<'a> = Amount;

    fn keep(&self, row: Amount) -> RowResult<bool> {
        if row.amount == i64::MIN {
            return Err("no amount".into());
        }
        Ok(row.amount >= 0)
    }
}

#[test]
fn a_filter_answers_with_indices_of_kept_rows_and_of_rows_in_error() {
    Exported::<NotNegative>::init("{}".to_owned()).unwrap();
    let selection = Exported::<NotNegative>::filter(amounts(&[-1, 5, i64::MIN, 0]));
    assert_eq!(selection.kept, [1, 3]);
    assert_eq!(selection.errors.rows, [2]);
    assert_eq!(selection.errors.messages.offsets, [0, 9]);
}

#[test]
#[should_panic(expected = "the batch has 0 columns, and none for field `amount`")]
fn a_batch_without_a_declared_column_is_refused() {
    Exported::<NotNegative>::init("{}".to_owned()).unwrap();
    Exported::<NotNegative>::filter(Batch {
        rows: 1,
        columns: vec![],
    });
}

#[test]
#[should_panic(expected = "the batch has 2 columns for 1 fields")]
fn a_batch_with_a_column_too_many_is_refused() {
    Exported::<NotNegative>::init("{}".to_owned()).unwrap();
    let mut batch = amounts(&[1]);
    batch.columns.extend_from_within(..);
    Exported::<NotNegative>::filter(batch);
}

#[derive(Default)]
struct Largest;

#[window_apply]
impl WindowApply for Largest {
    type Row<'a> = Amount;
    type Output<'a> = Total;

    fn apply<'a>(
        &'a self,
        window: &'a Window,
        rows: Rows<'a, Amount>,
        out: &mut Collector<Total>,
    ) -> Result<(), Error> {
        if window.key.as_deref() == Some("bad") {
            return Err("a bad window".into());
        }
        out.extend(
            rows.map(|row| row.amount)
                .max()
                .map(|total| Total { total }),
        );
        Ok(())
    }
}

fn windows(keys: &[&str]) -> Vec<window_apply_function::Window> {
    let window = |key: &&str| window_apply_function::Window {
        start: -60_000,
        end: 0,
        key: Some((*key).to_owned()),
    };
    keys.iter().map(window).collect()
}

#[test]
fn each_window_sees_its_own_rows() {
    Exported::<Largest>::init("{}".to_owned()).unwrap();
    let rows = amounts(&[3, 9, 4, 1]);
    let produced = Exported::<Largest>::apply(windows(&["a", "b"]), vec![0, 1, 4], rows).unwrap();
    assert_eq!(totals(&produced), (vec![0, 1], vec![3, 9]));
}

#[test]
fn an_error_of_a_window_is_that_of_the_call() {
    Exported::<Largest>::init("{}".to_owned()).unwrap();
    let result = Exported::<Largest>::apply(windows(&["bad"]), vec![0, 1], amounts(&[1]));
    assert_eq!(result.unwrap_err(), "a bad window");
}

#[test]
fn bounds_outside_the_batch_are_an_error() {
    Exported::<Largest>::init("{}".to_owned()).unwrap();
    for bounds in [
        vec![0],
        vec![0, 0],
        vec![0, 3],
        vec![2, 1],
        vec![0, u32::MAX],
    ] {
        Exported::<Largest>::apply(windows(&["a"]), bounds, amounts(&[1, 2])).unwrap_err();
    }
}
