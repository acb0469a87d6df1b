//! What a second worker is worth: jobs on the log that is in the process, to their ends, by one worker on one core and by two on two. There
//! is no broker that would have a core's share.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use millstream::log::embedded::EmbeddedLog;
use millstream::log::{
    Fetched, Log as _, Outbox, Reader as _, RecordParts, TopicSpec, Writer as _,
};
use millstream::time::Timestamp;

use crate::clicks::Click;
use crate::jobs::{Expected, Job, Received};
use crate::table::{self, Spread};

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The host's binary
    #[arg(long)]
    millstream: PathBuf,
    /// The folder of the components
    #[arg(long)]
    plugins: PathBuf,
    /// How many clicks there are
    #[arg(long, default_value_t = 12_000_000)]
    events: u64,
    /// How often each case is run
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Where the table goes as Markdown, beside standard output
    #[arg(long)]
    table: Option<PathBuf>,
}

/// Over how many partitions the clicks are spread.
const PARTITIONS: u64 = 4;
/// Over how many minutes of event time.
const MINUTES: u64 = 10;
/// Clicks of a run that costs little but its start and its end.
const FEW: u64 = 1_000;
/// Clicks that are written at once.
const AT_ONCE: u64 = 50_000;
/// How many workers, and on which cores.
const TEAMS: [(usize, &str); 2] = [(1, "1"), (2, "0,1")];

/// Clicks in a log of their own.
struct Clicks {
    folder: PathBuf,
    events: u64,
}

/// Measures.
pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clicks = |name: &str, events| Clicks {
        folder: folder.path().join(name),
        events,
    };
    let sizes = [clicks("few", FEW), clicks("all", args.events)];
    sizes.iter().try_for_each(Clicks::write)?;
    let mut text = String::from(
        "| job | workers | thousand records a second | times one worker |\n|---|---|---|---|\n",
    );
    for job in [Job::Headline, Job::Keyed] {
        let expected = [FEW, args.events].map(|events| job.expected(events, MINUTES, PARTITIONS));
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); TEAMS.len()];
        for number in 0..args.runs {
            for (team, rates) in TEAMS.iter().zip(&mut rates) {
                let mut walls = Vec::new();
                for (clicks, expected) in sizes.iter().zip(&expected) {
                    let name = format!("{}-{number}-{}", job.name(), team.0);
                    walls.push(clicks.run(args, job, &name, *team, expected)?);
                }
                let [few, all] = walls[..] else {
                    bail!("two runs are measured");
                };
                let wall = all.saturating_sub(few).as_secs_f64();
                rates.push(args.events as f64 / wall / 1_000.0);
                eprintln!("{} w{}: {wall:.2} s", job.name(), team.0);
            }
        }
        let spreads: Vec<Spread> = rates.into_iter().map(Spread::of).collect();
        for ((workers, _), spread) in TEAMS.iter().zip(&spreads) {
            let times = spread.middle / spreads[0].middle;
            text.push_str(&format!(
                "| {} | {workers} | {spread} | {times:.2} |\n",
                job.name()
            ));
        }
    }
    table::show(&text, args.table.as_deref())
}

impl Clicks {
    /// Writes them into a new log.
    fn write(&self) -> Result<()> {
        let log = EmbeddedLog::open(&self.folder)?;
        log.create_topic(&TopicSpec {
            name: "clicks".to_owned(),
            partitions: i32::try_from(PARTITIONS)?,
            settings: Default::default(),
        })?;
        let topic: Arc<str> = "clicks".into();
        let mut writer = log.writer()?;
        let mut outbox = Outbox::new();
        let mut text = String::new();
        // The end of the run closes all windows.
        for number in 0..self.events {
            let click = Click::of(number, self.events, MINUTES);
            click.write(&mut text);
            let parts = RecordParts {
                partition: Some(i32::try_from(number % PARTITIONS)?),
                timestamp: Timestamp(i64::try_from(click.event_time)?),
                key: None,
                value: Some(text.as_bytes()),
                headers: &[],
            };
            outbox.push(&topic, parts);
            if (number + 1) % AT_ONCE == 0 {
                writer.append(&outbox)?;
                outbox.clear();
            }
        }
        writer.append(&outbox)?;
        Ok(())
    }

    /// How long a team takes from its start to its end.
    fn run(
        &self,
        args: &Args,
        job: Job,
        name: &str,
        (workers, cores): (usize, &str),
        expected: &Expected,
    ) -> Result<Duration> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("pipeline.toml");
        std::fs::write(&file, self.pipeline(args, job, name, folder.path()))?;
        let said = folder.path().join("said");
        let out = std::fs::File::create(&said)?;
        let mut command = Command::new("taskset");
        command.args(["-c", cores]).arg(&args.millstream);
        command.arg("run").arg(&file).arg("--until-end");
        command.args(["--workers", &workers.to_string()]);
        command.stdin(Stdio::null()).stdout(out.try_clone()?);
        let begun = Instant::now();
        let status = command.stderr(out).status().context("millstream")?;
        let took = begun.elapsed();
        let said = || std::fs::read_to_string(&said).unwrap_or_default();
        ensure!(status.success(), "{name}: {status}\n{}", said());
        let mut received = Received::new(job);
        let log = EmbeddedLog::open(&self.folder)?;
        let mut reader = log.reader(&format!("{name}-out"), &[])?;
        let mut fetched = Fetched::new();
        while reader.at_end().is_empty() {
            reader.poll(&mut fetched, Duration::ZERO)?;
            for batch in fetched.batches() {
                for row in 0..batch.len() {
                    received.add(batch.value(row).context("a result has a value")?)?;
                }
            }
        }
        received.judge(expected).with_context(said)?;
        Ok(took)
    }

    fn pipeline(&self, args: &Args, job: Job, name: &str, folder: &Path) -> String {
        let (plugin, key) = match job {
            Job::Headline => ("unique-visitors", ""),
            _ => ("row-count", "key = \"url\""),
        };
        format!(
            r#"
            name = "{name}"
            log = {{ embedded = "{}", create_topics = true }}
            source = {{ topic = "clicks", event_time = {{ field = "event_time", unit = "ms" }}, allowed_disorder = "1s" }}
            sink.topic = "{name}-out"
            dead_letters.topic = "{name}-dead"
            late.topic = "{name}-late"
            state.folder = "{}/state"
            [[step]]
            aggregate = "{}/{plugin}.wasm"
            {key}
            window = {{ tumbling = "1m" }}
            "#,
            self.folder.display(),
            folder.display(),
            args.plugins.display(),
        )
    }
}
