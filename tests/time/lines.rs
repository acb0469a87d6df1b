//! What a run has written, a line a record.
//!
//! ```text
//! 12:00:00 - 12:01:00 alice sum=3 revision=0               a result: its window, its key if there is one, its fields
//! 12:00:00 - 12:01:00 alice sum=3 revision=0 retraction    it is taken back
//! 12:00:00 - 12:01:00 alice sum=3 revision=0 early         more may come in before the window ends
//! rows 0 - 2 alice sum=3 revision=0                        of a count window
//! until 12:01:00 alice sum=3 revision=0                    of the global window
//! late p0 12:00:05 alice 3 window 12:00:00 - 12:01:00 late_by_ms=5000
//! dead p0 12:00:05 alice 3                                 a dead letter
//! ```

use std::fmt;

use millstream::log::Log;
use millstream::time::Timestamp;
use serde_json::Value;

use crate::instants::show;
use crate::scenario::{Names, Row, Scenario};
use crate::support::{Record, read_all};

/// A record as a line. Lines of one place are in order, others are not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    /// The window and key, or the source record.
    pub(crate) place: String,
    pub(crate) rest: String,
}

impl Line {
    /// A line as it is written down.
    pub(crate) fn parse(line: &str) -> Self {
        let first = line.find('=').map(|at| line[..at].rfind(' ').unwrap());
        let (place, rest) = line.split_at(first.unwrap_or(line.len()));
        Self {
            place: place.to_owned(),
            rest: rest.trim_start().to_owned(),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.rest)
    }
}

/// Lines so that those of one place are together, each place in its order, as a text to compare.
pub(crate) fn text(lines: &[Line]) -> String {
    let mut lines: Vec<&Line> = lines.iter().collect();
    lines.sort_by(|a, b| a.place.cmp(&b.place));
    let lines: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
    lines.join("\n").trim_end().to_owned()
}

/// The window and key of a result, as its place.
pub(crate) fn place(window: &str, key: Option<&str>) -> String {
    key.map_or_else(|| window.to_owned(), |key| format!("{window} {key}"))
}

/// A late row.
pub(crate) fn late(row: impl fmt::Display, start: i64, end: i64, by: i64) -> Line {
    let (start, end) = (show(start), show(end));
    Line::parse(&format!(
        "late {row} window {start} - {end} late_by_ms={by}"
    ))
}

/// A dead letter.
pub(crate) fn dead(row: impl fmt::Display) -> Line {
    Line::parse(&format!("dead {row}"))
}

/// All that is in the topics after a run.
pub(crate) fn lines<L: Log>(scenario: &Scenario, names: &Names, log: &L) -> Vec<Line> {
    let read = |topic: &str| {
        let mut records = read_all(log, topic);
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    };
    let mut lines: Vec<Line> = read(&names.sink).iter().map(result).collect();
    for record in read(&names.late) {
        let row = source(scenario, &record);
        let number = |name| record.header(name).parse::<i64>().unwrap();
        let (start, end) = (
            number("millstream.window_start"),
            number("millstream.window_end"),
        );
        lines.push(late(row, start, end, number("millstream.late_by_ms")));
    }
    for record in read(&names.dead) {
        assert!(!record.header("millstream.reason").is_empty());
        lines.push(dead(source(scenario, &record)));
    }
    lines
}

/// The row that a late row or dead letter is, which has to be as it came.
fn source<'a>(scenario: &'a Scenario, record: &Record) -> &'a Row {
    let (partition, offset) = record.origin();
    let mut rows = scenario.rows().filter(|row| row.partition == partition);
    let row = rows.nth(usize::try_from(offset).unwrap()).unwrap();
    assert_eq!(record.value.as_deref(), Some(row.value().as_slice()));
    assert_eq!(
        record.key.as_deref(),
        row.user.as_ref().map(|user| user.as_bytes())
    );
    row
}

/// A result. What its record says twice is the same.
fn result(record: &Record) -> Line {
    let mut json = record.json();
    let json = json.as_object_mut().unwrap();
    let mut instant = |name: &str| {
        let millis = json.remove(&format!("{name}_ms"))?.as_i64().unwrap();
        let text = json.remove(name);
        assert_eq!(text, Some(Timestamp(millis).to_string().into()));
        Some(show(millis))
    };
    let (start, end) = (instant("window_start"), instant("window_end"));
    let first = json.remove("first_row");
    let window = match (start, end, first) {
        (Some(start), Some(end), None) => format!("{start} - {end}"),
        (None, Some(end), None) => format!("until {end}"),
        (None, None, Some(first)) => {
            format!("rows {first} - {}", json.remove("last_row").unwrap())
        }
        other => panic!("{other:?} in {record:?}"),
    };
    let key = json.remove("key").map(|key| match key {
        Value::String(text) => text,
        other => other.to_string(),
    });
    let revision = json.remove("revision").unwrap();
    let is_final = json.remove("final").map(|it| it.as_bool().unwrap());
    let is_retraction = json.remove("retraction");
    assert!(is_retraction.is_none() || is_retraction == Some(true.into()));
    let mut words: Vec<String> = json
        .iter()
        .map(|(name, value)| format!("{name}={}", field(value)))
        .collect();
    words.push(format!("revision={revision}"));
    words.extend(is_final.map(|it| if it { "final" } else { "early" }.to_owned()));
    words.extend(is_retraction.map(|_| "retraction".to_owned()));
    Line {
        place: place(&window, key.as_deref()),
        rest: words.join(" "),
    }
}

/// The value of a field. Numbers in a list are sorted: in which order rows of several partitions, and rows that come behind, reach a
/// function is not said.
fn field(value: &Value) -> String {
    let Some(text) = value.as_str() else {
        return value.to_string();
    };
    let numbers: Result<Vec<i64>, _> = text.split(' ').map(str::parse).collect();
    numbers.map_or_else(|_| text.to_owned(), list)
}

/// A list of numbers, as it is shown.
pub(crate) fn list(mut numbers: Vec<i64>) -> String {
    numbers.sort_unstable();
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    numbers.join(",")
}
