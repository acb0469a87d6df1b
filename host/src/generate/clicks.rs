//! The stream of clicks: rows with what the generator knows about them.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::access_log;
use super::config::{ClickConfig, ConfigError, Rendering, partition_count, window_millis};
use super::json::JsonRow;
use super::malformed::Malformed;
use super::partition::partition_of;
use super::timeline::Timeline;
use super::visitors::{PageView, Visitors};

/// A row of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Click {
    /// The partition it belongs to: the same for all rows of a user.
    pub partition: i32,
    /// The user id, also where the value does not tell it.
    pub key: Vec<u8>,
    /// The bytes that a pipeline decodes; none in a tombstone.
    pub value: Option<Vec<u8>>,
    /// When the row is written to the log, in milliseconds since 1970: never before what it tells of.
    pub timestamp: i64,
    /// What the row is meant to be.
    pub truth: Truth,
}

/// What the generator knows about a row without reading it. Event times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// A person looked at a page.
    Visit {
        /// The number of the person.
        user: u32,
        /// When it happened.
        event_time: i64,
        /// Whether the row comes after its window has passed in its partition, if the pipeline's windows
        /// and disorder are those of the settings.
        late: bool,
    },
    /// A bot fetched a page.
    Bot {
        /// When it happened.
        event_time: i64,
    },
    /// The row cannot be decoded.
    Malformed(Malformed),
}

/// What a row says, before it is written in some format.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) event_time: i64,
    pub(super) user_id: &'a str,
    pub(super) page: PageView<'a>,
}

impl Row<'_> {
    /// The well-formed value of the row.
    pub(super) fn render(&self, rendering: Rendering) -> Vec<u8> {
        match rendering {
            Rendering::Json => JsonRow::of(self).render(),
            Rendering::AccessLog => access_log::line(self),
        }
    }
}

/// The clicks that follow from some settings, in the order in which they are written to the log.
#[derive(Debug)]
pub struct Clicks {
    rng: ChaCha8Rng,
    timeline: Timeline,
    visitors: Visitors,
    rendering: Rendering,
    late_share: f64,
    malformed_share: f64,
    window: i64,
    partitions: i32,
    /// The latest event time in each partition, malformed rows aside; none before the first row.
    latest: Vec<Option<i64>>,
    events: u64,
    emitted: u64,
}

impl Clicks {
    /// Starts the stream, or says which setting cannot be used.
    pub fn new(config: ClickConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let window = window_millis(config.window)?;
        let resolution = match config.rendering {
            Rendering::Json => 1,
            Rendering::AccessLog => 1000,
        };
        let timeline = Timeline::new(
            config.start,
            config.events,
            config.rate,
            config.disorder,
            2 * window,
            resolution,
        )?;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        Ok(Self {
            timeline,
            rendering: config.rendering,
            late_share: config.late_share,
            malformed_share: config.malformed_share,
            window,
            partitions: config.partitions,
            latest: vec![None; partition_count(config.partitions)?],
            events: config.events,
            emitted: 0,
            visitors: Visitors::new(config, &mut rng)?,
            rng,
        })
    }
}

impl Iterator for Clicks {
    type Item = Click;

    fn next(&mut self) -> Option<Click> {
        if self.emitted == self.events {
            return None;
        }
        let rng = &mut self.rng;
        let arrival = self.timeline.arrival(self.emitted);
        self.emitted += 1;

        let page = self.visitors.next_page(rng);
        let user_id = format!("u-{:06}", page.user);
        let partition = partition_of(user_id.as_bytes(), self.partitions);
        let latest = &mut self.latest[usize::try_from(partition).expect("a table has this index")];

        let on_time = self.timeline.event_time(arrival, rng);
        let truth = if rng.random_bool(self.malformed_share) {
            Truth::Malformed(Malformed::draw(self.rendering, rng))
        } else if page.bot {
            Truth::Bot {
                event_time: on_time,
            }
        } else {
            // Before its first row a partition has no watermark to be late by.
            let late = latest
                .filter(|_| rng.random_bool(self.late_share))
                .map(|latest| late_time(latest, &self.timeline, self.window, rng));
            Truth::Visit {
                user: page.user,
                event_time: late.unwrap_or(on_time),
                late: late.is_some(),
            }
        };
        let event_time = match truth {
            Truth::Visit { event_time, .. } | Truth::Bot { event_time } => {
                *latest = (*latest).max(Some(event_time));
                event_time
            }
            Truth::Malformed(_) => on_time,
        };

        let row = Row {
            event_time,
            user_id: &user_id,
            page,
        };
        let value = match truth {
            Truth::Malformed(kind) => kind.render(&row, self.rendering, rng),
            _ => Some(row.render(self.rendering)),
        };
        Some(Click {
            partition,
            key: user_id.into_bytes(),
            value,
            timestamp: arrival,
            truth,
        })
    }
}

/// An event time in the last window that the watermark of a partition has passed, or just before it where
/// times are rounded.
fn late_time(latest: i64, timeline: &Timeline, window: i64, rng: &mut ChaCha8Rng) -> i64 {
    let watermark = latest - timeline.disorder();
    let passed = watermark.div_euclid(window) * window;
    timeline.round_down(passed - rng.random_range(1..=window))
}
