//! The clicks of the demo: each is written when its time has come.

use std::iter::Peekable;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lock;
use crate::generate::{Click, Clicks, Oracle};
use crate::log::{Log, LogError, Outbox, RecordParts, Writer};
use crate::time::{Clock, Timestamp};

/// How often it is looked whether more clicks are due.
const TICK: Duration = Duration::from_millis(50);
/// The most clicks written at once, should many be due.
const MOST: usize = 10_000;

/// Clicks on their way to a topic.
pub(super) struct Source {
    clicks: Peekable<Clicks>,
    topic: Arc<str>,
    due: Outbox,
}

impl Source {
    /// For a topic with the partitions of the clicks.
    pub(super) fn new(clicks: Clicks, topic: &str) -> Self {
        Self {
            clicks: clicks.peekable(),
            topic: topic.into(),
            due: Outbox::new(),
        }
    }

    /// Writes each click at its time, until there are no more or `stop` says so. The oracle hears of a click before the
    /// log does. Blocks its thread.
    ///
    /// # Errors
    /// If the log does not take the clicks.
    pub(super) fn write<L: Log>(
        mut self,
        log: &L,
        clock: &impl Clock,
        oracle: &Mutex<Oracle>,
        stop: impl Fn() -> bool,
    ) -> Result<(), LogError> {
        let mut writer = log.writer()?;
        while self.clicks.peek().is_some() && !stop() {
            let now = clock.now();
            while self.stage(now, &mut lock(oracle)) {
                writer.append(&self.due)?;
            }
            std::thread::park_timeout(TICK);
        }
        Ok(())
    }

    /// Stages the clicks whose time has come, in place of those staged before. Says whether there are any.
    fn stage(&mut self, now: Timestamp, oracle: &mut Oracle) -> bool {
        self.due.clear();
        while self.due.len() < MOST {
            let Some(click) = self.clicks.next_if(|click| click.timestamp <= now.0) else {
                break;
            };
            oracle.observe(&click);
            self.due.push(&self.topic, parts(&click));
        }
        !self.due.is_empty()
    }
}

/// A click as a record.
fn parts(click: &Click) -> RecordParts<'_> {
    RecordParts {
        partition: Some(click.partition),
        timestamp: Timestamp(click.timestamp),
        key: Some(&click.key),
        value: click.value.as_deref(),
        headers: &[],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::generate::ClickConfig;

    #[test]
    fn a_click_is_staged_once_and_not_before_its_time() {
        let config = ClickConfig {
            events: 30_000,
            rate: 1_000,
            ..ClickConfig::default()
        };
        let start = config.start.as_millisecond();
        let mut oracle = Oracle::new(config.window, config.disorder, config.partitions).unwrap();
        let mut source = Source::new(Clicks::new(config).unwrap(), "clicks");

        assert!(!source.stage(Timestamp(start - 1), &mut oracle));
        assert!(source.stage(Timestamp(start + 99), &mut oracle));
        assert_eq!(source.due.len(), 100);
        assert!(!source.stage(Timestamp(start + 99), &mut oracle));
        let mut sizes = Vec::new();
        while source.stage(Timestamp(start + 60_000), &mut oracle) {
            sizes.push(source.due.len());
        }
        assert_eq!(sizes, [MOST, MOST, 9_900]);
        assert_eq!(oracle.expected().rows, 30_000);
    }
}
