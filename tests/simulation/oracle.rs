//! The right answer, worked out in one go from all events, plainly and apart from the host: partition by partition, row by row.

use std::collections::{BTreeMap, BTreeSet};

use crate::pipelines::{Function, GAP, Key, ROWS, Time};
use crate::scenario::{Event, Scenario, Truth, page_name};
use crate::spans::Span;

/// The place of a record in the source.
pub(crate) type Place = (i32, i64);

/// A window as its results show it: its first and last instant, or row. The global one has no bounds.
pub(crate) type Shown = (i64, i64);
pub(crate) const BOUNDLESS: Shown = (0, 0);

/// What a pipeline must have written in the end.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// The results of each window and key.
    pub(crate) results: BTreeMap<(Shown, String), Published>,
    /// Dead letters, sorted.
    pub(crate) dead: Vec<Place>,
    /// Late rows, sorted.
    pub(crate) late: Vec<Place>,
    /// By partition, the watermark by which the windows of its tasks fire; none where nothing fires.
    pub(crate) watermarks: Vec<Option<i64>>,
    /// By partition, the watermark before each offset, as its rows alone say.
    pub(crate) natural: Vec<Vec<i64>>,
}

impl Expected {
    /// Whether a partition has come further than its rows say.
    pub(crate) fn has_promises(&self, heard: &Heard) -> bool {
        let is_promise = |partition: i32, (offset, mark): &(i64, i64)| {
            let natural = &self.natural[usize::try_from(partition).unwrap()];
            *mark > natural[usize::try_from(*offset).unwrap()]
        };
        let mut all = heard.marks.iter();
        all.any(|(partition, marks)| marks.iter().any(|mark| is_promise(*partition, mark)))
    }
}

/// What must have been published of a window and key.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Published {
    /// How often, early results aside. Nobody knows where a promise has made rows late, which depends on when it was made; and of
    /// sessions that are kept it is not worked out.
    pub(crate) revisions: Option<usize>,
    /// The last instant or row that the last results show.
    pub(crate) until: i64,
    /// The last results, sorted.
    pub(crate) rows: Vec<String>,
}

/// What events alone do not decide: when partitions that were silent have promised something.
#[derive(Default)]
pub(crate) struct Heard {
    /// By partition, the watermarks that were committed, each with its offset.
    pub(crate) marks: BTreeMap<i32, Vec<(i64, i64)>>,
    /// The rows that were late.
    pub(crate) late: BTreeSet<Place>,
}

impl Heard {
    /// The watermark of a partition before an offset, if its rows alone give `natural`. A promise is made before it is committed:
    /// whether a row came in between is known only by what became of it.
    fn watermark(&self, (partition, offset): Place, natural: &[i64]) -> i64 {
        let at = |offset: i64| natural[usize::try_from(offset).unwrap()];
        let marks = self.marks.get(&partition).map_or(&[][..], Vec::as_slice);
        let (before, after) = marks.split_at(marks.partition_point(|(next, _)| *next <= offset));
        let promised = before.iter().map(|(_, promised)| *promised);
        let known = promised.fold(at(offset), i64::max);
        let next = after.first().filter(|(next, mark)| *mark > at(*next));
        let next = next.filter(|_| self.late.contains(&(partition, offset)));
        next.map_or(known, |(_, promised)| known.max(*promised))
    }
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
pub(crate) fn expected(scenario: &Scenario, heard: &Heard) -> Expected {
    let kind = scenario.kind;
    let mut expected = Expected::default();
    let mut groups = Groups::new();
    for partition in 0..scenario.partitions {
        let events = scenario
            .events()
            .filter(|event| event.partition == partition);
        let mut natural = vec![i64::MIN];
        let mut rows = Vec::new();
        for (offset, event) in (0..).zip(events) {
            let place = (partition, offset);
            let latest = natural[natural.len() - 1];
            natural.push(latest);
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
            let key = match kind.key {
                Key::None => Some(String::new()),
                Key::Country => country.map(str::to_owned),
                Key::Record => event.key.clone(),
            };
            let Some(key) = key else {
                // A field that a step needs is missing: this row is not decoded either.
                expected.dead.push(place);
                continue;
            };
            let is_dropped = kind.bots && *is_bot;
            if *is_poison && !is_dropped {
                // As if it had never come.
                expected.dead.push(place);
                continue;
            }
            natural.pop();
            natural.push(latest.max(*at - kind.disorder()));
            if is_dropped {
                continue;
            }
            rows.push((key, place, *at, event));
        }
        let task = match kind.key {
            Key::Record => partition,
            Key::None | Key::Country => 0,
        };
        for (key, place, at, event) in rows {
            groups.entry((task, key)).or_default().push(Row {
                at,
                tau: heard.watermark(place, &natural),
                place,
                event,
            });
        }
        let end = i64::try_from(natural.len() - 1).unwrap();
        let watermark = heard.watermark((partition, end), &natural);
        let watermark = Some(watermark).filter(|watermark| *watermark > i64::MIN);
        expected.watermarks.push(watermark);
        expected.natural.push(natural);
    }
    if kind.key != Key::Record {
        // Any partition may have rows of any window: the slowest one counts.
        let lowest = expected.watermarks.iter().copied().min().flatten();
        expected.watermarks.fill(lowest);
    }
    for ((task, key), rows) in groups {
        let until = expected.watermarks[usize::try_from(task).unwrap()];
        let until = until.unwrap_or(i64::MIN);
        match kind.time {
            Time::Session => sessions(scenario, &key, rows, until, &mut expected),
            Time::Count | Time::GlobalRows => counted(scenario, &key, &rows, &mut expected),
            Time::GlobalEvery => global(scenario, &key, &rows, until, &mut expected),
            _ => spans(scenario, &key, &rows, until, &mut expected),
        }
    }
    expected.late.sort_unstable();
    expected
}

/// Windows whose bounds do not depend on rows, of one key, when time has come to `until`.
fn spans(scenario: &Scenario, key: &str, rows: &[Row<'_>], until: i64, expected: &mut Expected) {
    let kind = scenario.kind;
    let mut windows: BTreeMap<Span, Vec<Row<'_>>> = BTreeMap::new();
    for row in rows {
        let holding = kind.time.holding(row.at);
        let counts = |window: &&Span| window.end + kind.lateness() > row.tau;
        let open: Vec<Span> = holding.iter().filter(counts).copied().collect();
        if open.is_empty() {
            expected.late.push(row.place);
        }
        let is_behind = holding.iter().any(|window| window.end <= row.tau);
        for window in open {
            // A row that is behind counts as soon as time is beyond what it was judged by.
            if window.end <= until && (!is_behind || row.tau < until) {
                windows.entry(window).or_default().push(*row);
            }
        }
    }
    for (Span { start, end }, rows) in windows {
        let in_time = rows.iter().any(|row| row.tau < end);
        let after: BTreeSet<i64> = rows
            .iter()
            .map(|row| row.tau)
            .filter(|tau| end <= *tau)
            .collect();
        let published = Published {
            revisions: (!kind.idle).then_some(usize::from(in_time) + after.len()),
            until: end,
            rows: results(kind.function, &rows),
        };
        let at = ((start, end), key.to_owned());
        expected.results.insert(at, published);
    }
}

/// Windows of so many rows of one key, or the global one after so many. Nothing is late.
fn counted(scenario: &Scenario, key: &str, rows: &[Row<'_>], expected: &mut Expected) {
    let is_global = scenario.kind.time == Time::GlobalRows;
    for (revision, end) in (ROWS..=rows.len()).step_by(ROWS).enumerate() {
        let first = if is_global { 0 } else { end - ROWS };
        let (start, last) = (
            i64::try_from(first).unwrap(),
            i64::try_from(end - 1).unwrap(),
        );
        let (shown, revisions) = match is_global {
            true => (BOUNDLESS, revision + 1),
            false => ((start, last), 1),
        };
        let published = Published {
            revisions: Some(revisions),
            until: last,
            rows: results(scenario.kind.function, &rows[first..end]),
        };
        expected.results.insert((shown, key.to_owned()), published);
    }
}

/// All rows of one key, when time has come to `until`. One that is behind counts in the span in which time was.
fn global(scenario: &Scenario, key: &str, rows: &[Row<'_>], until: i64, expected: &mut Expected) {
    let kind = scenario.kind;
    let counts_at = |row: &Row<'_>| kind.time.holding(row.at.max(row.tau))[0].end;
    let mut rows = rows.to_vec();
    rows.retain(|row| counts_at(row) <= until);
    let instants: BTreeSet<i64> = rows.iter().map(counts_at).collect();
    if let Some(last) = instants.last() {
        let published = Published {
            revisions: Some(instants.len()),
            until: *last,
            rows: results(kind.function, &rows),
        };
        expected
            .results
            .insert((BOUNDLESS, key.to_owned()), published);
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
    let lateness = scenario.kind.lateness();
    let (in_time, behind): (Vec<Row<'_>>, Vec<Row<'_>>) =
        rows.into_iter().partition(|row| row.at >= row.tau);
    let mut open: Vec<Session<'_>> = Vec::new();
    for row in in_time {
        join(&mut open, row);
    }
    let mut over = Vec::new();
    let instants: BTreeSet<i64> = behind.iter().map(|row| row.tau + 1).collect();
    for instant in instants.into_iter().filter(|instant| *instant <= until) {
        over.extend(open.extract_if(.., |session| session.end + lateness < instant));
        let of_instant = behind.iter().filter(|row| row.tau + 1 == instant);
        let (mut waiting, mut in_time): (Vec<Row<'_>>, Vec<Row<'_>>) =
            of_instant.partition(|row| row.at + GAP + 1 + lateness < instant);
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
        let last = session.end - 1;
        let published = Published {
            revisions: (lateness == 0).then_some(1),
            until: last,
            rows: results(scenario.kind.function, &rows),
        };
        let at = ((session.start, last), key.to_owned());
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

/// A sum and the number of its rows as one number, to which another can be added.
pub(crate) fn sum_and_rows(sum: i64, rows: i64) -> String {
    format!("sum={}", (sum << 16) + rows)
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
            vec![format!("visitors={}", visitors.len())]
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
            vec![format!("sum={sum}")]
        }
        Function::Marked => {
            let sum: i64 = rows.iter().map(|row| row.event.n).sum();
            vec![sum_and_rows(sum, i64::try_from(rows.len()).unwrap())]
        }
        Function::Transcript => {
            // Partition by partition, each in its order.
            let numbers: Vec<String> = rows.iter().map(|row| row.event.n.to_string()).collect();
            vec![numbers.join(" ")]
        }
    }
}
