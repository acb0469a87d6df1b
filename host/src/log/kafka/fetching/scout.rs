//! What has to be found out before records can be asked for, each on a thread of its own, since it waits for brokers: who leads a
//! partition, a connection, and where a partition begins.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

use anyhow::{Result, anyhow};
use kafka_protocol::protocol::StrBytes;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::connection::Connection;
use super::dialing::dial;
use super::settings::Settings;
use crate::log::kafka::bell::Bell;
use crate::log::kafka::errors::log_error;
use crate::log::kafka::{KafkaLog, REQUEST_TIMEOUT};
use crate::log::{LogError, Offset, TopicPartition};

/// Where a broker is reached.
pub(super) type Address = (String, u16);

/// Who leads a partition.
pub(super) enum Leader {
    Is(i32),
    /// Nobody at the moment.
    None,
    /// The partition is not there.
    Missing,
    Failed(LogError),
}

/// Something that has been found out.
pub(super) enum Found {
    Leaders {
        leaders: Vec<(TopicPartition, Leader)>,
        addresses: BTreeMap<i32, Address>,
    },
    Connection {
        broker: i32,
        made: Result<Box<Connection>>,
    },
    Bounds {
        at: TopicPartition,
        /// The first offset that is there, and the one behind the last.
        bounds: Result<(Offset, Offset), LogError>,
    },
    /// Something could not be found out, and why.
    Nothing(String),
}

/// Finds things out.
pub(super) struct Scout {
    log: KafkaLog,
    settings: Arc<Settings>,
    client: StrBytes,
    bell: Arc<Bell>,
    tell: Sender<Found>,
    told: Receiver<Found>,
}

impl Scout {
    /// Of a log; it rings the bell with each thing that it has found out.
    pub(super) fn new(
        log: &KafkaLog,
        settings: Arc<Settings>,
        client: &str,
        bell: &Arc<Bell>,
    ) -> Self {
        let (tell, told) = channel();
        Self {
            log: log.clone(),
            settings,
            client: client.to_owned().into(),
            bell: Arc::clone(bell),
            tell,
            told,
        }
    }

    /// The next thing that has been found out.
    pub(super) fn found(&self) -> Option<Found> {
        self.told.try_recv().ok()
    }

    /// Finds out who leads these partitions.
    pub(super) fn seek_leaders(&self, of: Vec<TopicPartition>) {
        let log = self.log.clone();
        self.send_out("leaders", move || {
            let mut addresses = BTreeMap::new();
            let topics: BTreeSet<&str> = of.iter().map(|at| &*at.topic).collect();
            let asked: BTreeMap<&str, _> = topics
                .into_iter()
                .map(|topic| (topic, leaders(&log, topic, &mut addresses)))
                .collect();
            let leaders = of.iter().map(|at| {
                let leader = match &asked[&*at.topic] {
                    Ok(leaders) => match leaders.get(&at.partition) {
                        Some(leader) if *leader >= 0 => Leader::Is(*leader),
                        Some(_) => Leader::None,
                        None => Leader::Missing,
                    },
                    Err(KafkaError::MetadataFetch(
                        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                    )) => Leader::Missing,
                    Err(error) => Leader::Failed(log_error(error)),
                };
                (at.clone(), leader)
            });
            let leaders = leaders.collect();
            Found::Leaders { leaders, addresses }
        });
    }

    /// Connects to a broker.
    pub(super) fn connect(&self, broker: i32, (host, port): Address) {
        let (settings, client) = (Arc::clone(&self.settings), self.client.clone());
        self.send_out("connecting", move || {
            let made = dial(&settings, &client, (&host, port));
            let made = made.map_err(|error| anyhow!("{host}:{port}: {error:#}"));
            let made = made.map(Box::new);
            Found::Connection { broker, made }
        });
    }

    /// Finds out which offsets are there of a partition.
    pub(super) fn seek_bounds(&self, at: TopicPartition) {
        let log = self.log.clone();
        self.send_out("bounds", move || {
            let client = &log.uncommitted;
            let bounds = client.fetch_watermarks(&at.topic, at.partition, REQUEST_TIMEOUT);
            let bounds = bounds.map(|(first, end)| (Offset(first), Offset(end)));
            let bounds = bounds.map_err(|error| log_error(&error));
            Found::Bounds { at, bounds }
        });
    }

    fn send_out(&self, name: &str, find: impl FnOnce() -> Found + Send + 'static) {
        let (tell, bell) = (self.tell.clone(), Arc::clone(&self.bell));
        let sent = Builder::new().name(name.to_owned()).spawn(move || {
            // What others send is read by code of others, which must not leave anybody waiting.
            let found = catch_unwind(AssertUnwindSafe(find));
            let found = found.unwrap_or_else(|_| Found::Nothing("a panic".to_owned()));
            // Nobody is there to be told once the session has ended.
            if tell.send(found).is_ok() {
                bell.ring();
            }
        });
        if let Err(error) = sent {
            // Its other end is in the same hands.
            let _ = self
                .tell
                .send(Found::Nothing(format!("no thread: {error}")));
        }
    }
}

/// Who leads the partitions of a topic; where brokers are is added to the addresses.
fn leaders(
    log: &KafkaLog,
    topic: &str,
    addresses: &mut BTreeMap<i32, Address>,
) -> Result<BTreeMap<i32, i32>, KafkaError> {
    // A consumer asks: brokers may make a topic that a producer asks for.
    let told = log
        .uncommitted
        .fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    addresses.extend(told.brokers().iter().filter_map(|broker| {
        let port = u16::try_from(broker.port()).ok()?;
        Some((broker.id(), (broker.host().to_owned(), port)))
    }));
    let mut leaders = BTreeMap::new();
    for told in told.topics().iter().filter(|told| told.name() == topic) {
        if let Some(code) = told.error() {
            return Err(KafkaError::MetadataFetch(code.into()));
        }
        leaders.extend(told.partitions().iter().map(|one| (one.id(), one.leader())));
    }
    Ok(leaders)
}
