//! `millstream generate`: test data whose right answer is known, to standard output or into a topic.

mod expect;
mod options;
mod produce;
mod target;

use indicatif::MultiProgress;

use super::{Failure, logs, signals};
use crate::generate::{Clicks, Orders};
use crate::time::{Clock, SystemClock};
use expect::Expectation;
use options::{ClickOptions, OrderOptions};
use produce::{End, Row, produce};
use target::TargetOptions;

/// Generate clicks or orders to try pipelines on
///
/// The same options and the same seed give the same bytes. Without a topic, values go to standard output, one a line.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    stream: Stream,
}

#[derive(Debug, clap::Subcommand)]
enum Stream {
    /// Clicks on the pages of a shop, with bots, late rows and malformed rows among them
    ///
    /// Clicks of a user are in one partition, which the generator chooses. A malformed row keeps its form, whatever
    /// bytes that takes. Some have no value, as tombstones: on standard output such a row is an empty line, just as
    /// one whose value has no bytes; in a topic they differ.
    ///
    /// Ctrl-C ends it with exit code 0; --expect then tells of what had been written.
    Clicks(ClickArgs),
    /// Orders in several currencies, each with its items and total
    ///
    /// Orders of a user are in one partition, which the generator chooses. Ctrl-C ends it with exit code 0.
    Orders(OrderArgs),
}

#[derive(Debug, clap::Args)]
struct ClickArgs {
    #[command(flatten)]
    clicks: ClickOptions,
    #[command(flatten)]
    target: TargetOptions,
}

#[derive(Debug, clap::Args)]
struct OrderArgs {
    #[command(flatten)]
    orders: OrderOptions,
    #[command(flatten)]
    target: TargetOptions,
}

pub(super) fn run(args: &Args, logs: &logs::Options) -> Result<(), Failure> {
    logs::start(logs, &MultiProgress::new())?;
    let clock = SystemClock::new();
    match &args.stream {
        Stream::Clicks(args) => clicks(args, clock),
        Stream::Orders(args) => orders(args, clock),
    }
}

fn clicks(args: &ClickArgs, clock: SystemClock) -> Result<(), Failure> {
    let rate = args.target.rate;
    let config = args.clicks.config(clock.now(), rate)?;
    let (window, partitions) = (config.window, config.partitions);
    let clicks = Clicks::new(config)?;
    let mut expectation = match &args.clicks.expect {
        None => None,
        Some(file) => {
            if file.is_stdout() && args.target.is_stdout() {
                return Err(Failure::Usage(
                    "--expect -: the clicks go to standard output too; name a file, or a topic for the clicks"
                        .to_owned(),
                ));
            }
            let disorder = args.clicks.allowed_disorder();
            Some(Expectation::new(file, window, disorder, partitions)?)
        }
    };
    let target = args.target.open(partitions)?;
    let observed = clicks.inspect(|click| {
        if let Some(expectation) = &mut expectation {
            expectation.observe(click);
        }
    });
    let stop = signals::stop_flag()?;
    match (
        produce(observed.map(Row::from), target, rate, &clock, &stop)?,
        expectation,
    ) {
        (End::Written(rows), expectation) => {
            tracing::info!(rows, "generated");
            expectation.map_or(Ok(()), Expectation::write)
        }
        (End::ReaderGone, _) => Ok(()),
    }
}

fn orders(args: &OrderArgs, clock: SystemClock) -> Result<(), Failure> {
    let rate = args.target.rate;
    let config = args.orders.config(clock.now(), rate)?;
    let orders = Orders::new(&config)?;
    let target = args.target.open(config.partitions)?;
    let stop = signals::stop_flag()?;
    if let End::Written(rows) = produce(orders.map(Row::from), target, rate, &clock, &stop)? {
        tracing::info!(rows, "generated");
    }
    Ok(())
}
