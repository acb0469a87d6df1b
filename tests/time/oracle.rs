//! What must come out, worked out from all rows at once.
//!
//! A row is judged by the watermark of its partition as it was before the row. What is due at an instant happens if the lowest watermark
//! has reached that instant in the end. That is all there is to time here: nothing is kept from row to row but what the rules name.

use std::collections::{BTreeMap, BTreeSet};

use crate::instants::show;
use crate::lines::{Line, dead, late, list, place};
use crate::reading::Updates;
use crate::rules::{Function, Key, Rules, Windows};
use crate::scenario::{Row, Scenario};
use crate::sessions;
use crate::spans::Span;

/// A row with what it is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged<'a> {
    pub(crate) row: &'a Row,
    /// The watermark of its partition before it.
    pub(crate) tau: i64,
}

impl Judged<'_> {
    /// When a row that is behind is applied: as soon as the watermark is beyond the one it was judged by.
    pub(crate) fn applied_at(&self) -> i64 {
        self.tau + 1
    }
}

/// Rows that settle their windows together: a key, in one partition if each settles its own.
pub(crate) struct Group<'a> {
    pub(crate) key: Option<&'a str>,
    /// In the order of each partition.
    pub(crate) rows: Vec<Judged<'a>>,
    /// How far time has come for them in the end.
    pub(crate) until: i64,
}

/// The records of a scenario as lines.
pub(crate) fn expected(scenario: &Scenario) -> Vec<Line> {
    let rules = Rules::of(scenario);
    let mut out = Vec::new();
    for group in groups(&rules, scenario, &mut out) {
        match &rules.windows {
            Windows::Sliding { .. } | Windows::Calendar { .. } => {
                by_clock(&rules, &group, &mut out)
            }
            Windows::Session { gap, gap_field } => {
                let gap_of = |row: &Row| {
                    let own = gap_field.as_ref().and_then(|field| row.more.get(field));
                    own.copied().unwrap_or(*gap)
                };
                sessions::sessions(&rules, &group, gap_of, &mut out);
            }
            Windows::Count { rows } => count(&rules, &group, *rows, &mut out),
            Windows::GlobalRows { rows } => global_rows(&rules, &group, *rows, &mut out),
            Windows::GlobalEvery { every } => global_every(&rules, &group, *every, &mut out),
        }
    }
    out
}

/// How far time has come in the slowest partition in the end.
pub(crate) fn until(scenario: &Scenario) -> i64 {
    let (_, watermarks) = judged(&Rules::of(scenario), scenario, &mut Vec::new());
    watermarks.into_iter().min().unwrap()
}

/// Each row with what it is judged by, partition by partition, and each partition's watermark in the end. Rows that have no key where
/// there must be one are dead letters.
fn judged<'a>(
    rules: &Rules,
    scenario: &'a Scenario,
    out: &mut Vec<Line>,
) -> (Vec<Judged<'a>>, Vec<i64>) {
    let mut judged = Vec::new();
    let mut watermarks = Vec::new();
    for partition in 0..scenario.partitions() {
        let mut tau = i64::MIN;
        for row in scenario.rows().filter(|row| row.partition == partition) {
            if rules.key != Key::None && row.user.is_none() {
                // It is not decoded, so that nothing is known of its time.
                out.push(dead(row));
                continue;
            }
            judged.push(Judged { row, tau });
            let said = match &rules.watermark_field {
                None => Some(row.at - rules.disorder),
                Some(field) => row.more.get(field).copied(),
            };
            tau = tau.max(said.unwrap_or(i64::MIN));
        }
        watermarks.push(tau);
    }
    (judged, watermarks)
}

/// The rows by key.
fn groups<'a>(rules: &Rules, scenario: &'a Scenario, out: &mut Vec<Line>) -> Vec<Group<'a>> {
    let (judged, watermarks) = judged(rules, scenario, out);
    let lowest = watermarks.iter().copied().min().unwrap_or(i64::MIN);
    let mut groups: BTreeMap<(usize, Option<&str>), Group<'a>> = BTreeMap::new();
    for judged in judged {
        let partition = usize::try_from(judged.row.partition).unwrap();
        let user = judged.row.user.as_deref();
        let (task, key, until) = match rules.key {
            Key::None => (0, None, lowest),
            Key::User => (0, user, lowest),
            Key::Record => (partition, user, watermarks[partition]),
        };
        let group = groups.entry((task, key)).or_insert(Group {
            key,
            rows: Vec::new(),
            until,
        });
        group.rows.push(judged);
    }
    groups.into_values().collect()
}

/// Tumbling, sliding and calendar windows.
fn by_clock(rules: &Rules, group: &Group<'_>, out: &mut Vec<Line>) {
    // Of each window, its rows by the instant at which they are applied; those in time are there from the beginning.
    let mut windows: BTreeMap<Span, Vec<(i64, Judged<'_>)>> = BTreeMap::new();
    for row in &group.rows {
        let holding = rules.windows.holding(row.row.at);
        let is_over = |window: &Span| window.end + rules.lateness <= row.tau;
        if holding.iter().all(is_over) {
            let last = holding.last().unwrap();
            out.push(late(row.row, last.start, last.end, row.tau - last.end));
            continue;
        }
        let all_open = holding.iter().all(|window| window.end > row.tau);
        let applied_at = match all_open {
            true => i64::MIN,
            false => row.applied_at(),
        };
        for window in holding.into_iter().filter(|window| !is_over(window)) {
            windows.entry(window).or_default().push((applied_at, *row));
        }
    }
    for (window, rows) in windows {
        // It is published when it ends, and whenever a row is applied after that.
        let instants: BTreeSet<i64> = rows.iter().map(|(at, _)| (*at).max(window.end)).collect();
        let versions = instants.range(..=group.until).map(|instant| {
            let by_then = rows.iter().filter(|(at, _)| at <= instant);
            by_then.map(|(_, row)| *row).collect()
        });
        let window = format!("{} - {}", show(window.start), show(window.end));
        let versions: Vec<Version<'_>> = versions.map(|rows| (window.clone(), rows)).collect();
        publish(rules, group.key, &versions, out);
    }
}

/// Every N rows are a window.
fn count(rules: &Rules, group: &Group<'_>, size: usize, out: &mut Vec<Line>) {
    for (number, rows) in group.rows.chunks_exact(size).enumerate() {
        let first = number * size;
        let window = format!("rows {first} - {}", first + size - 1);
        publish(rules, group.key, &[(window, rows.to_vec())], out);
    }
}

/// All rows, published after every N.
fn global_rows(rules: &Rules, group: &Group<'_>, every: usize, out: &mut Vec<Line>) {
    let fulls = (every..=group.rows.len()).step_by(every);
    let versions: Vec<Version<'_>> = fulls
        .map(|rows| {
            (
                format!("rows 0 - {}", rows - 1),
                group.rows[..rows].to_vec(),
            )
        })
        .collect();
    publish(rules, group.key, &versions, out);
}

/// All rows, published at multiples of a span. A row that is behind counts in the span in which the watermark is.
fn global_every(rules: &Rules, group: &Group<'_>, every: i64, out: &mut Vec<Line>) {
    let counts_at = |row: &Judged<'_>| (row.row.at.max(row.tau).div_euclid(every) + 1) * every;
    let instants: BTreeSet<i64> = group.rows.iter().map(counts_at).collect();
    let versions = instants.range(..=group.until).map(|instant| {
        let by_then = group.rows.iter().filter(|row| counts_at(row) <= *instant);
        (
            format!("until {}", show(*instant)),
            by_then.copied().collect(),
        )
    });
    let versions: Vec<Version<'_>> = versions.collect();
    publish(rules, group.key, &versions, out);
}

/// What a window holds when it is published, and how the window is shown then.
pub(crate) type Version<'a> = (String, Vec<Judged<'a>>);

/// Writes the publications of a window and key.
pub(crate) fn publish(
    rules: &Rules,
    key: Option<&str>,
    versions: &[Version<'_>],
    out: &mut Vec<Line>,
) {
    for (revision, (window, rows)) in versions.iter().enumerate() {
        let before = revision.checked_sub(1).map(|before| &versions[before]);
        let fields = match (rules.updates, before) {
            (Updates::Discarding, Some((_, before))) => {
                format!("sum={}", sum(rows) - sum(before))
            }
            (Updates::Retracting, Some(before)) => {
                out.push(retraction(rules, key, before, revision - 1));
                fields(rules, rows)
            }
            _ => fields(rules, rows),
        };
        out.push(Line {
            place: place(window, key),
            rest: format!("{fields} revision={revision}"),
        });
    }
}

/// A publication is taken back, whole.
pub(crate) fn retraction(
    rules: &Rules,
    key: Option<&str>,
    (window, rows): &Version<'_>,
    revision: usize,
) -> Line {
    Line {
        place: place(window, key),
        rest: format!("{} revision={revision} retraction", fields(rules, rows)),
    }
}

fn sum(rows: &[Judged<'_>]) -> i64 {
    rows.iter().map(|row| row.row.n).sum()
}

fn fields(rules: &Rules, rows: &[Judged<'_>]) -> String {
    match rules.function {
        Function::Sum => format!("sum={}", sum(rows)),
        Function::List => format!("text={}", list(rows.iter().map(|row| row.row.n).collect())),
    }
}
