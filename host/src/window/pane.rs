//! Spans of event time: windows, and the panes that their contents are kept in.

use std::fmt;

use crate::time::Timestamp;

/// A span of event time: from `start`, up to and without `end`. Ordered by end, then start: the order of firing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Window {
    /// The first instant in it.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Window {
    /// Before every other in the order of firing.
    pub const FIRST: Window = Window {
        start: Timestamp::MIN,
        end: Timestamp::MIN,
    };
    /// After every other.
    pub const LAST: Window = Window {
        start: Timestamp::MAX,
        end: Timestamp::MAX,
    };
}

impl Ord for Window {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.end, self.start).cmp(&(other.end, other.start))
    }
}

impl PartialOrd for Window {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// Rows whose contents are kept together, for one key: those of a span of event time that no window cuts. Ordered by `since`, then
/// by the span's end and start.
///
/// A row that comes when windows of its have been published already must not slip into some of them by chance, depending on how
/// fast other partitions are. It waits in a pane of its own until time has come to `since`; then what is in there
/// becomes part of the pane of all other rows of the span.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pane {
    /// When it counts; [`Timestamp::MIN`] for rows that were in time.
    pub since: Timestamp,
    /// The span of event time.
    pub span: Window,
}

impl Pane {
    /// The pane of rows that were in time.
    pub fn of(span: Window) -> Self {
        Self {
            since: Timestamp::MIN,
            span,
        }
    }

    /// A pane that no row is ever in, for the contents of a window to be merged in for a moment.
    pub fn scratch(window: Window) -> Self {
        Self {
            since: Timestamp::MAX,
            span: window,
        }
    }

    /// Whether its rows wait.
    pub fn is_pending(&self) -> bool {
        self.since != Timestamp::MIN
    }
}
