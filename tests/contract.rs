//! Components built from the contract as it was frozen at 0.1.0 and 0.1.1 load and run in this host, and give right answers.
//!
//! They know nothing of `wit/` and the SDK as they are today: where one of these tests fails, components that users have built
//! before would fail too, and the contract has been changed where it may only grow (`docs/contract.md`).

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BinaryArray, Int64Array};
use millstream::pipeline::config::defaults;
use millstream::plugin::{
    AggregateInstance, AppliedWindow, FilterInstance, GuestFault, Kind, Limits, MapInstance,
    Plugin, PluginEngine, Produced, WindowApplyInstance,
};
use millstream::rows::{Field, FieldType, Rows};

fn limits() -> Limits {
    defaults::LIMITS.into()
}

fn load(engine: &PluginEngine, name: &str) -> Plugin {
    let file = format!("fixtures/{name}.wasm");
    Plugin::load(engine, &support::components().join(file), limits()).unwrap()
}

fn frozen(name: &str) -> (PluginEngine, Plugin) {
    let engine = support::engine();
    let plugin = load(&engine, &format!("frozen-{name}"));
    assert_eq!(plugin.name(), format!("frozen-{name}"));
    assert_eq!(plugin.version(), env!("CARGO_PKG_VERSION"));
    assert_eq!(plugin.kind().world(), name);
    assert_eq!(plugin.reads(), int64s(&["n"]));
    assert_eq!(plugin.state_version(), 1);
    assert_eq!(plugin.migrates_from(), [0; 0]);
    (engine, plugin)
}

fn int64s(names: &[&str]) -> Vec<Field> {
    let field = |name: &&str| Field {
        name: (*name).to_owned(),
        ty: FieldType::Int64,
        optional: false,
    };
    names.iter().map(field).collect()
}

/// Rows with `numbers` in column 1, which is not the first: what a function reads is selected.
fn rows(numbers: &[i64]) -> Rows {
    let other = Int64Array::from(vec![99; numbers.len()]);
    let numbers_column = Int64Array::from(numbers.to_vec());
    Rows::new(
        numbers.len(),
        vec![Arc::new(other), Arc::new(numbers_column)],
    )
}

const SELECT: [usize; 1] = [1];

fn column(produced: &Produced, at: usize) -> Vec<i64> {
    let column = produced.rows.columns[at].as_primitive::<Int64Type>();
    assert_eq!(column.null_count(), 0);
    column.values().to_vec()
}

#[test]
fn a_filter_of_contract_0_1_keeps_its_rows() {
    let (engine, plugin) = frozen("filter");
    assert_eq!(plugin.kind(), Kind::Filter);
    assert_eq!(plugin.produces(), []);
    let mut instance = FilterInstance::start(&engine, &plugin, "{}", limits()).unwrap();
    let selection = instance
        .filter(&rows(&[1, 2, -4, 7, i64::MAX, 0]), &SELECT)
        .unwrap();
    assert_eq!(selection.kept, [1, 2, 5]);
    assert_eq!(selection.errors.0, []);
    let none = instance.filter(&rows(&[]), &SELECT).unwrap();
    assert!(none.kept.is_empty());
}

#[test]
fn a_map_of_contract_0_1_makes_two_rows_of_one_and_refuses_one_row() {
    let (engine, plugin) = frozen("map");
    assert_eq!(plugin.kind(), Kind::Map);
    assert_eq!(plugin.produces(), int64s(&["n"]));
    let mut instance = MapInstance::start(&engine, &plugin, "{}", limits()).unwrap();
    let (produced, errors) = instance.map(&rows(&[5, i64::MAX, -1]), &SELECT).unwrap();
    assert_eq!(produced.source, [0, 0, 2, 2]);
    assert_eq!(column(&produced, 0), [5, 6, -1, 0]);
    assert_eq!(errors.0, [(1, "n + 1 is no int64".to_owned())]);
}

#[test]
fn an_aggregate_of_contract_0_1_adds_merges_and_hands_out_deltas() {
    let (engine, plugin) = frozen("aggregate");
    assert_eq!(plugin.kind(), Kind::Aggregate);
    assert_eq!(plugin.produces(), int64s(&["sum"]));
    let start = || AggregateInstance::start(&engine, &plugin, "{}", limits()).unwrap();
    let sums = |instance: &mut AggregateInstance, slots: &[u32]| {
        let produced = instance.finish(slots).unwrap();
        assert_eq!(
            produced.source,
            (0..).take(slots.len()).collect::<Vec<u32>>()
        );
        column(&produced, 0)
    };
    let mut instance = start();
    let errors = instance
        .accumulate(&[0, 1, 0], &rows(&[1, 10, 2]), &SELECT)
        .unwrap();
    assert_eq!(errors.0, []);
    assert_eq!(sums(&mut instance, &[1, 0]), [10, 3]);

    let first = instance.take_deltas(&[0, 1]).unwrap();
    instance.accumulate(&[1], &rows(&[5]), &SELECT).unwrap();
    let second = instance.take_deltas(&[0, 1]).unwrap();
    assert_eq!(second.value(0), b"", "nothing new has come into slot 0");
    let whole = instance.snapshot(&[0, 1]).unwrap();

    let mut merged = start();
    merged.merge(&[0, 1], &first).unwrap();
    merged.merge(&[0, 1], &second).unwrap();
    assert_eq!(sums(&mut merged, &[0, 1]), [3, 15]);
    assert_eq!(merged.snapshot(&[0, 1]).unwrap(), whole);

    merged.close(&[0]).unwrap();
    merged.accumulate(&[0], &rows(&[7]), &SELECT).unwrap();
    assert_eq!(
        sums(&mut merged, &[0]),
        [7],
        "a closed slot begins again empty"
    );
}

#[test]
fn an_aggregate_of_contract_0_1_refuses_a_partial_that_is_not_its_own() {
    let (engine, plugin) = frozen("aggregate");
    let mut instance = AggregateInstance::start(&engine, &plugin, "{}", limits()).unwrap();
    let partials = BinaryArray::from_vec(vec![b"abc"]);
    let failure = instance.merge(&[0], &partials).unwrap_err();
    assert!(matches!(failure.fault, GuestFault::Refused(_)), "{failure}");
    assert!(failure.to_string().contains("8 bytes, not 3"), "{failure}");
}

#[test]
fn a_window_apply_of_contract_0_1_sees_each_window_by_itself() {
    let (engine, plugin) = frozen("window-apply");
    assert_eq!(plugin.kind(), Kind::WindowApply);
    assert_eq!(plugin.produces(), int64s(&["count", "sum"]));
    let mut instance = WindowApplyInstance::start(&engine, &plugin, "{}", limits()).unwrap();
    let window = |start: i64, key: Option<&str>| AppliedWindow {
        start,
        end: start + 60_000,
        key: key.map(str::to_owned),
    };
    let windows = [window(-60_000, None), window(0, Some("a"))];
    let numbers = Rows::new(3, vec![rows(&[3, 4, -9]).columns[1].clone()]);
    let produced = instance.apply(&windows, &[0, 2, 3], &numbers).unwrap();
    assert_eq!(produced.source, [0, 1]);
    assert_eq!(column(&produced, 0), [2, 1]);
    assert_eq!(column(&produced, 1), [7, -9]);

    let two = Rows::new(2, vec![rows(&[i64::MAX, 1]).columns[1].clone()]);
    let failure = instance.apply(&windows[1..], &[0, 2], &two).unwrap_err();
    assert!(
        failure.to_string().contains("the sum from 0 to 60000"),
        "{failure}"
    );
}

#[test]
fn a_component_of_contract_0_1_is_given_its_configuration() {
    let (engine, plugin) = frozen("filter");
    let refused = FilterInstance::start(&engine, &plugin, "{\"a\":1}", limits());
    let failure = refused.err().unwrap();
    assert!(failure.to_string().contains("{\"a\":1}"), "{failure}");
}

/// Partials of state version 1, as `frozen-aggregate` leaves them: of 3, of 15, and of nothing.
fn left_behind(engine: &PluginEngine) -> BinaryArray {
    let plugin = load(engine, "frozen-aggregate");
    let mut instance = AggregateInstance::start(engine, &plugin, "{}", limits()).unwrap();
    let numbers = rows(&[1, 10, 2, 5, 0]);
    let slots = [0, 1, 0, 1, 2];
    instance.accumulate(&slots, &numbers, &SELECT).unwrap();
    let partials = instance.take_deltas(&[0, 1, 2]).unwrap();
    assert_eq!(partials.value(2), b"");
    partials
}

/// Lets `name` go on with what version 1 has left, adding 100 to the first slot; what its columns say then.
fn succeed(name: &str) -> (PluginEngine, Vec<Vec<i64>>) {
    let engine = PluginEngine::new().unwrap();
    let partials = left_behind(&engine);
    let plugin = load(&engine, name).placed(&engine, "job", "sum");
    assert_eq!(
        (plugin.state_version(), plugin.migrates_from()),
        (2, &[1][..])
    );
    let mut instance = AggregateInstance::start(&engine, &plugin, "{}", limits()).unwrap();
    let migrated = instance.migrate(1, &partials).unwrap();
    assert_eq!(migrated.len(), 3);
    assert_eq!(migrated.value(2), b"", "nothing stays nothing");
    instance.merge(&[0, 1, 2], &migrated).unwrap();
    instance.accumulate(&[0], &rows(&[100]), &SELECT).unwrap();
    let produced = instance.finish(&[0, 1, 2]).unwrap();
    let columns = 0..produced.rows.columns.len();
    (engine, columns.map(|at| column(&produced, at)).collect())
}

#[test]
fn a_component_of_contract_0_1_1_goes_on_with_what_one_of_0_1_0_has_left() {
    let (engine, columns) = succeed("frozen-migration");
    assert_eq!(columns, [[103, 15, 0]]);
    let readings = engine.meters().readings();
    let [(place, reading)] = readings.as_slice() else {
        panic!("one function measures: {readings:?}");
    };
    assert_eq!((&*place.pipeline, &*place.step), ("job", "sum"));
    assert_eq!(
        place.plugin,
        concat!("frozen-migration@", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(reading.counters["rows"], 1);
    assert_eq!(reading.histograms["number"].sum, 100.);
}

#[test]
fn a_component_of_the_sdk_goes_on_with_what_another_state_has_left() {
    let (engine, columns) = succeed("successor");
    assert_eq!(columns, [[103, 15, 0], [1, 0, 0]]);
    let (_, reading) = &engine.meters().readings()[0];
    assert_eq!(reading.counters["rows_added"], 1);
    assert_eq!(reading.histograms["size"].counts.iter().sum::<u64>(), 1);
}

#[test]
fn partials_of_a_version_that_is_not_known_or_that_lie_are_not_migrated() {
    let engine = PluginEngine::new().unwrap();
    for name in ["successor", "frozen-migration"] {
        let plugin = load(&engine, name);
        let migrate = |from: u32, partial: &[u8]| {
            let mut instance = AggregateInstance::start(&engine, &plugin, "{}", limits()).unwrap();
            let partials = BinaryArray::from_vec(vec![partial]);
            instance.migrate(from, &partials).unwrap_err()
        };
        let unknown = migrate(7, b"12345678");
        assert!(
            matches!(unknown.fault, GuestFault::Contract(_)),
            "{unknown}"
        );
        assert!(unknown.to_string().contains("state version 7"), "{unknown}");
        let broken = migrate(1, b"abc");
        assert!(matches!(broken.fault, GuestFault::Refused(_)), "{broken}");
        assert!(broken.to_string().contains("8 bytes, not 3"), "{broken}");
    }
    let plugin = load(&engine, "frozen-aggregate");
    let mut instance = AggregateInstance::start(&engine, &plugin, "{}", limits()).unwrap();
    let none = instance
        .migrate(1, &BinaryArray::from_vec(vec![b""]))
        .unwrap_err();
    assert!(none.to_string().contains("does not migrate"), "{none}");
}
