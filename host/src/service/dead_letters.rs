//! The dead letters of a pipeline: the records that could not be processed, as they stand in their topic.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reading::{self, text};
use crate::log::{Bounds, Log, LogError, Offset, RecordBatch};
use crate::time::Clock;

/// How many offsets more than twice the letters asked for are looked at, in each partition.
const SLACK: i64 = 64;
/// A record that could not be processed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct DeadLetter {
    /// The partition of the dead-letter topic in which it is.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The time of the record, in RFC 3339.
    pub timestamp: String,
    /// Why it is here.
    pub reason: String,
    /// The step that refused it, or `decode`.
    pub step: String,
    /// The component of that step, as `name@version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// SHA-256 of that component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where the record stands in the source, as `topic/partition/offset`.
    pub source: String,
    /// The record's key, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The record's key in base64, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// The record's value, if it is text. Lists leave values out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The record's value in base64, if it is not text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
}

/// The latest dead letters in a topic, at most so many, the latest first, without their values. None where there is no topic yet.
///
/// # Errors
/// If the log can't be read.
pub(super) fn latest<L: Log>(
    log: &L,
    topic: &str,
    most: usize,
    clock: &impl Clock,
) -> Result<Vec<DeadLetter>, LogError> {
    // Each transaction takes an offset for itself, and those that were aborted take more.
    let reach = i64::try_from(most).unwrap_or(i64::MAX);
    let reach = reach.saturating_mul(2).saturating_add(SLACK);
    if log.topic(topic)?.is_none() {
        return Ok(Vec::new());
    }
    let span = |bounds: &Bounds| {
        let begin = bounds.start.0.max(bounds.end.0.saturating_sub(reach));
        begin..bounds.end.0
    };
    let spans: Vec<_> = log.bounds(topic)?.iter().map(span).collect();
    let mut letters = Vec::new();
    reading::read(log, topic, &spans, clock, |batch, row| {
        letters.push((batch.timestamp(row), letter(batch, row)));
        ControlFlow::Continue(())
    })?;
    letters.sort_by(|(a_at, a), (b_at, b)| {
        let place = |letter: &DeadLetter| (letter.partition, letter.offset);
        (b_at, place(b)).cmp(&(a_at, place(a)))
    });
    letters.truncate(most);
    Ok(letters.into_iter().map(|(_, letter)| letter).collect())
}

/// The dead letter at an offset, with its value; `None` if there is none.
///
/// # Errors
/// If the log can't be read.
pub(super) fn one<L: Log>(
    log: &L,
    topic: &str,
    partition: i32,
    offset: Offset,
    clock: &impl Clock,
) -> Result<Option<DeadLetter>, LogError> {
    if log.topic(topic)?.is_none() {
        return Ok(None);
    }
    let all = log.bounds(topic)?;
    let bounds = usize::try_from(partition).ok().and_then(|at| all.get(at));
    if !bounds.is_some_and(|bounds| (bounds.start..bounds.end).contains(&offset)) {
        return Ok(None);
    }
    let span = |(at, bounds): (i32, &Bounds)| match at == partition {
        true => offset.0..offset.next().0,
        // Nothing of the others is wanted.
        false => bounds.end.0..bounds.end.0,
    };
    let spans: Vec<_> = (0..).zip(&all).map(span).collect();
    let mut found = None;
    reading::read(log, topic, &spans, clock, |batch, row| {
        found = Some(with_value(batch, row));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn letter(batch: &RecordBatch, row: usize) -> DeadLetter {
    let headers: BTreeMap<&str, &[u8]> = batch
        .headers(row)
        .map(|header| (header.name, header.value))
        .collect();
    let header = |name: &str| {
        let value = headers.get(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let known = |name: &str| header(name).unwrap_or_default();
    let (key, key_base64) = text(batch.key(row));
    DeadLetter {
        partition: batch.partition().partition,
        offset: batch.offset(row).0,
        timestamp: batch.timestamp(row).to_string(),
        reason: known("millstream.reason"),
        step: known("millstream.step"),
        plugin: header("millstream.plugin"),
        sha256: header("millstream.digest"),
        source: format!(
            "{}/{}/{}",
            known("millstream.topic"),
            known("millstream.partition"),
            known("millstream.offset")
        ),
        key,
        key_base64,
        value: None,
        value_base64: None,
    }
}

fn with_value(batch: &RecordBatch, row: usize) -> DeadLetter {
    let (value, value_base64) = text(batch.value(row));
    DeadLetter {
        value,
        value_base64,
        ..letter(batch, row)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;
    use crate::log::embedded::EmbeddedLog;
    use crate::log::{Outbox, RecordParts, TopicSpec, Writer as _};
    use crate::time::{SystemClock, Timestamp};

    #[test]
    fn the_latest_come_first_and_one_is_shown_whole() {
        let log = EmbeddedLog::in_memory();
        let clock = SystemClock::new();
        assert_eq!(latest(&log, "dead", 10, &clock).unwrap(), []);
        log.create_topic(&TopicSpec {
            name: "dead".to_owned(),
            partitions: 2,
            settings: BTreeMap::new(),
        })
        .unwrap();
        assert_eq!(latest(&log, "dead", 10, &clock).unwrap(), []);
        let topic = "dead".into();
        let mut outbox = Outbox::new();
        for n in 0..6_u8 {
            outbox.push(
                &topic,
                RecordParts {
                    partition: Some(i32::from(n % 2)),
                    timestamp: Timestamp(i64::from(n)),
                    key: None,
                    value: Some(if n == 5 { &[0xff] } else { b"{" }),
                    headers: &[("millstream.reason", b"no"), ("millstream.step", b"decode")],
                },
            );
        }
        log.writer().unwrap().append(&outbox).unwrap();
        let letters = latest(&log, "dead", 3, &clock).unwrap();
        let places: Vec<_> = letters.iter().map(|l| (l.partition, l.offset)).collect();
        assert_eq!(places, [(1, 2), (0, 2), (1, 1)]);
        assert_eq!((&*letters[0].reason, &*letters[0].step), ("no", "decode"));
        assert_eq!(letters[0].value_base64, None, "a list has no values");
        let show =
            |partition, offset| one(&log, "dead", partition, Offset(offset), &clock).unwrap();
        assert_eq!(show(1, 2).unwrap().value_base64.as_deref(), Some("/w=="));
        assert_eq!(show(0, 0).unwrap().value.as_deref(), Some("{"));
        assert_eq!(
            (show(0, 3), show(2, 0), show(-1, 0), show(0, -1)),
            (None, None, None, None)
        );
    }
}
