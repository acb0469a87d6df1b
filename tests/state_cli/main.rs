//! `millstream state` and `millstream run --from`, on both logs: state that is written as a worker writes it is shown, moved
//! and given up.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod job;
mod page;
#[path = "../support/mod.rs"]
mod support;
mod worked;

use job::{EMBEDDED, Job, kafka_table, lines, on_embedded, on_kafka};
use serde_json::{Value, json};
use support::unique;
use worked::{join, worked};

/// How many partitions the source has, and so how many final tasks there are.
const PARTITIONS: i32 = 2;
/// How many records each of them has.
const RECORDS: i64 = 10;

/// What is to be seen of [`worked`], on either log.
fn is_shown(job: &Job) {
    let tasks = job.shown();
    assert_eq!(tasks.len(), 4);
    let source = &tasks["in/1"];
    assert_eq!((&source["offset"], &source["lag"]), (&json!(4), &json!(6)));
    assert_eq!(source["watermark"], 5_000);
    assert_eq!(source["stages"], "two");
    assert_eq!(source["windows"], Value::Null);
    let first = &tasks["final/0"];
    assert_eq!((&first["windows"], &first["keys"]), (&json!(2), &json!(3)));
    assert_eq!(first["bytes"], 300);
    assert_eq!(first["changelog_begin"], 0);
    let second = &tasks["final/1"];
    assert_eq!(
        (&second["windows"], &second["offset"]),
        (&json!(0), &json!(1))
    );

    let text = job.said(&["state", "show", "FILE"]);
    let (first, table) = text.split_once('\n').unwrap();
    assert!(
        first.starts_with(&format!("pipeline {}: two stages", job.name)),
        "{text}"
    );
    assert!(table.starts_with("task "), "{text}");
    assert_eq!(table.lines().count(), 5, "{text}");
}

/// Exports, imports into a pipeline of another name on the same log, and exports that.
fn is_moved(job: &mut Job, log: &str) {
    job.said(&["state", "export", "FILE", "taken.ndjson"]);
    let again = job.refused(1, &["state", "export", "FILE", "taken.ndjson"]);
    assert!(again.contains("taken.ndjson"), "{again}");

    job.name = unique("other");
    job.write(log, "1m");
    let shown = job.said(&["state", "import", "FILE", "taken.ndjson"]);
    assert!(shown.contains("nothing has been changed"), "{shown}");
    assert!(job.shown().values().all(|task| task["offset"].is_null()));
    let done = job.said(&["state", "import", "FILE", "taken.ndjson", "--yes"]);
    assert!(done.contains("done"), "{done}");
    job.said(&["state", "export", "FILE", "again.ndjson"]);
    assert_eq!(
        lines(&job.path("taken.ndjson")),
        lines(&job.path("again.ndjson"))
    );
    // Once more over what is there now: a new history, and nothing of the one before.
    job.said(&["state", "import", "FILE", "taken.ndjson", "--yes"]);
    job.said(&["state", "export", "FILE", "third.ndjson"]);
    assert_eq!(
        lines(&job.path("taken.ndjson")),
        lines(&job.path("third.ndjson"))
    );
    let task = &job.shown()["final/0"];
    assert!(task["changelog_begin"].as_i64().unwrap() > 0, "{task}");
    assert_eq!(task["keys"], 3);
}

#[test]
fn what_tasks_hold_is_shown() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    is_shown(&job);
}

#[test]
fn exported_state_is_imported_as_it_was() {
    let mut job = on_embedded();
    worked(&job, &job.embedded());
    is_moved(&mut job, EMBEDDED);
}

#[test]
fn state_is_shown_and_moved_on_kafka() {
    let Some((mut job, log)) = on_kafka() else {
        return;
    };
    worked(&job, &log);
    is_shown(&job);
    is_moved(&mut job, &kafka_table());
}

#[test]
fn a_reset_sets_offsets_and_forgets_what_is_on_its_way() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    let shown = job.said(&["state", "reset", "FILE", "--to", "earliest"]);
    assert!(shown.contains(&format!("{}/0", job.clicks)), "{shown}");
    assert!(shown.contains("4 -> 0"), "{shown}");
    assert!(shown.contains("nothing has been changed"), "{shown}");
    assert_eq!(job.shown()["in/0"]["offset"], 4);

    job.said(&["state", "reset", "FILE", "--to", "earliest", "--yes"]);
    let tasks = job.shown();
    for (task, offset) in [("in/0", 0), ("in/1", 0), ("final/0", 0), ("final/1", 2)] {
        let task = &tasks[task];
        assert_eq!(task["offset"], offset, "{task}");
        assert_eq!(task["note"], "begins here at the next run", "{task}");
        assert!(
            task["watermark"].is_null() && task["keys"].is_null(),
            "{task}"
        );
    }
    let nothing = job.refused(4, &["state", "export", "FILE", "taken.ndjson"]);
    assert!(nothing.contains("has not committed anything"), "{nothing}");
}

#[test]
fn a_reset_goes_to_a_time_or_to_offsets() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    let offsets = |to: &str| {
        job.said(&["state", "reset", "FILE", "--to", to, "--yes"]);
        let tasks = job.shown();
        [&tasks["in/0"], &tasks["in/1"]].map(|task| task["offset"].as_i64().unwrap())
    };
    assert_eq!(offsets("1970-01-01T00:00:05Z"), [3, 2]);
    assert_eq!(offsets("1971-01-01T00:00:00Z"), [RECORDS, RECORDS]);
    assert_eq!(offsets("latest"), [RECORDS, RECORDS]);
    let clicks = &job.clicks;
    assert_eq!(offsets(&format!("{clicks}/0=1,{clicks}/1=2")), [1, 2]);
    let noted = format!("# noted\n{clicks}/0=3\n{clicks}/1=0\n");
    std::fs::write(job.path("offsets"), noted).unwrap();
    assert_eq!(offsets("offsets"), [3, 0]);

    let to = format!("{clicks}/0={},other/0=1", RECORDS + 1);
    let refused = job.refused(2, &["state", "reset", "FILE", "--to", &to, "--yes"]);
    for part in [
        "has no offset 11",
        "other/0 is not a partition",
        "/1 is left out",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    job.refused(
        2,
        &["state", "reset", "FILE", "--to", "no-such-file", "--yes"],
    );
    assert_eq!(job.shown()["in/0"]["offset"], 3, "nothing was set");
}

#[test]
fn a_pipeline_that_has_committed_is_not_given_another_beginning() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    let refused = job.refused(2, &["run", "FILE", "--from", "earliest"]);
    assert!(refused.contains("millstream state reset"), "{refused}");
    assert_eq!(job.shown()["in/0"]["offset"], 4);
}

#[test]
fn state_of_other_windows_is_refused() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    job.said(&["state", "export", "FILE", "taken.ndjson"]);
    job.write(EMBEDDED, "5m");
    let refused = job.refused(2, &["state", "import", "FILE", "taken.ndjson", "--yes"]);
    assert!(
        refused.contains("the window was tumbling 1m, now tumbling 5m"),
        "{refused}"
    );
}

#[test]
fn a_file_that_was_cut_off_changes_nothing() {
    let job = on_embedded();
    worked(&job, &job.embedded());
    job.said(&["state", "export", "FILE", "taken.ndjson"]);
    let whole = std::fs::read_to_string(job.path("taken.ndjson")).unwrap();
    let cut = &whole[..whole.len() * 2 / 3];
    std::fs::write(job.path("cut.ndjson"), cut).unwrap();
    let before = job.shown();
    let refused = job.refused(2, &["state", "import", "FILE", "cut.ndjson", "--yes"]);
    assert!(refused.contains("cut.ndjson: line "), "{refused}");
    assert_eq!(job.shown(), before);
}

#[test]
fn a_pipeline_that_is_running_is_looked_at_and_not_changed() {
    let Some((job, log)) = on_kafka() else {
        return;
    };
    worked(&job, &log);
    job.said(&["state", "export", "FILE", "taken.ndjson"]);
    let session = join(&job, &log);
    for words in [
        &["state", "reset", "FILE", "--to", "earliest", "--yes"][..],
        &["state", "import", "FILE", "taken.ndjson", "--yes"],
    ] {
        let refused = job.refused(4, words);
        assert!(
            refused.contains(&format!("{}-test-0", job.name)),
            "{refused}"
        );
    }
    let task = &job.shown()["in/0"];
    assert_eq!(task["offset"], 4);
    assert_eq!(task["members"], json!([format!("{}-test-0", job.name)]));
    drop(session);
}
