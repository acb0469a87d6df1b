//! The log that is Kafka, through librdkafka, except for a session's records.
//!
//! - [`KafkaLog`]: settings, topics and their bounds.
//! - `session`: consumers and a producer that work as one; `share`: a consumer of it; `holdings`: which partitions that has; `generation`:
//!   whether the group takes it for a member; `orphans`: partitions that nobody has.
//! - `fetching`: its records, which are read without librdkafka; `bell`, `queue`: what it waits for, beside them.
//! - `transaction` and `plain`: the two ways to commit; `verdict`: what is done when a step of it fails; `debts`, `owed` and `asking`:
//!   offsets that are not part of a transaction.
//! - `members`: who has ever committed in a group, and the end of what dead ones left open.
//! - `reader`, `writer`, `outside`: for commands, recovery and tests, outside groups and transactions.
//! - `records`, `sending`, `contexts`: records in librdkafka's form, sending them, and what it calls back.
//! - `known`: that a topic exists is checked before anything is produced to it.
//! - `errors`: librdkafka's errors, sorted by what can be done about them.

mod asking;
mod bell;
mod closing;
mod contexts;
mod debts;
mod errors;
mod fetching;
mod generation;
mod holdings;
mod known;
mod members;
mod orphans;
mod outside;
mod owed;
mod plain;
mod queue;
mod reader;
mod records;
mod sending;
mod session;
mod share;
mod topics;
mod transaction;
mod verdict;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use self::closing::Leavers;
use self::contexts::Messages;
use self::errors::log_error;
use self::fetching::Settings;
use self::outside::onlooker;
use super::{
    Bounds, GroupOffset, Log, LogError, Membership, Offset, TopicInfo, TopicPartition, TopicSpec,
};
use crate::time::Timestamp;

pub use reader::KafkaReader;
pub use session::KafkaSession;
pub use writer::KafkaWriter;

/// How long a round trip to the cluster may take before it counts as unreachable.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to rest before something is asked again that is about to change.
const PAUSE: Duration = Duration::from_millis(20);

/// What all clients have, unless the user says otherwise. librdkafka makes no second connection before half of this has passed, and a client's first
/// is not the one that it works with: of its default of 100 each client that is made costs 50 ms.
const OURS: [(&str, &str); 1] = [("reconnect.backoff.ms", "20")];

/// A Kafka cluster, and the settings with which every client of it is made.
#[derive(Clone)]
pub struct KafkaLog {
    settings: Arc<BTreeMap<String, String>>,
    /// What of them is of use to who fetches records.
    fetching: Arc<Settings>,
    admin: Arc<AdminClient<DefaultClientContext>>,
    /// Sees records of transactions that are not decided yet.
    uncommitted: Arc<BaseConsumer<Messages>>,
    /// Closes readers.
    leavers: Arc<Leavers>,
}

impl KafkaLog {
    /// A log on the cluster that `settings` name, in librdkafka's terms (`bootstrap.servers` and the like). Makes no
    /// connection yet.
    ///
    /// # Errors
    /// [`LogError::Refused`] if librdkafka does not know a setting or its value, or records can't be fetched with it.
    pub fn new(settings: BTreeMap<String, String>) -> Result<Self, LogError> {
        let admin = client_config(&settings)
            .create()
            .map_err(|error| log_error(&error))?;
        let uncommitted = client_config(&settings)
            .set("isolation.level", "read_uncommitted")
            .create_with_context(Messages)
            .map_err(|error| log_error(&error))?;
        Ok(Self {
            fetching: Arc::new(Settings::read(&settings)?),
            settings: Arc::new(settings),
            admin: Arc::new(admin),
            uncommitted: Arc::new(uncommitted),
            leavers: Arc::default(),
        })
    }

    /// The settings of a client: ours first, the user's over them, and those that correctness needs last.
    fn client(&self, ours: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in OURS.iter().chain(ours) {
            config.set(*name, *value);
        }
        for (name, value) in self.settings.iter() {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        // The end of a connection is told as information only, and has to be known; see `contexts`.
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    /// Waits until a topic that was just created can be used: brokers learn of it one after the other.
    fn wait_until_served(&self, topic: &str) -> Result<(), LogError> {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        loop {
            let why = match self.bounds(topic) {
                Ok(_) => return Ok(()),
                Err(LogError::NoTopic(_)) => "it is not known yet".to_owned(),
                Err(error) if error.is_retriable() => error.to_string(),
                Err(error) => return Err(error),
            };
            if Instant::now() > deadline {
                let text = format!("topic {topic} was created and is not served: {why}");
                return Err(LogError::Unavailable(text));
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Runs a request of the admin client to its end. Its futures are driven by a thread of librdkafka's, so blocking
    /// on them needs no runtime.
    fn wait<T>(&self, request: impl Future<Output = Result<T, KafkaError>>) -> Result<T, LogError> {
        futures_executor::block_on(request).map_err(|error| log_error(&error))
    }
}

/// Settings that hold for every client, so that what is unknown is refused at once.
fn client_config(settings: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in OURS {
        config.set(name, value);
    }
    config.extend(settings.iter().map(|(k, v)| (k.clone(), v.clone())));
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

impl Log for KafkaLog {
    type Session = KafkaSession;
    type Reader = KafkaReader;
    type Writer = KafkaWriter;

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        let metadata = self
            .admin
            .inner()
            .fetch_metadata(None, REQUEST_TIMEOUT)
            .map_err(|error| log_error(&error))?;
        let mut topics: Vec<TopicInfo> = metadata
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none())
            .map(|topic| TopicInfo {
                name: topic.name().to_owned(),
                partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
            })
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    fn create_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        // -1: the broker's own default, which is what an operator has set for topics that nobody said more about.
        let mut topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(-1));
        for (name, value) in &spec.settings {
            topic = topic.set(name, value);
        }
        let options = AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(REQUEST_TIMEOUT));
        let results = self.wait(self.admin.create_topics([&topic], &options))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(LogError::Refused(format!(
                        "cannot create topic {name}: {code}"
                    )));
                }
            }
        }
        self.wait_until_served(&spec.name)
    }

    fn delete_topics(&self, names: &[String]) -> Result<(), LogError> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let options = AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(REQUEST_TIMEOUT));
        for result in self.wait(self.admin.delete_topics(&names, &options))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((name, code)) => {
                    return Err(LogError::Refused(format!(
                        "cannot delete topic {name}: {code}"
                    )));
                }
            }
        }
        Ok(())
    }

    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError> {
        let info = self
            .topic(topic)?
            .ok_or_else(|| LogError::NoTopic(topic.to_owned()))?;
        // Takes from its queue what it has to tell of its connections.
        self.uncommitted.poll(Duration::ZERO);
        let committed = self.admin.inner();
        (0..info.partitions)
            .map(|partition| {
                let (start, end) = committed
                    .fetch_watermarks(topic, partition, REQUEST_TIMEOUT)
                    .map_err(|error| log_error(&error))?;
                let (_, written) = self
                    .uncommitted
                    .fetch_watermarks(topic, partition, REQUEST_TIMEOUT)
                    .map_err(|error| log_error(&error))?;
                Ok(Bounds {
                    start: Offset(start),
                    end: Offset(end),
                    written: Offset(written.max(end)),
                })
            })
            .collect()
    }

    fn max_record_bytes(&self, topic: &str) -> Result<usize, LogError> {
        let settings = self.topic_settings(topic)?;
        let limit = settings.get("max.message.bytes");
        let limit = limit.and_then(|text| text.parse().ok());
        limit.ok_or_else(|| {
            LogError::Refused(format!(
                "the cluster does not tell max.message.bytes of topic {topic}"
            ))
        })
    }

    fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, String>, LogError> {
        // Of one that does not exist the cluster says that it has no settings.
        if self.topic(topic)?.is_none() {
            return Err(LogError::NoTopic(topic.to_owned()));
        }
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let topics = [ResourceSpecifier::Topic(topic)];
        let configs = self.wait(self.admin.describe_configs(&topics, &options))?;
        let mut settings = BTreeMap::new();
        for config in configs {
            let config = config.map_err(|code| {
                LogError::Refused(format!("cannot read the settings of topic {topic}: {code}"))
            })?;
            let told = config.entries.into_iter();
            settings.extend(told.filter_map(|e| e.value.map(|value| (e.name, value))));
        }
        Ok(settings)
    }

    fn join(&self, membership: &Membership) -> Result<KafkaSession, LogError> {
        KafkaSession::join(self, membership)
    }

    fn reader(&self, topic: &str, from: &[(i32, Offset)]) -> Result<KafkaReader, LogError> {
        KafkaReader::new(self, topic, from)
    }

    fn partition_reader(&self, at: &TopicPartition, from: Offset) -> Result<KafkaReader, LogError> {
        KafkaReader::of_partition(self, at, from)
    }

    fn offsets_at(&self, topic: &str, at: Timestamp) -> Result<Vec<Offset>, LogError> {
        outside::offsets_at(self, topic, at, &self.bounds(topic)?)
    }

    fn members(&self, group: &str) -> Result<Vec<String>, LogError> {
        let listed = self
            .admin
            .inner()
            .fetch_group_list(Some(group), REQUEST_TIMEOUT)
            .map_err(|error| log_error(&error))?;
        let groups = listed.groups().iter().filter(|found| found.name() == group);
        let mut members: Vec<String> = groups
            .flat_map(|group| group.members())
            .map(|member| member.client_id().to_owned())
            .collect();
        members.sort();
        // A session may be in the group more than once.
        members.dedup();
        Ok(members)
    }

    fn group_offsets(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<Vec<GroupOffset>, LogError> {
        let onlooker = onlooker(self, Some(group))?;
        outside::committed(&*onlooker, of)
    }

    fn set_group_offsets(&self, group: &str, offsets: &[GroupOffset]) -> Result<(), LogError> {
        outside::set_offsets(self, group, offsets)
    }

    fn end_transactions(
        &self,
        group: &str,
        dead: &dyn Fn(&str) -> bool,
    ) -> Result<usize, LogError> {
        members::end(self, group, dead)
    }

    fn writer(&self) -> Result<KafkaWriter, LogError> {
        KafkaWriter::new(self)
    }
}
