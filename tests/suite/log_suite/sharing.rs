//! Groups: who reads which partition, and from where.

use std::collections::BTreeSet;

use millstream::log::{
    CommitError, Delivery, Log, LogError, Membership, Offset, Outbox, Session, TopicPartition,
};

use super::support::{
    at, committed, group_offset, join_alone, membership, new_topic, poll, poll_records, unique,
    until, write_numbers,
};

pub(crate) fn a_lone_session_gets_every_partition_of_its_topics<L: Log>(log: &L) {
    let (one, two) = (new_topic(log, 1), new_topic(log, 3));
    let session = join_alone(log, &membership(&unique("group"), 0, &[&two, &one]), 4);
    let mut expected: Vec<_> = (0..3).map(|partition| at(&two, partition)).collect();
    expected.push(at(&one, 0));
    expected.sort_unstable();
    assert_eq!(session.assignment(), expected);
}

/// Polls all sessions in turn until each has `count` partitions, none of them twice.
fn settle<S: Session>(sessions: &mut [S], count: usize) {
    until("a shared assignment", || {
        for session in &mut *sessions {
            poll(session, &mut Vec::new());
        }
        let mine: Vec<Vec<TopicPartition>> = sessions.iter().map(Session::assignment).collect();
        let distinct: BTreeSet<_> = mine.iter().flatten().collect();
        mine.iter().all(|m| m.len() == count) && distinct.len() == count * sessions.len()
    });
}

pub(crate) fn sessions_share_partitions_and_each_record_is_read_once<L: Log>(log: &L) {
    let topic = new_topic(log, 4);
    let group = unique("group");
    let join = |worker| log.join(&membership(&group, worker, &[&topic])).unwrap();
    let mut sessions = [join(0), join(1)];
    settle(&mut sessions, 2);
    for partition in 0..4 {
        write_numbers(log, &topic, partition, 10);
    }
    let mut read: Vec<_> = sessions
        .iter_mut()
        .flat_map(|session| poll_records(session, 20))
        .map(|record| (record.partition, record.offset))
        .collect();
    read.sort_unstable();
    let expected = (0..4).flat_map(|partition| (0..10).map(move |o| (partition, Offset(o))));
    assert!(read.into_iter().eq(expected));
}

pub(crate) fn a_topic_apart_is_shared_by_itself_and_committed_with_the_others<L: Log>(log: &L) {
    for delivery in [Delivery::ExactlyOnce, Delivery::AtLeastOnce] {
        let (topic, apart) = (new_topic(log, 4), new_topic(log, 4));
        let group = unique("group");
        let join = |worker| {
            let membership = Membership {
                apart: Some(apart.to_string()),
                delivery,
                ..membership(&group, worker, &[&topic])
            };
            log.join(&membership).unwrap()
        };
        // One is there before the other, and has everything.
        let mut sessions = vec![join(0)];
        until("the one topic", || {
            poll(&mut sessions[0], &mut Vec::new());
            !sessions[0].assignment().is_empty()
        });
        // It need not wait for the other.
        let first = sessions[0].assignment()[0].clone();
        let stand = group_offset(&first.topic, first.partition, 0);
        until(
            "a commit between two generations of the group",
            || match sessions[0].commit(&Outbox::new(), std::slice::from_ref(&stand)) {
                Err(CommitError::Aborted(_)) => {
                    poll(&mut sessions[0], &mut Vec::new());
                    false
                }
                other => {
                    other.unwrap();
                    true
                }
            },
        );
        settle(&mut sessions, 8);
        sessions.push(join(1));
        settle(&mut sessions, 4);
        for partition in 0..4 {
            write_numbers(log, &topic, partition, 2);
            write_numbers(log, &apart, partition, 2);
        }
        for session in &mut sessions {
            let mine = session.assignment();
            let of_topic = mine.iter().filter(|at| *at.topic == *topic);
            assert_eq!(of_topic.count(), 2, "{delivery:?}: {mine:?}");
            assert_eq!(poll_records(session, 8).len(), 8);
            let stand = mine
                .iter()
                .map(|at| group_offset(&at.topic, at.partition, 2));
            let stand: Vec<_> = stand.collect();
            session.commit(&Outbox::new(), &stand).unwrap();
            assert_eq!(session.committed(&mine).unwrap(), stand);
        }
        let error = sessions[0]
            .commit(&Outbox::new(), &[group_offset(&apart, 9, 0)])
            .unwrap_err();
        assert!(matches!(error, CommitError::Aborted(_)), "{error:?}");
        let members: BTreeSet<_> = (0..2).map(|worker| format!("{group}-{worker}")).collect();
        assert_eq!(log.members(&group).unwrap(), Vec::from_iter(members));
    }
}

pub(crate) fn partitions_of_a_session_that_leaves_go_to_the_others<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    write_numbers(log, &topic, 0, 3);
    write_numbers(log, &topic, 1, 3);
    let group = unique("group");
    let join = |worker| log.join(&membership(&group, worker, &[&topic])).unwrap();
    let mut sessions = [join(0), join(1)];
    settle(&mut sessions, 1);
    let [mut stays, mut leaves] = sessions;
    let done = leaves.assignment()[0].partition;
    leaves
        .commit(&Outbox::new(), &[group_offset(&topic, done, 2)])
        .unwrap();
    drop(leaves);

    until("a reassignment", || {
        poll(&mut stays, &mut Vec::new()) && stays.assignment().len() == 2
    });
    let stands = committed(&mut stays);
    assert_eq!(stands, [group_offset(&topic, done, 2)]);
    let mut read = Vec::new();
    until("what had been the other's", || {
        poll(&mut stays, &mut read);
        read.iter().any(|record| record.partition == done)
    });
    let first = read.iter().find(|record| record.partition == done);
    assert_eq!(first.unwrap().text(), "2");
}

pub(crate) fn groups_do_not_disturb_each_other<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    write_numbers(log, &topic, 0, 2);
    let mut one = join_alone(log, &membership(&unique("group"), 0, &[&topic]), 1);
    one.commit(&Outbox::new(), &[group_offset(&topic, 0, 2)])
        .unwrap();
    let mut two = join_alone(log, &membership(&unique("group"), 0, &[&topic]), 1);
    assert_eq!(committed(&mut two), []);
    assert_eq!(poll_records(&mut two, 2).len(), 2);
    two.commit(&Outbox::new(), &[group_offset(&topic, 0, 1)])
        .unwrap();
    assert_eq!(committed(&mut one), [group_offset(&topic, 0, 2)]);
}

pub(crate) fn a_session_reads_on_where_it_seeks<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    write_numbers(log, &topic, 0, 2_000);
    let mut session = join_alone(log, &membership(&unique("group"), 0, &[&topic]), 1);
    for to in [0, 1_999, 700, 0] {
        session.seek(&[(at(&topic, 0), Offset(to))]).unwrap();
        let read = poll_records(&mut session, 1);
        assert_eq!(read[0].text(), to.to_string());
    }
}

pub(crate) fn seeking_elsewhere_is_refused<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    let mut session = join_alone(log, &membership(&unique("group"), 0, &[&topic]), 1);
    let error = session.seek(&[(at(&topic, 1), Offset(0))]).unwrap_err();
    assert!(matches!(error, LogError::Refused(_)), "{error:?}");
}
