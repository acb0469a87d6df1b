//! Records of partitions, fetched from their brokers by our own code.
//!
//! librdkafka makes an object of each message, which costs as much as all the rest of a record's way through the host. So it has the
//! group, the offsets and the transactions, and records are read here: one request at a time to each broker that leads partitions,
//! on a socket that the session itself reads, and batches walked where they lie. A broker that fails costs its partitions a rest, and they
//! are asked for at whoever leads them then, at the offset where they stood.
//!
//! - `settings`: how, as the settings of the client say; `partition`: where each partition stands; `asking`: what brokers are asked for;
//!   `hearing`: what their answers mean for a partition; `records`, `unpacking`: the records in them.
//! - `scout`: what takes long is found out beside; `dialing`, `tls`, `talk`, `login`: connections are made; `connection`, `frames`: and used.

mod asking;
mod connection;
mod dialing;
mod frames;
mod hearing;
mod login;
mod partition;
mod records;
mod scout;
mod settings;
mod talk;
mod tls;
mod unpacking;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::FetchResponse;

use self::asking::{request_for, wanted};
use self::connection::{Asked, Connection};
use self::hearing::{arrive, learn_leader, unreadable};
use self::partition::{Partition, rest_after};
use self::records::Room;
use self::scout::{Address, Found, Scout};
use super::KafkaLog;
use super::bell::Bell;
use crate::log::{Fetched, LogError, Offset, TopicPartition};

pub(super) use settings::Settings;

/// A broker that leads partitions.
struct Broker {
    link: Link,
    failures: u32,
    rests_until: Option<Instant>,
    /// Whose turn it is to be asked for first: a broker may send nothing of the last ones.
    turn: usize,
    /// When it is to be asked again, as it has said itself.
    throttled_until: Option<Instant>,
}

enum Link {
    None,
    Coming,
    Up(Box<Connection>),
}

/// The partitions that are read, and the brokers that have them.
pub(super) struct Fetching {
    settings: Arc<Settings>,
    partitions: Vec<Partition>,
    brokers: BTreeMap<i32, Broker>,
    addresses: BTreeMap<i32, Address>,
    scout: Scout,
    bell: Arc<Bell>,
    /// Whose turn it is to be handed out first.
    turn: usize,
    /// What has gone wrong and is to be told.
    untold: VecDeque<LogError>,
}

impl Fetching {
    /// Of no partition yet. Who waits for records waits for the bell.
    pub(super) fn new(log: &KafkaLog, client: &str, bell: &Arc<Bell>) -> Self {
        let settings = Arc::clone(&log.fetching);
        Self {
            scout: Scout::new(log, Arc::clone(&settings), client, bell),
            settings,
            partitions: Vec::new(),
            brokers: BTreeMap::new(),
            addresses: BTreeMap::new(),
            bell: Arc::clone(bell),
            turn: 0,
            untold: VecDeque::new(),
        }
    }

    /// Reads a partition from an offset on.
    pub(super) fn open(&mut self, at: &TopicPartition, from: Offset) {
        self.close(at);
        self.partitions.push(Partition::new(at.clone(), from));
    }

    /// Reads it no more.
    pub(super) fn close(&mut self, at: &TopicPartition) {
        self.partitions.retain(|open| open.at != *at);
    }

    /// Goes on elsewhere in a partition.
    pub(super) fn seek(&mut self, at: &TopicPartition, to: Offset) {
        self.with(at, |partition| partition.seek(to));
    }

    pub(super) fn pause(&mut self, at: &TopicPartition) {
        self.with(at, Partition::pause);
    }

    pub(super) fn resume(&mut self, at: &TopicPartition, from: Offset) {
        self.with(at, |partition| partition.resume(from));
    }

    /// Does something with a partition that is read.
    fn with<T>(&mut self, at: &TopicPartition, act: impl FnOnce(&mut Partition) -> T) -> Option<T> {
        self.partitions
            .iter_mut()
            .find(|open| open.at == *at)
            .map(act)
    }

    /// Waits until something has come, or the time is over.
    pub(super) fn wait(&self, at_most: Duration) {
        let rests = self.partitions.iter().filter_map(Partition::rests_until);
        let brokers = self.brokers.values();
        let brokers = brokers.flat_map(|broker| [broker.rests_until, broker.throttled_until]);
        let now = Instant::now();
        // What has passed already has been seen to, or waits for something else.
        let next = rests
            .chain(brokers.flatten())
            .filter(|until| *until > now)
            .min();
        let at_most = next.map_or(at_most, |next| at_most.min(next - now));
        let links = self
            .brokers
            .values()
            .filter_map(|broker| match &broker.link {
                Link::Up(connection) => Some(connection.watched()),
                Link::None | Link::Coming => None,
            });
        self.bell.wait(links, at_most);
    }

    /// Hands out what has come, up to so many records and about so many bytes, of each partition in turn, and asks for more. Waits for
    /// nothing.
    ///
    /// # Errors
    /// What has gone wrong, one thing at a time; nothing is handed out then. [`LogError::Unavailable`] may pass by itself.
    pub(super) fn take(
        &mut self,
        into: &mut Fetched,
        records: usize,
        bytes: usize,
    ) -> Result<(), LogError> {
        let now = Instant::now();
        while let Some(found) = self.scout.found() {
            self.learn(found, now);
        }
        self.receive(now);
        if let Some(error) = self.untold.pop_front() {
            return Err(error);
        }
        self.hand_out(into, Room { records, bytes }, now);
        self.send_out(now);
        self.ask(now);
        Ok(())
    }

    /// Takes up what has been found out.
    fn learn(&mut self, found: Found, now: Instant) {
        match found {
            Found::Leaders { leaders, addresses } => {
                self.addresses.extend(addresses);
                for (at, leader) in leaders {
                    let untold = self.with(&at, |open| learn_leader(open, leader, now));
                    self.untold.extend(untold.flatten());
                }
            }
            Found::Connection { broker: id, made } => match made {
                Ok(connection) => {
                    let broker = self.brokers.entry(id).or_insert_with(Broker::new);
                    broker.link = Link::Up(connection);
                }
                Err(error) => self.has_ended(id, &error, now),
            },
            Found::Bounds { at, bounds } => match bounds {
                Ok(bounds) => {
                    let moved = self.with(&at, |open| open.has_bounds(bounds, now));
                    if let Some((stood, first)) = moved.flatten() {
                        tracing::warn!(%at, offset = %stood, %first, "the offset is not there: going on with the first that is");
                    }
                }
                Err(error) => {
                    self.with(&at, |open| open.has_failed(now));
                    self.untold.push_back(error);
                }
            },
            Found::Nothing(why) => {
                // What is on its way is not told apart from what never set out: it is found out twice.
                self.partitions
                    .iter_mut()
                    .for_each(|open| open.has_failed(now));
                let coming = self.brokers.values_mut();
                for broker in coming.filter(|broker| matches!(broker.link, Link::Coming)) {
                    broker.link = Link::None;
                }
                let why = format!("brokers can't be looked for: {why}");
                self.untold.push_back(LogError::Unavailable(why));
            }
        }
    }

    /// Lets go of a broker's connection and of the partitions that it had. Returns how often it has failed in a row.
    fn has_failed(&mut self, id: i32, now: Instant) -> u32 {
        for partition in self
            .partitions
            .iter_mut()
            .filter(|open| open.broker() == Some(id))
        {
            partition.has_failed(now);
        }
        let Some(broker) = self.brokers.get_mut(&id) else {
            return 0;
        };
        broker.link = Link::None;
        broker.failures = broker.failures.saturating_add(1);
        broker.rests_until = Some(now + rest_after(broker.failures));
        broker.failures
    }

    /// The same, for a reason that is told if it is not the first in a row: brokers close connections that have been idle, and all when they
    /// stop.
    fn has_ended(&mut self, id: i32, why: &anyhow::Error, now: Instant) {
        tracing::debug!(broker = id, error = format!("{why:#}"), "no connection");
        if self.has_failed(id, now) > 1 {
            let why = format!("broker {id}: {why:#}");
            self.untold.push_back(LogError::Unavailable(why));
        }
    }

    /// Reads what brokers have sent.
    fn receive(&mut self, now: Instant) {
        let ids: Vec<i32> = self.brokers.keys().copied().collect();
        for id in ids {
            let Some(broker) = self.brokers.get_mut(&id) else {
                continue;
            };
            let Link::Up(connection) = &mut broker.link else {
                continue;
            };
            match connection.go_on(now, self.settings.max_frame) {
                Ok(None) => {}
                Ok(Some((asked, response))) => {
                    broker.failures = 0;
                    let throttle = u64::try_from(response.throttle_time_ms).unwrap_or(0);
                    broker.throttled_until =
                        (throttle > 0).then(|| now + Duration::from_millis(throttle));
                    self.sort(&asked, response, now);
                }
                Err(error) => self.has_ended(id, &error, now),
            }
        }
    }

    /// Gives each partition what there is of it in an answer.
    fn sort(&mut self, asked: &[Asked], response: FetchResponse, now: Instant) {
        let checks = self.settings.checks;
        for topic in response.responses {
            for data in topic.partitions {
                let is_it = |asked: &&Asked| {
                    asked.at.partition == data.partition_index && *asked.at.topic == **topic.topic
                };
                let Some(Asked { at, offset }) = asked.iter().find(is_it) else {
                    continue;
                };
                let untold = self.with(at, |open| match open.expects(*offset) {
                    true => arrive(open, *offset, data, checks, now),
                    false => None,
                });
                self.untold.extend(untold.flatten());
            }
        }
    }

    fn hand_out(&mut self, into: &mut Fetched, mut room: Room, now: Instant) {
        let count = self.partitions.len();
        for turn in 0..count {
            let partition = &mut self.partitions[(self.turn + turn) % count];
            if !partition.has_records() {
                continue;
            }
            let at = partition.at.clone();
            let batch = into.batch_mut(&at.topic, at.partition);
            if let Err(malformed) = partition.take(batch, &mut room, now) {
                self.untold.push_back(unreadable(&at, malformed));
            }
            if room.is_none() {
                self.turn = (self.turn + turn + 1) % count;
                break;
            }
        }
    }

    /// Has found out what is missing.
    fn send_out(&mut self, now: Instant) {
        for partition in &mut self.partitions {
            partition.end_lease(now);
            // A replica that was named may have come since; where it is is learned with the leader.
            let broker = partition.broker();
            if broker.is_some_and(|id| !self.addresses.contains_key(&id)) {
                partition.has_failed(now);
            }
        }
        let seek = self.partitions.iter_mut().filter_map(|open| {
            let seeks = open.seeks_leader(now);
            seeks.then(|| open.at.clone())
        });
        let seek: Vec<_> = seek.collect();
        if !seek.is_empty() {
            self.scout.seek_leaders(seek);
        }
        for partition in &mut self.partitions {
            if partition.seeks_bounds(now) {
                self.scout.seek_bounds(partition.at.clone());
            }
        }
        for id in self.partitions.iter().filter_map(Partition::broker) {
            let broker = self.brokers.entry(id).or_insert_with(Broker::new);
            let rests = broker.rests_until.is_some_and(|until| now < until);
            if let (Link::None, false, Some(address)) =
                (&broker.link, rests, self.addresses.get(&id))
            {
                broker.link = Link::Coming;
                self.scout.connect(id, address.clone());
            }
        }
    }

    /// Asks brokers that have nothing to do.
    fn ask(&mut self, now: Instant) {
        let mut failed = Vec::new();
        for (id, broker) in &mut self.brokers {
            let Link::Up(connection) = &mut broker.link else {
                continue;
            };
            if !connection.is_idle() || broker.throttled_until.is_some_and(|until| now < until) {
                continue;
            }
            if connection.is_over(now) {
                broker.link = Link::None;
                continue;
            }
            let Some(asked) = wanted(&self.partitions, &self.settings, *id, &mut broker.turn, now)
            else {
                continue;
            };
            let request = request_for(&asked, &self.settings);
            let deadline = now + self.settings.wait + self.settings.timeout;
            if let Err(error) = connection.ask(asked, &request, deadline) {
                failed.push((*id, error));
            }
        }
        for (id, error) in failed {
            self.has_ended(id, &error, now);
        }
    }
}

impl Broker {
    fn new() -> Self {
        Self {
            link: Link::None,
            failures: 0,
            rests_until: None,
            turn: 0,
            throttled_until: None,
        }
    }
}
