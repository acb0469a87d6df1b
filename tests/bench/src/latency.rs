//! How long after its watermark a result can be read: clicks come at a steady pace, dated with the time now, and windows are short, so
//! that there are many.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};
use serde::Deserialize;

use crate::clicks::{Click, URLS, USERS};
use crate::process::Process;
use crate::systems::Guarantee;
use crate::table;
use crate::topics::{Topics, drain, send};

/// The size of a window, in milliseconds.
const WINDOW: u64 = 250;
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
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

#[derive(Deserialize)]
struct Written {
    window_end_ms: u64,
}

/// Measures with both guarantees.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut text = String::from(
        "| guarantee | clicks a second | results | p50 ms | p99 ms | longest ms |\n|---|---|---|---|---|---|\n",
    );
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        let mut latencies = measure(args, guarantee)?;
        latencies.sort();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_millis();
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            guarantee.name(),
            args.rate,
            latencies.len(),
            at(50),
            at(99),
            at(100),
        ));
    }
    table::show(&text, args.table.as_deref())
}

/// The latencies of all results.
fn measure(args: &Args, guarantee: Guarantee) -> Result<Vec<Duration>> {
    let topics = Topics::new(&args.bootstrap)?;
    let name = format!("bench-paced-{}", guarantee.name());
    let sink = format!("{name}-out");
    topics.create(&name, 1)?;
    topics.create(&sink, 1)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("pipeline.toml");
    std::fs::write(&file, pipeline(args, &name, guarantee, folder.path()))?;
    let text = |path: &std::path::Path| path.display().to_string();
    let line = vec![text(&args.millstream), "run".to_owned(), text(&file)];
    let said = folder.path().join("said");
    let mut process = Process::start(&name, &line, &args.cores, &said)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &args.bootstrap)
        .set("linger.ms", "0")
        .create()?;
    let reader = topics.reader(&sink)?;
    let begun = Instant::now();
    let until = BEFORE + Duration::from_secs(args.seconds);
    // When the first click was written that lies behind a window.
    let mut passed: BTreeMap<u64, Instant> = BTreeMap::new();
    let (mut latencies, mut text, mut number) = (Vec::new(), String::new(), 0);
    while begun.elapsed() < until {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let event_time = u64::try_from(now.as_millis())?;
        let due = u64::try_from(begun.elapsed().as_micros())? * args.rate / 1_000_000;
        passed
            .entry(event_time / WINDOW * WINDOW)
            .or_insert_with(Instant::now);
        while number < due {
            let click = Click {
                event_time,
                user: number % USERS,
                url: number % URLS,
                status: 200,
            };
            send(&producer, &name, 0, &click, &mut text)?;
            number += 1;
        }
        producer.poll(Duration::ZERO);
        drain(&reader, PACE, |value| {
            let came = Instant::now();
            let written: Written = serde_json::from_slice(value)?;
            let since = passed.get(&written.window_end_ms);
            if let Some(since) = since.filter(|since| **since > begun + BEFORE) {
                latencies.push(came - *since);
            }
            Ok(())
        })?;
        process.used()?;
    }
    producer.flush(Duration::from_secs(10))?;
    process.end()?;
    ensure!(!latencies.is_empty(), "no result has come");
    Ok(latencies)
}

fn pipeline(args: &Args, name: &str, guarantee: Guarantee, folder: &std::path::Path) -> String {
    format!(
        r#"
        name = "{name}"
        log = {{ kafka = {{ "bootstrap.servers" = "{}" }}, create_topics = true }}
        source = {{ topic = "{name}", event_time = {{ field = "event_time", unit = "ms" }}, allowed_disorder = "0s" }}
        sink.topic = "{name}-out"
        dead_letters.topic = "{name}-dead"
        late.topic = "{name}-late"
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
