//! Topics of the benchmark: filled once, and read as results come.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message as _};

use crate::clicks::Click;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A topic of clicks.
#[derive(Clone, Debug)]
pub(crate) struct Clicks {
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) events: u64,
    pub(crate) minutes: u64,
}

/// A broker's topics.
pub(crate) struct Topics {
    pub(crate) bootstrap: String,
    admin: AdminClient<DefaultClientContext>,
}

impl Topics {
    pub(crate) fn new(bootstrap: &str) -> Result<Self> {
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            admin: config(bootstrap).create()?,
        })
    }

    /// Makes an empty topic.
    pub(crate) fn create(&self, name: &str, partitions: u32) -> Result<()> {
        let replication = TopicReplication::Fixed(1);
        let topic = NewTopic::new(name, i32::try_from(partitions)?, replication)
            // Clicks lie in the past, where the broker would clear them away.
            .set("retention.ms", "-1");
        let made = self.admin.create_topics([&topic], &AdminOptions::new());
        for made in futures_executor::block_on(made)? {
            made.map_err(|(name, error)| anyhow::anyhow!("{name}: {error}"))?;
        }
        Ok(())
    }

    /// Takes topics away, if they are there.
    pub(crate) fn delete(&self, names: &[&str]) -> Result<()> {
        let gone = self.admin.delete_topics(names, &AdminOptions::new());
        for gone in futures_executor::block_on(gone)? {
            match gone {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((name, error)) => anyhow::bail!("{name}: {error}"),
            }
        }
        Ok(())
    }

    /// Takes away a sink and the topics of the pipeline that has its name.
    pub(crate) fn delete_all_of(&self, sink: &str) -> Result<()> {
        let kept = [
            "",
            ".dead",
            ".late",
            "-changelog",
            "-repartition",
            "-control",
            "-members",
        ];
        let kept = kept.map(|name| format!("{sink}{name}"));
        self.delete(&kept.each_ref().map(String::as_str))
    }

    /// Makes a topic of clicks, with one in each partition at its end that closes all windows.
    pub(crate) fn fill(&self, clicks: &Clicks) -> Result<()> {
        self.create(&clicks.topic, clicks.partitions)?;
        let producer: BaseProducer = config(&self.bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "50")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        let mut text = String::new();
        let partitions = u64::from(clicks.partitions);
        for number in 0..clicks.events {
            let click = Click::of(number, clicks.events, clicks.minutes);
            send(
                &producer,
                &clicks.topic,
                number % partitions,
                &click,
                &mut text,
            )?;
        }
        for partition in 0..partitions {
            let click = Click::last(clicks.minutes);
            send(&producer, &clicks.topic, partition, &click, &mut text)?;
        }
        producer.flush(TIMEOUT)?;
        let (_, end) = self.ends(&clicks.topic, 0)?;
        ensure!(end > 0, "{}: nothing has arrived", clicks.topic);
        Ok(())
    }

    fn ends(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        let client = self.admin.inner();
        Ok(client.fetch_watermarks(topic, partition, TIMEOUT)?)
    }

    /// Committed records of a topic of one partition, from its beginning on.
    pub(crate) fn reader(&self, topic: &str) -> Result<BaseConsumer> {
        self.reader_of(topic, "read_committed")
    }

    /// The same with those of transactions that are under way.
    pub(crate) fn eager_reader(&self, topic: &str) -> Result<BaseConsumer> {
        self.reader_of(topic, "read_uncommitted")
    }

    fn reader_of(&self, topic: &str, isolation: &str) -> Result<BaseConsumer> {
        let reader: BaseConsumer = config(&self.bootstrap)
            .set("group.id", "bench-reader")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", isolation)
            .set("fetch.wait.max.ms", "5")
            // Where it has read far ahead it would rest for a second.
            .set("fetch.queue.backoff.ms", "1")
            .create()?;
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(topic, 0, rdkafka::Offset::Beginning)?;
        reader.assign(&list)?;
        Ok(reader)
    }
}

/// Hands over values of a reader until none is there at once.
pub(crate) fn drain(
    reader: &BaseConsumer,
    wait: Duration,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut wait = wait;
    while let Some(message) = reader.poll(wait) {
        let message = message?;
        each(message.payload().context("a result has a value")?)?;
        wait = Duration::ZERO;
    }
    Ok(())
}

/// Writes a click, dated with its event time.
pub(crate) fn send(
    producer: &BaseProducer,
    topic: &str,
    partition: u64,
    click: &Click,
    text: &mut String,
) -> Result<()> {
    let partition = i32::try_from(partition)?;
    let timestamp = i64::try_from(click.event_time)?;
    click.write(text);
    loop {
        let record: BaseRecord<'_, (), str> = BaseRecord::to(topic)
            .partition(partition)
            .timestamp(timestamp)
            .payload(text.as_str());
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, _)) => {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                ensure!(full, "{topic}: {error}");
                producer.poll(Duration::from_millis(10));
            }
        }
    }
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}
