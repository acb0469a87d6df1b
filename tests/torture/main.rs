//! The torture: hosts, broker and network are killed, stopped, cut off and lied to while 500,000 clicks go through two
//! pipelines on a real Kafka, and every result must come once and be right.
//!
//! `docs/torture.md` says what is done and how to read the table that this prints. The test here is the short form, which
//! does everything once; `cargo xtask torture` runs it for minutes, told by the environment:
//!
//! | variable | value |
//! |---|---|
//! | `MILLSTREAM_TORTURE_MINUTES` | for how long; without it, the short form |
//! | `MILLSTREAM_TORTURE_SEED` | what the first round is drawn from; the next ones count on from there |
//!
//! From top to bottom: `plan` draws what is done, `round` does it with a `feed` of clicks, hosts (`job`, `host`, `state`),
//! the `broker` and the `proxy`; `faults` carries it out, `watch` looks on, `segments` and `judge` find out what came of
//! it, and `report` says whether it counts.

#![allow(clippy::unwrap_used, reason = "a harness that can't go on fails")]
#![allow(clippy::print_stdout, reason = "the table is for people to read")]

mod broker;
mod faults;
mod feed;
mod frames;
mod host;
mod job;
mod judge;
mod plan;
mod proxy;
mod report;
mod round;
mod segments;
mod state;
#[path = "../support/mod.rs"]
mod support;
mod watch;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use broker::Broker;
use faults::World;
use plan::Round;
use proxy::Proxy;
use report::Report;
use support::broker::jars;

/// What the short form is drawn from.
const SEED: u64 = 1;
/// With less time left no other round is begun.
const LEAST: Duration = Duration::from_secs(60);

#[test]
fn every_result_comes_once_and_right_whatever_is_done_to_hosts_broker_and_network() {
    let Some(jars) = jars() else { return };
    let seed = variable("MILLSTREAM_TORTURE_SEED").unwrap_or(SEED);
    let minutes = variable::<u64>("MILLSTREAM_TORTURE_MINUTES");
    let folder = run_folder(seed);
    let world = start(&jars, &folder);
    let report = match minutes {
        None => run(&plan::short(seed), &world, &folder),
        Some(minutes) => run_for(Duration::from_secs(60 * minutes), seed, &world, &folder),
    };
    drop(world);
    let failures = report.failures();
    let place = folder.display();
    assert!(
        failures.is_empty(),
        "{}\nthe logs of hosts and broker are in {place}",
        failures.join("\n")
    );
    std::fs::remove_dir_all(folder).unwrap();
}

/// Runs rounds for so long, or until one finds something wrong, and prints the table of all.
fn run_for(time: Duration, seed: u64, world: &World, folder: &Path) -> Report {
    let end = Instant::now() + time;
    let mut all = Report::default();
    let mut rounds = 0;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if rounds > 0 && left < LEAST {
            break;
        }
        let report = run(&plan::long(seed + rounds, left), world, folder);
        rounds += 1;
        let is_wrong = !report.wrong.is_empty();
        all.add(report);
        if is_wrong {
            break;
        }
    }
    println!("all {rounds} rounds\n{all}");
    all
}

/// Runs a round and prints its table.
fn run(round: &Round, world: &World, folder: &Path) -> Report {
    let kinds = round.torture.each_ref().map(|(kind, _)| kind.name());
    let window = round.clicks.window;
    println!(
        "seed {}: {} and {}, windows of {window:#}",
        round.seed, kinds[0], kinds[1]
    );
    let begin = Instant::now();
    let folder = folder.join(format!("seed-{}", round.seed));
    let report = round::run(round, world, &folder);
    println!("{report}  took {:.0} s\n", begin.elapsed().as_secs_f64());
    report
}

fn start(jars: &Path, folder: &Path) -> World {
    let proxy = Proxy::start();
    let broker = Broker::start_new(jars, &folder.join("broker"), proxy.port());
    proxy.lead_to(broker.hosts);
    World {
        broker: Mutex::new(broker),
        proxy,
        network: Mutex::new(()),
        written: AtomicU64::new(0),
    }
}

/// A new folder for this run, which is kept if it fails.
fn run_folder(seed: u64) -> PathBuf {
    let name = format!("torture-{seed}-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    let number = value.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{name} must be a number, not {value:?}")))
}
