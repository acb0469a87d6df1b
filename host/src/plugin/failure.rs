//! How a component fails, and what its operator is told.

use std::fmt;
use std::time::Duration;

use wasmtime::Trap;

use super::sandbox::{Limits, Refused};

/// What a component did wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GuestFault {
    /// It trapped: a panic, an access out of bounds, a stack overflow.
    Trap(String),
    /// A call took longer than it may.
    Deadline(Duration),
    /// It wanted more memory than it may have, and could not go on without.
    Memory {
        /// Bytes it asked for.
        wanted: usize,
        /// Bytes it may have.
        limit: usize,
    },
    /// It wanted more entries of tables than it may have, and could not go on without.
    Table {
        /// Entries it asked for.
        wanted: usize,
        /// Entries it may have.
        limit: usize,
    },
    /// It handed over more bytes than one call may.
    Output(usize),
    /// It returned something that breaks the contract.
    Contract(String),
    /// It refused: its configuration, a partial or a window.
    Refused(String),
}

impl fmt::Display for GuestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GuestFault::Trap(reason) => write!(f, "trapped: {reason}"),
            GuestFault::Deadline(limit) => {
                write!(f, "ran longer than the {limit:?} that a call may take")
            }
            GuestFault::Memory { wanted, limit } => write!(
                f,
                "ran out of memory: it asked for {wanted} bytes and may have {limit}"
            ),
            GuestFault::Table { wanted, limit } => write!(
                f,
                "ran out of table entries: it asked for {wanted} and may have {limit}"
            ),
            GuestFault::Output(limit) => write!(
                f,
                "handed over more than the {limit} bytes that one call may return"
            ),
            GuestFault::Contract(what) => write!(f, "broke the contract: {what}"),
            GuestFault::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

/// A failed call. The instance is of no more use after it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("plugin {plugin} (sha256 {digest}) {fault}{}", stderr_note(.stderr))]
pub struct GuestFailure {
    /// `name@version`.
    pub plugin: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// What happened.
    pub fault: GuestFault,
    /// The end of what it wrote to standard error, such as the message of a panic; often empty.
    pub stderr: String,
}

fn stderr_note(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!("; it wrote: {stderr}")
    }
}

/// What wasmtime says when a guest hands over more than its fuel for that; the error's type is private to it.
const FUEL: &str = "fuel allocated for hostcalls has been exhausted";

/// Why a call ended in `error`.
pub(super) fn fault_of(
    error: &wasmtime::Error,
    refused: Option<Refused>,
    limits: Limits,
) -> GuestFault {
    let trap = error.downcast_ref::<Trap>();
    match (trap, refused) {
        (Some(Trap::Interrupt), _) => GuestFault::Deadline(limits.call),
        // An allocation that fails in a guest shows as whatever the guest does about it, mostly a trap.
        (_, Some(Refused::Memory(wanted))) => GuestFault::Memory {
            wanted,
            limit: limits.memory,
        },
        (_, Some(Refused::Table(wanted))) => GuestFault::Table {
            wanted,
            limit: limits.table_entries,
        },
        (Some(trap), None) => GuestFault::Trap(trap.to_string()),
        (None, None) => match error.root_cause().to_string() {
            cause if cause.contains(FUEL) => GuestFault::Output(limits.output_bytes),
            cause => GuestFault::Trap(cause),
        },
    }
}
