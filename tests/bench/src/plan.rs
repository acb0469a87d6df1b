//! Which cases are measured, in which order, and what is made of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::jobs::{Expected, Job};
use crate::measure::{Bench, Run};
use crate::systems::{Case, Guarantee, Places, System};
use crate::table::{self, Row};
use crate::topics::{Clicks, Topics};

/// What is measured, and with which programs.
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
    /// The folder of the built peers
    #[arg(long)]
    peer_builds: PathBuf,
    /// The folder of the peers' sources
    #[arg(long)]
    peer_sources: PathBuf,
    /// The cores of the measured system, as `taskset` reads them
    #[arg(long, default_value = "1")]
    cores: String,
    /// How many clicks a topic has
    #[arg(long, default_value_t = 5_000_000)]
    events: u64,
    /// How many minutes of event time they are spread over
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// How often each case is run
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Flink, Kafka Streams and Bytewax too
    #[arg(long)]
    peers: bool,
    /// Only the few cases for daily use
    #[arg(long)]
    quick: bool,
    /// Only these jobs
    #[arg(long)]
    job: Vec<Job>,
    /// Only these systems
    #[arg(long)]
    system: Vec<System>,
    /// Only these numbers of partitions
    #[arg(long)]
    partitions: Vec<u32>,
    /// Where the table goes as Markdown, beside standard output
    #[arg(long)]
    table: Option<PathBuf>,
    /// Where the chart goes, as SVG
    #[arg(long)]
    chart: Option<PathBuf>,
}

/// Clicks of the small topics, by which start-up is measured: a run on them costs little else.
const FEW: u64 = 1_000;

/// All cases there are.
fn all() -> Vec<Case> {
    use Guarantee::{AtLeastOnce, ExactlyOnce};
    use Job::*;
    use System::*;
    let of = |job, partitions, systems: &[System], guarantees: &[Guarantee]| {
        let mut cases = Vec::new();
        for system in systems {
            for guarantee in guarantees {
                cases.push(Case {
                    job,
                    partitions,
                    workers: 1,
                    system: *system,
                    guarantee: *guarantee,
                });
            }
        }
        cases
    };
    let both = [ExactlyOnce, AtLeastOnce];
    let two_workers = of(Headline, 4, &[Millstream], &[ExactlyOnce])
        .into_iter()
        .map(|case| Case { workers: 2, ..case });
    [
        of(Headline, 1, &[Millstream, Flink, KafkaStreams], &both),
        of(
            Headline,
            1,
            &[NativeFunction, PerRecord, JsonInGuest, FlinkTextbook],
            &[ExactlyOnce],
        ),
        of(
            Headline,
            1,
            &[Native, NativeSingly, Bytewax],
            &[AtLeastOnce],
        ),
        of(Headline, 4, &[Millstream, Flink], &[ExactlyOnce]),
        two_workers.collect(),
        of(Headline, 4, &[Native], &[AtLeastOnce]),
        of(Keyed, 1, &[Millstream, Flink, KafkaStreams], &both),
        of(Keyed, 1, &[Native, Bytewax], &[AtLeastOnce]),
        of(Keyed, 4, &[Millstream, Flink, KafkaStreams], &[ExactlyOnce]),
        of(Identity, 1, &[Millstream, Flink, KafkaStreams], &both),
        of(Identity, 1, &[Native, NativeSingly], &[AtLeastOnce]),
        of(
            FilterMap,
            1,
            &[Millstream, Flink, KafkaStreams],
            &[ExactlyOnce],
        ),
        of(FilterMap, 1, &[Native], &[AtLeastOnce]),
        of(WindowApply, 1, &[Millstream], &[ExactlyOnce]),
        of(ThreeSteps, 1, &[Millstream], &[ExactlyOnce]),
        of(Sliding, 1, &[Millstream], &[ExactlyOnce]),
        of(Session, 1, &[Millstream], &[ExactlyOnce]),
    ]
    .concat()
}

/// Whether a case is one of daily use.
fn is_quick(case: &Case) -> bool {
    let jobs = [Job::Headline, Job::Keyed, Job::Identity];
    let systems = [System::Millstream, System::Native];
    jobs.contains(&case.job) && systems.contains(&case.system)
}

/// Measures.
pub(crate) fn run(args: &Args) -> Result<()> {
    let is_wanted = |case: &Case| {
        (args.peers || !case.system.is_peer())
            && (!args.quick || is_quick(case))
            && (args.job.is_empty() || args.job.contains(&case.job))
            && (args.system.is_empty() || args.system.contains(&case.system))
            && (args.partitions.is_empty() || args.partitions.contains(&case.partitions))
    };
    let cases: Vec<Case> = all().into_iter().filter(is_wanted).collect();
    let topics = Topics::new(&args.bootstrap)?;
    let places = Places {
        millstream: args.millstream.clone(),
        plugins: args.plugins.clone(),
        peers: args.peer_builds.clone(),
        sources: args.peer_sources.clone(),
    };
    let bench = Bench {
        topics: &topics,
        places: &places,
        cores: &args.cores,
    };
    let mut filled = BTreeMap::new();
    let mut expected: BTreeMap<(Job, u64, u32), Expected> = BTreeMap::new();
    let mut runs: BTreeMap<Case, Vec<(Run, Run)>> = BTreeMap::new();
    for number in 1..=args.runs {
        // Interleaved, so that what the machine does meanwhile meets all alike.
        for case in &cases {
            let mut measured = Vec::new();
            // The very first run compiles the component, and fills the caches of the system.
            let warm_up = (number == 1).then_some(FEW);
            for events in warm_up.into_iter().chain([FEW, args.events]) {
                let clicks = Clicks {
                    topic: format!("bench-{}-{events}", case.partitions),
                    partitions: case.partitions,
                    events,
                    minutes: args.minutes,
                };
                if filled.insert(clicks.topic.clone(), ()).is_none() {
                    topics.delete(&[&clicks.topic])?;
                    topics.fill(&clicks).context("filling a topic")?;
                }
                let partitions = u64::from(case.partitions);
                let expected = expected
                    .entry((case.job, events, case.partitions))
                    .or_insert_with(|| case.job.expected(events, args.minutes, partitions));
                measured.push(bench.run(case, &clicks, expected)?);
            }
            let [.., small, large] = measured[..] else {
                bail!("{case}: two runs are measured");
            };
            let pair = (small, large);
            eprintln!(
                "{number}/{}  {case}: {}",
                args.runs,
                table::told(pair, args.events)
            );
            runs.entry(*case).or_default().push(pair);
        }
    }
    let rows: Vec<Row> = cases
        .iter()
        .filter_map(|case| Some(Row::of(*case, runs.get(case)?, args.events)))
        .collect();
    table::show(&table::markdown(&rows), args.table.as_deref())?;
    if let Some(file) = &args.chart {
        std::fs::write(file, table::chart(&rows)).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
