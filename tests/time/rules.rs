//! What the oracle knows of a pipeline: its own reading of the tables of the file, apart from the engine's.

use jiff::tz::TimeZone;
use toml::{Table, Value};

use crate::instants::duration;
use crate::reading::Updates;
use crate::scenario::Scenario;
use crate::spans::{CalendarUnit, Span, calendar, sliding};

/// Which windows there are.
#[derive(Clone, Debug)]
pub(crate) enum Windows {
    /// Tumbling too: its slide is its size.
    Sliding {
        size: i64,
        slide: i64,
        offset: i64,
    },
    Calendar {
        unit: CalendarUnit,
        zone: TimeZone,
    },
    Session {
        gap: i64,
        gap_field: Option<String>,
    },
    Count {
        rows: usize,
    },
    GlobalRows {
        rows: usize,
    },
    GlobalEvery {
        every: i64,
    },
}

/// By what rows are gathered apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Key {
    None,
    User,
    /// The record's: each partition settles its windows by itself.
    Record,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Function {
    Sum,
    List,
}

/// See the opening of this file.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) windows: Windows,
    pub(crate) lateness: i64,
    pub(crate) updates: Updates,
    pub(crate) key: Key,
    pub(crate) function: Function,
    pub(crate) disorder: i64,
    pub(crate) watermark_field: Option<String>,
    /// There are results before a window ends.
    pub(crate) is_early: bool,
}

impl Rules {
    /// The rules of a scenario.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let Scenario { source, step, .. } = scenario;
        let span = |table: &Table, key: &str| text(table, key).map_or(0, duration);
        Self {
            windows: windows(step["window"].as_table().unwrap()),
            lateness: span(step, "allowed_lateness"),
            updates: match text(step, "updates") {
                None | Some("accumulating") => Updates::Accumulating,
                Some("retracting") => Updates::Retracting,
                Some("discarding") => Updates::Discarding,
                Some(other) => panic!("updates = {other}"),
            },
            key: match text(step, "key") {
                None => Key::None,
                Some("user") => Key::User,
                Some("$key") => Key::Record,
                Some(other) => panic!("key = {other}"),
            },
            function: match text(step, "window_apply") {
                Some(_) => Function::List,
                None => Function::Sum,
            },
            disorder: span(source, "allowed_disorder"),
            watermark_field: text(source, "watermark_field").map(str::to_owned),
            is_early: step.contains_key("emit_every") || step.contains_key("emit_on_update"),
        }
    }
}

fn text<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Value::as_str)
}

fn windows(table: &Table) -> Windows {
    let span = |key| text(table, key).map(duration);
    let rows = |value: &Value| usize::try_from(value.as_integer().unwrap()).unwrap();
    let offset = span("offset").unwrap_or(0);
    if let Some(size) = span("tumbling") {
        return Windows::Sliding {
            size,
            slide: size,
            offset,
        };
    }
    if let Some(size) = span("sliding") {
        return Windows::Sliding {
            size,
            slide: span("slide").unwrap(),
            offset,
        };
    }
    if let Some(gap) = span("session") {
        return Windows::Session {
            gap,
            gap_field: text(table, "gap_field").map(str::to_owned),
        };
    }
    if let Some(unit) = text(table, "calendar") {
        return Windows::Calendar {
            unit: match unit {
                "day" => CalendarUnit::Day,
                "week" => CalendarUnit::Week,
                "month" => CalendarUnit::Month,
                other => panic!("calendar = {other}"),
            },
            zone: TimeZone::get(text(table, "time_zone").unwrap_or("UTC")).unwrap(),
        };
    }
    if let Some(count) = table.get("count") {
        return Windows::Count { rows: rows(count) };
    }
    let global = table["global"].as_table().unwrap();
    match global.get("rows") {
        Some(count) => Windows::GlobalRows { rows: rows(count) },
        None => Windows::GlobalEvery {
            every: text(global, "every").map(duration).unwrap(),
        },
    }
}

impl Windows {
    /// The windows that hold an instant, of the kinds of which the clock alone says so; the last to end comes last.
    pub(crate) fn holding(&self, at: i64) -> Vec<Span> {
        match self {
            Windows::Sliding {
                size,
                slide,
                offset,
            } => sliding(*size, *slide, *offset, at),
            Windows::Calendar { unit, zone } => vec![calendar(*unit, zone, at)],
            _ => unreachable!("what holds an instant depends on other rows"),
        }
    }
}
