//! Reads all that a partition has: for small topics that say what is the case, and whose end one wants to have seen before one goes on.

use std::time::Duration;

use super::{Fetched, Log, LogError, Offset, Reader as _, RecordBatch, TopicPartition};

/// How long one poll waits for records.
const WAIT: Duration = Duration::from_millis(50);
/// How often in a row nothing may come before the end is in sight.
const MOST_EMPTY: u32 = 600;

/// Hands over the committed records of a partition, from its start to its end as that is now, and maybe some that come meanwhile. Returns
/// where whoever reads on begins.
///
/// # Errors
/// If the log can't be read or does not come to the end, or `visit` refuses.
pub fn read_whole<L: Log>(
    log: &L,
    at: &TopicPartition,
    mut visit: impl FnMut(&RecordBatch) -> Result<(), LogError>,
) -> Result<Offset, LogError> {
    let bounds = log.bounds(&at.topic)?;
    let partition = usize::try_from(at.partition).ok();
    let bounds = partition.and_then(|partition| bounds.get(partition));
    let bounds = bounds.ok_or_else(|| LogError::Refused(format!("there is no partition {at}")))?;
    let mut next = bounds.start;
    if next >= bounds.end {
        return Ok(next);
    }
    let mut reader = log.partition_reader(at, next)?;
    let mut fetched = Fetched::new();
    let mut empty = 0;
    // It may end with offsets that no reader gets.
    while next < bounds.end && !reader.at_end().contains(&at.partition) {
        reader.poll(&mut fetched, WAIT)?;
        empty = if fetched.is_empty() { empty + 1 } else { 0 };
        if empty > MOST_EMPTY {
            return Err(LogError::Unavailable(format!(
                "{at} does not come to its end"
            )));
        }
        for batch in fetched.batches() {
            visit(batch)?;
            next = batch.last_offset().map_or(next, Offset::next);
        }
    }
    Ok(next.max(bounds.end))
}
