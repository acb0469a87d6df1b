//! What the embedded log promises beyond the suite: when exactly sessions learn of changes, and what it refuses.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::sync::Arc;
use std::time::Duration;

use millstream::log::embedded::{EmbeddedLog, EmbeddedSession};
use millstream::log::{
    CommitError, Fetched, GroupOffset, Log, LogError, Membership, Offset, Outbox, Polled, Reader,
    Session,
};

use crate::log_suite::support::{
    at, committed, group_offset, join_alone, membership, new_topic, outbox, poll_records,
    read_all_texts, write, write_numbers,
};
use crate::with_log;

const NOW: Duration = Duration::ZERO;

fn poll(session: &mut EmbeddedSession) -> Result<Polled, LogError> {
    session.poll(&mut Fetched::new(), NOW)
}

#[test]
fn with_no_time_to_wait_each_step_is_told_at_once() {
    with_log(|log| {
        let topic = new_topic(&log, 2);
        let (zero, one) = (at(&topic, 0), at(&topic, 1));
        let both = vec![zero.clone(), one.clone()];
        let mut first = log.join(&membership("g", 0, &[&topic])).unwrap();
        assert_eq!(poll(&mut first).unwrap(), Polled::Assigned(both.clone()));

        let mut second = log.join(&membership("g", 1, &[&topic])).unwrap();
        assert_eq!(poll(&mut second).unwrap(), Polled::Records);
        let gone = vec![one.clone()];
        assert_eq!(poll(&mut first).unwrap(), Polled::Revoked(gone.clone()));
        assert_eq!(poll(&mut first).unwrap(), Polled::Records);
        assert_eq!(poll(&mut second).unwrap(), Polled::Records);
        first.release(&gone).unwrap();
        assert_eq!(poll(&mut second).unwrap(), Polled::Assigned(gone.clone()));

        // Who leaves has nothing to be told: what it had is free at once.
        drop(second);
        assert_eq!(poll(&mut first).unwrap(), Polled::Assigned(gone));
        assert_eq!(first.assignment(), both);
    });
}

#[test]
fn a_session_that_was_expelled_loses_all_and_is_a_member_again_once_it_has_released_it() {
    with_log(|log| {
        let topic = new_topic(&log, 2);
        let both = vec![at(&topic, 0), at(&topic, 1)];
        let mut zombie = join_alone(&log, &membership("g", 0, &[&topic]), 2);
        let mut other = log.join(&membership("g", 1, &[&topic])).unwrap();
        log.expel("g", "g-0");
        assert_eq!(log.members("g").unwrap(), ["g-1"]);
        assert_eq!(poll(&mut other).unwrap(), Polled::Assigned(both.clone()));

        let offsets = [group_offset(&topic, 0, 1)];
        let late = zombie.commit(&outbox(&topic, &[(0, "late")]), &offsets);
        assert!(matches!(late, Err(CommitError::Aborted(_))), "{late:?}");
        assert_eq!(poll(&mut zombie).unwrap(), Polled::Lost(both.clone()));
        assert_eq!(poll(&mut zombie).unwrap(), Polled::Records);
        assert_eq!(log.members("g").unwrap(), ["g-1"]);
        zombie.release(&both).unwrap();
        assert_eq!(poll(&mut zombie).unwrap(), Polled::Records);
        assert_eq!(log.members("g").unwrap(), ["g-0", "g-1"]);
        assert_eq!(
            poll(&mut other).unwrap(),
            Polled::Revoked(vec![both[1].clone()])
        );
        other.commit(&Outbox::new(), &offsets).unwrap();
        assert_eq!(read_all_texts(&log, &topic), Vec::<String>::new());
    });
}

#[test]
fn what_is_revoked_is_read_no_further_and_what_is_kept_is() {
    with_log(|log| {
        let topic = new_topic(&log, 2);
        let mut first = join_alone(&log, &membership("g", 0, &[&topic]), 2);
        let _second = log.join(&membership("g", 1, &[&topic])).unwrap();
        let Polled::Revoked(gone) = poll(&mut first).unwrap() else {
            panic!("one of two is to go");
        };
        write(&log, &topic, &[(0, "kept"), (1, "gone")]);
        let read = poll_records(&mut first, 1);
        assert_eq!(read[0].text(), "kept");
        // Where it stands in the other no longer matters.
        first.seek(&[(gone[0].clone(), Offset(0))]).unwrap();
        assert_eq!(poll(&mut first).unwrap(), Polled::Records);
    });
}

#[test]
fn a_fenced_session_has_left_the_group_and_can_only_be_dropped() {
    with_log(|log| {
        let topic = new_topic(&log, 2);
        let member = membership("g", 0, &[&topic]);
        let mut older = log.join(&member).unwrap();
        poll(&mut older).unwrap();
        let mut newer = log.join(&member).unwrap();
        assert!(matches!(poll(&mut older), Err(LogError::Fenced(_))));
        drop(older);
        assert!(matches!(poll(&mut newer).unwrap(), Polled::Assigned(_)));
        assert_eq!(newer.assignment().len(), 2);
        newer.commit(&outbox(&topic, &[(0, "x")]), &[]).unwrap();
    });
}

#[test]
fn a_transactional_id_fences_across_groups() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        // Another group, and the same name.
        let elsewhere = membership("g-0", 0, &[&topic]);
        let older = Membership {
            member: "0-0".to_owned(),
            ..membership("g", 0, &[&topic])
        };
        assert_eq!(older.transactional_id(), elsewhere.transactional_id());
        let mut older = log.join(&older).unwrap();
        poll(&mut older).unwrap();
        let _newer = log.join(&elsewhere).unwrap();
        assert!(matches!(poll(&mut older), Err(LogError::Fenced(_))));
    });
}

#[test]
fn offsets_that_cannot_be_committed_are_named_and_nothing_is_written() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        let mut session = log.join(&membership("g", 0, &[&topic])).unwrap();
        poll(&mut session).unwrap();
        let long = GroupOffset {
            metadata: "x".repeat(4_097),
            ..group_offset(&topic, 0, 0)
        };
        for (bad, why) in [
            (group_offset(&topic, 0, -1), "below 0"),
            (long, "4097 bytes"),
        ] {
            let error = session
                .commit(&outbox(&topic, &[(0, "x")]), &[bad])
                .unwrap_err();
            assert!(matches!(error, CommitError::Refused(_)), "{error:?}");
            assert!(error.to_string().contains(why), "{error}");
        }
        assert_eq!(read_all_texts(&log, &topic), Vec::<String>::new());
        assert_eq!(committed(&mut session), []);
    });
}

#[test]
fn memberships_that_make_no_sense_are_refused() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        let good = membership("g", 0, &[&topic]);
        let nameless = Membership {
            group: String::new(),
            ..good.clone()
        };
        let long = Membership {
            member: "x".repeat(1_025),
            ..good.clone()
        };
        let unknown = Membership {
            topics: vec!["unknown".to_owned()],
            ..good
        };
        assert!(matches!(log.join(&nameless), Err(LogError::Refused(_))));
        assert!(matches!(log.join(&long), Err(LogError::Refused(_))));
        assert!(matches!(log.join(&unknown), Err(LogError::NoTopic(name)) if name == "unknown"));
    });
}

#[test]
fn a_poll_takes_a_share_of_every_partition() {
    with_log(|log| {
        let topic = new_topic(&log, 2);
        write_numbers(&log, &topic, 0, 20_000);
        write_numbers(&log, &topic, 1, 3);
        let mut reader = log.reader(&topic, &[]).unwrap();
        let mut fetched = Fetched::new();
        reader.poll(&mut fetched, NOW).unwrap();
        let lengths: Vec<_> = fetched.batches().map(|batch| batch.len()).collect();
        assert!((1_000..1_512).contains(&lengths[0]), "{lengths:?}");
        assert_eq!(lengths[1], 3);
    });
}

#[test]
fn a_waiting_poll_is_woken_by_an_append() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        let mut reader = log.reader(&topic, &[]).unwrap();
        let waiting = std::thread::spawn(move || {
            let mut fetched = Fetched::new();
            reader
                .poll(&mut fetched, Duration::MAX)
                .map(|()| fetched.len())
        });
        write(&log, &topic, &[(0, "x")]);
        assert_eq!(waiting.join().unwrap().unwrap(), 1);
    });
}

#[test]
fn writers_on_many_threads_lose_nothing_and_leave_no_gaps() {
    const WRITERS: usize = 4;
    const APPENDS: usize = 25;
    with_log(|log| {
        let topic = new_topic(&log, 1);
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (log, topic) = (log.clone(), Arc::clone(&topic));
                scope.spawn(move || {
                    for number in 0..APPENDS {
                        write(&log, &topic, &[(0, &format!("{writer}-{number}"))]);
                    }
                });
            }
        });
        let end = i64::try_from(WRITERS * APPENDS).unwrap();
        assert_eq!(log.bounds(&topic).unwrap()[0].end, Offset(end));
        let texts = read_all_texts(&log, &topic);
        for writer in 0..WRITERS {
            let mine = texts
                .iter()
                .filter(|text| text.starts_with(&format!("{writer}-")));
            let expected = (0..APPENDS).map(|number| format!("{writer}-{number}"));
            assert!(mine.cloned().eq(expected));
        }
    });
}

#[test]
fn a_folder_that_is_open_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let first = EmbeddedLog::open(folder.path()).unwrap();
    let error = EmbeddedLog::open(folder.path()).unwrap_err();
    assert!(matches!(error, LogError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("is open already"), "{error}");
    drop(first);
    EmbeddedLog::open(folder.path()).unwrap();
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = EmbeddedLog::open(file.path()).unwrap_err();
    assert!(matches!(error, LogError::Refused(_)), "{error:?}");
    assert!(
        error.to_string().contains(&*file.path().to_string_lossy()),
        "{error}"
    );
}

#[test]
fn a_folder_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(EmbeddedLog::open(folder.path()).unwrap());
    let engine = fjall::Database::builder(folder.path()).open().unwrap();
    let meta = engine
        .keyspace("meta", fjall::KeyspaceCreateOptions::default)
        .unwrap();
    meta.insert("format", 2_u32.to_be_bytes()).unwrap();
    drop((meta, engine));
    let error = EmbeddedLog::open(folder.path()).unwrap_err();
    assert!(matches!(error, LogError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("version 2"), "{error}");
}
