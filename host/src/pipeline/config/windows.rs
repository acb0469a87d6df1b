//! The rules for windows: which kind, and what a window step may say beside it.

use std::ops::Range;
use std::time::Duration;

use jiff::tz::TimeZone;
use toml::Spanned;

use super::defaults;
use super::error::Finding;
use super::model::{Early, Trigger, Updates, Window};
use super::tables::{At, StepTable, TriggerTable, WindowTable};
use super::written::FromText;
use crate::window::Unit;

const KINDS: &str = "`tumbling`, `sliding`, `session`, `calendar`, `count`, `global`";

/// What a step says of its windows.
pub(super) struct Windowed {
    pub(super) window: Window,
    pub(super) allowed_lateness: Duration,
    pub(super) updates: Updates,
    pub(super) early: Option<Early>,
}

/// The windows of a step, taken out of its table; `None` if they can't be made.
pub(super) fn windowed(
    table: &mut StepTable,
    window: Spanned<WindowTable>,
    findings: &mut Vec<Finding>,
) -> Option<Windowed> {
    let early = early(table, findings);
    let window = kind(window, findings)?;
    let by_rows = matches!(window, Window::Count { .. } | Window::Global(_));
    if by_rows {
        let why = "windows of kind `count` and `global` are not published at an instant that rows could miss: nothing is late for them";
        findings.extend(
            table
                .allowed_lateness
                .as_ref()
                .filter(|lateness| !lateness.get_ref().0.is_zero())
                .map(|at| Finding::new(at.span(), why)),
        );
        let why = "windows of kind `count` and `global` say themselves when they are published";
        findings.extend(
            table
                .emit_every
                .as_ref()
                .map(|at| Finding::new(at.span(), why)),
        );
        findings.extend(
            table
                .emit_on_update
                .as_ref()
                .map(|at| Finding::new(at.span(), why)),
        );
    }
    let lateness = table.allowed_lateness.take();
    let allowed_lateness = lateness.map_or(defaults::ALLOWED_LATENESS, |at| at.into_inner().0);
    let repeats =
        !allowed_lateness.is_zero() || early.is_some() || matches!(window, Window::Global(_));
    if let Some(updates) = &table.updates
        && !repeats
        && updates.get_ref().0 != Updates::Accumulating
    {
        findings.push(
            Finding::new(updates.span(), "each window of this step is published once")
                .hint("add `allowed_lateness`, `emit_every` or `emit_on_update`, or leave it out"),
        );
    }
    let updates = table.updates.take();
    Some(Windowed {
        window,
        allowed_lateness,
        updates: updates.map_or(defaults::UPDATES, |updates| updates.into_inner().0),
        early,
    })
}

fn early(table: &StepTable, findings: &mut Vec<Finding>) -> Option<Early> {
    let on_update = table.emit_on_update.as_ref().filter(|on| *on.get_ref());
    match (&table.emit_every, on_update) {
        (None, None) => None,
        (Some(every), None) => Some(Early::Every(every.get_ref().0.0)),
        (None, Some(_)) => Some(Early::OnUpdate),
        (Some(_), Some(on_update)) => {
            findings.push(Finding::new(
                on_update.span(),
                "only one of `emit_every` and `emit_on_update` can be given",
            ));
            None
        }
    }
}

fn kind(table: Spanned<WindowTable>, findings: &mut Vec<Finding>) -> Option<Window> {
    let span = table.span();
    let table = table.into_inner();
    let given = [
        table.tumbling.is_some(),
        table.sliding.is_some(),
        table.session.is_some(),
        table.calendar.is_some(),
        table.count.is_some(),
        table.global.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        findings.push(
            Finding::new(span, format!("a window is of one kind: one of {KINDS}"))
                .hint("write, for example, `window = { tumbling = \"1m\" }`"),
        );
        return None;
    }
    let (tumbling, sliding) = (table.tumbling.is_some(), table.sliding.is_some());
    let mut refuse = |is_given: Option<Range<usize>>, goes: bool, with: &str| {
        if let (Some(at), false) = (is_given, goes) {
            findings.push(Finding::new(at, format!("it goes with {with}")));
        }
    };
    refuse(
        table.offset.as_ref().map(Spanned::span),
        tumbling || sliding,
        "`tumbling` and `sliding`",
    );
    refuse(
        table.slide.as_ref().map(Spanned::span),
        sliding,
        "`sliding`",
    );
    let has_zone = table.calendar.is_some();
    refuse(
        table.time_zone.as_ref().map(Spanned::span),
        has_zone,
        "`calendar`",
    );
    let has_gap = table.session.is_some();
    refuse(
        table.gap_field.as_ref().map(Spanned::span),
        has_gap,
        "`session`",
    );

    if let Some(size) = table.tumbling {
        let size = size.0.0;
        let offset = offset(
            table.offset,
            size,
            "expected less than the size of the window",
            findings,
        );
        return Some(Window::Tumbling { size, offset });
    }
    if let Some(size) = table.sliding {
        let size = size.0.0;
        let Some(slide) = table.slide else {
            findings.push(
                Finding::new(span, "missing key `slide`: how far apart the windows begin")
                    .hint("write, for example, `window = { sliding = \"1m\", slide = \"10s\" }`"),
            );
            return None;
        };
        if slide.get_ref().0.0 > size {
            findings.push(
                Finding::new(slide.span(), "expected no more than the size of the window: rows between two windows would be in none"),
            );
        }
        let slide = slide.into_inner().0.0;
        let offset = offset(
            table.offset,
            slide,
            "expected less than the slide",
            findings,
        );
        return Some(Window::Sliding {
            size,
            slide,
            offset,
        });
    }
    if let Some(unit) = table.calendar {
        let zone = match table.time_zone {
            None => TimeZone::UTC,
            Some(zone) => zone.into_inner().0.0,
        };
        return Some(Window::Calendar { unit: unit.0, zone });
    }
    if let Some(gap) = table.session {
        return Some(Window::Session {
            gap: gap.0,
            gap_field: table.gap_field.map(|field| field.into_inner().0.0),
        });
    }
    if let Some(rows) = table.count {
        return Some(Window::Count {
            rows: rows.0.unsigned_abs().into(),
        });
    }
    match table.global?.into_inner() {
        TriggerTable {
            every: Some(every),
            rows: None,
        } => Some(Window::Global(Trigger::Every(every.0.0))),
        TriggerTable {
            every: None,
            rows: Some(rows),
        } => Some(Window::Global(Trigger::Rows(rows.0.unsigned_abs().into()))),
        TriggerTable { .. } => {
            findings.push(Finding::new(
                span,
                "the global window is published either `every` so much time or after so many `rows`",
            ));
            None
        }
    }
}

fn offset(
    offset: Option<At<Duration>>,
    below: Duration,
    message: &str,
    findings: &mut Vec<Finding>,
) -> Duration {
    let Some(offset) = offset else {
        return defaults::WINDOW_OFFSET;
    };
    if offset.get_ref().0 >= below {
        findings.push(Finding::new(offset.span(), message));
    }
    offset.into_inner().0
}

/// A time zone by its name.
pub(super) struct Zone(pub(super) TimeZone);

impl FromText for Zone {
    const EXPECTED: &'static str = "the name of a time zone, such as \"Europe/Vienna\" or \"UTC\"";

    fn from_text(text: &str) -> Option<Self> {
        TimeZone::get(text).ok().map(Zone)
    }
}

impl FromText for Unit {
    const EXPECTED: &'static str = "one of \"day\", \"week\", \"month\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "day" => Some(Unit::Day),
            "week" => Some(Unit::Week),
            "month" => Some(Unit::Month),
            _ => None,
        }
    }
}

impl FromText for Updates {
    const EXPECTED: &'static str = "one of \"accumulating\", \"retracting\", \"discarding\"";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "accumulating" => Some(Updates::Accumulating),
            "retracting" => Some(Updates::Retracting),
            "discarding" => Some(Updates::Discarding),
            _ => None,
        }
    }
}
