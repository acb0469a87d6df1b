//! What time makes of decoded rows: those dated too far in the future are rejected, the others move their partition's watermark,
//! and each gets the watermark that it is judged by later.

use super::WorkerError;
use super::steps::Rejected;
use crate::decode::{Decoded, Failure};
use crate::log::RecordBatch;
use crate::time::Timestamp;
use crate::window::{Horizon, PartitionWatermark};

/// Takes note of rows in the order of the log. Returns the watermark before each that stays in `decoded`; those that do not are
/// added to `rejected`.
///
/// # Errors
/// If the columns can't be put together, which is a bug.
pub(super) fn judge(
    decoded: &mut Decoded,
    watermark: &mut PartitionWatermark,
    horizon: Option<Horizon>,
    rejected: &mut Vec<Rejected>,
) -> Result<Vec<Timestamp>, WorkerError> {
    if let Some(horizon) = horizon {
        reject_beyond(horizon, decoded, rejected)?;
    }
    let times = decoded.event_times.iter();
    Ok(match decoded.watermarks.as_slice() {
        [] => times.map(|time| watermark.observe(*time)).collect(),
        marks => times
            .zip(marks)
            .map(|(time, mark)| watermark.observe_marked(*time, *mark))
            .collect(),
    })
}

/// Rejects the rows that lie beyond the horizon, by their event times or by the watermarks that they carry: either would close all
/// windows up to there.
fn reject_beyond(
    horizon: Horizon,
    decoded: &mut Decoded,
    rejected: &mut Vec<Rejected>,
) -> Result<(), WorkerError> {
    let mut kept: Vec<u32> = Vec::with_capacity(decoded.source.len());
    for (row, time) in (0..).zip(&decoded.event_times) {
        let mark = decoded.watermarks.get(row as usize).copied().flatten();
        let refusal = horizon.refusal("its event time", *time);
        let refusal = refusal.or_else(|| horizon.refusal("its watermark", mark?));
        match refusal {
            None => kept.push(row),
            Some(reason) => rejected.push(Rejected {
                record: decoded.source[row as usize],
                function: None,
                reason,
            }),
        }
    }
    if kept.len() == decoded.source.len() {
        return Ok(());
    }
    let rows = decoded.rows.take(&kept);
    decoded.rows = rows.map_err(|error| WorkerError::Bug(error.to_string()))?;
    keep(&mut decoded.source, &kept);
    keep(&mut decoded.event_times, &kept);
    if !decoded.watermarks.is_empty() {
        keep(&mut decoded.watermarks, &kept);
    }
    Ok(())
}

fn keep<T: Copy>(values: &mut Vec<T>, kept: &[u32]) {
    *values = kept.iter().map(|row| values[*row as usize]).collect();
}

/// Says of which records the watermark could not be read. Returns how many there are.
pub(super) fn tell_unread(batch: &RecordBatch, unread: &[Failure]) -> usize {
    if let Some(first) = unread.first() {
        tracing::warn!(
            partition = %batch.partition(),
            offset = %batch.offset(first.row as usize),
            records = unread.len(),
            "watermarks that can't be read do not move time: {}",
            first.reason
        );
    }
    unread.len()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rows::Rows;

    fn decoded(times: &[i64], marks: &[Option<i64>]) -> Decoded {
        Decoded {
            source: (10..).take(times.len()).collect(),
            event_times: times.iter().copied().map(Timestamp).collect(),
            watermarks: marks.iter().map(|mark| mark.map(Timestamp)).collect(),
            rows: Rows::new(times.len(), Vec::new()),
            ..Decoded::default()
        }
    }

    #[test]
    fn a_row_from_the_far_future_moves_no_watermark() {
        let mut watermark = PartitionWatermark::new(Duration::ZERO);
        let horizon = Some(Horizon::new(Timestamp(100), Duration::from_millis(50)));
        let mut rows = decoded(&[90, 151, 120], &[]);
        let mut rejected = Vec::new();
        let judged = judge(&mut rows, &mut watermark, horizon, &mut rejected);
        let judged = judged.expect("there are no columns");
        assert_eq!(judged, [Timestamp::MIN, Timestamp(90)]);
        assert_eq!(rows.source, [10, 12]);
        assert_eq!(rows.event_times, [Timestamp(90), Timestamp(120)]);
        assert_eq!(rows.rows.len, 2);
        assert_eq!(watermark.at(), Timestamp(120));
        let told: Vec<_> = rejected.iter().map(|r| (r.record, r.function)).collect();
        assert_eq!(told, [(11, None)]);
        assert!(rejected[0].reason.contains("max_future"), "{rejected:?}");
    }

    #[test]
    fn a_watermark_from_the_far_future_is_refused_with_its_row() {
        let mut watermark = PartitionWatermark::new(Duration::ZERO);
        let horizon = Some(Horizon::new(Timestamp(100), Duration::ZERO));
        let mut rows = decoded(&[90, 91, 92], &[None, Some(101), Some(80)]);
        let mut rejected = Vec::new();
        let judged = judge(&mut rows, &mut watermark, horizon, &mut rejected);
        let judged = judged.expect("there are no columns");
        assert_eq!(judged, [Timestamp::MIN; 2]);
        assert_eq!(watermark.at(), Timestamp(80));
        assert!(rejected[0].reason.starts_with("its watermark"));
    }
}
