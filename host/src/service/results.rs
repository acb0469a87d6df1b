//! The results of a pipeline as they stand in its sink: of each window and key the newest revision, as far back as is looked.
//!
//! They are read from the topic each time, so they are the same on whichever host is asked, and after a restart. All that is published of a
//! window and key is in one partition, in order: the last publication there is the newest, also after a reset, which begins with revision
//! 0 again. A result that was taken back is gone, unless another came after it. Where the pipeline writes differences (`updates =
//! "discarding"`) all of them are kept.

mod asked;
mod gather;

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use asked::{Cursor, Positions, WantedResults};
use gather::{Gathered, Seen, Shape};

use super::error::ServiceError;
use super::reading::{self, Span};
use crate::log::{Bounds, Log};
use crate::pipeline::config::{Output, PipelineConfig, Updates};
use crate::time::Clock;

/// How many bytes of results are gathered for one answer.
const MOST_BYTES: usize = 32 << 20;

/// A result.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ResultView {
    /// The partition of the sink in which it is.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The record's timestamp, in RFC 3339: the last instant of its window.
    pub timestamp: String,
    /// The record's key: the window's, or the window's name where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What was written: the window's bounds, its key, what the function gave, and the revision. Missing if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub value: Option<Value>,
    /// What was written, in base64, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
}

/// Results of a pipeline.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ResultsView {
    /// The latest windows first; with `after`, in the order in which they were written.
    pub results: Vec<ResultView>,
    /// There are more: ask again with this as `page`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Where reading ended, to be asked for what comes later, as `after`.
    pub after: String,
    /// Whether everything in the sink was looked at; if not, older windows may be missing.
    pub complete: bool,
}

/// The results that are asked for.
///
/// # Errors
/// If the log can't be read, there are too many bytes of them, or the windows have no times to choose by.
pub(super) fn read<L: Log>(
    log: &L,
    config: &PipelineConfig,
    wanted: &WantedResults,
    clock: &impl Clock,
) -> Result<ResultsView, ServiceError> {
    let shape = Shape::of(config);
    if shape == Shape::Rows && (wanted.from.is_some() || wanted.to.is_some()) {
        let why = "from, to: windows that count rows have no times: leave them out";
        return Err(ServiceError::Unfit(why.to_owned()));
    }
    let topic = &config.sink_topic;
    let bounds = match log.topic(topic)? {
        Some(_) => log.bounds(topic)?,
        None => Vec::new(),
    };
    let spans = spans(&bounds, wanted);
    let is_complete = match &wanted.after {
        None => spans
            .iter()
            .zip(&bounds)
            .all(|(span, at)| span.start == at.start.0),
        Some(after) => spans
            .iter()
            .zip(&after.0)
            .all(|(span, at)| span.start <= *at),
    };
    let is_raw = wanted.after.is_some();
    let mut gathered = Gathered::new(is_raw || writes_differences(config), is_raw);
    let mut ends: Vec<i64> = spans.iter().map(|span| span.start).collect();
    let (mut count, mut is_full) = (0, false);
    reading::read(log, topic, &spans, clock, |batch, row| {
        let at = usize::try_from(batch.partition().partition).unwrap_or(usize::MAX);
        if let Some(end) = ends.get_mut(at) {
            *end = batch.offset(row).next().0;
        }
        if let Some(seen) = Seen::of(batch, row, shape)
            && seen.is_wanted(wanted)
        {
            count += 1;
            gathered.take(seen);
        }
        is_full = gathered.bytes > MOST_BYTES || (wanted.after.is_some() && count >= wanted.limit);
        match is_full {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    if gathered.bytes > MOST_BYTES {
        return Err(ServiceError::Unfit(format!(
            "look_back: more than {} MiB of results are in the last {} records: choose by key, from and to, or look back less \
             far",
            MOST_BYTES >> 20,
            wanted.look_back
        )));
    }
    if !is_full {
        ends = spans.iter().map(|span| span.end).collect();
    }
    let (results, next) = gathered.page(wanted);
    Ok(ResultsView {
        results,
        next,
        after: Positions(ends).to_string(),
        complete: is_complete,
    })
}

/// Which offsets are looked at.
fn spans(bounds: &[Bounds], wanted: &WantedResults) -> Vec<Span> {
    let partitions = i64::try_from(bounds.len().max(1)).unwrap_or(i64::MAX);
    let each = (wanted.look_back / partitions).max(1);
    let span = |(at, bounds): (usize, &Bounds)| {
        let begin = bounds.start.0.max(bounds.end.0.saturating_sub(each));
        let after = wanted.after.as_ref().and_then(|after| after.0.get(at));
        let begin = after.map_or(begin, |after| begin.max(*after));
        begin.min(bounds.end.0)..bounds.end.0
    };
    bounds.iter().enumerate().map(span).collect()
}

fn writes_differences(config: &PipelineConfig) -> bool {
    matches!(&config.output, Output::Windows(step) if step.updates == Updates::Discarding)
}
