//! Guests that don't come back from a call, or take too much in it.

use std::time::{Duration, Instant};

use super::guest::Guest;
use super::{assert_says, host_is_alive, limits, live, live_within, load_bytes};

const ENDLESS: &str = "(loop $l (br $l))";
const TRAP: &str = "unreachable";

/// Every export that a call reaches after admission, by kind.
const EXPORTS: [(&str, &[&str]); 4] = [
    ("filter", &["init", "filter"]),
    ("map", &["init", "map"]),
    ("window-apply", &["init", "apply"]),
    (
        "aggregate",
        &[
            "init",
            "accumulate",
            "merge",
            "take-deltas",
            "snapshot",
            "finish",
            "migrate",
            "close",
        ],
    ),
];

fn in_each_export(body: &str, words: &[&str]) {
    for (kind, functions) in EXPORTS {
        for function in functions {
            let case = format!("{kind} {function}");
            let began = Instant::now();
            let failure = live(&Guest::new(kind).does(function, body)).unwrap_err();
            assert_says(&case, &failure.to_string(), words);
            assert_says(
                &case,
                &failure.to_string(),
                &["hostile@1.0.0", &failure.digest],
            );
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{case}: {:?}",
                began.elapsed()
            );
        }
    }
    host_is_alive();
}

#[test]
fn an_endless_loop_in_any_export_ends_at_the_deadline() {
    in_each_export(ENDLESS, &["ran longer than the 100ms"]);
}

#[test]
fn a_trap_in_any_export_is_told() {
    in_each_export(TRAP, &["trapped", "unreachable"]);
}

#[test]
fn what_fails_before_or_while_it_describes_itself_is_not_admitted() {
    let start =
        |body: &str| Guest::new("filter").with(&format!("(func $evil {body}) (start $evil)"));
    let alloc = Guest::new("filter").does("init", "").with("");
    assert!(load_bytes(&alloc.build()).is_ok());
    for (case, guest, words) in [
        (
            "loop in describe",
            Guest::new("filter").does("describe", ENDLESS),
            "ran longer than",
        ),
        (
            "trap in describe",
            Guest::new("filter").does("describe", TRAP),
            "unreachable",
        ),
        (
            "loop in from-versions",
            Guest::new("aggregate").does("from-versions", ENDLESS),
            "ran longer than",
        ),
        ("loop in start", start(ENDLESS), "ran longer than"),
        ("trap in start", start(TRAP), "unreachable"),
        (
            "recursion in start",
            start("(call $evil)"),
            "call stack exhausted",
        ),
    ] {
        let told = load_bytes(&guest.build()).err().unwrap();
        assert_says(case, &told, &[words]);
    }
    host_is_alive();
}

#[test]
fn a_trap_while_the_host_hands_rows_over_or_cleans_up_is_told() {
    let post = Guest::new("filter").with(
        r#"(func (export "cabi_post_millstream:udf/filter-function@0.1.1#filter") (param i32) unreachable)"#,
    );
    assert_says(
        "post-return",
        &live(&post).unwrap_err().to_string(),
        &["trapped", "unreachable"],
    );
    let endless = Guest::new("filter").with(
        r#"(func (export "cabi_post_millstream:udf/filter-function@0.1.1#filter") (param i32) (loop $l (br $l)))"#,
    );
    assert_says(
        "loop in post-return",
        &live(&endless).unwrap_err().to_string(),
        &["ran longer than"],
    );
    // The arguments of `filter` come through realloc, after `init` has said so.
    for (case, body, words) in [
        ("trap in realloc", "unreachable", "unreachable"),
        ("loop in realloc", "(loop $l (br $l))", "ran longer than"),
        (
            "realloc beyond memory",
            "(return (i32.const -8))",
            "beyond end of memory",
        ),
    ] {
        let guest = Guest::new("filter").in_realloc(body);
        assert_says(case, &live(&guest).unwrap_err().to_string(), &[words]);
    }
    host_is_alive();
}

#[test]
fn memory_tables_and_stack_have_an_end() {
    let bomb =
        "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let slow = "(loop $l (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)) (br $l))";
    let table = "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 9999)) (i32.const -1)))) unreachable";
    let with_table = |guest: Guest| guest.with("(table $t 1 funcref)");
    let deep = |guest: Guest| {
        guest.with("(func $deep (param i64) (call $deep (i64.add (local.get 0) (i64.const 1))))")
    };
    for (kind, functions) in EXPORTS {
        for function in functions {
            let case = format!("{kind} {function}");
            let says = |guest: Guest, words: &[&str]| {
                let failure = live(&guest).unwrap_err();
                assert_says(&case, &failure.to_string(), words);
            };
            says(
                Guest::new(kind).does(function, bomb),
                &["ran out of memory", "67108864"],
            );
            says(
                Guest::new(kind).does(function, slow),
                &["ran out of memory"],
            );
            says(
                with_table(Guest::new(kind).does(function, table)),
                &["ran out of table entries", "100000"],
            );
            says(
                deep(Guest::new(kind).does(function, "(call $deep (i64.const 0))")),
                &["call stack exhausted"],
            );
        }
    }
    host_is_alive();
}

#[test]
fn several_tables_share_one_limit() {
    let grow =
        |table: &str| format!("(drop (table.grow {table} (ref.null func) (i32.const 60000)))");
    let body = format!("{} {} unreachable", grow("$a"), grow("$b"));
    let guest = Guest::new("filter")
        .does("filter", &body)
        .with("(table $a 1 funcref) (table $b 1 funcref)");
    assert_says(
        "two tables",
        &live(&guest).unwrap_err().to_string(),
        &["ran out of table entries"],
    );
    let mut more = limits();
    more.table_entries = 200_000;
    assert_says(
        "more",
        &live_within(&guest, more).unwrap_err().to_string(),
        &["trapped"],
    );
}

#[test]
fn what_is_too_large_at_first_does_not_start() {
    let table = Guest::new("filter").with("(table 200000 funcref)");
    assert_says(
        "table",
        &load_bytes(&table.build()).err().unwrap(),
        &["table"],
    );
    let memory = Guest::new("filter").memory(2_000);
    assert_says(
        "memory",
        &load_bytes(&memory.build()).err().unwrap(),
        &["memory"],
    );
    let tables = Guest::new("filter").with(&"(table 1 funcref)".repeat(40));
    assert_says(
        "tables",
        &load_bytes(&tables.build()).err().unwrap(),
        &["table"],
    );
    host_is_alive();
}
