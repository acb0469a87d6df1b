//! What can go wrong with a log, by what the caller can do about it.

/// An operation on a log failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The log can't be reached or is busy; the same call may succeed later.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// A topic does not exist.
    #[error("topic {0} does not exist: create it, or correct the name")]
    NoTopic(String),
    /// A newer session has taken over; this one must end.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The log refused: settings, names, permissions or sizes. Trying again does not help.
    #[error("the log refused: {0}")]
    Refused(String),
    /// What is stored can't be read.
    #[error("the log is damaged: {0}")]
    Damaged(String),
}

impl LogError {
    /// Whether the same call may succeed later.
    pub fn is_retriable(&self) -> bool {
        matches!(self, LogError::Unavailable(_))
    }
}

/// A commit did not succeed, and what has become of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The transaction has been aborted: nothing of it is visible. The session lives; the caller throws its staged
    /// work away and goes back to the committed offsets.
    #[error("the transaction was aborted: {0}")]
    Aborted(String),
    /// Another session has joined as the same member. This one is of no more use and must end; what has become of the
    /// transaction is for the newer one to find out.
    #[error("fenced by a newer owner: {0}")]
    Fenced(String),
    /// It is not known whether the transaction was committed, or somebody has ended it who held this session for dead. The
    /// session must be dropped; joining again decides the transaction, and the committed offsets then tell how.
    #[error("the outcome of the transaction is not known: {0}")]
    Unknown(String),
    /// The log refused a record or the commit, and would do so again. Nothing of the transaction is visible.
    #[error("the log refused the transaction: {0}")]
    Refused(String),
}
