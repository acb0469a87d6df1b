//! Writing generated rows in chunks, at a pace or as fast as possible.

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::target::Target;
use crate::cli::Failure;
use crate::generate::{Click, Order};
use crate::log::{Outbox, RecordParts};
use crate::time::{Clock, Timestamp};

/// How many rows are written at once, at most.
const CHUNK_ROWS: usize = 4_096;
/// How many bytes are written at once, give or take a row.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// The shortest pause: at high rates, all rows that came due in it are written at once.
const TICK: Duration = Duration::from_millis(10);
/// The longest pause: how long a signal may have to wait.
const NAP: Duration = Duration::from_millis(100);

/// A generated row, whatever it tells of.
pub(super) struct Row {
    partition: i32,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    timestamp: Timestamp,
}

impl From<Click> for Row {
    fn from(click: Click) -> Self {
        Row {
            partition: click.partition,
            key: click.key,
            value: click.value,
            timestamp: Timestamp(click.timestamp),
        }
    }
}

impl From<Order> for Row {
    fn from(order: Order) -> Self {
        Row {
            partition: order.partition,
            key: order.key,
            value: Some(order.value),
            timestamp: Timestamp(order.timestamp),
        }
    }
}

/// How it ended.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum End {
    /// So many rows have been written: all there were, or those until the stop.
    Written(u64),
    /// Nobody reads standard output any more.
    ReaderGone,
}

/// Writes all rows, until `stop` is set. Every row taken from `rows` has been written when it returns
/// [`End::Written`].
///
/// # Errors
/// What the target returns.
pub(super) fn produce(
    rows: impl IntoIterator<Item = Row>,
    mut target: Target,
    rate: Option<NonZeroU32>,
    clock: &impl Clock,
    stop: &AtomicBool,
) -> Result<End, Failure> {
    let topic = target.topic();
    let mut rows = rows.into_iter();
    let mut staged = Outbox::new();
    let mut taken = 0;
    let started = clock.monotonic();
    while !stop.load(Ordering::Relaxed) {
        let elapsed = clock.monotonic().saturating_sub(started);
        if let Some(early) = rate.and_then(|rate| until_due(taken, rate, elapsed)) {
            if flush(&mut staged, &mut target)?.is_break() {
                return Ok(End::ReaderGone);
            }
            clock.pause(early.clamp(TICK, NAP));
            continue;
        }
        let Some(row) = rows.next() else { break };
        taken += 1;
        let parts = RecordParts {
            partition: Some(row.partition),
            timestamp: row.timestamp,
            key: Some(&row.key),
            value: row.value.as_deref(),
            headers: &[],
        };
        staged.push(&topic, parts);
        let full = staged.len() >= CHUNK_ROWS || staged.byte_len() >= CHUNK_BYTES;
        if full && flush(&mut staged, &mut target)?.is_break() {
            return Ok(End::ReaderGone);
        }
    }
    match flush(&mut staged, &mut target)? {
        ControlFlow::Continue(()) => Ok(End::Written(taken)),
        ControlFlow::Break(()) => Ok(End::ReaderGone),
    }
}

fn flush(staged: &mut Outbox, target: &mut Target) -> Result<ControlFlow<()>, Failure> {
    if staged.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    let flow = target.write(staged)?;
    staged.clear();
    Ok(flow)
}

/// How long it is, `elapsed` after the start, until the row with this number is due; `None` if it is.
fn until_due(number: u64, rate: NonZeroU32, elapsed: Duration) -> Option<Duration> {
    const NANOS: u64 = 1_000_000_000;
    let rate = u64::from(rate.get());
    let due =
        Duration::from_secs(number / rate) + Duration::from_nanos(number % rate * NANOS / rate);
    due.checked_sub(elapsed).filter(|early| !early.is_zero())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use std::cell::{Cell, RefCell};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::log::{LogError, Writer};

    /// Partition and value of each row, by call.
    type Calls = Arc<Mutex<Vec<Vec<(Option<i32>, Option<Vec<u8>>)>>>>;

    /// A log that notes what it is given.
    struct Noted(Calls);

    impl Writer for Noted {
        fn append(&mut self, outbox: &Outbox) -> Result<(), LogError> {
            let rows = outbox
                .records()
                .map(|record| (record.partition(), record.value().map(<[u8]>::to_vec)));
            self.0.lock().unwrap().push(rows.collect());
            Ok(())
        }
    }

    /// A clock on which time passes only while somebody pauses.
    #[derive(Default)]
    struct Still(Cell<Duration>);

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }

        fn monotonic(&self) -> Duration {
            self.0.get()
        }

        fn pause(&self, duration: Duration) {
            self.0.set(self.0.get() + duration);
        }
    }

    fn target(calls: &Calls) -> Target {
        Target::Topic {
            name: "t".into(),
            writer: Box::new(Noted(Arc::clone(calls))),
        }
    }

    fn row(number: usize) -> Row {
        Row {
            partition: i32::try_from(number % 3).unwrap(),
            key: Vec::new(),
            value: (!number.is_multiple_of(5)).then(|| number.to_string().into_bytes()),
            timestamp: Timestamp(0),
        }
    }

    #[test]
    fn rows_are_written_in_chunks_as_they_are() {
        let calls = Calls::default();
        let count = 2 * CHUNK_ROWS + 1;
        let stop = AtomicBool::new(false);
        let end = produce(
            (0..count).map(row),
            target(&calls),
            None,
            &Still::default(),
            &stop,
        )
        .unwrap();
        assert_eq!(end, End::Written(count as u64));
        let calls = calls.lock().unwrap();
        let sizes: Vec<usize> = calls.iter().map(Vec::len).collect();
        assert_eq!(sizes, [CHUNK_ROWS, CHUNK_ROWS, 1]);
        for (number, written) in calls.iter().flatten().enumerate() {
            let row = row(number);
            assert_eq!(written, &(Some(row.partition), row.value));
        }
    }

    #[test]
    fn large_rows_make_small_chunks() {
        let calls = Calls::default();
        let large = |number| Row {
            value: Some(vec![0; CHUNK_BYTES]),
            ..row(number)
        };
        let stop = AtomicBool::new(false);
        produce(
            (0..2).map(large),
            target(&calls),
            None,
            &Still::default(),
            &stop,
        )
        .unwrap();
        assert_eq!(calls.lock().unwrap().len(), 2);
    }

    #[test]
    fn what_was_taken_before_a_stop_is_written() {
        let calls = Calls::default();
        let stop = AtomicBool::new(false);
        let rows = (0..100).map(|number| {
            stop.store(number == 9, Ordering::Relaxed);
            row(number)
        });
        let end = produce(rows, target(&calls), None, &Still::default(), &stop).unwrap();
        assert_eq!(end, End::Written(10));
        assert_eq!(calls.lock().unwrap().concat().len(), 10);
    }

    #[test]
    fn rows_are_written_when_they_are_due() {
        let calls = Calls::default();
        let clock = Still::default();
        let stop = AtomicBool::new(false);
        let seen = RefCell::new(Vec::new());
        let rows = (0..3).map(|number| {
            let written = calls.lock().unwrap().concat().len();
            seen.borrow_mut().push((clock.monotonic(), written));
            row(number)
        });
        produce(rows, target(&calls), NonZeroU32::new(2), &clock, &stop).unwrap();
        let expected = [(0, 0), (500, 1), (1_000, 2)];
        let expected = expected.map(|(millis, written)| (Duration::from_millis(millis), written));
        assert_eq!(seen.into_inner(), expected);
        assert_eq!(calls.lock().unwrap().concat().len(), 3);
    }

    #[test]
    fn at_a_high_rate_rows_are_written_by_the_tick() {
        let calls = Calls::default();
        let stop = AtomicBool::new(false);
        let rate = NonZeroU32::new(100_000);
        let rows = (0..3_000).map(row);
        produce(rows, target(&calls), rate, &Still::default(), &stop).unwrap();
        let sizes: Vec<usize> = calls.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 1_000, 1_000, 999]);
    }

    #[test]
    fn rows_come_due_evenly() {
        let rate = NonZeroU32::new(4).unwrap();
        let wait = |number, millis| until_due(number, rate, Duration::from_millis(millis));
        assert_eq!(wait(0, 0), None);
        assert_eq!(wait(1, 0), Some(Duration::from_millis(250)));
        assert_eq!(wait(1, 249), Some(Duration::from_millis(1)));
        assert_eq!(wait(1, 250), None);
        assert_eq!(wait(9, 2_000), Some(Duration::from_millis(250)));
        assert_eq!(wait(1, 5_000), None);
        assert!(wait(u64::MAX, 0).is_some());
    }
}
