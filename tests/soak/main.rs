//! The soak: a service on a real Kafka under a steady load, with a deploy every few seconds (one that is fine, one that traps, a canary, a
//! way back), and what its process holds meanwhile: memory, files, threads. In the end every window must be right, and nothing
//! may have leaked.
//!
//! The test here is the short form. `cargo xtask soak` runs it for `MILLSTREAM_SOAK_MINUTES`; `docs/deploys.md` says how to read the table.

#![allow(clippy::unwrap_used, reason = "a harness that can't go on fails")]
#![allow(clippy::print_stdout, reason = "the table is for people to read")]

mod held;
#[path = "../service/load.rs"]
mod load;
#[path = "../service/rig.rs"]
#[allow(dead_code, reason = "the tests of the service use the rest")]
mod rig;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use held::{Held, judge_held, table};
use load::{Load, PARTITIONS, file, judge, settle, version};
use rig::{DEPLOY, Home, Service, VIEW};
use support::{create, kafka, unique};

/// How long the short form lasts at least.
const SHORT: Duration = Duration::from_secs(20);
/// How long nothing is deployed after a deploy.
const PAUSE: Duration = Duration::from_secs(2);

/// What is deployed one after the other.
const ROUND: [Deploy; 4] = [Deploy::Good, Deploy::Bad, Deploy::Canary, Deploy::Back];

#[derive(Clone, Copy)]
enum Deploy {
    Good,
    /// It traps, and is taken back by itself.
    Bad,
    /// It gets half of the partitions first.
    Canary,
    /// The one before is rolled back.
    Back,
}

impl Deploy {
    /// Deploys, and waits until it is in place, or has been taken back.
    fn carry_out(self, service: &Service, name: &str, versions: &[String; 3]) {
        let [good, other, bad] = versions;
        match self {
            Deploy::Good => drop(service.told(DEPLOY, &["deploy", name, "sum", good])),
            Deploy::Bad => {
                service.client(DEPLOY, &["deploy", name, "sum", bad]);
                let list = ["deploys", "list", name, "--output", "json"];
                rig::until(|| {
                    let list = service.told(VIEW, &list);
                    let last: serde_json::Value =
                        serde_json::from_str(list.lines().next().unwrap()).unwrap();
                    last["outcome"] == "rolled-back"
                })
                .expect("the version that traps is taken back");
            }
            Deploy::Canary => {
                let canary = [
                    "deploy", name, "sum", other, "--canary", "50", "--rows", "200",
                ];
                service.told(DEPLOY, &canary);
            }
            Deploy::Back => drop(service.told(DEPLOY, &["rollback", name, "sum"])),
        }
    }
}

#[test]
fn nothing_leaks_and_every_window_is_right_however_often_something_is_deployed() {
    let Some(log) = kafka() else { return };
    let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    let time = match std::env::var("MILLSTREAM_SOAK_MINUTES") {
        Ok(minutes) => Duration::from_secs(60 * minutes.parse::<u64>().unwrap()),
        Err(_) => SHORT,
    };
    let (home, name) = (Home::new(""), unique("soak"));
    let topic = format!("{name}-numbers");
    create(&log, &topic, PARTITIONS, &[]);
    let service = home.start();
    service.push("fixtures/marked.wasm");
    let path = home.path("pipeline.toml");
    // With keys there is so much state that the store writes and merges its files many times within half an hour: what it holds of them
    // grows until then.
    let text = file(&name, &address) + "key = \"n\"\n";
    std::fs::write(&path, text).unwrap();
    service.told(DEPLOY, &["pipelines", "create", path.to_str().unwrap()]);
    let mut load = Load::default();
    load.write(&log, &topic, 300);
    load.while_doing(&log, &topic, || {
        service.pipeline_until(&name, |view| view["progress"]["results"] != 0);
    });

    let versions = [(b'1', b'.'), (b'2', b'.'), (b'3', b't')];
    let versions = versions.map(|(number, fault)| version(&home, number, fault));
    let begun = Instant::now();
    let look = || Held::by(service.process(), begun.elapsed());
    let start = look();
    // After a round of everything, what is loaded once has been.
    let mut rounds: Vec<Held> = Vec::new();
    let mut deploys = 0;
    while rounds.len() < 3 || begun.elapsed() < time {
        for deploy in ROUND {
            load.while_doing(&log, &topic, || {
                deploy.carry_out(&service, &name, &versions);
                std::thread::park_timeout(PAUSE);
            });
            deploys += 1;
        }
        rounds.push(look());
    }
    settle(&service, &log, &name);
    let took = begun.elapsed();
    service.end();
    judge(&log, &name, &load);
    println!("{}", table(&start, &rounds));
    println!(
        "  {deploys} deploys and {} rows in {:.0} s, {} windows right",
        load.rows * i64::from(PARTITIONS),
        took.as_secs_f64(),
        load.expected.len() - 1
    );
    let leaks = judge_held(&rounds);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}
