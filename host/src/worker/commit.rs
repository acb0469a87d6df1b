//! The commit as a protocol: its states, and what follows from each. Pure; `lane` carries it out.
//!
//! One transaction holds results, dead letters, late rows, changes of state, partials and offsets. The local store follows it and
//! never leads it. A crash in a state leaves what the state says.

use super::WorkerError;
use crate::log::{CommitError, Written};

/// Where a commit has come to.
#[derive(Debug)]
pub(super) enum CommitState {
    /// Everything is in memory. A crash leaves what the commit before left.
    Staged,
    /// The log has all of it; the store does not. A crash leaves a store that lags: the next owner reads its changelog on.
    Committed(Written),
    /// The store has it too.
    Applied,
    /// The log has nothing of it, and this worker still owns its partitions.
    Aborted(String),
    /// The log has all of it or nothing. Joining again ends the transaction, and the committed offsets then tell.
    InDoubt(String),
    /// The log has nothing of it, and somebody else is who this worker was.
    Fenced(String),
    /// The log has nothing of it, and would refuse it again.
    Refused(String),
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Next {
    /// Hand it to the log.
    Commit,
    /// Apply the same changes to the store, whose changelog then stands here.
    Apply(Written),
    /// Go on with the next rows.
    GoOn,
    /// Throw away all that is staged and at hand, and go on from the commit before.
    RollBack(String),
    /// Give up the membership with all that is in memory, and join anew.
    JoinAgain(String),
    /// End the worker.
    End(WorkerError),
}

impl CommitState {
    /// What the log's answer makes of it.
    pub(super) fn answered(answer: Result<Written, CommitError>) -> Self {
        match answer {
            Ok(written) => CommitState::Committed(written),
            Err(CommitError::Aborted(why)) => CommitState::Aborted(why),
            Err(CommitError::Unknown(why)) => CommitState::InDoubt(why),
            Err(CommitError::Fenced(why)) => CommitState::Fenced(why),
            Err(CommitError::Refused(why)) => CommitState::Refused(why),
        }
    }

    /// What follows from it.
    pub(super) fn next(self) -> Next {
        match self {
            CommitState::Staged => Next::Commit,
            CommitState::Committed(written) => Next::Apply(written),
            CommitState::Applied => Next::GoOn,
            CommitState::Aborted(why) => Next::RollBack(why),
            CommitState::InDoubt(why) => Next::JoinAgain(why),
            CommitState::Fenced(why) => Next::End(WorkerError::Fenced(why)),
            CommitState::Refused(why) => Next::End(WorkerError::Commit(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(error: CommitError) -> Next {
        CommitState::answered(Err(error)).next()
    }

    #[test]
    fn the_store_follows_what_the_log_has_committed_and_nothing_else() {
        assert!(matches!(CommitState::Staged.next(), Next::Commit));
        let committed = CommitState::answered(Ok(Written::default()));
        assert!(matches!(committed.next(), Next::Apply(_)));
        assert!(matches!(CommitState::Applied.next(), Next::GoOn));
    }

    #[test]
    fn what_became_of_the_transaction_decides_what_becomes_of_the_worker() {
        let why = || "why".to_owned();
        assert!(matches!(
            after(CommitError::Aborted(why())),
            Next::RollBack(_)
        ));
        // The log may have it: going on from the commit before could write it twice.
        assert!(matches!(
            after(CommitError::Unknown(why())),
            Next::JoinAgain(_)
        ));
        let fenced = after(CommitError::Fenced(why()));
        assert!(matches!(fenced, Next::End(WorkerError::Fenced(_))));
        let refused = after(CommitError::Refused(why()));
        assert!(matches!(refused, Next::End(WorkerError::Commit(_))));
    }
}
