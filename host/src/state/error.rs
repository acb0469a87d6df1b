//! What can go wrong with a local store, by what the caller can do about it.

use crate::format::FormatError;

/// An operation on a store failed. Unless it was [`StoreError::Busy`], the store is of no more use and has to be opened anew.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// The disk or the folder does not do what it is asked: full, read-only, not permitted. The text says what.
    #[error("the state folder: {0}")]
    Disk(String),
    /// What is stored can't be read. Nothing is lost: the log has it, and the store is removed and built again.
    #[error("the local state is damaged: {0}")]
    Damaged(String),
    /// The folder is open elsewhere.
    #[error(
        "the state folder {0} is in use, here or by another process: stop that, or choose another folder"
    )]
    Busy(String),
}

impl From<FormatError> for StoreError {
    fn from(error: FormatError) -> Self {
        StoreError::Damaged(error.to_string())
    }
}
