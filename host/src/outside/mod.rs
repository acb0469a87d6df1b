//! A pipeline seen from outside its runs: where it stands in the log, and how it is made to begin anew.
//!
//! `millstream state` uses it on a pipeline file, and a service on its pipelines while they rest.

mod begin;
mod reset;
mod standing;

pub(crate) use begin::{Begin, listed};
pub(crate) use reset::{Move, Reset, begin};
pub(crate) use standing::{PATIENCE, Standing, Task, patiently};

use crate::log::{GroupOffset, Log, LogError};
use crate::time::Clock;

/// Why a pipeline was not looked at, or not made to begin anew. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutsideError {
    /// What the log says; it may be away.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Its group has members that are alive.
    #[error(
        "the pipeline {group} is running: {}; stop it first (a member that has just ended counts until its session times out)",
        members.join(", ")
    )]
    Running {
        /// The group.
        group: String,
        /// Its members.
        members: Vec<String>,
    },
    /// The caller's fault: these offsets can't be begun at, one reason a line.
    #[error("{0}")]
    Offsets(String),
    /// The caller's fault: a beginning was given to a pipeline that has begun.
    #[error("{0}")]
    Begun(String),
}

/// Ends what dead members left open: a transaction of theirs must not be decided after offsets were set.
///
/// # Errors
/// If the log can't be reached.
pub(crate) fn end_dead<L: Log>(log: &L, group: &str, clock: &impl Clock) -> Result<(), LogError> {
    let ended = patiently(clock, || log.end_dead_transactions(group))?;
    if ended > 0 {
        tracing::info!(group, members = ended, "ended what dead members left open");
    }
    Ok(())
}

/// Sets where a group stands, and tries again while the log is away.
///
/// # Errors
/// If the log refuses or stays away.
pub(crate) fn set_offsets<L: Log>(
    log: &L,
    group: &str,
    offsets: &[GroupOffset],
    clock: &impl Clock,
) -> Result<(), LogError> {
    patiently(clock, || log.set_group_offsets(group, offsets))
}
