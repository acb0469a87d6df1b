//! What is there after the process has gone, gently or not.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use millstream::log::embedded::EmbeddedLog;
use millstream::log::{GroupOffset, Log, Offset, Session, TopicSpec};

use crate::log_suite::support::{
    at, committed, join_alone, membership, outbox, read_all_texts, stage, write, write_numbers,
};

/// Tells the child which folder to write to.
const FOLDER: &str = "MILLSTREAM_TEST_LOG";
const TOPIC: &str = "numbers";

fn open(folder: &Path) -> (EmbeddedLog, Arc<str>) {
    let log = EmbeddedLog::open(folder).unwrap();
    let spec = TopicSpec {
        name: TOPIC.to_owned(),
        partitions: 1,
        settings: Default::default(),
    };
    log.create_topic(&spec).unwrap();
    (log, TOPIC.into())
}

/// Commits two records that hold `number`, and `number` as the group's metadata.
fn commit(session: &mut impl Session, topic: &Arc<str>, number: usize) {
    let mut written = outbox(topic, &[(0, &number.to_string())]);
    stage(&mut written, topic, 0, &number.to_string());
    let stands = GroupOffset {
        at: at(topic, 0),
        offset: Offset(0),
        metadata: number.to_string(),
    };
    session.commit(&written, &[stands]).unwrap();
}

/// How many commits are there. Each must be whole, and the group's metadata must tell of the last.
fn commits(log: &EmbeddedLog, topic: &Arc<str>) -> usize {
    let mut session = join_alone(log, &membership("g", 0, &[topic]), 1);
    let committed = committed(&mut session);
    let texts = read_all_texts(log, topic);
    let count = texts.len() / 2;
    let expected = (0..count).flat_map(|number| [number.to_string(), number.to_string()]);
    assert!(texts.into_iter().eq(expected));
    let last = committed.first().map(|stands| stands.metadata.clone());
    assert_eq!(last, count.checked_sub(1).map(|number| number.to_string()));
    count
}

#[test]
fn all_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let (log, topic) = open(folder.path());
    let mut session = join_alone(&log, &membership("g", 0, &[&topic]), 1);
    for number in 0..3 {
        commit(&mut session, &topic, number);
    }
    drop((session, log));

    let (log, topic) = open(folder.path());
    assert_eq!(log.bounds(&topic).unwrap()[0].end, Offset(6));
    assert_eq!(commits(&log, &topic), 3);
}

#[test]
fn topics_keep_their_records_apart_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let name = |n: i32| Arc::<str>::from(format!("topic-{n}"));
    for round in 0..3 {
        let log = EmbeddedLog::open(folder.path()).unwrap();
        let spec = TopicSpec {
            name: name(round).to_string(),
            partitions: round + 1,
            settings: Default::default(),
        };
        log.create_topic(&spec).unwrap();
        for topic in 0..=round {
            write(&log, &name(topic), &[(topic, &topic.to_string())]);
        }
    }
    let log = EmbeddedLog::open(folder.path()).unwrap();
    for (topic, records) in [(0, 3), (1, 2), (2, 1)] {
        let ends = log.bounds(&name(topic)).unwrap();
        let expected = (0..=topic).map(|p| if p == topic { records } else { 0 });
        assert!(ends.iter().map(|bounds| bounds.end.0).eq(expected));
    }
}

#[test]
fn a_process_killed_while_it_commits_loses_nothing_acknowledged_and_halves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "crash::commits_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while acknowledged < round * 10 {
            let line = lines.next().unwrap().unwrap();
            acknowledged = line
                .strip_prefix("committed ")
                .map_or(acknowledged, |n| n.parse().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let (log, topic) = open(copy.path());
        let found = commits(&log, &topic);
        assert!(found >= acknowledged, "{found} of {acknowledged} are there");
        acknowledged = found;
    }
}

/// The child of the test above.
#[test]
#[ignore = "runs until it is killed, by the test above"]
fn commits_until_it_is_killed() {
    let (log, topic) = open(Path::new(&std::env::var_os(FOLDER).unwrap()));
    let mut session = join_alone(&log, &membership("g", 0, &[&topic]), 1);
    let done = log.bounds(&topic).unwrap()[0].end.0 / 2;
    for number in usize::try_from(done).unwrap().. {
        commit(&mut session, &topic, number);
        writeln!(io::stdout(), "committed {}", number + 1).unwrap();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_commit_torn_on_disk_is_cut_off_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (log, topic) = open(folder.path());
    let mut session = join_alone(&log, &membership("g", 0, &[&topic]), 1);
    commit(&mut session, &topic, 0);
    let journal = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "jnl"))
        .unwrap();
    let whole = used(&journal);
    commit(&mut session, &topic, 1);
    let next = used(&journal);
    assert!(next > whole);
    drop((session, log));

    for end in whole + 1..next {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let journal = copy.path().join(journal.file_name().unwrap());
        OpenOptions::new()
            .write(true)
            .open(journal)
            .unwrap()
            .set_len(end)
            .unwrap();
        let (log, topic) = open(copy.path());
        assert_eq!(commits(&log, &topic), 1, "torn at {end}");
    }
}

/// The bytes of a journal up to the last that is not zero: the engine may reserve room beyond it.
fn used(journal: &Path) -> u64 {
    let bytes = fs::read(journal).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0);
    u64::try_from(last.map_or(0, |last| last + 1)).unwrap()
}

#[test]
fn a_long_log_is_read_to_its_end_after_opening_again() {
    const COUNT: usize = 30_000;
    let folder = tempfile::tempdir().unwrap();
    let (log, topic) = open(folder.path());
    write_numbers(&log, &topic, 0, COUNT);
    drop(log);
    let (log, topic) = open(folder.path());
    let expected = (0..COUNT).map(|number| number.to_string());
    assert!(read_all_texts(&log, &topic).into_iter().eq(expected));
}
