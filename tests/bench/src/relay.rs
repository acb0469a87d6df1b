//! A plain program that reads clicks, and writes a record when one is the first behind a window: the least that stands between a watermark
//! and a result, without windows, state or recovery.

use std::time::Duration;

use anyhow::Result;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord};
use serde::{Deserialize, Serialize};

/// The size of a window, in milliseconds.
pub(crate) const WINDOW: u64 = 100;

/// From where to where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    source: String,
    #[arg(long)]
    sink: String,
}

/// A result, as far as it is looked at.
#[derive(Deserialize, Serialize)]
pub(crate) struct Written {
    pub(crate) window_end_ms: u64,
}

/// A click, as far as it is looked at.
#[derive(Deserialize)]
struct Read {
    event_time: u64,
}

/// Runs until the process is ended.
pub(crate) fn run(args: &Args) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &args.bootstrap)
        .set("group.id", format!("relay-{}", args.sink))
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[&args.source])?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &args.bootstrap)
        .set("linger.ms", "0")
        .create()?;
    let mut last = 0;
    loop {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message?;
        let read: Read = serde_json::from_slice(message.payload().unwrap_or_default())?;
        let window_end_ms = read.event_time / WINDOW * WINDOW;
        if std::mem::replace(&mut last, window_end_ms) < window_end_ms {
            let text = serde_json::to_string(&Written { window_end_ms })?;
            let record: BaseRecord<'_, (), str> = BaseRecord::to(&args.sink).payload(&text);
            producer.send(record).map_err(|(error, _)| error)?;
            producer.poll(Duration::ZERO);
        }
    }
}
