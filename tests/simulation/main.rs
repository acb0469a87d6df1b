//! The whole worker in a simulated world: one seed decides the pipeline, the events, the schedule of several workers and everything
//! that goes wrong, and in the end the output must be the oracle's. `docs/simulation.md` says what is simulated and how to run it.
//!
//! `baton` lets one thread run at a time; `sim_log`, `sim_session`, `sim_commit`, `sim_store` and `clock` are the world of a worker, `broker`
//! what is behind it; `scenario` and `pipelines` say what a seed makes of a run, `director` runs it, `deploys` is what is deployed meanwhile, `life` is a worker's, `settled` says when it is over; `oracle` knows the right
//! answer (`spans`) and `judge` compares (`reading`); `faults` counts what has happened, `mutations` proves that the judge sees.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(
    clippy::print_stdout,
    reason = "how often what happened is for whoever watches"
)]

mod baton;
mod broker;
mod clock;
mod deploys;
mod director;
mod faults;
mod judge;
mod kinds;
mod life;
mod memory;
mod mutations;
mod oracle;
mod pipelines;
#[path = "../oracles/reading.rs"]
mod reading;
mod scenario;
mod settled;
mod sim_commit;
mod sim_log;
mod sim_session;
mod sim_store;
#[path = "../oracles/spans.rs"]
mod spans;
#[path = "../support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use director::{Outcome, run};
use faults::Tally;
use mutations::MUTATIONS;

/// How many seeds a test run tries: so many that it takes about a minute.
const SEEDS: u64 = 4_000;
/// Runs at the same time, each on threads of its own of which one runs.
const LANES: usize = 2;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, which is not a number")),
    )
}

fn is_traced() -> bool {
    std::env::var("MILLSTREAM_SIM_TRACE").is_ok_and(|it| it == "1")
}

#[test]
fn whatever_happens_the_output_is_the_oracles() {
    let from = number("MILLSTREAM_SIM_FROM").unwrap_or_default();
    let count = number("MILLSTREAM_SIM_SEEDS").unwrap_or(SEEDS);
    let (next, steps) = (AtomicU64::new(from), AtomicU64::new(0));
    let all: Mutex<(Tally, Vec<String>)> = Mutex::default();
    memory::listen(is_traced());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let outcome = run(seed, None, is_traced());
                    steps.fetch_add(outcome.steps, Ordering::Relaxed);
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.0.add(&outcome.tally);
                    if let Err(why) = outcome.verdict {
                        eprintln!("{}", failure(seed, &why));
                        all.1.push(failure(seed, &why));
                    }
                }
            });
        }
    });
    let (tally, failures) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    let took = began.elapsed().as_secs_f64();
    let steps = steps.into_inner();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = count as f64 / took;
    println!(
        "{count} seeds from {from} in {took:.1} s, {rate:.0} a second, {steps} steps:\n{tally}"
    );
    let put_away = memory::times_put_away();
    println!("  accumulators put away    {put_away:>8}");
    assert!(
        failures.is_empty(),
        "{} seeds failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    // A proof only if it bit.
    let missing = tally.missing();
    assert!(
        count < SEEDS || (missing.is_empty() && put_away > 0),
        "in {count} seeds these never happened: {missing:?}"
    );
}

fn failure(seed: u64, why: &str) -> String {
    format!(
        "seed {seed}: {why}\n  again, with what happens: MILLSTREAM_SIM_TRACE=1 cargo xtask simulate --seeds 1 --from {seed}"
    )
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        let [one, other] = [(), ()].map(|()| run(seed, None, false));
        assert_eq!(one.digest, other.digest, "seed {seed}");
        assert_eq!(one.tally, other.tally, "seed {seed}");
    }
}

#[test]
fn each_way_to_break_the_protocol_is_caught() {
    for (mutation, seed) in MUTATIONS {
        let Outcome { verdict, .. } = run(seed, Some(mutation), false);
        assert!(
            verdict.is_err(),
            "{mutation:?} is no longer noticed by seed {seed}: hunt for another"
        );
        assert_eq!(
            run(seed, None, false).verdict,
            Ok(()),
            "without {mutation:?} seed {seed} is fine"
        );
    }
}

/// Finds the first seed that catches each mutation, for the table in `mutations.rs` and `docs/simulation.md`.
#[test]
#[ignore = "a search, not a test"]
fn hunt_for_the_first_seeds_that_catch_the_mutations() {
    for (mutation, _) in MUTATIONS {
        let caught = (0..SEEDS).find_map(|seed| {
            let verdict = run(seed, Some(mutation), false).verdict;
            verdict.err().map(|why| (seed, why))
        });
        println!("{mutation:?}: {caught:?}");
    }
}
