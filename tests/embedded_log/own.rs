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
    group_offset, membership, new_topic, outbox, read_all_texts, write, write_numbers,
};
use crate::with_log;

const NOW: Duration = Duration::ZERO;

fn poll(session: &mut EmbeddedSession) -> Result<Polled, LogError> {
    session.poll(&mut Fetched::new(), NOW)
}

#[test]
fn a_session_behind_its_group_is_told_so_until_it_polls() {
    with_log(|log| {
        let topic = new_topic(&log, 2);
        let mut first = log.join(&membership("g", 0, &[&topic])).unwrap();
        let offsets = [group_offset(&topic, 0, 1)];
        let refused = |session: &mut EmbeddedSession| {
            let error = session
                .commit(&outbox(&topic, &[(0, "x")]), &offsets)
                .unwrap_err();
            assert!(matches!(error, CommitError::Aborted(_)), "{error:?}");
        };
        refused(&mut first);
        assert_eq!(poll(&mut first).unwrap(), Polled::Reassigned);
        assert_eq!(first.assignment().len(), 2);

        write(&log, &topic, &[(0, "to be read later")]);
        let second = log.join(&membership("g", 1, &[&topic])).unwrap();
        refused(&mut first);
        let mut fetched = Fetched::new();
        assert_eq!(first.poll(&mut fetched, NOW).unwrap(), Polled::Reassigned);
        assert!(fetched.is_empty());
        assert_eq!(first.assignment().len(), 1);
        first.commit(&Outbox::new(), &offsets).unwrap();

        drop(second);
        refused(&mut first);
        assert_eq!(poll(&mut first).unwrap(), Polled::Reassigned);
        assert_eq!(first.assignment().len(), 2);
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
        assert_eq!(poll(&mut newer).unwrap(), Polled::Reassigned);
        assert_eq!(newer.assignment().len(), 2);
        newer.commit(&outbox(&topic, &[(0, "x")]), &[]).unwrap();
    });
}

#[test]
fn a_transactional_id_fences_across_groups() {
    with_log(|log| {
        let topic = new_topic(&log, 1);
        let elsewhere = Membership {
            group: "other".to_owned(),
            ..membership("g", 0, &[&topic])
        };
        let mut older = log.join(&membership("g", 0, &[&topic])).unwrap();
        poll(&mut older).unwrap();
        let _newer = log.join(&elsewhere).unwrap();
        assert!(matches!(poll(&mut older), Err(LogError::Fenced(_))));
    });
}

#[test]
fn offsets_that_cannot_be_committed_are_named_and_nothing_is_written() {
    with_log(|log| {
        let (topic, other) = (new_topic(&log, 1), new_topic(&log, 1));
        let mut session = log.join(&membership("g", 0, &[&topic])).unwrap();
        poll(&mut session).unwrap();
        let long = GroupOffset {
            metadata: "x".repeat(4_097),
            ..group_offset(&topic, 0, 0)
        };
        for (bad, why) in [
            (group_offset(&other, 0, 0), "not assigned"),
            (group_offset(&topic, 1, 0), "not assigned"),
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
        assert_eq!(session.committed().unwrap(), []);
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
            transactional_id: "x".repeat(1_025),
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
