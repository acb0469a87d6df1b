//! What pipelines there are, and their files; `kinds` lists those of which each run draws one. A component is compiled once for all runs.

use std::sync::{LazyLock, OnceLock};

use jiff::tz::TimeZone;
use millstream::pipeline::Pipeline;
use millstream::plugin::PluginEngine;

use crate::kinds::KINDS;
use crate::reading::Updates;
use crate::spans::{CalendarUnit, Span, calendar, sliding};
use crate::support;

/// The size of a window, in milliseconds.
pub(crate) const WINDOW: i64 = 10_000;
/// The disorder allowed, in milliseconds, before scaling.
pub(crate) const DISORDER: i64 = 2_000;

/// By what rows are gathered apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Key {
    None,
    Country,
    /// The record's own: such a window has one stage.
    Record,
}

/// What is made of a window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Function {
    Visitors,
    /// How often each page was seen: large, and a row that counts twice shows.
    Pages,
    /// The sum of `n`: small, and a row that counts twice shows.
    Sum,
    /// All `n` in order.
    Transcript,
    /// As [`Function::Visitors`], from all rows.
    VisitorsByRows,
    /// As [`Function::Sum`], with how many rows each version of it has seen.
    Marked,
}

/// Which windows there are. `docs/time.md` has the rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Time {
    /// Of [`WINDOW`].
    Tumbling,
    /// Of [`WINDOW`], one each [`SLIDE`].
    Sliding,
    /// Of [`ZONE`].
    Calendar(CalendarUnit),
    /// With a gap of [`GAP`].
    Session,
    /// Of [`ROWS`] rows.
    Count,
    /// All rows, after each [`ROWS`] of them.
    GlobalRows,
    /// All rows, each [`WINDOW`].
    GlobalEvery,
}

/// How far apart sliding windows begin, in milliseconds: they do not divide into it.
pub(crate) const SLIDE: i64 = 4_000;
/// How long windows are kept that are, in milliseconds.
const LATENESS: i64 = 15_000;
/// The gap of sessions, in milliseconds.
pub(crate) const GAP: i64 = 1_500;
/// How many rows are counted.
pub(crate) const ROWS: usize = 7;
/// Where clocks change a few days after runs begin.
const ZONE: &str = "Europe/Vienna";

impl Time {
    /// How many milliseconds of event time make one: a day of a calendar takes as long as a window.
    pub(crate) fn scale(self) -> i64 {
        match self {
            Time::Calendar(_) => 86_400_000 / WINDOW,
            _ => 1,
        }
    }

    /// Whether rows of a key need an order.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Time::Count | Time::GlobalRows)
    }

    /// The windows that hold an instant, if the clock alone says so; the last to end comes last.
    pub(crate) fn holding(self, at: i64) -> Vec<Span> {
        static VIENNA: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::get(ZONE).unwrap());
        match self {
            Time::Tumbling | Time::GlobalEvery => sliding(WINDOW, WINDOW, 0, at),
            Time::Sliding => sliding(WINDOW, SLIDE, 0, at),
            Time::Calendar(unit) => vec![calendar(unit, &VIENNA, at)],
            Time::Session | Time::Count | Time::GlobalRows => Vec::new(),
        }
    }

    /// As the file writes it.
    fn written(self) -> String {
        match self {
            Time::Tumbling => "{ tumbling = \"10s\" }".to_owned(),
            Time::Sliding => "{ sliding = \"10s\", slide = \"4s\" }".to_owned(),
            Time::Calendar(unit) => {
                let unit = format!("{unit:?}").to_lowercase();
                format!("{{ calendar = \"{unit}\", time_zone = \"{ZONE}\" }}")
            }
            Time::Session => "{ session = \"1500ms\" }".to_owned(),
            Time::Count => format!("{{ count = {ROWS} }}"),
            Time::GlobalRows => format!("{{ global = {{ rows = {ROWS} }} }}"),
            Time::GlobalEvery => "{ global = { every = \"10s\" } }".to_owned(),
        }
    }
}

/// When there are results of windows that are open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Early {
    Never,
    OnUpdate,
    Every,
}

/// How much a commit holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Commit {
    Wide,
    Tight,
}

/// A kind of pipeline.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) function: Function,
    pub(crate) key: Key,
    /// Clicks of bots are dropped first.
    pub(crate) bots: bool,
    /// Some rows make a function trap.
    pub(crate) poison: bool,
    /// The path comes from a map.
    pub(crate) map: bool,
    pub(crate) time: Time,
    /// Windows are kept for a while.
    pub(crate) is_late: bool,
    pub(crate) early: Early,
    pub(crate) updates: Updates,
    /// Partitions that are silent promise something.
    pub(crate) idle: bool,
    /// Partitions that are far ahead wait.
    pub(crate) drift: bool,
    pub(crate) commit: Commit,
    /// The guest may have little memory.
    pub(crate) small: bool,
}

/// The engine of all runs.
pub(crate) fn engine() -> &'static PluginEngine {
    static ENGINE: OnceLock<PluginEngine> = OnceLock::new();
    ENGINE.get_or_init(support::engine)
}

/// A pipeline of a kind with one of the components that can be in its window step.
pub(crate) struct Build {
    pub(crate) pipeline: Pipeline,
    /// It traps at some rows.
    pub(crate) is_bad: bool,
}

/// The builds of a kind, by its number; the first is as the file has it.
pub(crate) fn builds(number: usize) -> &'static [Build] {
    static ALL: [OnceLock<Vec<Build>>; KINDS.len()] = [const { OnceLock::new() }; KINDS.len()];
    ALL[number].get_or_init(|| {
        let kind = &KINDS[number];
        let pipeline = support::pipeline(&kind.file(), engine());
        let marks: &[(u8, u8)] = match kind.function {
            Function::Marked => &[(b'1', b'.'), (b'2', b'.'), (b'3', b't')],
            // It is deployed as it is: what a worker does then is the same.
            _ => &[],
        };
        let mut builds = vec![Build {
            pipeline,
            is_bad: false,
        }];
        for (version, fault) in marks {
            let pipeline = marked(&builds[0].pipeline, *version, *fault);
            let is_bad = *fault == b't';
            builds.push(Build { pipeline, is_bad });
        }
        builds
    })
}

/// The pipeline with other marks in its component: see `tests/components/marked`.
fn marked(pipeline: &Pipeline, version: u8, fault: u8) -> Pipeline {
    let number = pipeline.functions().len() - 1;
    let file = &pipeline.functions()[number].config().component;
    let mut bytes = std::fs::read(file).unwrap();
    let mark = b"millstream-m:";
    let at = bytes.windows(mark.len()).position(|window| window == mark);
    let at = at.unwrap() + mark.len();
    (bytes[at], bytes[at + 2]) = (version, fault);
    pipeline.with_component(number, &bytes, engine()).unwrap()
}

impl Kind {
    /// The disorder allowed, in milliseconds of event time.
    pub(crate) fn disorder(&self) -> i64 {
        DISORDER * self.time.scale()
    }

    /// How long windows are kept after their end.
    pub(crate) fn lateness(&self) -> i64 {
        let lateness = if self.is_late { LATENESS } else { 0 };
        lateness * self.time.scale()
    }

    /// Whether nothing of a window is left once it has ended.
    pub(crate) fn ends_when_fired(&self) -> bool {
        let is_apart = matches!(
            self.time,
            Time::Tumbling | Time::Calendar(_) | Time::Session
        );
        is_apart && !self.is_late
    }

    /// Whether there are results of windows that are open.
    pub(crate) fn is_early(&self) -> bool {
        self.early != Early::Never
    }

    /// The pipeline file.
    fn file(&self) -> String {
        let commit = match self.commit {
            Commit::Wide => "interval = \"100ms\"",
            Commit::Tight => "interval = \"40ms\", max_rows = 25, max_bytes = \"3KiB\"",
        };
        let mut steps = Vec::new();
        if self.bots {
            steps.push("filter = \"{plugins}/bot-filter.wasm\"".to_owned());
        }
        if self.poison {
            // Crashes make a row guilty again and again.
            let limits = "limits = { failures_per_minute = 1000000 }";
            steps.push(format!(
                "filter = \"{{plugins}}/fixtures/poison.wasm\"\n{limits}"
            ));
        }
        if self.map {
            steps.push("map = \"{plugins}/page-view.wasm\"\nkeep = [\"country\"]".to_owned());
        }
        let function = match self.function {
            Function::Visitors => "aggregate = \"{plugins}/unique-visitors.wasm\"",
            Function::Pages => "aggregate = \"{plugins}/top-pages.wasm\"\nconfig = { k = 1000000 }",
            Function::Sum => "aggregate = \"{plugins}/fixtures/frozen-aggregate.wasm\"",
            Function::Transcript => "window_apply = \"{plugins}/fixtures/transcript.wasm\"",
            Function::Marked => "aggregate = \"{plugins}/fixtures/marked.wasm\"",
            Function::VisitorsByRows => "window_apply = \"{plugins}/unique-visitors-window.wasm\"",
        };
        let key = match self.key {
            Key::None => "",
            Key::Country => "key = \"country\"",
            Key::Record => "key = \"$key\"",
        };
        let mut window = vec![format!("window = {}", self.time.written())];
        if self.is_late {
            window.push(format!("allowed_lateness = \"{}ms\"", self.lateness()));
        }
        match self.early {
            Early::Never => {}
            Early::OnUpdate => window.push("emit_on_update = true".to_owned()),
            Early::Every => window.push("emit_every = \"300ms\"".to_owned()),
        }
        if self.updates != Updates::Accumulating {
            let updates = format!("{:?}", self.updates).to_lowercase();
            window.push(format!("updates = \"{updates}\""));
        }
        let mut source = vec![format!("allowed_disorder = \"{}ms\"", self.disorder())];
        if self.idle {
            source.push("idle_after = \"400ms\"".to_owned());
        }
        if self.drift {
            source.push(format!("max_drift = \"{}ms\"", self.disorder()));
        }
        let memory = if self.small { SMALL_MEMORY } else { "64MiB" };
        steps.push(format!(
            "{function}\n{key}\n{}\nlimits = {{ memory = \"{memory}\", call = \"60s\" }}",
            window.join("\n")
        ));
        let steps: Vec<String> = steps
            .iter()
            .map(|step| format!("[[step]]\n{step}\n"))
            .collect();
        format!(
            r#"
            name = "p"
            log = {{ embedded = "unused", create_topics = true, partitions = 2 }}
            source = {{ topic = "clicks", event_time = {{ field = "event_time", unit = "ms" }}, {} }}
            sink.topic = "sink"
            dead_letters.topic = "dead"
            late.topic = "late"
            commit = {{ {commit} }}
            {}
            "#,
            source.join(", "),
            steps.join("\n")
        )
    }
}

/// So little that accumulators have to be put away.
const SMALL_MEMORY: &str = "2000KiB";
