//! The options that say what is generated, and the generator's settings that they make.

use std::num::NonZeroU32;
use std::str::FromStr;

use clap::ValueEnum;
use jiff::SignedDuration;

use super::expect::Destination;
use crate::cli::Failure;
use crate::generate::{ClickConfig, OrderConfig, Rendering};
use crate::time::Timestamp;

/// What clicks and orders have in common.
#[derive(Debug, clap::Args)]
struct StreamOptions {
    /// What every random choice derives from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Over how many partitions users are spread
    #[arg(long, value_name = "N", default_value_t = 4)]
    partitions: i32,
    /// The event time at which the stream begins: RFC 3339 or `now`
    #[arg(long, value_name = "TIME", default_value = "2026-01-01T00:00:00Z")]
    start: Start,
    /// By how much at most a row's event time lies behind that of an earlier row
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    disorder: SignedDuration,
}

/// When a stream begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    Now,
    At(jiff::Timestamp),
}

impl FromStr for Start {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "now" => Ok(Start::Now),
            time => Ok(Start::At(time.parse()?)),
        }
    }
}

impl Start {
    fn at(self, now: Timestamp) -> Result<jiff::Timestamp, Failure> {
        match self {
            Start::At(time) => Ok(time),
            Start::Now => jiff::Timestamp::from_millisecond(now.0)
                .map_err(|error| Failure::Usage(format!("--start now: {error}"))),
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is generated")]
pub(super) struct ClickOptions {
    #[command(flatten)]
    stream: StreamOptions,
    /// How many clicks, malformed rows included
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    events: u64,
    /// How many people there are; bots have user ids of their own beside these
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    users: u32,
    /// Clicks per second of event time [default: as --rate, or 500]
    #[arg(long, value_name = "N")]
    event_rate: Option<u32>,
    /// The exponent of Zipf's law by which people open sessions; at 0 all are equally active
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    zipf_exponent: f64,
    /// The size of the tumbling windows that late rows miss and that --expect counts in
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    window: SignedDuration,
    /// The share of sessions, from 0 to 1, that are a bot's
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    bot_share: f64,
    /// The share of people's rows, from 0 to 1, that come after their window has passed
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    late_share: f64,
    /// The share of rows, from 0 to 1, that no pipeline can decode
    #[arg(long, value_name = "SHARE", default_value_t = 0.005)]
    malformed_share: f64,
    /// The most pages seen in one session
    #[arg(long, value_name = "N", default_value_t = 8)]
    session_pages: u32,
    /// The mean time between two pages of a session
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pause: SignedDuration,
    /// The paths of the site's pages, the popular ones first [default: those of a shop]
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pages: Option<Vec<String>>,
    /// The names of campaigns; the option alone means none [default: four of them]
    #[arg(long, value_name = "NAME", value_delimiter = ',', num_args = 0..)]
    campaigns: Option<Vec<String>>,
    /// The addresses that people come from; the option alone means none [default: three of them]
    #[arg(long, value_name = "URL", value_delimiter = ',', num_args = 0..)]
    referers: Option<Vec<String>>,
    /// How a click is written
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// Write what a pipeline must make of the clicks, as JSON, to a file or, with `-`, to standard output
    #[arg(long, value_name = "FILE")]
    pub(super) expect: Option<Destination>,
    /// The disorder that the pipeline of --expect allows [default: as --disorder]
    #[arg(long, value_name = "DURATION", requires = "expect")]
    allowed_disorder: Option<SignedDuration>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One JSON object
    Json,
    /// One line in the combined log format of Apache and nginx
    AccessLog,
}

impl ClickOptions {
    /// The settings that these options make, where it is `now` and rows are written at `rate`.
    ///
    /// # Errors
    /// If the start lies outside the years that can be written.
    pub(super) fn config(
        &self,
        now: Timestamp,
        rate: Option<NonZeroU32>,
    ) -> Result<ClickConfig, Failure> {
        let default = ClickConfig::default();
        Ok(ClickConfig {
            seed: self.stream.seed,
            events: self.events,
            users: self.users,
            zipf_exponent: self.zipf_exponent,
            partitions: self.stream.partitions,
            start: self.stream.start.at(now)?,
            rate: event_rate(self.event_rate, rate, default.rate),
            disorder: self.stream.disorder,
            window: self.window,
            bot_share: self.bot_share,
            late_share: self.late_share,
            malformed_share: self.malformed_share,
            session_pages: self.session_pages,
            pause: self.pause,
            pages: self.pages.clone().unwrap_or(default.pages),
            campaigns: self.campaigns.clone().unwrap_or(default.campaigns),
            referers: self.referers.clone().unwrap_or(default.referers),
            rendering: match self.format {
                Format::Json => Rendering::Json,
                Format::AccessLog => Rendering::AccessLog,
            },
        })
    }

    /// The disorder that the pipeline allows.
    pub(super) fn allowed_disorder(&self) -> SignedDuration {
        self.allowed_disorder.unwrap_or(self.stream.disorder)
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is generated")]
pub(super) struct OrderOptions {
    #[command(flatten)]
    stream: StreamOptions,
    /// How many orders
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    events: u64,
    /// How many people order, all equally often
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    users: u32,
    /// Orders per second of event time [default: as --rate, or 50]
    #[arg(long, value_name = "N")]
    event_rate: Option<u32>,
}

impl OrderOptions {
    /// The settings that these options make, where it is `now` and rows are written at `rate`.
    ///
    /// # Errors
    /// If the start lies outside the years that can be written.
    pub(super) fn config(
        &self,
        now: Timestamp,
        rate: Option<NonZeroU32>,
    ) -> Result<OrderConfig, Failure> {
        Ok(OrderConfig {
            seed: self.stream.seed,
            events: self.events,
            users: self.users,
            partitions: self.stream.partitions,
            start: self.stream.start.at(now)?,
            rate: event_rate(self.event_rate, rate, OrderConfig::default().rate),
            disorder: self.stream.disorder,
        })
    }
}

/// Rows per second of event time. A stream that is written at a pace goes by the clock, unless it is told otherwise.
fn event_rate(given: Option<u32>, pace: Option<NonZeroU32>, default: u32) -> u32 {
    given.or(pace.map(NonZeroU32::get)).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct ClickLine {
        #[command(flatten)]
        options: ClickOptions,
    }

    #[derive(Parser)]
    struct OrderLine {
        #[command(flatten)]
        options: OrderOptions,
    }

    fn options(line: &[&str]) -> ClickOptions {
        let line = ["clicks"].iter().chain(line);
        ClickLine::try_parse_from(line).unwrap().options
    }

    fn config(line: &[&str], rate: u32) -> ClickConfig {
        let rate = NonZeroU32::new(rate);
        options(line).config(Timestamp(1_500), rate).unwrap()
    }

    #[test]
    fn the_defaults_are_the_generators() {
        assert_eq!(config(&[], 0), ClickConfig::default());
        let orders = OrderLine::try_parse_from(["orders"]).unwrap().options;
        let config = orders.config(Timestamp(0), None).unwrap();
        assert_eq!(config, OrderConfig::default());
    }

    #[test]
    fn every_option_is_a_setting() {
        let line = "--seed 2 --events 3 --users 4 --zipf-exponent 0.5 --partitions 6 --start now --event-rate 7 \
                    --disorder 8s --window 9s --bot-share 0.1 --late-share 0.2 --malformed-share 0.3 --session-pages 10 \
                    --pause 11s --pages /a,/b --campaigns --referers https://x.example/ --format access-log";
        let line: Vec<&str> = line.split_whitespace().collect();
        let expected = ClickConfig {
            seed: 2,
            events: 3,
            users: 4,
            zipf_exponent: 0.5,
            partitions: 6,
            start: jiff::Timestamp::from_millisecond(1_500).unwrap(),
            rate: 7,
            disorder: SignedDuration::from_secs(8),
            window: SignedDuration::from_secs(9),
            bot_share: 0.1,
            late_share: 0.2,
            malformed_share: 0.3,
            session_pages: 10,
            pause: SignedDuration::from_secs(11),
            pages: vec!["/a".to_owned(), "/b".to_owned()],
            campaigns: Vec::new(),
            referers: vec!["https://x.example/".to_owned()],
            rendering: Rendering::AccessLog,
        };
        assert_eq!(config(&line, 100), expected);
    }

    #[test]
    fn event_time_goes_by_the_clock_where_rows_do() {
        assert_eq!(config(&[], 100).rate, 100);
        assert_eq!(config(&["--event-rate", "5"], 100).rate, 5);
    }

    #[test]
    fn the_pipeline_allows_the_disorder_there_is_unless_told_otherwise() {
        let allowed = |line: &[&str]| options(line).allowed_disorder();
        assert_eq!(allowed(&["--disorder", "3s"]), SignedDuration::from_secs(3));
        assert_eq!(
            allowed(&["--expect", "-", "--allowed-disorder", "0s"]),
            SignedDuration::ZERO
        );
    }

    #[test]
    fn a_start_that_is_no_time_is_refused() {
        assert!(ClickLine::try_parse_from(["clicks", "--start", "soon"]).is_err());
    }
}
