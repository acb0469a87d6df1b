//! What happens to windows happens with these: what is at hand, what the store has, and where to results go.

use super::contents::Contents;
use super::write::Writing;
use crate::log::Outbox;
use crate::rows::{Field, FieldType};
use crate::time::Timestamp;

/// All that a task's windows work with and do not own.
pub(super) struct Scene<'a, S> {
    pub(super) contents: &'a mut Contents,
    pub(super) store: &'a S,
    pub(super) results: Results<'a>,
    pub(super) outbox: &'a mut Outbox,
}

/// How the results of a window step are written.
#[derive(Clone, Copy)]
pub(super) struct Results<'a> {
    pub(super) writing: &'a Writing,
    /// The type of the key; `None` for a step without.
    pub(super) key: Option<FieldType>,
    pub(super) fields: &'a [Field],
    pub(super) now: Timestamp,
}
