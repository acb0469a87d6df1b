//! How a process comes to follow a pipeline's deploys: it reads all of them before its workers start, so that these start with what is in
//! place.

use std::sync::Arc;
use std::time::Duration;

use super::follower::Follower;
use super::handle::Control;
use super::history::History;
use super::message::Message;
use super::topic::{Said, Topic, said};
use crate::log::{Fetched, Log, LogError, Offset, Reader, RecordBatch};
use crate::pipeline::{Pipeline, PrepareError};
use crate::plugin::PluginEngine;
use crate::worker::Rollout;

/// How long one poll of the topic waits.
const WAIT: Duration = Duration::from_millis(50);
/// How often in a row nothing may come before the topic's end is in sight.
const MOST_EMPTY: u32 = 600;

/// Why a process can't follow.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The log can't be read, or refuses.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A component that was deployed can't be run here.
    #[error("a component that was deployed can't be run: {0}")]
    Prepare(#[from] PrepareError),
}

/// A process that follows.
pub struct Followed<'a, L: Log> {
    /// For whoever asks.
    pub control: Arc<Control>,
    /// For the workers.
    pub rollout: Arc<Rollout>,
    /// For a thread of its own.
    pub follower: Follower<'a, L>,
}

/// Reads a pipeline's control topic, made where there is none, to its end; `base` is the pipeline as its file has it. `instance` is
/// who this process is among those that run the pipeline.
///
/// # Errors
/// See [`FollowError`].
pub fn catch_up<'a, L: Log>(
    log: &L,
    base: Pipeline,
    engine: &'a PluginEngine,
    instance: &str,
) -> Result<Followed<'a, L>, FollowError> {
    let topic = Topic::ensure(base.config(), log)?;
    let mut reader = log.reader(&topic.name, &[])?;
    let mut history = History::default();
    let mut fetched = Fetched::new();
    let mut empty = 0;
    while !reader.at_end().contains(&0) {
        reader.poll(&mut fetched, WAIT)?;
        empty = if fetched.is_empty() { empty + 1 } else { 0 };
        if empty > MOST_EMPTY {
            let what = format!("topic {} does not come to an end", topic.name);
            return Err(LogError::Unavailable(what).into());
        }
        read(&fetched, &mut history, |_, _| {})?;
    }
    Follower::start(log, topic, reader, base, engine, history, instance)
}

/// Takes note of records of the control topic; `heard` is told of each message before it counts.
///
/// # Errors
/// If a later release has written one.
pub(super) fn read(
    fetched: &Fetched,
    history: &mut History,
    mut heard: impl FnMut(Offset, &Message),
) -> Result<bool, LogError> {
    let mut changed = false;
    let rows = |batch: &RecordBatch| 0..batch.len();
    for batch in fetched.batches() {
        for row in rows(batch) {
            let offset = batch.offset(row);
            match said(batch, row) {
                Said::Piece { digest, number, of } => history.piece(offset.0, digest, number, of),
                Said::Message(message) => {
                    heard(offset, &message);
                    history.apply(offset.0, message);
                    changed = true;
                }
                Said::Foreign(what) => {
                    tracing::warn!(%offset, topic = %batch.partition().topic, what, "something else wrote to the control topic; it is passed over");
                }
                Said::Later(version) => {
                    return Err(LogError::Refused(format!(
                        "{}, offset {offset}: a later release wrote it (format {version}): run that release here too",
                        batch.partition()
                    )));
                }
            }
        }
    }
    Ok(changed)
}
