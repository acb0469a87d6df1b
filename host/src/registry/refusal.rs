//! Why a plugin was not taken, on one page: what came, what is wrong with it, and what would have been taken.

use std::fmt;

use bytesize::ByteSize;

use crate::pipeline::config::defaults;
use crate::plugin::{Kind, granted};

/// A plugin that was not admitted.
#[derive(Debug, thiserror::Error)]
pub struct Refusal {
    sha256: String,
    size: u64,
    reason: String,
}

impl Refusal {
    pub(super) fn new(sha256: &str, size: u64, reason: String) -> Self {
        Self {
            sha256: sha256.to_owned(),
            size,
            reason,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = defaults::LIMITS;
        writeln!(f, "the plugin is refused")?;
        writeln!(f, "  came     {} bytes, sha256 {}", self.size, self.sha256)?;
        writeln!(f, "  why      {}", self.reason)?;
        writeln!(f, "  imports  it may have: {}", granted())?;
        let kinds = Kind::ALL.map(Kind::world).join(", ");
        writeln!(f, "  worlds   it may be of, exactly one: {kinds}")?;
        write!(
            f,
            "  limits   of the instance that describes it: {} of memory, {:?} a call",
            ByteSize(limits.memory.as_u64()),
            limits.call
        )
    }
}
