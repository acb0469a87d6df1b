//! The same rows on the embedded log and on Kafka, from 1, 3 and 8 partitions, by 1 to 3 workers: what comes out is what the oracle
//! says, whoever has read what when.

use millstream::log::Log;
use millstream::log::embedded::EmbeddedLog;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::judge::same;
use crate::lines;
use crate::oracle;
use crate::rig::run_team;
use crate::scenario::{Happening, Row, Scenario};
use crate::support;

/// Steps of all sorts.
const STEPS: [&str; 5] = [
    r#"window = { tumbling = "1m" }, allowed_lateness = "1m", updates = "retracting""#,
    r#"window = { sliding = "1m", slide = "25s" }, allowed_lateness = "30s", updates = "discarding""#,
    r#"window = { session = "20s" }, allowed_lateness = "1m", window_apply = "list.wasm""#,
    r#"window = { calendar = "day", time_zone = "Europe/Vienna" }, allowed_lateness = "24h""#,
    r#"window = { global = { every = "1m" } }"#,
];
/// 2026-01-01T12:00:00Z.
const NOON: i64 = 1_767_268_800_000;

/// Some hundred rows, a second or so apart, of which some come minutes behind.
fn scenario(step: &str, partitions: i32) -> Scenario {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut row = |number: i64| {
        let behind = match rng.random_range(0..10) {
            0 => rng.random_range(0..150_000),
            _ => rng.random_range(0..5_000),
        };
        let user = ["ada", "bob", "cid", "dot", "eve"][rng.random_range(0..5)];
        Happening::Row(Row {
            partition: rng.random_range(0..partitions),
            at: NOON + number * 1_500 - behind,
            user: Some(user.to_owned()),
            n: rng.random_range(0..1_000),
            more: Default::default(),
        })
    };
    let mut happenings: Vec<Happening> = (0..400).map(&mut row).collect();
    // Three days later everything has ended.
    happenings.extend((0..partitions).map(|partition| {
        Happening::Row(Row {
            partition,
            at: NOON + 3 * 86_400_000,
            user: Some("zoe".to_owned()),
            n: 0,
            more: Default::default(),
        })
    }));
    let table = |text: &str| text.parse::<toml::Table>().unwrap();
    let step = table(&format!("step = {{ key = \"user\", {step} }}"));
    Scenario {
        source: table("allowed_disorder = \"3s\""),
        step: step["step"].as_table().unwrap().clone(),
        max_rows: 50,
        happenings,
    }
}

fn comes_out<L: Log>(step: &str, partitions: i32, workers: usize, log: &L) {
    let scenario = scenario(step, partitions);
    let expected = lines::text(&oracle::expected(&scenario));
    assert!(expected.lines().count() >= 5, "too little to mean anything");
    let written = lines::text(&run_team(&scenario, workers, log));
    same(&expected, &written).unwrap_or_else(|differs| {
        panic!("{step}\n{partitions} partitions, {workers} workers\n{differs}")
    });
}

#[test]
fn teams_of_any_size_give_the_oracles_answer_on_the_embedded_log() {
    for step in STEPS {
        for (partitions, workers) in [(1, 1), (3, 1), (3, 2), (8, 1), (8, 3)] {
            comes_out(step, partitions, workers, &EmbeddedLog::in_memory());
        }
    }
}

#[test]
fn teams_of_any_size_give_the_oracles_answer_on_kafka() {
    let Some(log) = support::kafka() else { return };
    for step in STEPS {
        for (partitions, workers) in [(1, 1), (3, 2), (8, 3)] {
            comes_out(step, partitions, workers, &log);
        }
    }
}
