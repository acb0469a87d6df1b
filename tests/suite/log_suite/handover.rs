//! Partitions that come and go, step by step: assigned, begun, revoked, released.

use std::sync::Arc;

use millstream::log::{
    CommitError, Log, LogError, Offset, Outbox, Polled, Session, TopicPartition,
};

use super::support::{
    Read, at, group_offset, join_alone, membership, new_topic, outbox, poll, poll_once,
    poll_records, unique, until, write_numbers,
};

/// Polls until something other than records comes.
fn next_event(session: &mut impl Session) -> Polled {
    let mut event = Polled::Records;
    until("an event", || {
        event = poll_once(session, &mut Vec::new());
        event != Polled::Records
    });
    event
}

/// A session to which partition 0 of a new topic is assigned, and not begun.
fn assigned<L: Log>(log: &L) -> (Arc<str>, L::Session) {
    let topic = new_topic(log, 1);
    write_numbers(log, &topic, 0, 10);
    let member = membership(&unique("group"), 0, &[&topic]);
    let mut session = log.join(&member).unwrap();
    assert_eq!(session.assignment(), []);
    let mine = vec![at(&topic, 0)];
    assert_eq!(next_event(&mut session), Polled::Assigned(mine.clone()));
    assert_eq!(session.assignment(), mine);
    (topic, session)
}

pub(crate) fn nothing_is_fetched_of_a_partition_before_it_is_begun<L: Log>(log: &L) {
    let (topic, mut session) = assigned(log);
    let mut read = Vec::new();
    for _ in 0..5 {
        assert_eq!(poll_once(&mut session, &mut read), Polled::Records);
    }
    assert_eq!(read, []);
    session
        .commit(&Outbox::new(), &[group_offset(&topic, 0, 3)])
        .unwrap();
    session.begin(&[(at(&topic, 0), Offset(7))]).unwrap();
    let read = poll_records(&mut session, 3);
    assert_eq!(read[0].text(), "7");
    assert_eq!(read.len(), 3);
}

pub(crate) fn steps_out_of_their_order_are_refused<L: Log>(log: &L) {
    let (topic, mut session) = assigned(log);
    let (mine, elsewhere) = ((at(&topic, 0), Offset(0)), (at(&topic, 1), Offset(0)));
    let refused = |result: Result<(), LogError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, LogError::Refused(_)), "{error:?}");
    };
    refused(session.seek(std::slice::from_ref(&mine)));
    refused(session.begin(&[mine.clone(), elsewhere.clone()]));
    refused(session.release(std::slice::from_ref(&mine.0)));
    refused(session.release(&[elsewhere.0]));
    session.begin(std::slice::from_ref(&mine)).unwrap();
    refused(session.begin(std::slice::from_ref(&mine)));
    session.seek(&[mine]).unwrap();
    assert_eq!(poll_records(&mut session, 10).len(), 10);
}

/// Polls the elder until it is told to give something up, and the younger all the while.
fn revoked<S: Session>(elder: &mut S, younger: &mut S) -> Vec<TopicPartition> {
    let mut told = None;
    until("a revocation", || {
        assert!(
            !poll(younger, &mut Vec::new()),
            "it was given what is not free"
        );
        match poll_once(elder, &mut Vec::new()) {
            Polled::Revoked(partitions) => told = Some(partitions),
            other => assert_eq!(other, Polled::Records),
        }
        told.is_some()
    });
    told.unwrap()
}

pub(crate) fn a_partition_changes_hands_only_after_its_release<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    let group = unique("group");
    let mut elder = join_alone(log, &membership(&group, 0, &[&topic]), 2);
    let mut younger = log.join(&membership(&group, 1, &[&topic])).unwrap();
    let moving = revoked(&mut elder, &mut younger);
    assert_eq!(moving.len(), 1);
    let [moved, kept] = [moving[0].partition, 1 - moving[0].partition];

    // It is still the elder's, who commits what it has of it.
    assert_eq!(elder.assignment().len(), 2);
    for _ in 0..3 {
        assert!(!poll(&mut younger, &mut Vec::new()));
        assert_eq!(poll_once(&mut elder, &mut Vec::new()), Polled::Records);
    }
    let sink = outbox(&topic, &[(kept, "by the elder")]);
    elder
        .commit(&sink, &[group_offset(&topic, moved, 5)])
        .unwrap();

    elder.release(&moving).unwrap();
    assert_eq!(elder.assignment(), [at(&topic, kept)]);
    let late = elder.commit(&sink, &[group_offset(&topic, moved, 6)]);
    assert!(matches!(late, Err(CommitError::Aborted(_))), "{late:?}");
    until("the handing over", || {
        poll_once(&mut elder, &mut Vec::new());
        match poll_once(&mut younger, &mut Vec::new()) {
            Polled::Assigned(partitions) => {
                assert_eq!(partitions, moving);
                true
            }
            other => {
                assert_eq!(other, Polled::Records);
                false
            }
        }
    });
    let stands = younger.committed(&moving).unwrap();
    assert_eq!(stands, [group_offset(&topic, moved, 5)]);
    younger
        .commit(&Outbox::new(), &[group_offset(&topic, moved, 7)])
        .unwrap();
    // The elder sees it too, though the partition is no longer its own.
    let stands = elder.committed(&moving).unwrap();
    assert_eq!(stands, [group_offset(&topic, moved, 7)]);
    elder
        .commit(&Outbox::new(), &[group_offset(&topic, kept, 1)])
        .unwrap();
}

pub(crate) fn what_is_kept_is_read_on_without_a_gap_while_others_move<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    let group = unique("group");
    let mut elder = join_alone(log, &membership(&group, 0, &[&topic]), 2);
    write_numbers(log, &topic, 0, 50);
    write_numbers(log, &topic, 1, 50);
    let mut read = poll_records(&mut elder, 100);
    let mut younger = log.join(&membership(&group, 1, &[&topic])).unwrap();
    let moving = revoked(&mut elder, &mut younger);
    elder.release(&moving).unwrap();
    let kept = 1 - moving[0].partition;
    write_numbers(log, &topic, kept, 50);
    let mut others = Vec::new();
    until("the records after the handing over", || {
        poll(&mut younger, &mut others);
        poll(&mut elder, &mut read);
        read.len() >= 150 && others.len() >= 50
    });
    let offsets = read.iter().filter(|record| record.partition == kept);
    assert!(offsets.map(|record| record.offset.0).eq(0..100));
}

/// Polls a few times, more than enough for records that are there to come.
fn poll_some(session: &mut impl Session) -> Vec<Read> {
    let mut read = Vec::new();
    for _ in 0..5 {
        assert_eq!(poll_once(session, &mut read), Polled::Records);
    }
    read
}

pub(crate) fn what_is_paused_brings_nothing_until_it_is_resumed<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    let [first, second] = [0, 1].map(|partition| at(&topic, partition));
    write_numbers(log, &topic, 0, 5);
    let member = membership(&unique("group"), 0, &[&topic]);
    let mut session = join_alone(log, &member, 2);
    poll_records(&mut session, 5);
    session.pause(std::slice::from_ref(&first)).unwrap();
    write_numbers(log, &topic, 0, 5);
    write_numbers(log, &topic, 1, 5);
    let read = poll_records(&mut session, 5);
    assert!(read.iter().all(|record| record.partition == 1), "{read:?}");
    assert_eq!(poll_some(&mut session), []);
    session.seek(&[(first.clone(), Offset(1))]).unwrap();
    assert_eq!(poll_some(&mut session), [], "a seek does not resume it");

    session.resume(&[(first.clone(), Offset(3))]).unwrap();
    let read = poll_records(&mut session, 7);
    let texts: Vec<_> = read.iter().map(Read::text).collect();
    assert_eq!(texts, ["3", "4", "0", "1", "2", "3", "4"]);

    // What had been fetched already is dropped, and fetched again.
    write_numbers(log, &topic, 0, 5_000);
    write_numbers(log, &topic, 1, 5_000);
    poll_records(&mut session, 1);
    let both = [first.clone(), second.clone()];
    session.pause(&both).unwrap();
    assert_eq!(poll_some(&mut session), []);
    session
        .resume(&[(first, Offset(10)), (second, Offset(5))])
        .unwrap();
    let read = poll_records(&mut session, 10_000);
    for partition in 0..2 {
        let numbers = read.iter().filter(|record| record.partition == partition);
        let expected = (0..5_000).map(|number| number.to_string());
        assert!(numbers.map(Read::text).eq(expected));
    }

    let elsewhere = at(&topic, 7);
    let refused = session.pause(std::slice::from_ref(&elsewhere));
    assert!(matches!(refused, Err(LogError::Refused(_))), "{refused:?}");
    let refused = session.resume(&[(elsewhere, Offset(0))]);
    assert!(matches!(refused, Err(LogError::Refused(_))), "{refused:?}");
}

pub(crate) fn a_partition_that_was_given_up_while_paused_comes_back_unpaused<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    let both = [0, 1].map(|partition| at(&topic, partition));
    let group = unique("group");
    let mut elder = join_alone(log, &membership(&group, 0, &[&topic]), 2);
    elder.pause(&both).unwrap();
    let mut younger = log.join(&membership(&group, 1, &[&topic])).unwrap();
    until("a partition for the younger", || {
        poll(&mut elder, &mut Vec::new());
        poll(&mut younger, &mut Vec::new());
        younger.assignment().len() == 1
    });
    drop(younger);
    until("the partition to come back", || {
        poll(&mut elder, &mut Vec::new());
        elder.assignment().len() == 2
    });
    write_numbers(log, &topic, 0, 5);
    write_numbers(log, &topic, 1, 5);
    // Only the one that it kept is still paused.
    let read = poll_records(&mut elder, 5);
    let kept = at(&topic, 1 - read[0].partition);
    assert!(read.iter().all(|record| record.partition != kept.partition));
    elder.resume(&[(kept, Offset(0))]).unwrap();
    assert_eq!(poll_records(&mut elder, 5).len(), 5);
}
