//! A pipeline of the service is made to begin anew: its workers end, its group's offsets are set, and it runs again if it is wanted to.
//!
//! What is asked is checked against the log first, and remembered before the answer; each step shows as the pipeline's state.

use std::sync::Arc;
use std::time::Duration;

use super::error::ServiceError;
use super::logs::on_log;
use super::machine::Wanted;
use super::record::Record;
use super::supervisor::{Inner, Service, entry, remove_if_over};
use super::view::{MoveView, PipelineView, ResetView};
use crate::log::Log;
use crate::outside::{Begin, Move, OutsideError, Reset};
use crate::pipeline::config::PipelineConfig;
use crate::time::Clock;

/// How long members that have died are waited for: as long as a session of theirs may last.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait in between.
const WAIT: Duration = Duration::from_millis(500);

impl Service {
    /// Lets a pipeline forget what it knows and begin elsewhere. Does not wait for that: the pipeline's state and its `reset` tell. Asks
    /// the log, which takes seconds if it is away.
    ///
    /// # Errors
    /// If there is no such pipeline, its file is wrong, it can't begin there, or another reset goes on.
    pub fn reset(self: &Arc<Self>, name: &str, to: &str) -> Result<PipelineView, ServiceError> {
        let begin: Begin = to
            .parse()
            .map_err(|why| ServiceError::Unfit(format!("to: {why}")))?;
        let config = self.config_of(name)?;
        on_log!(self, config, |log| begin
            .offsets(log, &config.source.topics)
            .map(drop))?;
        let mut inner = self.lock();
        if inner.is_ending {
            return Err(ServiceError::Ending);
        }
        let entry = entry(&mut inner, name)?;
        if let Some(other) = &entry.record.reset {
            return Err(ServiceError::Conflict(format!(
                "{name} is being reset to {other}: wait until that is done"
            )));
        }
        let record = Record {
            reset: Some(begin.to_string()),
            ..entry.record.clone()
        };
        self.records.write(name, &record)?;
        entry.record = record;
        entry.reset = Some(ResetView::begun(begin.to_string()));
        tracing::info!(pipeline = name, to = %begin, "reset asked");
        let action = entry.machine.reset();
        self.act(&mut inner, name, action);
        self.shown(&inner, name)
    }

    /// Makes the reset that is remembered, while the pipeline has no workers here. Blocks its thread.
    ///
    /// # Errors
    /// Why it could not be made.
    pub(super) fn make_reset(&self, name: &str) -> Result<Vec<Move>, String> {
        let to = entry(&mut self.lock(), name)
            .ok()
            .and_then(|entry| entry.record.reset.clone())
            .ok_or("the pipeline was deleted meanwhile")?;
        let to: Begin = to.parse()?;
        let make = || -> Result<Vec<Move>, ServiceError> {
            let config = self.config_of(name)?;
            let moves = on_log!(self, config, |log| make(&to, &config, log, &self.clock));
            Ok(moves?)
        };
        make().map_err(|error| error.to_string())
    }

    /// A reset has been made, or could not be.
    pub(super) fn was_reset(
        self: &Arc<Self>,
        inner: &mut Inner,
        name: &str,
        moves: Result<Vec<Move>, String>,
    ) {
        let Some(entry) = inner.entries.get_mut(name) else {
            return;
        };
        let to = entry.record.reset.take().unwrap_or_default();
        match &moves {
            Ok(_) => tracing::info!(pipeline = name, to, "reset"),
            Err(why) => tracing::error!(pipeline = name, to, error = why, "not reset"),
        }
        entry.reset = Some(ResetView {
            to,
            done: moves.is_ok(),
            failure: moves.as_ref().err().cloned(),
            moves: moves.unwrap_or_default().iter().map(shown).collect(),
        });
        if !entry.is_deleted
            && let Err(error) = self.records.write(name, &entry.record)
        {
            // If it ran now, the next start of the service would reset it once more.
            tracing::error!(pipeline = name, %error, "a reset can't be noted as done");
            entry.machine.want(Wanted::Still, self.clock.monotonic());
            if let Some(reset) = &mut entry.reset {
                reset.failure = Some(format!(
                    "it can't be noted as done: {error}: mend the disk, and resume the pipeline"
                ));
            }
        }
        let action = entry.machine.was_reset(self.clock.monotonic());
        self.act(inner, name, action);
        remove_if_over(inner, name);
    }
}

fn make<L: Log>(
    to: &Begin,
    config: &PipelineConfig,
    log: &L,
    clock: &impl Clock,
) -> Result<Vec<Move>, OutsideError> {
    let until = clock.monotonic() + PATIENCE;
    loop {
        match Reset::plan(to, config, log, clock) {
            // Workers that a crash has killed count for a while.
            Err(OutsideError::Running { .. }) if clock.monotonic() < until => clock.pause(WAIT),
            Err(error) => return Err(error),
            Ok(reset) => {
                reset.make(log, clock)?;
                return Ok(reset.moves().to_vec());
            }
        }
    }
}

fn shown(moved: &Move) -> MoveView {
    MoveView {
        at: moved.at.to_string(),
        from: moved.from.map(|offset| offset.0),
        to: moved.to.0,
    }
}
