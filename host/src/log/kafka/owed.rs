//! Which offsets a group is owed, and which of them have been asked for. Pure; `debts` makes the requests.
//!
//! One request is under way at a time, and what comes meanwhile goes with the next.

use std::collections::BTreeMap;

use crate::log::{GroupOffset, TopicPartition};

/// What is owed, and what has been asked for.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Each with the number of the call by which it came.
    offsets: BTreeMap<TopicPartition, (u64, GroupOffset)>,
    calls: u64,
    /// The last call whose offsets are in the request that is under way.
    asked: Option<u64>,
}

impl Owed {
    /// Takes up offsets, in place of earlier ones of the same partitions.
    pub(super) fn owe(&mut self, offsets: impl Iterator<Item = GroupOffset>) {
        self.calls += 1;
        let call = self.calls;
        self.offsets
            .extend(offsets.map(|offset| (offset.at.clone(), (call, offset))));
    }

    /// Whether nothing is owed.
    pub(super) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// All that is owed.
    pub(super) fn all(&self) -> Vec<GroupOffset> {
        let all = self.offsets.values();
        all.map(|(_, offset)| offset.clone()).collect()
    }

    /// Whether a request is under way.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// What is to be asked for now, if anything: it is under way from then on.
    pub(super) fn next(&mut self) -> Option<Vec<GroupOffset>> {
        if self.is_asked() || self.is_empty() {
            return None;
        }
        self.asked = Some(self.calls);
        Some(self.all())
    }

    /// The request has been answered, and these partitions' offsets are committed.
    pub(super) fn answered(&mut self, committed: &[TopicPartition]) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        for at in committed {
            // What has come since is owed.
            if self.offsets.get(at).is_some_and(|(call, _)| *call <= asked) {
                self.offsets.remove(at);
            }
        }
    }

    /// These partitions are somebody else's, who goes on from where the group stands.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) {
        self.offsets.retain(|at, _| !partitions.contains(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Offset;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition::new("clicks", partition)
    }

    fn stands(partition: i32, offset: i64, metadata: &str) -> GroupOffset {
        GroupOffset {
            at: at(partition),
            offset: Offset(offset),
            metadata: metadata.to_owned(),
        }
    }

    #[test]
    fn one_request_is_under_way_and_what_comes_meanwhile_goes_with_the_next() {
        let mut owed = Owed::default();
        assert_eq!(owed.next(), None);
        owed.owe([stands(0, 5, ""), stands(1, 7, "")].into_iter());
        assert_eq!(owed.next(), Some(vec![stands(0, 5, ""), stands(1, 7, "")]));
        // The offset is the same, and what stands beside it is not.
        owed.owe([stands(0, 5, "watermark 9")].into_iter());
        assert_eq!(owed.next(), None);
        owed.answered(&[at(0), at(1)]);
        assert_eq!(owed.next(), Some(vec![stands(0, 5, "watermark 9")]));
        owed.answered(&[at(0)]);
        assert_eq!(owed.next(), None);
        assert!(owed.is_empty());
    }

    #[test]
    fn what_was_not_committed_is_asked_for_again() {
        let mut owed = Owed::default();
        owed.owe([stands(0, 5, ""), stands(1, 7, "")].into_iter());
        owed.next();
        owed.answered(&[at(1)]);
        assert_eq!(owed.next(), Some(vec![stands(0, 5, "")]));
        owed.answered(&[]);
        assert_eq!(owed.all(), [stands(0, 5, "")]);
    }

    #[test]
    fn what_is_somebody_elses_is_owed_no_more() {
        let mut owed = Owed::default();
        owed.owe([stands(0, 5, ""), stands(1, 7, "")].into_iter());
        owed.next();
        owed.forget(&[at(0)]);
        owed.answered(&[]);
        assert_eq!(owed.next(), Some(vec![stands(1, 7, "")]));
        // The answer to what was under way comes later.
        owed.forget(&[at(1)]);
        owed.answered(&[at(1)]);
        assert!(owed.is_empty());
    }
}
