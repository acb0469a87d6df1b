//! The benchmark that `cargo xtask bench` runs: jobs on a real Kafka, Millstream beside native programs and other engines, each result
//! checked. `docs/benchmarks.md` says what is measured and how to read it.

mod batches;
mod clicks;
mod engine;
mod jobs;
mod latency;
mod measure;
mod native;
mod plan;
mod process;
mod relay;
mod systems;
mod table;
mod topics;
mod workers;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure all cases
    Compare(plan::Args),
    /// Run a pipeline with its function as Rust until the process is ended
    Engine(engine::Args),
    /// Measure how long after its watermark a result can be read
    Latency(latency::Args),
    /// Do a job by hand until the process is ended
    Native(native::Args),
    /// Write a record for each window that clicks have passed, until the process is ended
    Relay(relay::Args),
    /// Measure what a second worker is worth
    Workers(workers::Args),
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Compare(args) => plan::run(&args),
        Command::Engine(args) => engine::run(&args),
        Command::Latency(args) => latency::run(&args),
        Command::Native(args) => native::run(&args),
        Command::Relay(args) => relay::run(&args),
        Command::Workers(args) => workers::run(&args),
    }
}
