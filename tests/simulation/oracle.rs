//! The right answer, worked out in one go from all events, plainly and apart from the host: partition by partition, row by row.

use std::collections::{BTreeMap, BTreeSet};

use crate::pipelines::{DISORDER, Function, GAP, Key, Time, WINDOW};
use crate::scenario::{Event, Scenario, Truth, page_name};

/// The place of a record in the source.
pub(crate) type Place = (i32, i64);

/// What a pipeline must have written in the end.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// The results of each window and key.
    pub(crate) results: BTreeMap<(i64, String), Published>,
    /// Dead letters, sorted.
    pub(crate) dead: Vec<Place>,
    /// Late rows, sorted.
    pub(crate) late: Vec<Place>,
    /// By partition, the watermark by which the windows of its tasks fire; none where nothing fires.
    pub(crate) watermarks: Vec<Option<i64>>,
}

/// What must have been published of a window and key.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Published {
    /// How often.
    pub(crate) revisions: usize,
    /// The last results, sorted.
    pub(crate) rows: Vec<String>,
}

/// A row with the watermark of its partition before it.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) at: i64,
    pub(crate) tau: i64,
    pub(crate) place: Place,
    pub(crate) event: &'a Event,
}

/// Rows that settle their windows together: of a key, and of a partition where each settles its own.
type Groups<'a> = BTreeMap<(i32, String), Vec<Row<'a>>>;

/// The right answer for a scenario.
pub(crate) fn expected(scenario: &Scenario) -> Expected {
    let mut expected = Expected::default();
    let mut groups = Groups::new();
    let mut watermarks = Vec::new();
    for partition in 0..scenario.partitions {
        let events = scenario
            .events()
            .filter(|event| event.partition == partition);
        let mut latest: Option<i64> = None;
        for (offset, event) in (0..).zip(events) {
            let place = (partition, offset);
            let tau = latest.map_or(i64::MIN, |latest| latest - DISORDER);
            let Truth::Click {
                at,
                country,
                is_bot,
                is_poison,
                ..
            } = &event.truth
            else {
                expected.dead.push(place);
                continue;
            };
            let key = match scenario.kind.key {
                Key::None => Some(String::new()),
                Key::Country => country.map(str::to_owned),
                Key::Record => event.key.clone(),
            };
            let Some(key) = key else {
                // A field that a step needs is missing: this row is not decoded either.
                expected.dead.push(place);
                continue;
            };
            latest = latest.max(Some(*at));
            if scenario.kind.bots && *is_bot || *is_poison {
                continue;
            }
            let task = match scenario.kind.key {
                Key::Record => partition,
                Key::None | Key::Country => 0,
            };
            groups.entry((task, key)).or_default().push(Row {
                at: *at,
                tau,
                place,
                event,
            });
        }
        watermarks.push(latest.map(|latest| latest - DISORDER));
    }
    if scenario.kind.key != Key::Record {
        // Any partition may have rows of any window: the slowest one counts.
        let lowest = watermarks.iter().copied().min().flatten();
        watermarks
            .iter_mut()
            .for_each(|watermark| *watermark = lowest);
    }
    for ((task, key), rows) in groups {
        let until = watermarks[usize::try_from(task).expect("partitions count from 0")];
        let until = until.unwrap_or(i64::MIN);
        match scenario.kind.time {
            Time::Session => sessions(scenario, &key, rows, until, &mut expected),
            _ => spans(scenario, &key, &rows, until, &mut expected),
        }
    }
    expected.late.sort_unstable();
    expected.watermarks = watermarks;
    expected
}

/// Windows whose bounds do not depend on rows, of one key, when time has come to `until`.
fn spans(scenario: &Scenario, key: &str, rows: &[Row<'_>], until: i64, expected: &mut Expected) {
    let time = scenario.kind.time;
    let mut windows: BTreeMap<i64, Vec<Row<'_>>> = BTreeMap::new();
    for row in rows {
        let starts = time.starts(row.at);
        let counts = |start: &&i64| *start + WINDOW + time.lateness() > row.tau;
        let open: Vec<i64> = starts.iter().filter(counts).copied().collect();
        if open.is_empty() {
            expected.late.push(row.place);
        }
        let is_behind = starts.iter().any(|start| start + WINDOW <= row.tau);
        for start in open {
            // A row that is behind counts as soon as time is beyond what it was judged by.
            if start + WINDOW <= until && (!is_behind || row.tau < until) {
                windows.entry(start).or_default().push(*row);
            }
        }
    }
    for (start, rows) in windows {
        let end = start + WINDOW;
        let in_time = rows.iter().any(|row| row.tau < end);
        let after: BTreeSet<i64> = rows
            .iter()
            .map(|row| row.tau)
            .filter(|tau| end <= *tau)
            .collect();
        let published = Published {
            revisions: usize::from(in_time) + after.len(),
            rows: results(scenario.kind.function, &rows),
        };
        expected.results.insert((start, key.to_owned()), published);
    }
}

/// The sessions of one key, when time has come to `until`.
fn sessions(
    scenario: &Scenario,
    key: &str,
    rows: Vec<Row<'_>>,
    until: i64,
    expected: &mut Expected,
) {
    let (in_time, behind): (Vec<Row<'_>>, Vec<Row<'_>>) =
        rows.into_iter().partition(|row| row.at >= row.tau);
    let mut open: Vec<Session<'_>> = Vec::new();
    for row in in_time {
        join(&mut open, row);
    }
    let mut over = Vec::new();
    let instants: BTreeSet<i64> = behind.iter().map(|row| row.tau + 1).collect();
    for instant in instants.into_iter().filter(|instant| *instant <= until) {
        over.extend(open.extract_if(.., |session| session.end < instant));
        let of_instant = behind.iter().filter(|row| row.tau + 1 == instant);
        let (mut waiting, mut in_time): (Vec<Row<'_>>, Vec<Row<'_>>) =
            of_instant.partition(|row| row.at + GAP + 1 < instant);
        in_time.sort_by_key(|row| row.at);
        in_time.into_iter().for_each(|row| join(&mut open, row));
        waiting.sort_by_key(|row| row.at);
        let touches = |open: &[Session<'_>], row: &Row<'_>| {
            open.iter()
                .any(|s| s.start < row.at + GAP + 1 && row.at < s.end)
        };
        while let Some(at) = waiting.iter().position(|row| touches(&open, row)) {
            join(&mut open, waiting.remove(at));
        }
        expected.late.extend(waiting.iter().map(|row| row.place));
    }
    over.extend(open.into_iter().filter(|session| session.end <= until));
    for session in over {
        let mut rows = session.rows;
        rows.sort_by_key(|row| row.place);
        let published = Published {
            revisions: 1,
            rows: results(scenario.kind.function, &rows),
        };
        let at = (session.start, key.to_owned());
        expected.results.insert(at, published);
    }
}

struct Session<'a> {
    start: i64,
    end: i64,
    rows: Vec<Row<'a>>,
}

/// Joins a row with all sessions that its span overlaps.
fn join<'a>(open: &mut Vec<Session<'a>>, row: Row<'a>) {
    let mut joined = Session {
        start: row.at,
        end: row.at + GAP + 1,
        rows: vec![row],
    };
    let (start, end) = (joined.start, joined.end);
    for session in open.extract_if(.., |session| session.start < end && start < session.end) {
        joined.start = joined.start.min(session.start);
        joined.end = joined.end.max(session.end);
        joined.rows.extend(session.rows);
    }
    open.push(joined);
}

/// The results of a window and key, as texts.
fn results(function: Function, rows: &[Row<'_>]) -> Vec<String> {
    let clicks = || {
        rows.iter().filter_map(|row| match &row.event.truth {
            Truth::Click { user, page, .. } => Some((*user, *page)),
            Truth::Malformed => None,
        })
    };
    match function {
        Function::Visitors | Function::VisitorsByRows => {
            let visitors: BTreeSet<u32> = clicks().map(|(user, _)| user).collect();
            vec![visitors.len().to_string()]
        }
        Function::Pages => {
            let mut views: BTreeMap<u32, u64> = BTreeMap::new();
            clicks().for_each(|(_, page)| *views.entry(page).or_default() += 1);
            views
                .into_iter()
                .map(|(page, views)| format!("{}={views}", page_name(page)))
                .collect()
        }
        Function::Sum => {
            let sum: i64 = rows.iter().map(|row| row.event.n).sum();
            vec![sum.to_string()]
        }
        Function::Transcript => {
            // Partition by partition, each in its order.
            let numbers: Vec<String> = rows.iter().map(|row| row.event.n.to_string()).collect();
            vec![numbers.join(" ")]
        }
    }
}
