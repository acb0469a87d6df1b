//! Compares the results of two versions window by window, as they come. Pure: times are handed in.
//!
//! A window and key is judged when nothing has come for it for a while, since its results may be several rows, and may be revised.
//! How often each version has revised it does not matter, only what it has come to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::Timestamp;

/// After so long without anything new a window that has results of both is judged equal, if it is.
const QUIET: Duration = Duration::from_secs(1);
/// After so long it is judged different.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many differences are kept to be shown.
const SHOWN: usize = 20;

/// Whose result it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    /// Of the version that runs.
    Running,
    /// Of the one beside it.
    Shadow,
}

/// What comparing has come to.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Comparison {
    /// Windows, each key counted, with equal results.
    pub equal: u64,
    /// Those since the last difference.
    pub in_a_row: u64,
    /// Windows, each key counted, with different results.
    pub different: u64,
    /// The latest differences.
    pub differences: Vec<Difference>,
}

/// A window and key whose results differ.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Difference {
    /// Where the window begins, as RFC 3339.
    pub window_start: String,
    /// The key; null for a step without one.
    #[schema(value_type = Option<String>)]
    pub key: Value,
    /// What the version that runs says; empty if nothing.
    #[schema(value_type = Vec<String>)]
    pub running: Vec<Value>,
    /// What the one beside it says.
    #[schema(value_type = Vec<String>)]
    pub shadow: Vec<Value>,
}

/// What there is of a window and key.
#[derive(Debug, Default)]
struct Pending {
    /// Of the version that runs, and of the one beside it.
    sides: [Results; 2],
    key: Value,
    changed_at: Duration,
}

/// The results of the latest revision.
#[derive(Debug, Default)]
struct Results {
    revision: u64,
    /// Rows without what is the same in all of a window, as text, sorted.
    rows: Vec<String>,
}

/// Compares results of windows that begin at or after some instant.
#[derive(Debug)]
pub(super) struct Comparing {
    from: Timestamp,
    pending: BTreeMap<(i64, String), Pending>,
    /// The latest window of each side.
    latest: [i64; 2],
    found: Comparison,
}

impl Comparing {
    pub(super) fn new(from: Timestamp) -> Self {
        Self {
            from,
            pending: BTreeMap::new(),
            latest: [i64::MIN; 2],
            found: Comparison::default(),
        }
    }

    /// A result has come, as JSON.
    pub(super) fn add(&mut self, side: Side, result: &[u8], now: Duration) {
        let Ok(Value::Object(mut row)) = serde_json::from_slice(result) else {
            return;
        };
        let Some(start) = row.get("window_start_ms").and_then(Value::as_i64) else {
            return;
        };
        let side = side as usize;
        self.latest[side] = self.latest[side].max(start);
        if start < self.from.0 {
            return;
        }
        let revision = row
            .remove("revision")
            .and_then(|at| at.as_u64())
            .unwrap_or_default();
        let key = row.remove("key").unwrap_or_default();
        forget_bounds(&mut row);
        let pending = self.pending.entry((start, key.to_string())).or_default();
        pending.key = key;
        pending.changed_at = now;
        let results = &mut pending.sides[side];
        if revision > results.revision {
            results.rows.clear();
        }
        if revision >= results.revision {
            results.revision = revision;
            let row = Value::Object(row).to_string();
            let at = results.rows.partition_point(|other| *other < row);
            results.rows.insert(at, row);
        }
    }

    /// Judges what can be judged by now.
    pub(super) fn judge(&mut self, now: Duration) -> &Comparison {
        let latest = self.latest;
        let judged: Vec<((i64, String), bool)> = self
            .pending
            .iter()
            .filter_map(|(name, pending)| {
                let verdict = verdict(pending, name.0, latest, now)?;
                Some((name.clone(), verdict))
            })
            .collect();
        for (name, is_equal) in judged {
            let Some(pending) = self.pending.remove(&name) else {
                continue;
            };
            if is_equal {
                self.found.equal += 1;
                self.found.in_a_row += 1;
                continue;
            }
            self.found.different += 1;
            self.found.in_a_row = 0;
            let read = |results: &Results| {
                let rows = results.rows.iter();
                rows.filter_map(|row| serde_json::from_str(row).ok())
                    .collect()
            };
            self.found.differences.push(Difference {
                window_start: Timestamp(name.0).to_string(),
                key: pending.key,
                running: read(&pending.sides[0]),
                shadow: read(&pending.sides[1]),
            });
            let more = self.found.differences.len().saturating_sub(SHOWN);
            self.found.differences.drain(..more);
        }
        &self.found
    }
}

/// Whether the results of a window are equal; `None` if that can't be said yet.
fn verdict(pending: &Pending, start: i64, latest: [i64; 2], now: Duration) -> Option<bool> {
    let age = now.saturating_sub(pending.changed_at);
    let [running, shadow] = &pending.sides;
    if running.rows == shadow.rows {
        return (age >= QUIET).then_some(true);
    }
    // A version that is behind has not said what it thinks of it.
    let has_passed = latest.iter().all(|latest| *latest > start);
    let is_whole = !running.rows.is_empty() && !shadow.rows.is_empty();
    (age >= PATIENCE && (has_passed || is_whole)).then_some(false)
}

/// Bounds are the same for all rows of a window, and whether it is final depends on when it was shown.
fn forget_bounds(row: &mut Map<String, Value>) {
    for name in [
        "window_start",
        "window_end",
        "window_start_ms",
        "window_end_ms",
        "final",
    ] {
        row.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn result(start: i64, key: &str, revision: u64, n: i64) -> Vec<u8> {
        let json = serde_json::json!({
            "window_start": "x", "window_start_ms": start, "window_end_ms": start + 10, "key": key, "revision": revision, "n": n
        });
        json.to_string().into_bytes()
    }

    fn counts(comparing: &mut Comparing, now: Duration) -> (u64, u64, u64) {
        let found = comparing.judge(now);
        (found.equal, found.in_a_row, found.different)
    }

    #[test]
    fn results_are_equal_whatever_their_order_and_revisions() {
        let mut comparing = Comparing::new(Timestamp(0));
        let add = |comparing: &mut Comparing, side, revision, n| {
            comparing.add(side, &result(10, "k", revision, n), seconds(0));
        };
        for n in [1, 2] {
            add(&mut comparing, Side::Running, 0, n);
        }
        for n in [3, 2, 1] {
            add(&mut comparing, Side::Shadow, u64::from(n != 3), n);
        }
        assert_eq!(
            counts(&mut comparing, seconds(0)),
            (0, 0, 0),
            "more may come"
        );
        assert_eq!(counts(&mut comparing, seconds(1)), (1, 1, 0));
        assert_eq!(counts(&mut comparing, seconds(9)), (1, 1, 0), "once");
    }

    #[test]
    fn what_differs_for_long_is_a_difference_and_is_shown() {
        let mut comparing = Comparing::new(Timestamp(0));
        comparing.add(Side::Running, &result(10, "k", 0, 1), seconds(0));
        comparing.add(Side::Shadow, &result(10, "k", 0, 2), seconds(0));
        assert_eq!(counts(&mut comparing, seconds(9)), (0, 0, 0));
        assert_eq!(counts(&mut comparing, seconds(10)), (0, 0, 1));
        let shown = &comparing.judge(seconds(10)).differences[0];
        let n = |n: i64| vec![serde_json::json!({ "n": n })];
        assert_eq!((&shown.running, &shown.shadow), (&n(1), &n(2)));
        assert_eq!(shown.key, "k");
    }

    #[test]
    fn a_window_of_one_side_alone_is_a_difference_once_the_other_has_passed_it() {
        let mut comparing = Comparing::new(Timestamp(0));
        comparing.add(Side::Running, &result(10, "k", 0, 1), seconds(0));
        comparing.add(Side::Running, &result(20, "k", 0, 1), seconds(0));
        assert_eq!(
            counts(&mut comparing, seconds(60)),
            (0, 0, 0),
            "it is behind"
        );
        comparing.add(Side::Shadow, &result(20, "k", 0, 1), seconds(60));
        assert_eq!(counts(&mut comparing, seconds(61)), (1, 1, 1));
    }

    #[test]
    fn windows_from_before_the_shadow_do_not_count() {
        let mut comparing = Comparing::new(Timestamp(20));
        comparing.add(Side::Running, &result(10, "k", 0, 1), seconds(0));
        comparing.add(Side::Shadow, &result(20, "k", 0, 1), seconds(0));
        comparing.add(Side::Running, b"no json", seconds(0));
        assert_eq!(counts(&mut comparing, seconds(99)), (0, 0, 0));
    }
}
