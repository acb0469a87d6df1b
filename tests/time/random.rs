//! Random rows through random windows: the engine against the oracle. What fails is made smaller, and printed as a case.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestError, TestRunner};
use toml::{Table, Value};

use crate::judge::against_oracle;
use crate::rig::Interleaving;
use crate::scenario::{Happening, Row, Scenario};

/// How many scenarios are drawn of each sort of window. Each is run once in every interleaving.
const CASES: u32 = 16;

/// A value of a pipeline file, under its key.
type Setting = (&'static str, Value);

/// The sorts of windows, by what else they allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sort {
    /// The clock alone says which windows a row is in.
    Clock,
    /// The clock too, and windows have so many panes that they share what they have in common.
    Overlap,
    Calendar,
    Session,
    /// The order of rows says it.
    Rows,
    /// All rows, again and again.
    Global,
}

/// What is settled before rows are drawn.
#[derive(Clone, Debug)]
struct Frame {
    sort: Sort,
    source: Table,
    step: Table,
    partitions: i32,
    max_rows: i64,
    /// Rows say how long their session goes on.
    has_gaps: bool,
}

fn table(settings: impl IntoIterator<Item = Setting>) -> Table {
    let owned = |(key, value): Setting| (key.to_owned(), value);
    settings.into_iter().map(owned).collect()
}

fn ms(millis: i64) -> Value {
    format!("{millis}ms").into()
}

/// A window of a sort.
fn window(sort: Sort) -> BoxedStrategy<Table> {
    let span = 1_i64..12;
    let tumbling = (span.clone(), 0_i64..12)
        .prop_map(|(size, offset)| table([("tumbling", ms(size)), ("offset", ms(offset % size))]));
    let spans = match sort {
        Sort::Overlap => (12_i64..40, 0_i64..3),
        _ => (span.clone(), 0_i64..12),
    };
    let sliding = (spans, 0_i64..12).prop_map(|((size, slide), offset)| {
        let slide = slide % size + 1;
        table([
            ("sliding", ms(size)),
            ("slide", ms(slide)),
            ("offset", ms(offset % slide)),
        ])
    });
    let units = select(vec!["day", "week", "month"]);
    let zones = select(vec!["Europe/Vienna", "America/Sao_Paulo", "UTC"]);
    let calendar = (units, zones)
        .prop_map(|(unit, zone)| table([("calendar", unit.into()), ("time_zone", zone.into())]));
    let session = (span.clone(), any::<bool>()).prop_map(|(gap, has_field)| {
        let field = has_field.then(|| ("gap_field", "gap_ms".into()));
        table([("session", ms(gap))].into_iter().chain(field))
    });
    let count = (1_i64..5).prop_map(|rows| table([("count", rows.into())]));
    let global = |setting| Value::Table(table([setting]));
    let global_rows =
        (1_i64..5).prop_map(move |rows| table([("global", global(("rows", rows.into())))]));
    let global_every =
        span.prop_map(move |every| table([("global", global(("every", ms(every))))]));
    match sort {
        Sort::Clock => prop_oneof![tumbling, sliding].boxed(),
        Sort::Overlap => sliding.boxed(),
        Sort::Calendar => calendar.boxed(),
        Sort::Session => session.boxed(),
        Sort::Rows => prop_oneof![count, global_rows].boxed(),
        Sort::Global => global_every.boxed(),
    }
}

/// Event time that a step of the rows' times stands for: small, so that borders are met, but for calendars.
fn scale(sort: Sort) -> i64 {
    match sort {
        Sort::Calendar => 5 * 3_600_000 + 1_800_000,
        _ => 1,
    }
}

fn frame(sort: Sort) -> impl Strategy<Value = Frame> {
    let shape = (
        select(vec![None, Some("user"), Some("$key")]),
        1_i32..4,
        select(vec![50_000_i64, 1, 3]),
        0_i64..6,
    );
    let step = (
        window(sort),
        any::<bool>(),
        select(vec!["accumulating", "retracting", "discarding"]),
        0_i64..16,
        select(vec![None, None, None, Some(1_i64), Some(0)]),
    );
    (shape, step).prop_map(
        move |((key, partitions, max_rows, disorder), (window, lists, updates, lateness, emit))| {
            // Rows of a key must have an order to be counted.
            let key = match (sort, partitions) {
                (Sort::Rows, 2..) => Some("$key"),
                _ => key,
            };
            let has_gaps = window.contains_key("gap_field");
            let is_count = window.contains_key("count");
            let mut step = vec![("window", Value::Table(window))];
            step.extend(key.map(|key| ("key", key.into())));
            if lists && updates != "discarding" {
                step.push(("window_apply", "list.wasm".into()));
            }
            let is_global = matches!(sort, Sort::Rows | Sort::Global);
            let lateness = (lateness - 4).max(0);
            // Where a window is published once there are no updates.
            if !is_count && (is_global || lateness > 0 || emit.is_some()) {
                step.push(("updates", updates.into()));
            }
            if !is_global {
                let lateness = match sort {
                    Sort::Calendar => format!("{lateness}h"),
                    _ => format!("{lateness}ms"),
                };
                step.push(("allowed_lateness", lateness.into()));
                step.extend(emit.map(|every| match every {
                    0 => ("emit_on_update", true.into()),
                    every => ("emit_every", ms(every)),
                }));
            }
            Frame {
                sort,
                source: table([("allowed_disorder", ms(disorder * scale(sort)))]),
                step: table(step),
                partitions,
                max_rows,
                has_gaps,
            }
        },
    )
}

/// Something that happens, as small numbers.
#[derive(Clone, Debug)]
struct Drawn {
    what: u8,
    partition: i32,
    /// How far from the time so far.
    step: i64,
    user: usize,
    gap: Option<i64>,
}

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let gap = prop::option::of(0_i64..9);
    let one = (0_u8..24, 0_i32..3, -14_i64..8, 0_usize..3, gap);
    let one = one.prop_map(|(what, partition, step, user, gap)| Drawn {
        what,
        partition,
        step,
        user,
        gap,
    });
    prop::collection::vec(one, 1..40)
}

fn scenario(frame: Frame, drawn: &[Drawn], closes: bool) -> Scenario {
    let is_by_record = frame.step.get("key").and_then(Value::as_str) == Some("$key");
    // 2026-03-27, before clocks change in Vienna; otherwise 1970.
    let begin = match frame.sort {
        Sort::Calendar => 1_774_566_000_000,
        _ => 0,
    };
    let row = |partition: i32, at: i64, name: &str, n: i64, gap: Option<i64>| {
        // A key of records is in one partition only.
        let user = match is_by_record {
            true => format!("{name}{partition}"),
            false => name.to_owned(),
        };
        Happening::Row(Row {
            partition,
            at: begin + at * scale(frame.sort),
            user: Some(user),
            n,
            more: gap
                .map(|gap| ("gap_ms".to_owned(), gap))
                .into_iter()
                .collect(),
        })
    };
    let mut happenings = Vec::new();
    let mut time = -10;
    for (number, one) in drawn.iter().enumerate() {
        match one.what {
            0 => happenings.push(Happening::Restart),
            1 => happenings.push(Happening::Expel),
            _ => {
                let (at, gap) = (time + one.step, one.gap.filter(|_| frame.has_gaps));
                time += 2;
                let name = ["ada", "bob", "cid"][one.user];
                let partition = one.partition % frame.partitions;
                // Any set of rows has a sum of its own.
                happenings.push(row(partition, at, name, 1 << number, gap));
            }
        }
    }
    if closes {
        let far = |partition| row(partition, 1_000, "zoe", 0, None);
        happenings.extend((0..frame.partitions).map(far));
    }
    Scenario {
        source: frame.source,
        step: frame.step,
        max_rows: frame.max_rows,
        happenings,
    }
}

fn check(sort: Sort) {
    let config = Config {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 1_000,
        ..Config::default()
    };
    let strategy = (frame(sort), drawn(), prop::bool::weighted(0.8))
        .prop_map(|(frame, drawn, closes)| scenario(frame, &drawn, closes));
    let result = TestRunner::new(config).run(&strategy, |scenario| {
        against_oracle(&scenario, &Interleaving::ALL).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, _)) => panic!("{why}"),
        Err(error) => panic!("{error}"),
    }
}

/// As many as `PROPTEST_CASES` says, if it says so.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

#[test]
fn tumbling_and_sliding_windows_do_what_the_oracle_says() {
    check(Sort::Clock);
}

#[test]
fn windows_that_share_many_panes_do_what_the_oracle_says() {
    check(Sort::Overlap);
}

#[test]
fn calendar_windows_do_what_the_oracle_says() {
    check(Sort::Calendar);
}

#[test]
fn sessions_do_what_the_oracle_says() {
    check(Sort::Session);
}

#[test]
fn windows_of_rows_do_what_the_oracle_says() {
    check(Sort::Rows);
}

#[test]
fn the_global_window_does_what_the_oracle_says() {
    check(Sort::Global);
}
