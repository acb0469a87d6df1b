//! Groups through random lives: nobody ever holds what another holds, and in the end all is dealt fairly.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use proptest::prelude::*;

use super::*;

fn topic(number: usize, partitions: i32) -> TopicInfo {
    TopicInfo {
        name: format!("topic-{number}"),
        partitions,
    }
}

fn all(partitions: &[i32], reads: impl Fn(usize) -> bool) -> Vec<TopicPartition> {
    let read = (0..partitions.len()).filter(|t| reads(*t));
    read.flat_map(|t| (0..partitions[t]).map(move |p| TopicPartition::new(format!("topic-{t}"), p)))
        .collect()
}

/// Tells everybody everything, and lets them release what they are told to, until nobody is told anything.
fn settle(group: &mut Group, ids: &[SessionId]) {
    while ids.iter().any(|id| group.has_news(*id)) {
        for id in ids {
            if let Some(News::Revoked(revoked)) = group.tell(*id) {
                for at in revoked {
                    assert!(group.holds(*id, &at), "it is still the holder's");
                    group.release(*id, &at);
                }
            }
        }
    }
}

fn held(group: &Group, id: SessionId) -> Vec<TopicPartition> {
    group.held_by(id).cloned().collect()
}

#[derive(Clone, Debug)]
enum Step {
    Join(Vec<bool>),
    Leave(usize),
    Expel(usize),
    Tell(usize),
    Release(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => prop::collection::vec(any::<bool>(), 3).prop_map(Step::Join),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => any::<usize>().prop_map(Step::Expel),
        4 => any::<usize>().prop_map(Step::Tell),
        3 => any::<usize>().prop_map(Step::Release),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn no_partition_is_held_by_two_and_in_the_end_each_belongs_to_one_that_reads_it(
        partitions in prop::collection::vec(1..6_i32, 3),
        steps in steps(),
    ) {
        let mut group = Group::default();
        let mut ids: Vec<(SessionId, Vec<bool>)> = Vec::new();
        // What each has been told: held from being assigned until released or lost.
        let mut told: BTreeMap<SessionId, BTreeSet<TopicPartition>> = BTreeMap::new();
        let mut to_release: Vec<(SessionId, TopicPartition)> = Vec::new();
        for (number, step) in (1..).zip(steps) {
            match step {
                Step::Join(reads) => {
                    let id = SessionId(number);
                    let topics = (0..3).filter(|t| reads[*t]).map(|t| topic(t, partitions[t]));
                    group.join(id, &format!("m-{number}"), topics.collect());
                    ids.push((id, reads));
                }
                Step::Leave(place) if !ids.is_empty() => {
                    let (id, _) = ids.remove(place % ids.len());
                    group.leave(id);
                    told.remove(&id);
                    to_release.retain(|(holder, _)| *holder != id);
                }
                Step::Expel(place) if !ids.is_empty() => {
                    let (id, _) = ids.remove(place % ids.len());
                    group.expel(id);
                    let mine = told.remove(&id).unwrap_or_default();
                    to_release.retain(|(holder, _)| *holder != id);
                    prop_assert_eq!(group.tell(id), Some(News::Lost(mine.into_iter().collect())));
                    prop_assert!(!group.knows(id));
                }
                Step::Tell(place) if !ids.is_empty() => {
                    let id = ids[place % ids.len()].0;
                    match group.tell(id) {
                        Some(News::Assigned(assigned)) => {
                            for at in &assigned {
                                prop_assert!(told.values().all(|held| !held.contains(at)), "{at} is held by two");
                            }
                            told.entry(id).or_default().extend(assigned);
                        }
                        Some(News::Revoked(revoked)) => {
                            to_release.extend(revoked.into_iter().map(|at| (id, at)));
                        }
                        Some(News::Lost(lost)) => prop_assert!(false, "lost without cause: {lost:?}"),
                        None => {}
                    }
                    prop_assert!(group.knows(id));
                }
                Step::Release(place) if !to_release.is_empty() => {
                    let (id, at) = to_release.remove(place % to_release.len());
                    group.release(id, &at);
                    told.get_mut(&id).unwrap().remove(&at);
                }
                _ => {}
            }
            for (id, mine) in &told {
                prop_assert!(mine.iter().all(|at| group.holds(*id, at)));
            }
        }
        for (id, at) in to_release {
            group.release(id, &at);
        }
        let members: Vec<_> = ids.iter().map(|(id, _)| *id).collect();
        settle(&mut group, &members);
        let mut dealt: Vec<_> = members.iter().flat_map(|id| held(&group, *id)).collect();
        dealt.sort_unstable();
        prop_assert_eq!(dealt, all(&partitions, |t| ids.iter().any(|(_, reads)| reads[t])));
        for (id, reads) in &ids {
            let readable = all(&partitions, |t| reads[t]);
            prop_assert!(held(&group, *id).iter().all(|at| readable.contains(at)));
        }
    }

    #[test]
    fn members_that_read_the_same_differ_by_at_most_one_partition(members in 1..6_u64, topics in 1..5_usize, partitions in 1..5_i32) {
        let mut group = Group::default();
        let ids: Vec<_> = (0..members).map(SessionId).collect();
        for id in &ids {
            group.join(*id, "m", (0..topics).map(|t| topic(t, partitions)).collect());
            settle(&mut group, &ids);
        }
        let counts: Vec<_> = ids.iter().map(|id| held(&group, *id).len()).collect();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{:?}", counts);
        for topic in (0..topics).map(|t| topic(t, partitions).name) {
            let counts: Vec<_> = ids.iter().map(|id| of_topic(&held(&group, *id).into_iter().collect(), &topic)).collect();
            let (least, most) = (counts.iter().min(), counts.iter().max());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{topic}: {counts:?}");
        }
    }
}

#[test]
fn who_stays_keeps_what_it_has_as_far_as_that_is_fair() {
    let mut group = Group::default();
    let ids = [SessionId(1), SessionId(2), SessionId(3)];
    for id in ids {
        group.join(id, "m", vec![topic(0, 6)]);
        settle(&mut group, &ids);
    }
    let before: Vec<_> = ids[..2].iter().map(|id| held(&group, *id)).collect();
    group.leave(ids[2]);
    settle(&mut group, &ids);
    for (id, before) in ids.iter().zip(before) {
        let now = held(&group, *id);
        assert_eq!(now.len(), 3);
        assert!(before.iter().all(|at| now.contains(at)));
    }
}

#[test]
fn what_is_dealt_back_before_it_was_released_is_told_anew() {
    let mut group = Group::default();
    let (one, two) = (SessionId(1), SessionId(2));
    group.join(one, "one", vec![topic(0, 2)]);
    settle(&mut group, &[one]);
    group.join(two, "two", vec![topic(0, 2)]);
    let Some(News::Revoked(revoked)) = group.tell(one) else {
        panic!("one of two is to go");
    };
    assert_eq!(group.tell(two), None, "it is not free yet");
    group.leave(two);
    assert_eq!(group.tell(one), None, "it still holds both");
    group.release(one, &revoked[0]);
    assert_eq!(group.tell(one), Some(News::Assigned(revoked)));
}
