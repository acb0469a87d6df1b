//! The pipelines of which each run draws one. A component is compiled once for all runs.

use std::sync::OnceLock;

use millstream::pipeline::Pipeline;
use millstream::plugin::PluginEngine;

use crate::support;

/// The size of a window, in milliseconds.
pub(crate) const WINDOW: i64 = 10_000;
/// The disorder allowed, in milliseconds.
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
}

/// Which windows there are. `docs/time.md` has the rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Time {
    /// Of [`WINDOW`].
    Tumbling,
    /// The same, kept for [`LATENESS`].
    Late,
    /// Of [`WINDOW`], one each [`SLIDE`].
    Sliding,
    /// The same, kept for [`LATENESS`].
    SlidingLate,
    /// With a gap of [`GAP`].
    Session,
}

/// How far apart sliding windows begin, in milliseconds: they do not divide into it.
pub(crate) const SLIDE: i64 = 4_000;
/// How long windows are kept that are, in milliseconds.
pub(crate) const LATENESS: i64 = 15_000;
/// The gap of sessions, in milliseconds.
pub(crate) const GAP: i64 = 1_500;

impl Time {
    /// How long windows are kept after their end.
    pub(crate) fn lateness(self) -> i64 {
        match self {
            Time::Late | Time::SlidingLate => LATENESS,
            Time::Tumbling | Time::Sliding | Time::Session => 0,
        }
    }

    /// The starts of the windows that hold an instant, if that does not depend on other rows.
    pub(crate) fn starts(self, at: i64) -> Vec<i64> {
        let slide = match self {
            Time::Sliding | Time::SlidingLate => SLIDE,
            Time::Tumbling | Time::Late | Time::Session => WINDOW,
        };
        let last = at.div_euclid(slide) * slide;
        let starts = std::iter::successors(Some(last), |start| Some(start - slide));
        let mut starts: Vec<i64> = starts.take_while(|start| start + WINDOW > at).collect();
        starts.reverse();
        starts
    }

    /// As the file writes it.
    fn written(self) -> &'static str {
        match self {
            Time::Tumbling => "window = { tumbling = \"10s\" }",
            Time::Late => "window = { tumbling = \"10s\" }\nallowed_lateness = \"15s\"",
            Time::Sliding => "window = { sliding = \"10s\", slide = \"4s\" }",
            Time::SlidingLate => {
                "window = { sliding = \"10s\", slide = \"4s\" }\nallowed_lateness = \"15s\""
            }
            Time::Session => "window = { session = \"1500ms\" }",
        }
    }
}

/// How much a commit holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Commit {
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
    commit: Commit,
    /// The guest may have little memory.
    small: bool,
}

const PLAIN: Kind = Kind {
    function: Function::Visitors,
    key: Key::None,
    bots: false,
    poison: false,
    map: false,
    time: Time::Tumbling,
    commit: Commit::Wide,
    small: false,
};

/// All kinds.
pub(crate) const KINDS: [Kind; 25] = [
    PLAIN,
    Kind {
        function: Function::Sum,
        key: Key::Country,
        time: Time::Late,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Record,
        time: Time::Late,
        commit: Commit::Tight,
        small: true,
        ..PLAIN
    },
    Kind {
        function: Function::Transcript,
        key: Key::Country,
        time: Time::Late,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        time: Time::Sliding,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Country,
        time: Time::Sliding,
        commit: Commit::Tight,
        small: true,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Record,
        time: Time::SlidingLate,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::VisitorsByRows,
        key: Key::Country,
        time: Time::SlidingLate,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        time: Time::Session,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Record,
        time: Time::Session,
        commit: Commit::Tight,
        small: true,
        ..PLAIN
    },
    Kind {
        function: Function::VisitorsByRows,
        key: Key::Country,
        time: Time::Session,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        bots: true,
        commit: Commit::Tight,
        small: true,
        ..PLAIN
    },
    Kind {
        key: Key::Country,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Country,
        commit: Commit::Tight,
        small: true,
        bots: true,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Record,
        small: true,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Country,
        map: true,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Record,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Record,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Transcript,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Transcript,
        key: Key::Country,
        bots: true,
        ..PLAIN
    },
    Kind {
        function: Function::Transcript,
        key: Key::Record,
        poison: true,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::VisitorsByRows,
        key: Key::Country,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Country,
        poison: true,
        ..PLAIN
    },
];

/// What a kind was prepared to.
pub(crate) struct Prepared {
    pub(crate) pipeline: Pipeline,
    /// The next release, which does not trap.
    pub(crate) calm: Option<Pipeline>,
}

/// The engine of all runs.
pub(crate) fn engine() -> &'static PluginEngine {
    static ENGINE: OnceLock<PluginEngine> = OnceLock::new();
    ENGINE.get_or_init(|| PluginEngine::new().unwrap())
}

/// The pipeline of a kind, by its number.
pub(crate) fn prepared(number: usize) -> &'static Prepared {
    static ALL: [OnceLock<Prepared>; KINDS.len()] = [const { OnceLock::new() }; KINDS.len()];
    ALL[number].get_or_init(|| {
        let kind = &KINDS[number];
        let prepare = |calm| support::pipeline(&kind.file(calm), engine());
        Prepared {
            pipeline: prepare(false),
            calm: kind.poison.then(|| prepare(true)),
        }
    })
}

impl Kind {
    /// The pipeline file.
    fn file(&self, calm: bool) -> String {
        let commit = match self.commit {
            Commit::Wide => "interval = \"100ms\"",
            Commit::Tight => "interval = \"40ms\", max_rows = 25, max_bytes = \"3KiB\"",
        };
        let mut steps = Vec::new();
        if self.bots {
            steps.push("filter = \"{plugins}/bot-filter.wasm\"".to_owned());
        }
        if self.poison {
            steps.push(format!(
                "filter = \"{{plugins}}/fixtures/poison.wasm\"\nconfig = {{ calm = {calm} }}"
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
            Function::VisitorsByRows => "window_apply = \"{plugins}/unique-visitors-window.wasm\"",
        };
        let key = match self.key {
            Key::None => "",
            Key::Country => "key = \"country\"",
            Key::Record => "key = \"$key\"",
        };
        let memory = if self.small { SMALL_MEMORY } else { "64MiB" };
        steps.push(format!(
            "{function}\n{key}\n{}\nlimits = {{ memory = \"{memory}\", call = \"60s\" }}",
            self.time.written()
        ));
        let steps: Vec<String> = steps
            .iter()
            .map(|step| format!("[[step]]\n{step}\n"))
            .collect();
        format!(
            r#"
            name = "p"
            log = {{ embedded = "unused", create_topics = true, partitions = 2 }}
            source = {{ topic = "clicks", event_time = {{ field = "event_time", unit = "ms" }}, allowed_disorder = "2s" }}
            sink.topic = "sink"
            dead_letters.topic = "dead"
            late.topic = "late"
            commit = {{ {commit} }}
            {}
            "#,
            steps.join("\n")
        )
    }
}

/// So little that accumulators have to be put away.
const SMALL_MEMORY: &str = "2000KiB";
