//! Guests that mean harm at one row of many, in a pipeline beside another: the row is put aside with the reason, every other row comes
//! through once, and the other pipeline does not notice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use millstream::log::embedded::EmbeddedLog;
use millstream::time::Timestamp;

use super::guest::Guest;
use super::support::{create, pipeline, read_all, run_to_end, unique, write};
use super::{assert_says, engine};

const ROWS: i64 = 500;
/// How many rows the leak gets: many batches.
const LEAKED: i64 = 60_000;
/// The rows whose number is 13.
const BAD: [i64; 2] = [77, 400];

/// What came of some rows.
#[derive(Debug)]
struct Outcome {
    /// The numbers that came out.
    kept: Vec<i64>,
    /// The offsets that were put aside, each with its reason.
    aside: Vec<(i64, String)>,
    /// How many calls failed.
    failures: u64,
}

/// Leads so many rows through a filter.
fn run(log: &EmbeddedLog, component: &Path, rows: i64, bad: &[i64]) -> Outcome {
    let [numbers, out, dead] = ["numbers", "out", "dead"].map(unique);
    create(log, &numbers, 1, &[]);
    let row = |at: i64| {
        let n = if bad.contains(&at) { 13 } else { at + 1_000 };
        (
            0,
            None,
            Some(format!("{{\"n\":{n}}}").into_bytes()),
            Timestamp(at),
        )
    };
    write(log, &numbers, (0..rows).map(row));
    let file = format!(
        "name = \"{}\"\nlog = {{ embedded = \"unused\", create_topics = true }}\nsource.topic = \"{numbers}\"\n\
         sink.topic = \"{out}\"\ndead_letters.topic = \"{dead}\"\n[[step]]\nfilter = '{}'\nname = \"guard\"\n\
         limits = {{ call = \"50ms\" }}\n",
        unique("job"),
        component.display()
    );
    let counted = run_to_end(&pipeline(&file, engine()), engine(), log);
    let kept = read_all(log, &out)
        .iter()
        .map(|record| record.json()["n"].as_i64().unwrap())
        .collect();
    let aside = read_all(log, &dead)
        .iter()
        .map(|record| {
            (
                record.origin().1,
                record.header("millstream.reason").to_owned(),
            )
        })
        .collect();
    Outcome {
        kept,
        aside,
        failures: counted.failures,
    }
}

/// What goes through if no row is bad, or those that are have been put aside.
fn expected(rows: i64, bad: &[i64]) -> Vec<i64> {
    (0..rows)
        .filter(|at| !bad.contains(at))
        .map(|at| at + 1_000)
        .collect()
}

#[test]
fn evil_at_one_row_costs_that_row_alone() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.wasm");
    fs::write(&good, Guest::new("filter").build()).unwrap();
    let giant = {
        let mut guest = Guest::new("filter");
        let answer = guest.words(&[1_024, 0x3fff_ffff, 0, 0, 0, 0, 0, 0]);
        guest.at_thirteen(&format!("(return (i32.const {answer}))"))
    };
    let lying = {
        let mut guest = Guest::new("filter");
        let list = guest.words(&[3, 1]);
        let answer = guest.words(&[list, 2, 0, 0, 0, 0, 0, 0]);
        guest.at_thirteen(&format!("(return (i32.const {answer}))"))
    };
    let plain = || Guest::new("filter");
    let cases = [
        ("endless loop", plain().at_thirteen("(loop $l (br $l))"), "ran longer than the 50ms"),
        ("trap", plain().at_thirteen("unreachable"), "unreachable"),
        (
            "memory bomb",
            plain().at_thirteen("(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"),
            "ran out of memory",
        ),
        (
            "deep recursion",
            plain().with("(func $deep (call $deep))").at_thirteen("(call $deep)"),
            "call stack exhausted",
        ),
        ("division by zero", plain().at_thirteen("(drop (i32.div_u (i32.const 1) (i32.const 0)))"), "divide by zero"),
        ("access beyond memory", plain().at_thirteen("(drop (i32.load (i32.const -4)))"), "out of bounds"),
        ("giant list", giant, "trapped"),
        ("indices that lie", lying, "do not ascend"),
    ];
    std::thread::scope(|scope| {
        // The other pipeline runs over and over in the same host, as long as the bad ones do.
        let (done, until_done) = std::sync::mpsc::channel::<()>();
        let other = scope.spawn(move || {
            let log = EmbeddedLog::in_memory();
            let mut runs = 0;
            while until_done.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let Outcome {
                    kept,
                    aside,
                    failures,
                } = run(&log, &good, ROWS, &[]);
                assert_eq!((kept, aside, failures), (expected(ROWS, &[]), vec![], 0));
                runs += 1;
            }
            runs
        });
        let log = EmbeddedLog::in_memory();
        for (case, guest, words) in cases {
            let file = folder.path().join(format!("{case}.wasm"));
            fs::write(&file, guest.build()).unwrap();
            let Outcome {
                kept,
                aside,
                failures,
            } = run(&log, &file, ROWS, &BAD);
            assert!(failures > 0, "{case}");
            assert_eq!(kept, expected(ROWS, &BAD), "{case}");
            let offsets: BTreeSet<i64> = aside.iter().map(|(offset, _)| *offset).collect();
            assert_eq!(offsets, BTreeSet::from(BAD), "{case}");
            for (_, reason) in &aside {
                assert_says(case, reason, &[words, "hostile@1.0.0"]);
            }
        }
        drop(done);
        assert!(other.join().unwrap() > 0);
    });
}

#[test]
fn a_slow_leak_is_blamed_on_no_row() {
    // 128 pages a call, kept for good: at the eighth or so there is none left, whatever the row.
    let leak = "(if (i32.eq (memory.grow (i32.const 128)) (i32.const -1)) (then unreachable))";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leak.wasm");
    fs::write(&file, Guest::new("filter").does("filter", leak).build()).unwrap();
    let log = EmbeddedLog::in_memory();
    let Outcome {
        kept,
        aside,
        failures,
    } = run(&log, &file, LEAKED, &[]);
    assert!(failures > 2, "it has run out of memory {failures} times");
    assert_eq!(aside, []);
    assert_eq!(kept, expected(LEAKED, &[]));
}

#[test]
fn what_a_guest_remembers_of_an_attempt_is_gone_in_the_next() {
    // It fails at the second row of number 13 that it has ever seen; each comes alone in the replay, to an instance that knows none.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cheat.wasm");
    let seen = "(global.set $seen (i32.add (global.get $seen) (i32.const 1)))
                (if (i32.eq (global.get $seen) (i32.const 2)) (then unreachable))";
    let guest = Guest::new("filter")
        .with("(global $seen (mut i32) (i32.const 0))")
        .at_thirteen(seen);
    fs::write(&file, guest.build()).unwrap();
    let log = EmbeddedLog::in_memory();
    let Outcome {
        mut kept,
        aside,
        failures,
    } = run(&log, &file, ROWS, &BAD);
    assert!(failures > 0, "both are in one batch at first");
    let good: Vec<i64> = kept.iter().copied().filter(|n| *n != 13).collect();
    assert_eq!(
        good,
        expected(ROWS, &BAD),
        "no other row is lost, doubled or out of order"
    );
    kept.retain(|n| *n == 13);
    assert_eq!(
        kept.len() + aside.len(),
        BAD.len(),
        "each of the two is kept or put aside, once"
    );
}
