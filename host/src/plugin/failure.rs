//! How a component fails, and what its operator is told.

use std::fmt;
use std::time::Duration;

use wasmtime::Trap;

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

/// Why a call ended in `error`.
pub(super) fn fault_of(
    error: &wasmtime::Error,
    refused: Option<usize>,
    limits: super::Limits,
) -> GuestFault {
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => GuestFault::Deadline(limits.call),
        // An allocation that fails in a guest shows as whatever the guest does about it, mostly a trap.
        _ if refused.is_some() => GuestFault::Memory {
            wanted: refused.unwrap_or_default(),
            limit: limits.memory,
        },
        Some(trap) => GuestFault::Trap(trap.to_string()),
        None => GuestFault::Trap(error.root_cause().to_string()),
    }
}
