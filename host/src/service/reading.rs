//! Reading a part of a topic, from where it begins to where it ended when somebody looked.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::log::{Fetched, Log, LogError, Offset, Reader as _, RecordBatch};
use crate::time::Clock;

/// How long to wait for records at a time.
const WAIT: Duration = Duration::from_millis(200);
/// How long the reading may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The offsets of a partition that are read; by the number of the partition, one for each that the topic has.
pub(super) type Span = Range<i64>;

/// Calls `visit` with each committed record of these parts, in order within each partition, until it breaks off.
///
/// # Errors
/// If the log can't be read, or takes too long.
pub(super) fn read<L: Log>(
    log: &L,
    topic: &str,
    spans: &[Span],
    clock: &impl Clock,
    mut visit: impl FnMut(&RecordBatch, usize) -> ControlFlow<()>,
) -> Result<(), LogError> {
    let from: Vec<(i32, Offset)> = (0..)
        .zip(spans)
        .map(|(partition, span)| (partition, Offset(span.start)))
        .collect();
    let mut ends: BTreeMap<i32, Offset> = (0..)
        .zip(spans)
        .filter(|(_, span)| !span.is_empty())
        .map(|(partition, span)| (partition, Offset(span.end)))
        .collect();
    if ends.is_empty() {
        return Ok(());
    }
    let mut reader = log.reader(topic, &from)?;
    let mut fetched = Fetched::new();
    let until = clock.monotonic() + PATIENCE;
    while !ends.is_empty() && clock.monotonic() < until {
        reader.poll(&mut fetched, WAIT)?;
        for batch in fetched.batches() {
            let partition = batch.partition().partition;
            for row in 0..batch.len() {
                let offset = batch.offset(row);
                if ends.get(&partition).is_some_and(|end| offset < *end)
                    && visit(batch, row).is_break()
                {
                    return Ok(());
                }
            }
            let last = batch.last_offset();
            let is_read = |end: &Offset| last.is_some_and(|last| last.next() >= *end);
            if ends.get(&partition).is_some_and(is_read) {
                ends.remove(&partition);
            }
        }
        // A partition may end with offsets that no reader gets.
        for partition in reader.at_end() {
            ends.remove(&partition);
        }
    }
    if ends.is_empty() {
        Ok(())
    } else {
        let what = format!("the records of {topic} did not come within {PATIENCE:?}");
        Err(LogError::Unavailable(what))
    }
}

/// Bytes as text if they are, in base64 otherwise.
pub(super) fn text(bytes: Option<&[u8]>) -> (Option<String>, Option<String>) {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => (None, None),
        Some((Ok(text), _)) => (Some(text.to_owned()), None),
        Some((Err(_), bytes)) => (None, Some(base64(bytes))),
    }
}

/// Bytes in base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
