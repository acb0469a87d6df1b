//! Transactions: all or nothing, and only by the newest owner.

use millstream::log::{
    CommitError, Delivery, GroupOffset, Log, Membership, Offset, Outbox, Session, Written,
    read_whole,
};

use super::support::{
    at, committed, group_offset, join_alone, membership, new_topic, outbox, poll_records,
    poll_to_end, read_all_texts, read_from, stage, unique, until, write, write_numbers,
};

pub(crate) fn a_commit_shows_records_offsets_and_metadata<L: Log>(log: &L) {
    let (source, sink) = (new_topic(log, 1), new_topic(log, 1));
    write_numbers(log, &source, 0, 3);
    let mut session = join_alone(log, &membership(&unique("group"), 0, &[&source]), 1);
    assert_eq!(committed(&mut session), []);
    let read = poll_records(&mut session, 3);
    let stands = GroupOffset {
        at: at(&source, 0),
        offset: read[1].offset.next(),
        metadata: "watermark 7".to_owned(),
    };
    let written = outbox(&sink, &[(0, "a"), (0, "b")]);
    session
        .commit(&written, std::slice::from_ref(&stands))
        .unwrap();
    assert_eq!(committed(&mut session), [stands]);
    assert_eq!(read_all_texts(log, &sink), ["a", "b"]);
}

pub(crate) fn a_refused_commit_leaves_nothing<L: Log>(log: &L) {
    let (source, sink) = (new_topic(log, 1), new_topic(log, 1));
    write_numbers(log, &source, 0, 1);
    let member = membership(&unique("group"), 0, &[&source]);
    let mut session = join_alone(log, &member, 1);
    let mut written = outbox(&sink, &[(0, "a")]);
    let unknown = unique("unknown").into();
    stage(&mut written, &unknown, 0, "b");
    let error = session
        .commit(&written, &[group_offset(&source, 0, 1)])
        .unwrap_err();
    assert!(matches!(error, CommitError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains(&*unknown), "{error}");
    drop(session);

    let mut session = join_alone(log, &member, 1);
    assert_eq!(committed(&mut session), []);
    assert_eq!(read_all_texts(log, &sink), Vec::<String>::new());
    assert_eq!(log.topic(&unknown).unwrap(), None);
}

pub(crate) fn an_empty_commit_is_harmless<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    let mut session = join_alone(log, &membership(&unique("group"), 0, &[&topic]), 1);
    for _ in 0..3 {
        session.commit(&Outbox::new(), &[]).unwrap();
    }
    assert_eq!(committed(&mut session), []);
    let stands = group_offset(&topic, 0, 0);
    session
        .commit(&Outbox::new(), std::slice::from_ref(&stands))
        .unwrap();
    assert_eq!(committed(&mut session), [stands]);
    assert_eq!(read_all_texts(log, &topic), Vec::<String>::new());
}

pub(crate) fn a_reader_knows_the_end_of_a_partition_that_commits_have_written<L: Log>(log: &L) {
    let topic = new_topic(log, 3);
    let mut session = join_alone(log, &membership(&unique("group"), 0, &[&topic]), 3);
    session
        .commit(&outbox(&topic, &[(0, "a"), (0, "b"), (1, "c")]), &[])
        .unwrap();
    // A log may say that it is decided before it has written that into each partition.
    until("the end of the transaction, in every partition", || {
        let bounds = log.bounds(&topic).unwrap();
        bounds.iter().all(|bounds| bounds.end == bounds.written)
    });
    let mut reader = log.reader(&topic, &[]).unwrap();
    assert_eq!(poll_to_end(&mut reader, 3), ["a", "b", "c"]);
    write(log, &topic, &[(1, "d")]);
    assert_eq!(
        poll_to_end(&mut log.reader(&topic, &[]).unwrap(), 3).len(),
        4
    );
}

pub(crate) fn a_partition_is_read_whole_whatever_it_ends_with<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    let read = |partition| {
        let mut texts = Vec::new();
        let next = read_whole(log, &at(&topic, partition), |batch| {
            texts.extend((0..batch.len()).map(|row| batch.value(row).unwrap().to_vec()));
            Ok(())
        });
        (texts, next.unwrap())
    };
    assert_eq!(read(0), (vec![], Offset(0)));
    write(log, &topic, &[(0, "a"), (1, "other")]);
    assert_eq!(read(0), (vec![b"a".to_vec()], Offset(1)));
    let mut session = join_alone(log, &membership(&unique("group"), 0, &[&topic]), 2);
    session.commit(&outbox(&topic, &[(0, "b")]), &[]).unwrap();
    // A broker may still be about to decide it.
    until("what was committed", || {
        let (texts, next) = read(0);
        assert!(texts.starts_with(&[b"a".to_vec()]) && next >= Offset(1));
        texts.len() == 2 && texts[1] == b"b" && next >= Offset(2)
    });
    assert_eq!(read(1).0, [b"other"]);
    assert!(read_whole(log, &at(&topic, 7), |_| Ok(())).is_err());
}

pub(crate) fn a_commit_may_span_topics<L: Log>(log: &L) {
    let (one, two) = (new_topic(log, 1), new_topic(log, 3));
    let mut session = join_alone(log, &membership(&unique("group"), 0, &[&one]), 1);
    let mut written = outbox(&one, &[(0, "a")]);
    for partition in 0..3 {
        stage(&mut written, &two, partition, "b");
    }
    session.commit(&written, &[]).unwrap();
    assert_eq!(read_all_texts(log, &one), ["a"]);
    let mut partitions: Vec<_> = read_from(log, &two, &[], 3)
        .iter()
        .map(|r| r.partition)
        .collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2]);
}

pub(crate) fn a_newer_session_fences_the_older<L: Log>(log: &L) {
    let sink = new_topic(log, 1);
    let member = membership(&unique("group"), 0, &[&sink]);
    let mut older = join_alone(log, &member, 1);
    older
        .commit(&outbox(&sink, &[(0, "in time")]), &[])
        .unwrap();
    let newer = log.join(&member).unwrap();
    for _ in 0..2 {
        let error = older
            .commit(&outbox(&sink, &[(0, "too late")]), &[])
            .unwrap_err();
        assert!(matches!(error, CommitError::Fenced(_)), "{error:?}");
    }
    drop(older);
    drop(newer);
    let mut newest = join_alone(log, &member, 1);
    newest
        .commit(&outbox(&sink, &[(0, "by the newest")]), &[])
        .unwrap();
    assert_eq!(read_all_texts(log, &sink), ["in time", "by the newest"]);
}

pub(crate) fn a_commit_tells_where_its_records_lie<L: Log>(log: &L) {
    let topic = new_topic(log, 3);
    write(log, &topic, &[(0, "before")]);
    let mut session = join_alone(log, &membership(&unique("group"), 0, &[&topic]), 3);
    for round in 0..2 {
        let written = outbox(&topic, &[(0, "a"), (1, "b"), (0, "c")]);
        let written = session.commit(&written, &[]).unwrap();
        let read = read_from(log, &topic, &[], 1 + 3 * (round + 1));
        for partition in 0..3 {
            let last = read.iter().rfind(|r| r.partition == partition);
            let next = last.map(|last| last.offset.next());
            assert_eq!(written.get(&at(&topic, partition)), next);
        }
    }
    let nothing = session.commit(&Outbox::new(), &[group_offset(&topic, 0, 1)]);
    assert_eq!(nothing.unwrap(), Written::default());
}

pub(crate) fn offsets_of_partitions_that_are_not_ones_own_are_refused<L: Log>(log: &L) {
    let (topic, other) = (new_topic(log, 1), new_topic(log, 1));
    let mut session = join_alone(log, &membership(&unique("group"), 0, &[&topic]), 1);
    for not_mine in [group_offset(&other, 0, 0), group_offset(&topic, 1, 0)] {
        let offsets = [group_offset(&topic, 0, 0), not_mine];
        let error = session
            .commit(&outbox(&topic, &[(0, "never")]), &offsets)
            .unwrap_err();
        assert!(matches!(error, CommitError::Aborted(_)), "{error:?}");
    }
    assert_eq!(read_all_texts(log, &topic), Vec::<String>::new());
    // The session lives.
    session
        .commit(&outbox(&topic, &[(0, "x")]), &[group_offset(&topic, 0, 0)])
        .unwrap();
}

pub(crate) fn a_session_that_is_no_member_yet_commits_nothing<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    let mut session = log
        .join(&membership(&unique("group"), 0, &[&topic]))
        .unwrap();
    let error = session
        .commit(&outbox(&topic, &[(0, "never")]), &[])
        .unwrap_err();
    assert!(matches!(error, CommitError::Aborted(_)), "{error:?}");
    assert_eq!(read_all_texts(log, &topic), Vec::<String>::new());
}

pub(crate) fn commits_at_least_once_show_records_and_offsets_too<L: Log>(log: &L) {
    let (source, sink) = (new_topic(log, 1), new_topic(log, 1));
    let member = Membership {
        delivery: Delivery::AtLeastOnce,
        ..membership(&unique("group"), 0, &[&source])
    };
    let mut session = join_alone(log, &member, 1);
    let stands = GroupOffset {
        at: at(&source, 0),
        offset: Offset(0),
        metadata: "watermark 7".to_owned(),
    };
    let written = session
        .commit(
            &outbox(&sink, &[(0, "a"), (0, "b")]),
            std::slice::from_ref(&stands),
        )
        .unwrap();
    assert_eq!(written.get(&at(&sink, 0)), Some(Offset(2)));
    assert_eq!(committed(&mut session), [stands]);
    assert_eq!(read_all_texts(log, &sink), ["a", "b"]);
    let unknown = unique("unknown").into();
    let error = session
        .commit(&outbox(&unknown, &[(0, "x")]), &[])
        .unwrap_err();
    assert!(matches!(error, CommitError::Refused(_)), "{error:?}");
    session
        .commit(&Outbox::new(), &[group_offset(&source, 0, 0)])
        .unwrap();
}

/// Whoever goes on from there need not ask the one who has left.
pub(crate) fn what_is_committed_stands_when_its_session_has_ended<L: Log>(log: &L) {
    for delivery in [Delivery::ExactlyOnce, Delivery::AtLeastOnce] {
        let topic = new_topic(log, 2);
        let member = Membership {
            delivery,
            ..membership(&unique("group"), 0, &[&topic])
        };
        let mut session = join_alone(log, &member, 2);
        // The later ones come while the group is asked to take the earlier.
        for offset in 1..=100 {
            let stands = [0, 1].map(|partition| group_offset(&topic, partition, offset));
            session.commit(&Outbox::new(), &stands).unwrap();
        }
        drop(session);
        let of = [at(&topic, 0), at(&topic, 1)];
        let expected = [0, 1].map(|partition| group_offset(&topic, partition, 100));
        assert_eq!(log.group_offsets(&member.group, &of).unwrap(), expected);
    }
}

pub(crate) fn a_later_session_goes_on_at_the_committed_offsets<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    write_numbers(log, &topic, 0, 5);
    write_numbers(log, &topic, 1, 2);
    let member = membership(&unique("group"), 0, &[&topic]);
    let mut first = join_alone(log, &member, 2);
    first
        .commit(&Outbox::new(), &[group_offset(&topic, 0, 3)])
        .unwrap();
    drop(first);

    let mut second = join_alone(log, &member, 2);
    let mut read: Vec<_> = poll_records(&mut second, 4)
        .iter()
        .map(|r| (r.partition, r.text().to_owned()))
        .collect();
    read.sort_unstable();
    let expected = [(0, "3"), (0, "4"), (1, "0"), (1, "1")];
    assert_eq!(read, expected.map(|(p, text)| (p, text.to_owned())));
}

pub(crate) fn metadata_of_any_text_comes_back<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    let mut session = join_alone(log, &membership(&unique("group"), 0, &[&topic]), 1);
    for metadata in ["", "ä → 🌊\n\"", &"x".repeat(4_096)] {
        let stands = GroupOffset {
            at: at(&topic, 0),
            offset: Offset(0),
            metadata: metadata.to_owned(),
        };
        session
            .commit(&Outbox::new(), std::slice::from_ref(&stands))
            .unwrap();
        assert_eq!(committed(&mut session), [stands]);
    }
}
