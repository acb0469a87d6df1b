//! How a process comes to follow a pipeline's deploys: it reads all of them before its workers start, so that these start with what is in
//! place.

use std::sync::Arc;

use super::follower::{Follower, ReadSoFar};
use super::handle::Control;
use super::history::History;
use super::message::Message;
use super::topic::{Said, Topic, said};
use crate::log::{Log, LogError, Offset, RecordBatch, TopicPartition, read_whole};
use crate::pipeline::{Pipeline, PrepareError};
use crate::plugin::PluginEngine;
use crate::registry::{NotTrusted, Trust};
use crate::worker::Rollout;

/// Why a process can't follow.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The log can't be read, or refuses.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A component that was deployed can't be run here.
    #[error("a component that was deployed can't be run: {0}")]
    Prepare(#[from] PrepareError),
    /// A component that was deployed is nobody's whom this process trusts.
    #[error("a component that was deployed may not be run: {0}")]
    NotTrusted(#[from] NotTrusted),
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
/// who this process is among those that run the pipeline; `trust` says whose components it runs, those of the file apart.
///
/// # Errors
/// See [`FollowError`].
pub fn catch_up<'a, L: Log>(
    log: &L,
    base: Pipeline,
    engine: &'a PluginEngine,
    instance: &str,
    trust: &Trust,
) -> Result<Followed<'a, L>, FollowError> {
    let topic = Topic::ensure(base.config(), log)?;
    let mut history = History::default();
    let at = TopicPartition::new(Arc::clone(&topic.name), 0);
    let next = read_whole(log, &at, |batch| {
        read(batch, &mut history, |_, _| {}).map(drop)
    })?;
    let reader = log.reader(&topic.name, &[(0, next)])?;
    let read = ReadSoFar {
        topic,
        reader,
        history,
    };
    Follower::start(log, read, base, engine, trust, instance)
}

/// Takes note of records of the control topic; `heard` is told of each message before it counts.
///
/// # Errors
/// If a later release has written one.
pub(super) fn read(
    batch: &RecordBatch,
    history: &mut History,
    mut heard: impl FnMut(Offset, &Message),
) -> Result<bool, LogError> {
    let mut changed = false;
    for row in 0..batch.len() {
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
    Ok(changed)
}
