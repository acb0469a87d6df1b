//! Up to where time must go so that windows close that no further row will close.

use crate::pipeline::config::{Output, Window as WindowConfig};
use crate::time::Timestamp;
use crate::window::Tumbling;

/// The instant by which every window is over that an event at `highest` or before is in; `None` without a window.
pub(super) fn closing_time(output: &Output, highest: Timestamp) -> Option<Timestamp> {
    let Output::Windows(step) = output else {
        return None;
    };
    let WindowConfig::Tumbling { size, offset } = step.window;
    let windows = Tumbling::new(size, offset).expect("the pipeline file has checked the size");
    Some(windows.window_of(highest).end)
}
