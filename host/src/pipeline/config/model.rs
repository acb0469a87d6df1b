//! A pipeline as the rest of the host sees it: values that have been checked, in shapes that leave no contradiction
//! to check again. A late topic, for one, exists exactly where a window does.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::kafka::KafkaSettings;
use crate::decode::{EventTime, Format};
pub use crate::log::Delivery;
use crate::window::Unit;

/// One pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineConfig {
    /// Its name, which is also that of its consumer group and begins its transactional ids and the names of the topics that
    /// Millstream keeps for it: 1 to 64 lower-case letters, digits and hyphens.
    pub name: String,
    /// How many threads of one process run it: 1 to 256.
    pub workers: usize,
    /// How many rows go through the steps at once, at most: 1 to 65536.
    pub batch_rows: usize,
    /// Where its topics are.
    pub log: LogConfig,
    /// What it reads.
    pub source: SourceConfig,
    /// The functions that see rows one batch after the other, in order. With none, and no window, records are copied.
    pub steps: Vec<RowStep>,
    /// What becomes of the rows that come out of `steps`.
    pub output: Output,
    /// The topic of the results.
    pub sink_topic: String,
    /// The topic of the records that could not be processed.
    pub dead_letter_topic: String,
    /// Where state is kept on disk.
    pub state: StateConfig,
    /// When and how staged work is committed.
    pub commit: CommitConfig,
}

impl PipelineConfig {
    /// The same with its paths taken relative to `folder`.
    #[must_use]
    pub(super) fn relative_to(mut self, folder: &Path) -> Self {
        self.place_folders(folder);
        for function in self.functions_mut() {
            function.component = folder.join(&function.component);
        }
        self
    }

    /// Takes the paths of its folders relative to `folder`; its components stay as they are written.
    pub(crate) fn place_folders(&mut self, folder: &Path) {
        if let LogPlace::Embedded(path) = &mut self.log.place {
            *path = folder.join(&*path);
        }
        self.state.folder = folder.join(&self.state.folder);
    }

    /// Its functions: those of the row steps in order, then that of the window step if there is one.
    pub(crate) fn functions_mut(&mut self) -> impl Iterator<Item = &mut FunctionConfig> {
        let window_function = match &mut self.output {
            Output::Rows { .. } => None,
            Output::Windows(step) => Some(&mut step.function),
        };
        let row_functions = self.steps.iter_mut().map(|step| &mut step.function);
        row_functions.chain(window_function)
    }
}

/// `[log]`: where topics are.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// Which log.
    pub place: LogPlace,
    /// How many partitions the sink, dead-letter and late topics get if they have to be created; `None` if they must
    /// exist. Source topics must exist in any case.
    pub create_topics: Option<i32>,
}

/// Which log.
#[derive(Clone, Debug, PartialEq)]
pub enum LogPlace {
    /// A Kafka cluster, reached with these settings.
    Kafka(KafkaSettings),
    /// The embedded log in this folder.
    Embedded(PathBuf),
}

/// `[source]`: what is read and how.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// The topics, at least one, none twice.
    pub topics: Vec<String>,
    /// How their values are written.
    pub format: Format,
    /// Where a row's event time comes from.
    pub event_time: EventTime,
    /// How far a partition's watermark stays behind its highest event time. Whole milliseconds; zero with a `watermark_field`.
    pub allowed_disorder: Duration,
    /// The field that says how far time has come in a partition, written like the event time; event times say it if `None`.
    pub watermark_field: Option<String>,
    /// How far a record may be dated after the wall clock; any distance if `None`. Whole milliseconds, as those below.
    pub max_future: Option<Duration>,
    /// After how long a silence a partition follows the others; never if `None`.
    pub idle_after: Option<Duration>,
    /// After how long a silence of all partitions their windows are closed; never if `None`.
    pub close_idle_after: Option<Duration>,
    /// How far the watermark of a partition may be ahead of that of the slowest; any distance if `None`.
    pub max_drift: Option<Duration>,
    /// Where a pipeline that has never committed begins.
    pub start: Start,
}

/// Where a pipeline that has never committed begins in a partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// At the oldest record still there.
    Earliest,
    /// At the next record to be written.
    Latest,
}

/// A step that sees rows as they come.
#[derive(Clone, Debug, PartialEq)]
pub struct RowStep {
    /// What it does with rows.
    pub kind: RowStepKind,
    /// The function that does it.
    pub function: FunctionConfig,
}

/// What a [`RowStep`] does with rows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RowStepKind {
    /// Keeps some of them.
    Filter,
    /// Makes any number of rows of each.
    Map {
        /// The fields of the incoming row that stay beside the produced ones; none twice.
        keep: Vec<String>,
    },
}

/// What becomes of the rows that have been through all row steps.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// They are the results.
    Rows {
        /// The field whose value is the key of the result; the source record's key if `None`.
        key: Option<String>,
    },
    /// They are gathered in windows, whose results are keyed as the windows are.
    Windows(Box<WindowStep>),
}

/// The step that gathers rows in windows. It is the last.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowStep {
    /// How the function gets the rows of a window.
    pub kind: WindowStepKind,
    /// The function.
    pub function: FunctionConfig,
    /// The field by whose value rows are gathered apart; all rows of a time together if `None`.
    pub key: Option<String>,
    /// Which windows a row belongs to.
    pub window: Window,
    /// How long a window is kept after its end, for rows that come late. Whole milliseconds.
    pub allowed_lateness: Duration,
    /// What is written when a window is published again.
    pub updates: Updates,
    /// When results of open windows are shown; never if `None`.
    pub early: Option<Early>,
    /// The topic of the rows that come after their window has fired.
    pub late_topic: String,
}

/// How a [`WindowStep`] gets the rows of a window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WindowStepKind {
    /// One batch after the other, into an accumulator.
    Aggregate,
    /// All together when the window fires.
    WindowApply,
}

/// Which windows a row belongs to. `docs/time.md` has each with a picture.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Window {
    /// Windows of one size, end to end: each row is in exactly one.
    Tumbling {
        /// How long each is. Whole milliseconds, at least one.
        size: Duration,
        /// How far their starts are shifted from multiples of `size` since 1970-01-01T00:00:00Z. Whole milliseconds,
        /// less than `size`.
        offset: Duration,
    },
    /// Windows of one size that overlap: each row is in several.
    Sliding {
        /// How long each is. Whole milliseconds, at least one.
        size: Duration,
        /// How far apart they begin. Whole milliseconds, at least one, at most `size`.
        slide: Duration,
        /// How far their starts are shifted from multiples of `slide` since 1970-01-01T00:00:00Z. Whole milliseconds,
        /// less than `slide`.
        offset: Duration,
    },
    /// Days, weeks or months.
    Calendar {
        /// Which.
        unit: Unit,
        /// Where.
        zone: TimeZone,
    },
    /// Rows of a key that follow each other closely enough.
    Session {
        /// The longest time between two of them. Whole milliseconds.
        gap: Duration,
        /// The int64 field in which a row may have a gap of its own, in milliseconds.
        gap_field: Option<String>,
    },
    /// So many rows of a key.
    Count {
        /// How many, at least one.
        rows: u64,
    },
    /// All rows of a key, published again and again.
    Global(Trigger),
}

/// `tumbling 1m`, `tumbling 24h offset 22h`, `session 30s`: the same text for the same windows, however the file writes them.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = |f: &mut fmt::Formatter<'_>, offset: &Duration| match offset.is_zero() {
            true => Ok(()),
            false => write!(f, " offset {}", shown(*offset)),
        };
        match self {
            Window::Tumbling { size, offset: by } => {
                write!(f, "tumbling {}", shown(*size))?;
                offset(f, by)
            }
            Window::Sliding {
                size,
                slide,
                offset: by,
            } => {
                write!(f, "sliding {} slide {}", shown(*size), shown(*slide))?;
                offset(f, by)
            }
            Window::Calendar { unit, zone } => {
                let unit = match unit {
                    Unit::Day => "day",
                    Unit::Week => "week",
                    Unit::Month => "month",
                };
                write!(f, "calendar {unit} {}", zone.iana_name().unwrap_or("UTC"))
            }
            Window::Session { gap, gap_field } => {
                write!(f, "session {}", shown(*gap))?;
                match gap_field {
                    None => Ok(()),
                    Some(field) => write!(f, " gap_field {field}"),
                }
            }
            Window::Count { rows } => write!(f, "count {rows}"),
            Window::Global(Trigger::Every(every)) => write!(f, "global every {}", shown(*every)),
            Window::Global(Trigger::Rows(rows)) => write!(f, "global rows {rows}"),
        }
    }
}

fn shown(duration: Duration) -> String {
    match SignedDuration::try_from(duration) {
        Ok(duration) => format!("{duration:#}"),
        Err(_) => format!("{duration:?}"),
    }
}

/// When the global window is published.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trigger {
    /// Each time that event time passes a multiple of this. Whole milliseconds, at least one.
    Every(Duration),
    /// After so many rows of a key each, at least one.
    Rows(u64),
}

/// What is written when a window is published again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Updates {
    /// The new result.
    Accumulating,
    /// The earlier result, marked as taken back, and the new one.
    Retracting,
    /// The difference between the two.
    Discarding,
}

/// When results of windows that are still open are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Early {
    /// Each time so much time has gone by, if something has changed.
    Every(Duration),
    /// At each commit, if something has changed.
    OnUpdate,
}

/// The component of a step, and how it is run.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionConfig {
    /// The step's name, unique in the pipeline: 1 to 64 letters, digits, hyphens and underscores.
    pub name: String,
    /// The component file.
    pub component: PathBuf,
    /// What its `init` is given.
    pub settings: FunctionSettings,
    /// What it may use.
    pub limits: Limits,
    /// What becomes of a row that it can't process, or at which it fails.
    pub on_error: OnError,
    /// What happens when it fails at more rows than [`Limits::failures_per_minute`].
    pub on_exhausted: OnExhausted,
}

/// What happens when a function has failed at more rows within a minute than it may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnExhausted {
    /// The pipeline ends.
    Stop,
    /// The version that was deployed before takes its place; without one the pipeline ends.
    Previous,
}

/// What becomes of a row that a function can't process, or at which it traps or takes too much time or memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnError {
    /// It goes to the dead letters, and the pipeline goes on.
    DeadLetter,
    /// It is left out and counted.
    Skip,
    /// The pipeline ends.
    Fail,
}

/// A step's `config` table, as the JSON object that the component's `init` is given. [`fmt::Debug`] shows only
/// the keys, since a value may be a secret.
#[derive(Clone, Default, PartialEq)]
pub struct FunctionSettings(pub Map<String, Value>);

impl FunctionSettings {
    /// The object as JSON text; `{}` where there is no `config`.
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

impl fmt::Debug for FunctionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What an instance of a function may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Guest memory, from one page (64 KiB) to what 32-bit addresses reach (4 GiB).
    pub memory: ByteSize,
    /// Time that one call may take.
    pub call: Duration,
    /// At how many rows it may fail within a minute, on one worker; at more the pipeline ends.
    pub failures_per_minute: u32,
    /// Entries of tables, which are functions that can be called indirectly.
    pub table_entries: u32,
    /// Core instances in a component, and as many memories and tables.
    pub core_instances: u32,
    /// Calls of `log` and `metrics` that one call may make; more are left out and counted.
    pub host_calls: u32,
    /// Messages to the log in a second, on one worker; more are left out and counted.
    pub log_messages_per_second: u32,
    /// Bytes of messages to the log in a second, on one worker, from 4 KiB to 1 GiB.
    pub log_bytes_per_second: ByteSize,
    /// Rows that one call may return.
    pub output_rows: u32,
    /// Bytes that one call may return.
    pub output_bytes: ByteSize,
}

/// `[state]`: the local copy of what windows hold. The log has the truth.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StateConfig {
    /// The folder. Several pipelines and processes may share it.
    pub folder: PathBuf,
}

/// `[commit]`: a commit is due when the first of interval, rows and bytes is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CommitConfig {
    /// Time since the last one.
    pub interval: Duration,
    /// Rows read since the last one.
    pub max_rows: u32,
    /// Bytes staged for it.
    pub max_bytes: ByteSize,
    /// What a crash in the middle of one may do.
    pub delivery: Delivery,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_one_text_however_long_they_are() {
        let ms = Duration::from_millis;
        let tumbling = |size, offset| {
            let (size, offset) = (ms(size), ms(offset));
            Window::Tumbling { size, offset }.to_string()
        };
        assert_eq!(tumbling(60_000, 0), "tumbling 1m");
        assert_eq!(tumbling(90_000, 0), "tumbling 1m 30s");
        assert_eq!(tumbling(1, 0), "tumbling 1ms");
        let day = 24 * 3_600_000;
        assert_eq!(tumbling(day, day - 7_200_000), "tumbling 24h offset 22h");
        let others = [
            Window::Sliding {
                size: ms(60_000),
                slide: ms(1_000),
                offset: ms(500),
            },
            Window::Calendar {
                unit: Unit::Week,
                zone: TimeZone::UTC,
            },
            Window::Session {
                gap: ms(30_000),
                gap_field: Some("gap".to_owned()),
            },
            Window::Count { rows: 100 },
            Window::Global(Trigger::Every(ms(60_000))),
            Window::Global(Trigger::Rows(5)),
        ];
        assert_eq!(
            others.map(|window| window.to_string()),
            [
                "sliding 1m slide 1s offset 500ms",
                "calendar week UTC",
                "session 30s gap_field gap",
                "count 100",
                "global every 1m",
                "global rows 5",
            ]
        );
    }
}
