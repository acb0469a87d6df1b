//! Partitions that nobody has, and how the group is made to deal them out.
//!
//! Partitions move in two steps: one member gives up, and joins again to say so; then the group deals what is free to another. A
//! member that ends between the two steps and comes back in time is handed what it had, less what it has given up, without
//! anybody else noticing: the group takes a static member for one that never left. The second step is then nobody's to begin, and what
//! is free stays free for ever, with every member content.
//!
//! So a member that has just got its partitions looks whether all of the group's have an owner. If not, it lets a *caller* join
//! the group, a member without a fixed name that wants no partition of theirs. The group has to be dealt anew for it, and what is free
//! goes to those who want it; those who have partitions keep them. Then the caller leaves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::contexts::Messages;
use super::errors::log_error;
use super::{KafkaLog, members};
use crate::log::{Log, LogError};

/// How long after the last change it is looked. Between the two steps the group is at rest for as long as a member takes to
/// give up, which is mostly less.
const CALM: Duration = Duration::from_secs(2);
/// How long the group may take to tell.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a caller stays if the group does not deal.
const CALL: Duration = Duration::from_secs(20);

/// A partition by its topic and number.
type Place = (String, i32);

/// Looks after partitions that nobody has.
pub(super) struct Orphans {
    log: KafkaLog,
    group: String,
    topics: Vec<String>,
    /// When to look; nothing to look for without it.
    due: Option<Instant>,
    caller: Option<(BaseConsumer<Messages>, Instant)>,
}

impl Orphans {
    /// For a member that is about to join.
    pub(super) fn new(log: &KafkaLog, group: &str, topics: Vec<String>) -> Self {
        Self {
            log: log.clone(),
            group: group.to_owned(),
            topics,
            due: Some(Instant::now() + CALM),
            caller: None,
        }
    }

    /// The partitions of this member have changed.
    pub(super) fn changed(&mut self) {
        self.due = Some(Instant::now() + CALM);
    }

    /// Does what is due. Called all the time; blocks only when there is something to look for.
    pub(super) fn look(&mut self) {
        if let Some((caller, begun)) = &self.caller {
            let is_dealt = caller.assignment().is_ok_and(|it| it.count() > 0);
            if is_dealt || begun.elapsed() > CALL {
                // Leaves the group.
                self.caller = None;
                self.changed();
            }
            return;
        }
        if self.due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        self.due = match self.free() {
            Ok(Some(free)) if free.is_empty() => None,
            Ok(Some(free)) => {
                let free: Vec<_> = free.iter().map(|(t, p)| format!("{t}/{p}")).collect();
                let free = free.join(", ");
                tracing::info!(
                    partitions = free,
                    "nobody has these partitions; asking the group to deal them out"
                );
                match self.call() {
                    Ok(caller) => self.caller = Some((caller, Instant::now())),
                    Err(error) => tracing::debug!(%error, "calling"),
                }
                Some(Instant::now() + CALM)
            }
            // It is being dealt, or can't be asked now.
            Ok(None) => Some(Instant::now() + CALM),
            Err(error) => {
                tracing::debug!(%error, "looking for partitions that nobody has");
                Some(Instant::now() + CALM)
            }
        };
    }

    /// The partitions that nobody has; `None` while the group is being dealt.
    fn free(&self) -> Result<Option<BTreeSet<Place>>, LogError> {
        let listed = self
            .log
            .admin
            .inner()
            .fetch_group_list(Some(&self.group), ANSWER);
        let listed = listed.map_err(|error| log_error(&error))?;
        let group = listed.groups().iter().find(|it| it.name() == self.group);
        let Some(group) = group.filter(|group| group.state() == "Stable") else {
            return Ok(None);
        };
        let mut owned = BTreeSet::new();
        for member in group.members() {
            let Some(places) = member.assignment().map_or(Some(Vec::new()), places) else {
                // Not in a form that we know: nothing can be said.
                return Ok(None);
            };
            owned.extend(places);
        }
        let mut all = BTreeSet::new();
        for topic in self.log.topics()? {
            if self.topics.contains(&topic.name) {
                all.extend((0..topic.partitions).map(|it| (topic.name.clone(), it)));
            }
        }
        Ok(Some(all.difference(&owned).cloned().collect()))
    }

    /// A consumer that joins the group for a topic that none of the others reads.
    fn call(&self) -> Result<BaseConsumer<Messages>, LogError> {
        let caller: BaseConsumer<Messages> = self
            .log
            .client(
                &[],
                &[
                    ("client.id", "millstream-caller"),
                    ("group.id", &self.group),
                    ("group.protocol", "classic"),
                    ("partition.assignment.strategy", "cooperative-sticky"),
                    ("enable.auto.commit", "false"),
                    ("enable.auto.offset.store", "false"),
                    ("auto.offset.reset", "latest"),
                ],
            )
            .create_with_context(Messages)
            .map_err(|error| log_error(&error))?;
        let topic = members::make_topic(&self.log, &self.group)?;
        caller
            .subscribe(&[&*topic])
            .map_err(|error| log_error(&error))?;
        Ok(caller)
    }
}

/// The partitions in what the group has dealt to a member (Kafka's `ConsumerProtocolAssignment`): a version, then topics with their
/// partitions, then what does not matter here. `None` if it is something else.
fn places(mut bytes: &[u8]) -> Option<Vec<Place>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let bytes = &mut bytes;
    let _version: [u8; 2] = take(bytes)?;
    let mut places = Vec::new();
    for _ in 0..u32::from_be_bytes(take(bytes)?) {
        let length = usize::from(u16::from_be_bytes(take(bytes)?));
        let (topic, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        let topic = std::str::from_utf8(topic).ok()?;
        for _ in 0..u32::from_be_bytes(take(bytes)?) {
            places.push((topic.to_owned(), i32::from_be_bytes(take(bytes)?)));
        }
    }
    Some(places)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const DEALT: &[u8] =
        b"\0\x01\0\0\0\x02\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x07\0\x02bc\0\0\0\0\xff\xff\xff\xff";

    #[test]
    fn what_was_dealt_to_a_member_is_read_as_kafka_writes_it() {
        let dealt = places(DEALT).unwrap();
        assert_eq!(dealt, [("a".to_owned(), 0), ("a".to_owned(), 7)]);
        assert_eq!(
            places(b"").unwrap(),
            [],
            "a member that was dealt nothing yet"
        );
    }

    #[test]
    fn what_is_cut_short_or_something_else_says_nothing() {
        for length in 1..DEALT.len() - 4 {
            assert_eq!(places(&DEALT[..length]), None, "{length}");
        }
        assert_eq!(places(&[0xff; 40]), None);
    }
}
