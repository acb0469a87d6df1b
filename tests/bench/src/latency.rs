//! How long after its watermark a result can be read: clicks come at a steady pace, dated with the time now, and windows are short, so
//! that there are many. The watermark passes the end of a window when the broker has acknowledged the first click that lies behind it.
//!
//! Beside Millstream the `relay` is measured: what it takes is the broker's and the machine's, whoever processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::clicks::{Click, URLS, USERS};
use crate::process::Process;
use crate::relay::{WINDOW, Written};
use crate::systems::Guarantee;
use crate::table;
use crate::topics::{Topics, drain};

/// How often clicks are written.
const PACE: Duration = Duration::from_millis(1);
/// How long the system may take to start and to get used to the pace; nothing of it is counted.
const BEFORE: Duration = Duration::from_secs(8);

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The broker
    #[arg(long)]
    bootstrap: String,
    /// The host's binary
    #[arg(long)]
    millstream: PathBuf,
    /// The folder of the components
    #[arg(long)]
    plugins: PathBuf,
    /// The cores of the measured system, as `taskset` reads them
    #[arg(long, default_value = "1")]
    cores: String,
    /// How many clicks a second
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// Where the table goes as Markdown, beside standard output
    #[arg(long)]
    table: Option<PathBuf>,
    /// For how long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Who is measured.
#[derive(Clone, Copy)]
enum Who {
    Relay,
    Millstream(Guarantee),
}

impl Who {
    fn name(self) -> String {
        match self {
            Who::Relay => "relay".to_owned(),
            Who::Millstream(guarantee) => format!("millstream, {}", guarantee.name()),
        }
    }
}

/// Measures all.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut text = String::from(
        "| system | clicks a second | results | p50 ms | p99 ms | longest ms |\n|---|---|---|---|---|---|\n",
    );
    let all = [
        Who::Relay,
        Who::Millstream(Guarantee::ExactlyOnce),
        Who::Millstream(Guarantee::AtLeastOnce),
    ];
    for who in all {
        let mut latencies = measure(args, who)?;
        latencies.sort();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_millis();
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            who.name(),
            args.rate,
            latencies.len(),
            at(50),
            at(99),
            at(100),
        ));
    }
    table::show(&text, args.table.as_deref())
}

/// When the broker had the first click behind each window.
#[derive(Default)]
struct Passed(Mutex<BTreeMap<u64, Instant>>);

impl ClientContext for Passed {}

impl ProducerContext for Passed {
    /// The end of the window that the click is the first behind; 0 if it is none.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, end: usize) {
        if end > 0 && result.is_ok() {
            let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            passed.insert(end as u64, Instant::now());
        }
    }
}

/// The latencies of all results.
fn measure(args: &Args, who: Who) -> Result<Vec<Duration>> {
    let topics = Topics::new(&args.bootstrap)?;
    // Names of their own, since the group of an earlier run stands at the end of its clicks.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let name = &format!("bench-paced-{now}");
    let sink = format!("{name}-out");
    topics.create(name, 1)?;
    topics.create(&sink, 1)?;
    let folder = tempfile::tempdir()?;
    let text = |path: &std::path::Path| path.display().to_string();
    let line: Vec<String> = match who {
        Who::Relay => {
            let relay = text(&std::env::current_exe()?);
            let bootstrap = &args.bootstrap;
            let line: [&str; 8] = [
                &relay,
                "relay",
                "--bootstrap",
                bootstrap,
                "--source",
                name,
                "--sink",
                &sink,
            ];
            line.map(str::to_owned).into()
        }
        Who::Millstream(guarantee) => {
            let file = folder.path().join("pipeline.toml");
            std::fs::write(&file, pipeline(args, name, &sink, guarantee, folder.path()))?;
            vec![text(&args.millstream), "run".to_owned(), text(&file)]
        }
    };
    let said = folder.path().join("said");
    let mut process = Process::start(name, &line, &args.cores, &said)?;
    let producer: BaseProducer<Passed> = ClientConfig::new()
        .set("bootstrap.servers", &args.bootstrap)
        .set("linger.ms", "0")
        .create_with_context(Passed::default())?;
    let reader = topics.reader(&sink)?;
    let begun = Instant::now();
    let until = BEFORE + Duration::from_secs(args.seconds);
    let mut came: BTreeMap<u64, Instant> = BTreeMap::new();
    let (mut text, mut number, mut last) = (String::new(), 0, 0);
    while begun.elapsed() < until {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let event_time = u64::try_from(now.as_millis())?;
        let due = u64::try_from(begun.elapsed().as_micros())? * args.rate / 1_000_000;
        while number < due {
            let click = Click {
                event_time,
                user: number % USERS,
                url: number % URLS,
                status: 200,
            };
            click.write(&mut text);
            let end = event_time / WINDOW * WINDOW;
            let first = std::mem::replace(&mut last, end) < end;
            let opaque = usize::try_from(if first { end } else { 0 })?;
            send(&producer, name, &text, opaque)?;
            number += 1;
        }
        serve(&producer);
        drain(&reader, PACE, |value| {
            let written: Written = serde_json::from_slice(value)?;
            came.insert(written.window_end_ms, Instant::now());
            Ok(())
        })?;
        process.used()?;
    }
    producer.flush(Duration::from_secs(10))?;
    process.end()?;
    topics.delete(&[name])?;
    topics.delete_all_of(&sink)?;
    let passed = producer.context().0.lock();
    let passed = passed.unwrap_or_else(PoisonError::into_inner);
    let counted = came.iter().filter_map(|(end, came)| {
        let since = passed.get(end).filter(|since| **since > begun + BEFORE)?;
        // Readers may be faster than the report of it.
        Some(came.saturating_duration_since(*since))
    });
    let latencies: Vec<Duration> = counted.collect();
    ensure!(!latencies.is_empty(), "no result has come");
    Ok(latencies)
}

fn send(producer: &BaseProducer<Passed>, topic: &str, text: &str, opaque: usize) -> Result<()> {
    loop {
        let record: BaseRecord<'_, (), str, usize> =
            BaseRecord::with_opaque_to(topic, opaque).payload(text);
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, _)) => {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                ensure!(full, "{topic}: {error}");
                serve(producer);
            }
        }
    }
}

/// Takes the reports that are there.
fn serve(producer: &BaseProducer<Passed>) {
    for _ in 0..producer.in_flight_count() {
        producer.poll(Duration::ZERO);
    }
}

fn pipeline(
    args: &Args,
    source: &str,
    sink: &str,
    guarantee: Guarantee,
    folder: &std::path::Path,
) -> String {
    format!(
        r#"
        name = "{sink}"
        log = {{ kafka = {{ "bootstrap.servers" = "{}" }}, create_topics = true }}
        source = {{ topic = "{source}", event_time = {{ field = "event_time", unit = "ms" }}, allowed_disorder = "0s" }}
        sink.topic = "{sink}"
        dead_letters.topic = "{sink}.dead"
        late.topic = "{sink}.late"
        state.folder = "{}/state"
        commit.delivery = "{}"
        [[step]]
        aggregate = "{}/unique-visitors.wasm"
        window = {{ tumbling = "{WINDOW}ms" }}
        "#,
        args.bootstrap,
        folder.display(),
        guarantee.name(),
        args.plugins.display()
    )
}
