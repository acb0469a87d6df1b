//! The members that a group has ever had, and the end of what dead ones left open.
//!
//! A transaction that its owner never ends holds up every reader of its partitions until the broker ends it, which takes the
//! transaction's timeout and then some. Whoever takes over a member's work does not always take over its name: the process may have
//! come back with fewer workers, or on another machine. So each member notes its name, before its first
//! transaction, in the topic `{group}-members`, and anybody can then call for the names of those that are dead; the broker
//! ends what they left open at once.
//!
//! The topic has one partition and is compacted. A record's key is the name, its value is `{"v":1}`; a tombstone says that nothing of that
//! name is open any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::transaction::owner_of;
use super::{KafkaLog, KafkaWriter};
use crate::log::{
    Log, LogError, Outbox, RecordParts, TopicPartition, TopicSpec, Writer, read_whole,
};
use crate::time::Timestamp;

/// The value of a member's record: the version of this format.
const NOTED: &[u8] = br#"{"v":1}"#;

fn topic_of(group: &str) -> Arc<str> {
    format!("{group}-members").into()
}

/// The topic of a group, made where it is missing.
pub(super) fn make_topic(log: &KafkaLog, group: &str) -> Result<Arc<str>, LogError> {
    let topic = topic_of(group);
    if log.topic(&topic)?.is_none() {
        let compact = ("cleanup.policy".to_owned(), "compact".to_owned());
        log.create_topic(&TopicSpec {
            name: topic.to_string(),
            partitions: 1,
            settings: BTreeMap::from([compact]),
        })?;
    }
    Ok(topic)
}

/// Notes that a member exists. Its producer has been made, and has not begun a transaction; the group sees it.
pub(super) fn note(
    log: &KafkaLog,
    writer: &mut KafkaWriter,
    group: &str,
    id: &str,
) -> Result<(), LogError> {
    let topic = make_topic(log, group)?;
    write(writer, &topic, &[id], Some(NOTED))
}

/// Calls for the names of those that `dead` says are, and forgets them. Returns how many.
pub(super) fn end(
    log: &KafkaLog,
    group: &str,
    dead: &dyn Fn(&str) -> bool,
) -> Result<usize, LogError> {
    let topic = topic_of(group);
    if log.topic(&topic)?.is_none() {
        return Ok(0);
    }
    let names = noted(log, &topic)?;
    let dead: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|n| dead(n))
        .collect();
    for name in &dead {
        tracing::info!(name, "ending what a member that is gone may have left open");
        owner_of(log, name, &topic)?;
    }
    if !dead.is_empty() {
        write(&mut log.writer()?, &topic, &dead, None)?;
    }
    for name in &dead {
        // One that came back in between may have noted itself before the tombstone was written. This tells it to come again.
        owner_of(log, name, &topic)?;
    }
    Ok(dead.len())
}

/// The names noted and not forgotten.
fn noted(log: &KafkaLog, topic: &str) -> Result<BTreeSet<String>, LogError> {
    let mut names = BTreeSet::new();
    read_whole(log, &TopicPartition::new(topic, 0), |batch| {
        for row in 0..batch.len() {
            let Some(name) = batch.key(row).and_then(|key| std::str::from_utf8(key).ok()) else {
                continue;
            };
            match batch.value(row) {
                Some(_) => names.insert(name.to_owned()),
                None => names.remove(name),
            };
        }
        Ok(())
    })?;
    Ok(names)
}

fn write(
    writer: &mut KafkaWriter,
    topic: &Arc<str>,
    names: &[&str],
    value: Option<&[u8]>,
) -> Result<(), LogError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    let mut outbox = Outbox::new();
    for name in names {
        let parts = RecordParts {
            partition: Some(0),
            timestamp: Timestamp(now),
            key: Some(name.as_bytes()),
            value,
            headers: &[],
        };
        outbox.push(topic, parts);
    }
    writer.append(&outbox)
}
