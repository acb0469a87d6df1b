//! The right answer, worked out in one go from all events, plainly and apart from the host: partition by partition, row by row.

use std::collections::{BTreeMap, BTreeSet};

use crate::pipelines::{DISORDER, Function, Key, WINDOW};
use crate::scenario::{Event, Scenario, Truth, page_name};

/// The place of a record in the source.
pub(crate) type Place = (i32, i64);

/// What a pipeline must have written in the end.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// The results of each window and key, sorted.
    pub(crate) results: BTreeMap<(i64, String), Vec<String>>,
    /// Dead letters, sorted.
    pub(crate) dead: Vec<Place>,
    /// Late rows, sorted.
    pub(crate) late: Vec<Place>,
    /// By partition, the watermark by which the windows of its tasks fire; none where nothing fires.
    pub(crate) watermarks: Vec<Option<i64>>,
}

/// Rows of one window and key, by partition.
type Rows<'a> = Vec<(i32, &'a Event)>;

/// The right answer for a scenario.
pub(crate) fn expected(scenario: &Scenario) -> Expected {
    let mut expected = Expected::default();
    let mut windows: BTreeMap<(i64, String), Rows<'_>> = BTreeMap::new();
    let mut watermarks = Vec::new();
    for partition in 0..scenario.partitions {
        let events = scenario
            .events()
            .filter(|event| event.partition == partition);
        let mut latest: Option<i64> = None;
        for (offset, event) in (0..).zip(events) {
            let place = (partition, offset);
            let watermark = latest.map(|latest| latest - DISORDER);
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
            let start = at.div_euclid(WINDOW) * WINDOW;
            if watermark.is_some_and(|watermark| start + WINDOW <= watermark) {
                expected.late.push(place);
                continue;
            }
            windows
                .entry((start, key))
                .or_default()
                .push((partition, event));
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
    windows.retain(|(start, _), rows| {
        let partition = usize::try_from(rows[0].0).expect("partitions count from 0");
        watermarks[partition].is_some_and(|watermark| start + WINDOW <= watermark)
    });
    expected.watermarks = watermarks;
    let function = scenario.kind.function;
    expected.results = windows
        .into_iter()
        .map(|(at, rows)| (at, results(function, &rows)))
        .collect();
    expected
}

/// The results of a window and key, as texts.
fn results(function: Function, rows: &Rows<'_>) -> Vec<String> {
    let clicks = || {
        rows.iter().filter_map(|(_, event)| match &event.truth {
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
            let sum: i64 = rows.iter().map(|(_, event)| event.n).sum();
            vec![sum.to_string()]
        }
        Function::Transcript => {
            // Partition by partition, each in its order.
            let numbers: Vec<String> = rows.iter().map(|(_, event)| event.n.to_string()).collect();
            vec![numbers.join(" ")]
        }
    }
}
