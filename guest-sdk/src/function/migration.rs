//! How an aggregate reads the partials of its other versions.
//!
//! `#[aggregate(state_version = 2, migrates(1 = OldState))]` implements [`Migration`]: the state of version 1 was an `OldState`,
//! and `From<OldState>` makes today's of it.

use crate::accumulate::{Accumulator, PartialError};
use crate::column::build::{end_row, no_values};
use crate::column::wire::VarValues;

/// Appends what a partial of another version amounts to, as a partial of today's.
pub type Migrate = fn(partial: &[u8], out: &mut Vec<u8>) -> Result<(), PartialError>;

/// An aggregate that reads partials of other versions of its state.
pub trait Migration: 'static {
    /// The versions that it reads beside its own, ascending, and how.
    const FROM: &'static [(u32, Migrate)];
}

/// Reads `partial` as an `Old`, and appends what a `New` made of it writes.
///
/// # Errors
/// If it is no partial of an `Old`.
pub fn migrate_state<Old, New>(partial: &[u8], out: &mut Vec<u8>) -> Result<(), PartialError>
where
    Old: Accumulator,
    New: Accumulator + From<Old>,
{
    let mut old = Old::default();
    old.merge(partial)?;
    New::from(old).snapshot(out);
    Ok(())
}

/// The versions that a function reads beside its own.
pub(crate) fn versions<M: Migration>() -> Vec<u32> {
    M::FROM.iter().map(|&(version, _)| version).collect()
}

/// Migrates partials one by one. One of zero bytes stays one, whatever the author's `From` makes of an empty state: nothing
/// has come in.
pub(crate) fn run<M: Migration>(from: u32, partials: &VarValues) -> Result<VarValues, String> {
    let known = M::FROM.iter().find(|&&(version, _)| version == from);
    let (_, migrate) = known.ok_or_else(|| {
        let versions = versions::<M>();
        format!("state version {from} is none of those that this function migrates: {versions:?}")
    })?;
    let mut out = no_values();
    for (index, bounds) in partials.offsets.windows(2).enumerate() {
        let partial = super::slots::slice(partials, bounds[0], bounds[1])
            .ok_or("the offsets of the partials do not lie in their data")?;
        if !partial.is_empty() {
            migrate(partial, &mut out.data)
                .map_err(|error| format!("partial {index} of state version {from}: {error}"))?;
        }
        end_row(&mut out);
    }
    Ok(out)
}
