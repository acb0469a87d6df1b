//! Up to where time must go so that windows close that no further row will close.

use super::windowing::{Kind, Windowing};
use crate::pipeline::config::Output;
use crate::time::Timestamp;

/// The instant by which every window is over that an event at `highest` or before is in; `None` where no window ends by time. Of a
/// session whose rows have gaps of their own, the gap of the others counts.
pub(super) fn closing_time(output: &Output, highest: Timestamp) -> Option<Timestamp> {
    let Output::Windows(step) = output else {
        return None;
    };
    let windowing = Windowing::of(step);
    match &windowing.kind {
        Kind::Timed(assigner) | Kind::TotalByTime(assigner) => {
            Some(windowing.last_end(assigner.pane_of(highest)))
        }
        Kind::Session { gap } => Some(Timestamp(highest.0.saturating_add(gap + 1))),
        Kind::Count { .. } | Kind::TotalByCount { .. } => None,
    }
}
