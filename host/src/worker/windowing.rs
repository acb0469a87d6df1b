//! The window step of a pipeline, as the engine uses it: what the file says, turned into rules of time.

use std::time::Duration;

use crate::pipeline::config::{Early, Trigger, Updates, Window as WindowConfig, WindowStep};
use crate::time::{Timestamp, millis};
use crate::window::{Assigner, Calendar, Sliding, Tumbling, Window};

/// The window and pane of everything that has ever come, of windows that are published again and again.
pub(super) const TOTAL: Window = Window {
    start: Timestamp::MIN,
    end: Timestamp::MAX,
};

/// Which windows there are.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Those whose bounds do not depend on rows.
    Timed(Assigner),
    /// Sessions; the gap of rows that do not have one of their own, in milliseconds.
    Session { gap: i64 },
    /// So many rows of a key.
    Count { rows: u64 },
    /// All rows of a key, published after so many each.
    TotalByCount { rows: u64 },
    /// All rows of a key, published at the end of each of these spans.
    TotalByTime(Assigner),
}

/// Whether a window step keeps what it has published, with its fields, since it may take that back.
pub fn keeps_results(step: &WindowStep) -> bool {
    Windowing::of(step).keeps_rows()
}

/// The rules of a window step.
#[derive(Clone, Debug)]
pub(super) struct Windowing {
    pub(super) kind: Kind,
    /// How long a window is kept after its end, in milliseconds.
    pub(super) lateness: i64,
    pub(super) updates: Updates,
    pub(super) early: Option<Early>,
}

impl Windowing {
    /// The rules of a step that has been checked.
    pub(super) fn of(step: &WindowStep) -> Self {
        let tumbling = |size, offset| {
            Assigner::Tumbling(Tumbling::new(size, offset).expect("the file has checked the size"))
        };
        let kind = match &step.window {
            WindowConfig::Tumbling { size, offset } => Kind::Timed(tumbling(*size, *offset)),
            WindowConfig::Sliding {
                size,
                slide,
                offset,
            } => {
                let sliding = Sliding::new(*size, *slide, *offset);
                Kind::Timed(Assigner::Sliding(
                    sliding.expect("the file has checked the slide"),
                ))
            }
            WindowConfig::Calendar { unit, zone } => {
                Kind::Timed(Assigner::Calendar(Calendar::new(*unit, zone.clone())))
            }
            WindowConfig::Session { gap, .. } => Kind::Session { gap: millis(*gap) },
            WindowConfig::Count { rows } => Kind::Count { rows: *rows },
            WindowConfig::Global(Trigger::Rows(rows)) => Kind::TotalByCount { rows: *rows },
            WindowConfig::Global(Trigger::Every(every)) => {
                Kind::TotalByTime(tumbling(*every, Duration::ZERO))
            }
        };
        Self {
            kind,
            lateness: millis(step.allowed_lateness),
            updates: step.updates,
            early: step.early,
        }
    }

    /// How panes and windows lie, where that does not depend on rows.
    pub(super) fn assigner(&self) -> Option<&Assigner> {
        match &self.kind {
            Kind::Timed(assigner) | Kind::TotalByTime(assigner) => Some(assigner),
            Kind::Session { .. } | Kind::Count { .. } | Kind::TotalByCount { .. } => None,
        }
    }

    /// Whether windows are sessions.
    pub(super) fn has_sessions(&self) -> bool {
        matches!(self.kind, Kind::Session { .. })
    }

    /// Whether windows have panes in common.
    pub(super) fn overlaps(&self) -> bool {
        matches!(&self.kind, Kind::Timed(assigner) if !assigner.is_simple())
    }

    /// Whether a window is published once, and gone with that.
    pub(super) fn ends_when_fired(&self) -> bool {
        match &self.kind {
            Kind::Timed(assigner) => self.lateness == 0 && assigner.is_simple(),
            Kind::Session { .. } => self.lateness == 0,
            Kind::Count { .. } | Kind::TotalByCount { .. } | Kind::TotalByTime(_) => true,
        }
    }

    /// Whether a window may be published more than once.
    pub(super) fn repeats(&self) -> bool {
        let total = matches!(self.kind, Kind::TotalByCount { .. } | Kind::TotalByTime(_));
        total || self.lateness > 0 || self.early.is_some()
    }

    /// Whether the rows of a publication are needed again.
    pub(super) fn keeps_rows(&self) -> bool {
        self.repeats() && (self.updates != Updates::Accumulating || self.has_sessions())
    }

    /// Whether the tasks of a final stage share windows out by their start, and not by their key alone.
    pub(super) fn spreads_by_window(&self) -> bool {
        matches!(&self.kind, Kind::Timed(assigner) if assigner.is_simple())
    }

    /// When a window that ends at `end` is forgotten.
    pub(super) fn over_at(&self, end: Timestamp) -> Timestamp {
        Timestamp(end.0.saturating_add(self.lateness))
    }

    /// Where the last window with a pane ends: nothing that was in time comes into the pane afterwards.
    pub(super) fn last_end(&self, pane: Window) -> Timestamp {
        match &self.kind {
            Kind::Timed(assigner) => assigner.last(pane).end,
            _ => pane.end,
        }
    }

    /// When no row of a partition whose watermark has come so far can get into a pane any more.
    pub(super) fn closed_at(&self, pane: Window) -> Timestamp {
        match &self.kind {
            Kind::Timed(_) => self.over_at(self.last_end(pane)),
            Kind::TotalByTime(_) => pane.end,
            Kind::Session { .. } | Kind::Count { .. } | Kind::TotalByCount { .. } => Timestamp::MIN,
        }
    }
}
