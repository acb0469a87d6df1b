//! What the demo shows: plain lines, on a terminal and elsewhere.

use std::io::{self, Write};

use indicatif::HumanCount;

use super::job::Job;
use super::judge::{Judged, Outcome, Tally};
use crate::generate::ClickConfig;
use crate::time::Timestamp;

/// What is about to run, and the head of the table.
pub(super) fn opening(
    out: &mut dyn Write,
    job: &Job,
    clicks: &ClickConfig,
    seconds: u32,
) -> io::Result<()> {
    let percent = |share: f64| share * 100.0;
    writeln!(
        out,
        "How many different people visit a shop in each window of {:#}? Bots do not count.\n",
        clicks.window
    )?;
    writeln!(
        out,
        "clicks     {} a second for {seconds} s, seed {}; {}% of sessions are a bot's, {}% of clicks late,\n           \
         {}% of rows malformed, all out of order by up to {:#}: that much later a result comes",
        HumanCount(clicks.rate.into()),
        clicks.seed,
        percent(clicks.bot_share),
        percent(clicks.late_share),
        percent(clicks.malformed_share),
        clicks.disorder,
    )?;
    writeln!(
        out,
        "pipeline   {} -> bot-filter.wasm -> unique-visitors.wasm -> {}",
        job.source_topic(),
        job.pipeline.sink_topic
    )?;
    writeln!(out, "log        {}\n", job.place)?;
    writeln!(
        out,
        "{:<22} {:>16} {:>16}     seconds after its end",
        "window (UTC)", "unique visitors", "generator says"
    )
}

/// A line of the table: a result, read `now`.
pub(super) fn row(out: &mut dyn Write, row: &Judged, now: Timestamp) -> io::Result<()> {
    let counted = &row.counted;
    let right = row.right.map_or("no such result".to_owned(), |right| {
        HumanCount(right).to_string()
    });
    // Tenths, rounded down.
    let tenths = now.0.saturating_sub(counted.window_end_ms) / 100;
    writeln!(
        out,
        "{:<22} {:>16} {:>16}  {}  {}.{}",
        format!(
            "{} - {}",
            time_of_day(counted.window_start_ms),
            time_of_day(counted.window_end_ms)
        ),
        HumanCount(counted.unique_visitors).to_string(),
        right,
        mark(row.agrees()),
        tenths / 10,
        tenths.rem_euclid(10),
    )
}

/// What came of it all.
pub(super) fn summary(out: &mut dyn Write, outcome: &Outcome, job: &Job) -> io::Result<()> {
    let windows = outcome.windows;
    let rate = u128::from(outcome.rows) * 1_000 / outcome.elapsed.as_millis().max(1);
    writeln!(
        out,
        "\nclicks         {} in {:.1} s: {} a second",
        HumanCount(outcome.rows),
        outcome.elapsed.as_secs_f64(),
        HumanCount(u64::try_from(rate).unwrap_or(u64::MAX)),
    )?;
    writeln!(
        out,
        "windows        {}  {} of {} agree{}",
        mark(windows.agreed == windows.compared),
        windows.agreed,
        windows.compared,
        match windows.missing {
            0 => String::new(),
            missing => format!(", {missing} have no result"),
        }
    )?;
    tally(out, "dead letters", outcome.dead_letters, "malformed rows")?;
    tally(out, "late rows", outcome.late, "late clicks")?;
    writeln!(
        out,
        "bots              {} clicks dropped by the filter",
        HumanCount(outcome.filtered)
    )?;
    writeln!(
        out,
        "still open        {}: the last windows, which only later clicks could close",
        outcome.still_open
    )?;
    if job.leaves_topics {
        writeln!(
            out,
            "\nThe topics stay on the broker: {}, {}, {}, {}",
            job.source_topic(),
            job.pipeline.sink_topic,
            job.pipeline.dead_letter_topic,
            job.late_topic()
        )?;
    }
    if outcome.verdict().is_ok() {
        writeln!(
            out,
            "\nAll agreed: every window, dead letter and late row is what the generator says."
        )?;
    }
    Ok(())
}

fn tally(out: &mut dyn Write, name: &str, tally: Tally, right: &str) -> io::Result<()> {
    writeln!(
        out,
        "{name:<14} {}  {}, and the generator made {} {right}",
        mark(tally.agrees()),
        HumanCount(tally.found),
        HumanCount(tally.right),
    )
}

fn mark(agrees: bool) -> char {
    if agrees { '✓' } else { '✗' }
}

fn time_of_day(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(instant) => instant.strftime("%H:%M:%S%.f").to_string(),
        Err(_) => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::path::Path;
    use std::time::Duration;

    use super::super::judge::{Counted, Windows};
    use super::*;

    fn shown(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn line(right: Option<u64>) -> String {
        let judged = Judged {
            counted: Counted {
                window_start_ms: 5_000,
                window_end_ms: 10_000,
                unique_visitors: 1_234,
            },
            right,
        };
        shown(|out| row(out, &judged, Timestamp(11_290)))
    }

    #[test]
    fn a_result_stands_beside_the_right_answer() {
        assert_eq!(
            line(Some(1_234)),
            "00:00:05 - 00:00:10               1,234            1,234  ✓  1.2\n"
        );
        assert_eq!(
            line(Some(1_235)),
            "00:00:05 - 00:00:10               1,234            1,235  ✗  1.2\n"
        );
        assert_eq!(
            line(None),
            "00:00:05 - 00:00:10               1,234   no such result  ✗  1.2\n"
        );
    }

    #[test]
    fn the_summary_says_that_all_agreed_only_if_it_did() {
        let clicks = ClickConfig::default();
        let job = Job::on_kafka("broker:9092", Path::new("plugins"), &clicks).unwrap();
        let tally = Tally { found: 7, right: 7 };
        let good = Outcome {
            elapsed: Duration::from_millis(2_500),
            rows: 5_000,
            windows: Windows {
                compared: 2,
                agreed: 2,
                missing: 0,
            },
            still_open: 1,
            dead_letters: tally,
            late: tally,
            filtered: 3,
        };
        let text = shown(|out| summary(out, &good, &job));
        assert!(text.contains("5,000 in 2.5 s: 2,000 a second"), "{text}");
        assert!(text.contains("All agreed"), "{text}");
        assert!(text.contains(job.late_topic()), "{text}");
        assert!(!text.contains('✗'), "{text}");

        let bad = Outcome {
            late: Tally { found: 6, right: 7 },
            ..good
        };
        let text = shown(|out| summary(out, &bad, &job));
        assert!(!text.contains("All agreed"), "{text}");
        assert!(
            text.contains("late rows      ✗  6, and the generator made 7"),
            "{text}"
        );
    }
}
