//! What Millstream is measured against that is native as well: programs on rdkafka that do one job by hand, with no windows engine, no
//! recovery, no delivery reports and no functions that could be changed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message as _};
use serde::Deserialize;

use crate::batches::{Batches, count};
use crate::clicks::{DISORDER, MINUTE};
use crate::jobs::Job;

/// Which program.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    source: String,
    #[arg(long)]
    sink: String,
    #[arg(long)]
    job: Job,
    #[arg(long)]
    partitions: u32,
    /// Takes one message at a time, as the safe crate has it, instead of batches
    #[arg(long)]
    singly: bool,
}

/// What the jobs read of a click.
#[derive(Deserialize)]
struct Read<'a> {
    event_time: u64,
    user_id: &'a str,
    url: &'a str,
    status: u64,
}

/// Runs a job until the process is ended.
pub(crate) fn run(args: &Args) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &args.bootstrap)
        .set("group.id", format!("native-{}", args.sink))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "true")
        .set("isolation.level", "read_committed")
        .set("queued.min.messages", "100000")
        .set("fetch.message.max.bytes", "4194304")
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &args.bootstrap)
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "1000000")
        .create()?;
    let mut state = State::default();
    let out = Out {
        producer,
        topic: args.sink.clone(),
    };
    for partition in 0..count(args.partitions)? {
        state.watermarks.insert(partition, 0);
    }
    if args.singly {
        consumer.subscribe(&[&args.source])?;
        loop {
            match consumer.poll(Duration::from_millis(5)) {
                Some(message) => {
                    let message = message?;
                    let value = message.payload().context("a click has a value")?;
                    state.take(args.job, message.partition(), value, &out)?;
                }
                None => {
                    out.producer.poll(Duration::ZERO);
                }
            }
        }
    }
    let mut batches = Batches::new(consumer, &args.source, count(args.partitions)?)?;
    loop {
        batches.take(|partition, value| state.take(args.job, partition, value, &out))?;
        out.producer.poll(Duration::ZERO);
    }
}

/// Where results go.
struct Out {
    producer: BaseProducer,
    topic: String,
}

impl Out {
    fn send(&self, value: &[u8]) -> Result<()> {
        loop {
            let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic).payload(value);
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, _)) if self.producer.in_flight_count() == 0 => return Err(error.into()),
                Err(_) => self.producer.poll(Duration::from_millis(1)),
            };
        }
    }
}

type Hashed = FixedState;

/// The open windows of either job that has them.
#[derive(Default)]
struct State {
    users: BTreeMap<u64, HashSet<Box<str>, Hashed>>,
    counts: BTreeMap<u64, HashMap<String, u64, Hashed>>,
    /// How far each partition has come.
    watermarks: BTreeMap<i32, u64>,
    received: u64,
}

impl State {
    fn take(&mut self, job: Job, partition: i32, value: &[u8], out: &Out) -> Result<()> {
        self.received += 1;
        if self.received.is_multiple_of(4_096) {
            out.producer.poll(Duration::ZERO);
        }
        if job == Job::Identity {
            return out.send(value);
        }
        let click: Read<'_> = sonic_rs::from_slice(value)?;
        let minute = click.event_time / MINUTE * MINUTE;
        match job {
            Job::Headline => {
                let users = self.users.entry(minute).or_default();
                if !users.contains(click.user_id) {
                    users.insert(click.user_id.into());
                }
            }
            Job::Keyed => {
                let counts = self.counts.entry(minute).or_default();
                *counts.entry_ref(click.url).or_insert(0) += 1;
            }
            Job::FilterMap if click.status == 200 => {
                let Read {
                    event_time,
                    user_id,
                    url,
                    ..
                } = click;
                let text =
                    format!(r#"{{"event_time":{event_time},"user_id":"{user_id}","url":"{url}"}}"#);
                return out.send(text.as_bytes());
            }
            Job::FilterMap => return Ok(()),
            other => bail!("no native program does {}", other.name()),
        }
        self.advance(partition, click.event_time, out)
    }

    /// Writes what is over in all partitions.
    fn advance(&mut self, partition: i32, time: u64, out: &Out) -> Result<()> {
        let mark = self.watermarks.entry(partition).or_default();
        let reached = time.saturating_sub(DISORDER);
        if reached <= *mark {
            return Ok(());
        }
        *mark = reached;
        let lowest = self.watermarks.values().min().copied().unwrap_or_default();
        let is_over = |minute: u64| minute + MINUTE <= lowest;
        while let Some(window) = self.users.first_entry().filter(|at| is_over(*at.key())) {
            let (start, users) = window.remove_entry();
            let users = users.len();
            out.send(
                format!(r#"{{"window_start_ms":{start},"unique_visitors":{users}}}"#).as_bytes(),
            )?;
        }
        while let Some(window) = self.counts.first_entry().filter(|at| is_over(*at.key())) {
            let (start, counts) = window.remove_entry();
            for (url, count) in counts {
                let text =
                    format!(r#"{{"window_start_ms":{start},"url":"{url}","count":{count}}}"#);
                out.send(text.as_bytes())?;
            }
        }
        Ok(())
    }
}
