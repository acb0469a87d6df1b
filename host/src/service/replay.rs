//! Dead letters are put back into the source: the raw record, its key and its time, into the partition that it came from, with a header
//! that says which dead letter it was. What reads the source takes it for a record like any other.
//!
//! # Once
//! Which dead letters have been put back stands in the topic `NAME-replays`, under `partition/offset` of each, written in the same
//! transaction as the record. Replays of a pipeline are made by one member of a group of their own: joining ends what an earlier one left
//! open and fences it, and only then is the topic read. So whatever a crash or a second caller interrupts, each is put back once.

mod member;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ServiceError;
use super::reading::{self, Span};
use crate::log::{Bounds, Log, LogError};
use crate::pipeline::config::PipelineConfig;
use crate::time::Clock;
use member::{Letter, Replaying};

/// How many dead letters one transaction puts back at most, and how many bytes of them.
const AT_ONCE: (usize, usize) = (1_000, 8 << 20);
/// After so long no further transaction is begun.
const LONG: Duration = Duration::from_secs(10);

/// Which dead letters to put back: one of `at`, `reason` and `all`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// The one at this place in the dead-letter topic, as `partition/offset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Those whose reason has this text in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// All that there are when it is asked.
    #[serde(default)]
    pub all: bool,
    /// What the answer before this one has as `next`, to go on there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What has been put back.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ReplayView {
    /// How many were put back.
    pub replayed: u64,
    /// How many had been before.
    pub already: u64,
    /// How many could not be.
    pub left_out: u64,
    /// The first of those, with the reason.
    pub left_out_first: Vec<LeftOut>,
    /// There are more: ask again with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A dead letter that can't be put back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct LeftOut {
    /// Where it is, as `partition/offset`.
    pub at: String,
    /// Why not.
    pub why: String,
}

/// What a request asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Wanted {
    which: Which,
    spans: Option<Vec<Span>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Which {
    At(i32, i64),
    Reason(String),
    All,
}

impl ReplayRequest {
    /// What it asks for.
    ///
    /// # Errors
    /// If it contradicts itself, or a part of it can't be read.
    pub(super) fn wanted(&self) -> Result<Wanted, String> {
        let which = match (&self.at, &self.reason, self.all) {
            (Some(at), None, false) => {
                let place = at.split_once('/').and_then(|(partition, offset)| {
                    Some((partition.parse().ok()?, offset.parse().ok()?))
                });
                let (partition, offset) =
                    place.ok_or("at: expected a partition and an offset, such as 0/17")?;
                Which::At(partition, offset)
            }
            (None, Some(reason), false) if !reason.is_empty() => Which::Reason(reason.clone()),
            (None, None, true) => Which::All,
            _ => return Err("expected one of `at`, `reason` and `all`".to_owned()),
        };
        let spans = match &self.next {
            None => None,
            Some(text) => Some(spans(text).ok_or("next: expected what an answer had as `next`")?),
        };
        Ok(Wanted { which, spans })
    }
}

fn spans(text: &str) -> Option<Vec<Span>> {
    let span = |part: &str| {
        let (from, to) = part.split_once('-')?;
        let (from, to): (i64, i64) = (from.parse().ok()?, to.parse().ok()?);
        (0 <= from).then_some(from..to)
    };
    text.split(',').map(span).collect()
}

fn written(spans: &[Span]) -> String {
    let span = |span: &Span| format!("{}-{}", span.start, span.end);
    spans.iter().map(span).collect::<Vec<_>>().join(",")
}

/// Puts dead letters back, as many as there is time for.
///
/// # Errors
/// If there is no such dead letter, another replay was begun meanwhile, or the log does not answer.
pub(super) fn replay<L: Log>(
    log: &L,
    config: &PipelineConfig,
    wanted: &Wanted,
    clock: &impl Clock,
) -> Result<ReplayView, ServiceError> {
    let dead = &config.dead_letter_topic;
    let mut view = ReplayView::default();
    let bounds = match log.topic(dead)? {
        Some(_) => log.bounds(dead)?,
        None => Vec::new(),
    };
    let mut spans: Vec<Span> = match (&wanted.which, &wanted.spans) {
        (Which::At(partition, offset), _) => {
            let is_it = |(at, bounds): (i32, &Bounds)| {
                let all = bounds.start.0..bounds.end.0;
                match at == *partition && all.contains(offset) {
                    true => *offset..*offset + 1,
                    false => all.end..all.end,
                }
            };
            (0..).zip(&bounds).map(is_it).collect()
        }
        (_, None) => bounds.iter().map(|at| at.start.0..at.end.0).collect(),
        (_, Some(spans)) if spans.len() == bounds.len() => spans
            .iter()
            .zip(&bounds)
            .map(|(span, at)| span.start.max(at.start.0)..span.end.min(at.end.0))
            .collect(),
        (_, Some(_)) => {
            let why =
                "next: the dead-letter topic has another number of partitions now: begin anew";
            return Err(ServiceError::Unfit(why.to_owned()));
        }
    };
    let mut found = false;
    if spans.iter().any(|span| !span.is_empty()) {
        let mut replaying = Replaying::join(log, config, clock)?;
        let until = clock.monotonic() + LONG;
        while spans.iter().any(|span| !span.is_empty()) {
            if found && clock.monotonic() >= until {
                view.next = Some(written(&spans));
                break;
            }
            let letters = next(log, dead, &wanted.which, &mut spans, clock)?;
            found = true;
            replaying.put_back(letters, &mut view)?;
        }
    }
    match wanted.which {
        Which::At(partition, offset) if view.replayed + view.already + view.left_out == 0 => {
            Err(ServiceError::NoDeadLetter {
                pipeline: config.name.clone(),
                partition,
                offset,
            })
        }
        _ => Ok(view),
    }
}

/// The next dead letters that are wanted, and what is then left to look at.
fn next<L: Log>(
    log: &L,
    topic: &str,
    which: &Which,
    spans: &mut [Span],
    clock: &impl Clock,
) -> Result<Vec<Letter>, LogError> {
    let (mut letters, mut bytes) = (Vec::new(), 0);
    let mut left = spans.to_vec();
    let mut is_full = false;
    reading::read(log, topic, spans, clock, |batch, row| {
        let headers: BTreeMap<&str, &[u8]> = batch
            .headers(row)
            .map(|header| (header.name, header.value))
            .collect();
        let is_wanted = match which {
            Which::All | Which::At(..) => true,
            Which::Reason(text) => headers
                .get("millstream.reason")
                .is_some_and(|reason| String::from_utf8_lossy(reason).contains(text)),
        };
        let at = usize::try_from(batch.partition().partition).unwrap_or(usize::MAX);
        if let Some(span) = left.get_mut(at) {
            span.start = batch.offset(row).next().0;
        }
        if is_wanted {
            let letter = Letter::of(batch, row, &headers);
            bytes += letter.value.as_ref().map_or(0, Vec::len);
            letters.push(letter);
        }
        is_full = letters.len() >= AT_ONCE.0 || bytes >= AT_ONCE.1;
        match is_full {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    for (span, left) in spans.iter_mut().zip(left) {
        span.start = match is_full {
            true => left.start,
            false => span.end,
        };
    }
    Ok(letters)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    #[test]
    fn a_request_asks_for_one_thing() {
        let request = |at: Option<&str>, reason: Option<&str>, all| ReplayRequest {
            at: at.map(str::to_owned),
            reason: reason.map(str::to_owned),
            all,
            next: None,
        };
        let which = |request: ReplayRequest| request.wanted().map(|wanted| wanted.which);
        assert_eq!(
            which(request(Some("0/17"), None, false)),
            Ok(Which::At(0, 17))
        );
        let reason = Which::Reason("trap".to_owned());
        assert_eq!(which(request(None, Some("trap"), false)), Ok(reason));
        assert_eq!(which(request(None, None, true)), Ok(Which::All));
        for wrong in [
            request(None, None, false),
            request(Some("0/1"), None, true),
            request(None, Some(""), false),
            request(Some("17"), None, false),
        ] {
            assert!(which(wrong).is_err());
        }
    }

    #[test]
    fn where_it_goes_on_is_read_as_it_is_written() {
        let all = vec![0..5, 3..3];
        assert_eq!(written(&all), "0-5,3-3");
        assert_eq!(spans("0-5,3-3"), Some(all));
        for wrong in ["", "5", "a-b", "-1-4"] {
            assert_eq!(spans(wrong), None, "{wrong}");
        }
    }
}
