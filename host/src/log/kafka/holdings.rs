//! Which partitions a session has, and in which state: decided here, without librdkafka.
//!
//! A partition is **assigned** when the group says so, **begun** when it is fetched, **leaving** once it has been revoked or lost, and
//! gone when it is released. librdkafka is told of a revocation as a whole: it then answers the group at once, and another
//! member may get the partitions. So that is done with the last of them that is released.

use std::collections::BTreeMap;

use crate::log::{LogError, TopicPartition};

/// How a partition stands.
#[derive(Clone, Copy, Debug, Default)]
struct Stand {
    begun: bool,
    leaving: bool,
}

/// The partitions of a session.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    held: BTreeMap<TopicPartition, Stand>,
}

impl Holdings {
    /// All that are assigned and not released, sorted.
    pub(super) fn all(&self) -> Vec<TopicPartition> {
        self.held.keys().cloned().collect()
    }

    /// Whether a partition belongs to this session.
    pub(super) fn has(&self, at: &TopicPartition) -> bool {
        self.held.contains_key(at)
    }

    pub(super) fn assign(&mut self, partitions: &[TopicPartition]) {
        for at in partitions {
            self.held.insert(at.clone(), Stand::default());
        }
    }

    /// Checks that partitions can be begun.
    ///
    /// # Errors
    /// Names the first that can't.
    pub(super) fn check_begin(&self, at: &TopicPartition) -> Result<(), LogError> {
        match self.held.get(at) {
            None => Err(refused(
                at,
                "is not assigned: begin only partitions that are",
            )),
            Some(stand) if stand.begun => Err(refused(at, "was begun before: seek in it")),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn begin(&mut self, at: &TopicPartition) {
        if let Some(stand) = self.held.get_mut(at) {
            stand.begun = true;
        }
    }

    /// Whether a partition is fetched, and not about to be given up.
    ///
    /// # Errors
    /// If it was never begun.
    pub(super) fn is_read(&self, at: &TopicPartition) -> Result<bool, LogError> {
        match self.held.get(at) {
            Some(stand) if stand.begun => Ok(!stand.leaving),
            _ => Err(refused(
                at,
                "is not read here: seek only in partitions that were begun",
            )),
        }
    }

    /// Notes that partitions were revoked or lost.
    pub(super) fn leave(&mut self, partitions: &[TopicPartition]) {
        for at in partitions {
            if let Some(stand) = self.held.get_mut(at) {
                stand.leaving = true;
            }
        }
    }

    /// Lets partitions go. Returns whether the revocation is to be answered, since none is left that is to be released.
    ///
    /// # Errors
    /// If one was neither revoked nor lost; nothing is released then.
    pub(super) fn release(&mut self, partitions: &[TopicPartition]) -> Result<bool, LogError> {
        let leaves = |at: &TopicPartition| self.held.get(at).is_some_and(|stand| stand.leaving);
        if let Some(at) = partitions.iter().find(|at| !leaves(at)) {
            return Err(refused(
                at,
                "was neither revoked nor lost: release only what was",
            ));
        }
        if partitions.is_empty() {
            return Ok(false);
        }
        for at in partitions {
            self.held.remove(at);
        }
        Ok(!self.held.values().any(|stand| stand.leaving))
    }
}

fn refused(at: &TopicPartition, why: &str) -> LogError {
    LogError::Refused(format!("partition {at} {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use super::*;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn three() -> Holdings {
        let mut holdings = Holdings::default();
        holdings.assign(&[at(2), at(0), at(1)]);
        holdings
    }

    #[test]
    fn a_revocation_is_answered_with_the_last_release_of_it() {
        let mut holdings = three();
        holdings.begin(&at(0));
        holdings.leave(&[at(0), at(1)]);
        assert!(!holdings.release(&[at(0)]).unwrap());
        assert_eq!(holdings.all(), [at(1), at(2)]);
        assert!(holdings.release(&[at(1)]).unwrap());
        assert_eq!(holdings.all(), [at(2)]);
    }

    #[test]
    fn what_was_not_revoked_cannot_be_released_and_nothing_beside_it_is() {
        let mut holdings = three();
        holdings.leave(&[at(0)]);
        for bad in [at(1), at(7)] {
            assert!(holdings.release(&[at(0), bad]).is_err());
        }
        assert_eq!(holdings.all(), [at(0), at(1), at(2)]);
        assert!(!holdings.release(&[]).unwrap());
    }

    #[test]
    fn partitions_are_begun_once_and_sought_in_only_afterwards() {
        let mut holdings = three();
        assert!(holdings.is_read(&at(0)).is_err());
        holdings.check_begin(&at(0)).unwrap();
        holdings.begin(&at(0));
        assert!(holdings.check_begin(&at(0)).is_err());
        assert!(holdings.check_begin(&at(7)).is_err());
        assert!(holdings.is_read(&at(0)).unwrap());
        holdings.leave(&[at(0)]);
        assert!(!holdings.is_read(&at(0)).unwrap());
        assert!(holdings.has(&at(0)));
    }
}
