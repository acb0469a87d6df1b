//! Guests that drown the operator in messages and numbers, or look for a clock and for chance.

use std::collections::BTreeSet;

use millstream::plugin::{FilterInstance, Lost, Reading};

use super::guest::Guest;
use super::{engine, limits, load_bytes, rows};

/// What stands on the meter of a filter that does this in each call, after three calls.
fn reading(case: &str, guest: Guest) -> Reading {
    let plugin = load_bytes(&guest.build()).unwrap_or_else(|told| panic!("{case}: {told}"));
    let plugin = plugin.placed(engine(), case, "filter");
    let mut within = limits();
    within.call = std::time::Duration::from_secs(5);
    let mut filter = FilterInstance::start(engine(), &plugin, "{}", within).unwrap();
    for _ in 0..3 {
        let selection = filter.filter(&rows(), &[0]).unwrap();
        assert_eq!(
            selection.kept,
            [0, 1, 2],
            "{case}: the rows are judged all the same"
        );
    }
    let readings = engine().meters().readings();
    let (_, reading) = readings
        .into_iter()
        .find(|(place, _)| place.pipeline == case)
        .unwrap();
    reading
}

/// Calls something so often, with `$v` counting up.
fn times(count: u32, call: &str) -> String {
    format!(
        "(local.set $v (i32.const 0))
         (loop $again {call}
           (local.set $v (i32.add (local.get $v) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $v) (i32.const {count}))))"
    )
}

#[test]
fn messages_beyond_what_a_second_allows_are_counted() {
    let mut guest = Guest::new("filter");
    let text = guest.put(b"listen!");
    let call = format!("(call $log (i32.const 0) (i32.const {text}) (i32.const 7))");
    let reading = reading("log flood", guest.does("filter", &times(5_000, &call)));
    assert_eq!(reading.lost.calls, 0);
    let lost = reading.lost.messages;
    assert!((10_000..15_000).contains(&lost), "{lost} of 15,000");
}

#[test]
fn long_messages_are_bounded_by_their_bytes() {
    let guest = Guest::new("filter");
    // 60,000 bytes of zeros, each of which is a character.
    let call = "(call $log (i32.const 0) (i32.const 1100000) (i32.const 60000))";
    let reading = reading("long messages", guest.does("filter", &times(20, call)));
    let lost = reading.lost.messages;
    assert!(
        lost >= 60 - 32,
        "a second has room for 16 cut messages: {lost} of 60 lost"
    );
}

#[test]
fn calls_beyond_what_a_call_may_make_are_counted() {
    let mut guest = Guest::new("filter");
    let name = guest.put(b"hits");
    let call = format!("(call $count (i32.const {name}) (i32.const 4) (i64.const 1))");
    let reading = reading("call flood", guest.does("filter", &times(150_000, &call)));
    assert_eq!(
        reading.counters["hits"], 300_000,
        "100,000 in each of three calls"
    );
    assert_eq!(reading.lost.calls, 150_000);
}

#[test]
fn names_beyond_what_a_plugin_may_have_are_counted() {
    let mut guest = Guest::new("filter");
    let name = guest.put(b"n000");
    // Two letters of the name from the counter.
    let digit = |at: usize, shift: u32| {
        format!(
            "(i32.store8 (i32.const {at}) (i32.add (i32.const 97) (i32.and (i32.shr_u (local.get $v) (i32.const {shift})) (i32.const 15))))"
        )
    };
    let call = format!(
        "{} {} (call $count (i32.const {name}) (i32.const 4) (i64.const 1))",
        digit(name + 1, 0),
        digit(name + 2, 4)
    );
    let reading = reading("name flood", guest.does("filter", &times(256, &call)));
    assert_eq!(reading.counters.len(), 64);
    assert_eq!(reading.lost.measures, 3 * (256 - 64));
}

#[test]
fn names_that_are_none_do_not_reach_the_metrics() {
    let mut guest = Guest::new("filter");
    let name = guest.put(b"a\"} 1\n");
    let call = format!(
        "(call $count (i32.const {name}) (i32.const 6) (i64.const 1))
         (call $count (i32.const 1100000) (i32.const 60000) (i64.const 1))
         (call $count (i32.const {name}) (i32.const 0) (i64.const 1))"
    );
    let reading = reading("bad names", guest.does("filter", &times(1, &call)));
    assert_eq!(
        reading.counters.keys().collect::<BTreeSet<_>>(),
        BTreeSet::new()
    );
    let lost = Lost {
        measures: 9,
        ..Lost::default()
    };
    assert_eq!(reading.lost, lost);
}

#[test]
fn a_message_that_is_not_text_is_a_trap() {
    let mut guest = Guest::new("filter");
    let text = guest.put(b"\xff\xfe");
    let call = format!("(call $log (i32.const 0) (i32.const {text}) (i32.const 2))");
    let failure = super::live(&guest.does("filter", &call)).unwrap_err();
    assert!(failure.to_string().contains("trapped"), "{failure}");
    let nowhere = Guest::new("filter").does(
        "filter",
        "(call $log (i32.const 0) (i32.const -9) (i32.const 99))",
    );
    let failure = super::live(&nowhere).unwrap_err();
    assert!(failure.to_string().contains("trapped"), "{failure}");
    let level = Guest::new("filter").does(
        "filter",
        "(call $log (i32.const 77) (i32.const 0) (i32.const 0))",
    );
    let failure = super::live(&level).unwrap_err();
    assert!(failure.to_string().contains("trapped"), "{failure}");
    super::host_is_alive();
}
