//! Who in a group reads which partitions: decided here, without I/O.
//!
//! Every join and every leave begins a new generation, in which the partitions are dealt anew. A member learns of it at
//! its next poll; until then its commits are refused, since its partitions may be another's already.

use crate::log::{TopicInfo, TopicPartition};

/// Names a session of this process; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct SessionId(pub(super) u64);

/// Counts the times that a group's partitions have been dealt. A session that has not polled yet is in generation 0, to
/// which nothing was dealt.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Generation(u64);

#[derive(Debug)]
struct Member {
    id: SessionId,
    topics: Vec<TopicInfo>,
}

/// A group of sessions, in the order of joining.
#[derive(Debug, Default)]
pub(super) struct Group {
    generation: Generation,
    members: Vec<Member>,
}

impl Group {
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// Takes a session in that shares the partitions of `topics`.
    pub(super) fn join(&mut self, id: SessionId, topics: Vec<TopicInfo>) {
        self.members.push(Member { id, topics });
        self.generation.0 += 1;
    }

    /// Lets a session go. One that has gone already changes nothing.
    pub(super) fn leave(&mut self, id: SessionId) {
        let before = self.members.len();
        self.members.retain(|member| member.id != id);
        if self.members.len() < before {
            self.generation.0 += 1;
        }
    }

    /// The partitions that belong to `id`, sorted. All partitions in order are dealt in turn to the members,
    /// past those that don't read the topic.
    pub(super) fn assignment(&self, id: SessionId) -> Vec<TopicPartition> {
        let mut turn = 0;
        let mut mine = Vec::new();
        for at in self.partitions() {
            let owner = (turn..turn + self.members.len())
                .map(|place| place % self.members.len())
                .find(|place| self.members[*place].reads(&at.topic));
            if let Some(place) = owner {
                turn = place + 1;
                if self.members[place].id == id {
                    mine.push(at);
                }
            }
        }
        mine
    }

    /// All partitions that any member reads, sorted, each once.
    fn partitions(&self) -> Vec<TopicPartition> {
        let topics = self.members.iter().flat_map(|member| &member.topics);
        let mut all: Vec<_> = topics
            .flat_map(|topic| (0..topic.partitions).map(|p| TopicPartition::new(&*topic.name, p)))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Member {
    fn reads(&self, topic: &str) -> bool {
        self.topics.iter().any(|t| t.name == topic)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(number: usize, partitions: i32) -> TopicInfo {
        TopicInfo {
            name: format!("topic-{number}"),
            partitions,
        }
    }

    proptest! {
        #[test]
        fn every_partition_belongs_to_exactly_one_member_that_reads_it(
            partitions in prop::collection::vec(1..6_i32, 1..4),
            reads in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 1..6),
            leaves in prop::collection::vec(any::<bool>(), 6),
        ) {
            let mut group = Group::default();
            let topics_of = |reads: &[bool]| -> Vec<_> {
                partitions.iter().enumerate().filter(|(t, _)| reads[*t]).map(|(t, n)| topic(t, *n)).collect()
            };
            let ids = (0..).map(SessionId);
            for (id, reads) in ids.clone().zip(&reads) {
                group.join(id, topics_of(reads));
            }
            let stays: Vec<_> = ids.zip(&reads).zip(&leaves).filter(|(_, leaves)| !**leaves).map(|(m, _)| m).collect();
            for id in (0..6).map(SessionId).filter(|id| stays.iter().all(|(stay, _)| stay != id)) {
                group.leave(id);
            }
            let mut dealt: Vec<_> = stays.iter().flat_map(|(id, _)| group.assignment(*id)).collect();
            dealt.sort_unstable();
            let mut expected: Vec<_> = (0..partitions.len())
                .filter(|t| stays.iter().any(|(_, reads)| reads[*t]))
                .flat_map(|t| (0..partitions[t]).map(move |p| TopicPartition::new(format!("topic-{t}"), p)))
                .collect();
            expected.sort_unstable();
            prop_assert_eq!(dealt, expected);
            for (id, reads) in &stays {
                let mine = group.assignment(*id);
                prop_assert!(mine.is_sorted());
                for at in mine {
                    prop_assert!(topics_of(reads).iter().any(|t| t.name == *at.topic));
                }
            }
        }

        #[test]
        fn members_that_read_the_same_differ_by_at_most_one_partition(members in 1..6_u64, topics in 1..5_usize, partitions in 1..5_i32) {
            let mut group = Group::default();
            for id in 0..members {
                group.join(SessionId(id), (0..topics).map(|t| topic(t, partitions)).collect());
            }
            let counts: Vec<_> = (0..members).map(|id| group.assignment(SessionId(id)).len()).collect();
            let (least, most) = (counts.iter().min(), counts.iter().max());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{:?}", counts);
        }
    }

    #[test]
    fn joining_and_leaving_begin_a_generation_and_leaving_twice_does_not() {
        let mut group = Group::default();
        let start = group.generation();
        group.join(SessionId(1), vec![topic(0, 1)]);
        let joined = group.generation();
        assert_ne!(start, joined);
        group.leave(SessionId(1));
        let left = group.generation();
        assert_ne!(joined, left);
        group.leave(SessionId(1));
        assert_eq!(group.generation(), left);
    }
}
