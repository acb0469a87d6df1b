//! What was measured, as a table and as a chart.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::measure::Run;
use crate::systems::Case;

/// The least, the middle and the most of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) middle: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            middle: f64::midpoint(at((figures.len().max(1) - 1) / 2), at(figures.len() / 2)),
            most: at(figures.len().saturating_sub(1)),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            least,
            middle,
            most,
        } = self;
        if middle.is_nan() {
            return f.write_str("not known");
        }
        match *middle >= 100.0 {
            true => write!(f, "{middle:.0} ({least:.0} to {most:.0})"),
            false => write!(f, "{middle:.2} ({least:.2} to {most:.2})"),
        }
    }
}

/// A case with its figures.
pub(crate) struct Row {
    pub(crate) case: Case,
    /// CPU seconds per million records, less start-up.
    pub(crate) cpu: Spread,
    /// The same of the second half, in which nothing was started.
    second_half: Spread,
    /// Thousands of records a second of wall time, less start-up.
    rate: Spread,
    /// MiB.
    memory: Spread,
    /// CPU seconds until a thousand records are through.
    start: Spread,
    /// Seconds of wall time until they are.
    start_wall: Spread,
}

/// CPU seconds per million records, less start-up.
fn per_million((small, large): &(Run, Run), events: u64) -> f64 {
    let cpu = large.used.cpu.saturating_sub(small.used.cpu);
    seconds(cpu) * 1e6 / as_f64(events)
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people to read")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// One run in a line.
pub(crate) fn told(pair: (Run, Run), events: u64) -> String {
    let (small, large) = pair;
    format!(
        "{:.2} CPU s a million ({:.1} s in all, {:.1} s of wall time; start-up {:.2} s)",
        per_million(&pair, events),
        seconds(large.used.cpu),
        seconds(large.wall),
        seconds(small.used.cpu),
    )
}

impl Row {
    /// Of the runs of a case, each on a few clicks and on all of them.
    pub(crate) fn of(case: Case, runs: &[(Run, Run)], events: u64) -> Self {
        let half = as_f64(events) / 2e6;
        let of = |figure: &dyn Fn(&(Run, Run)) -> f64| Spread::of(runs.iter().map(figure));
        Self {
            case,
            cpu: of(&|pair| per_million(pair, events)),
            second_half: of(&|(_, large)| seconds(large.second_half) / half),
            rate: Spread::of(runs.iter().filter_map(|pair| rate(pair, events))),
            memory: of(&|(_, large)| as_f64(large.used.memory >> 10) / 1024.0),
            start: of(&|(small, _)| seconds(small.used.cpu)),
            start_wall: of(&|(small, _)| seconds(small.wall)),
        }
    }
}

/// How many thousand records a second, start-up apart; `None` where that took longer than the rest.
fn rate((small, large): &(Run, Run), events: u64) -> Option<f64> {
    let time = large.wall.checked_sub(small.wall)?;
    (!time.is_zero()).then(|| as_f64(events) / 1e3 / seconds(time))
}

/// All rows as a table.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| job | partitions | workers | system | guarantee | CPU s per million | of the second half | thousand records a second | MiB \
         | start-up, CPU s | start-up, s |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let Case {
            job,
            partitions,
            workers,
            system,
            guarantee,
        } = row.case;
        writeln!(
            text,
            "| {} | {partitions} | {workers} | {} | {} | {} | {} | {} | {:.0} | {:.2} | {:.2} |",
            job.name(),
            system.name(),
            guarantee.name(),
            row.cpu,
            row.second_half,
            row.rate,
            row.memory.most,
            row.start.middle,
            row.start_wall.middle,
        )
        .expect("a string takes what is written");
    }
    text
}

/// Shows a table to whoever has called, and writes it to a file if there is one.
pub(crate) fn show(text: &str, file: Option<&Path>) -> Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes())?;
    match file {
        Some(file) => std::fs::write(file, text).with_context(|| file.display().to_string()),
        None => Ok(()),
    }
}

/// The height of a bar with the space around it, and where bars begin, in pixels.
const LINE: usize = 22;
const LEFT: f64 = 330.0;
const WIDTH: f64 = 520.0;

/// CPU seconds per million records as bars, the spread as a thin line.
pub(crate) fn chart(rows: &[Row]) -> String {
    let most = rows.iter().map(|row| row.cpu.most).fold(0.1, f64::max);
    let at = |figure: f64| LEFT + figure / most * WIDTH;
    let height = LINE * rows.len() + 50;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 940 {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"940\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\">CPU seconds per million records, start-up subtracted: less is better</text>\n"
    );
    for (number, row) in rows.iter().enumerate() {
        let top = 34 + number * LINE;
        let color = match row.case.system.is_peer() {
            true => "#b0b0b0",
            false => "#2b6cb0",
        };
        let (name, cpu) = (row.case.to_string(), row.cpu);
        let (middle, base) = (top + LINE / 2 - 3, top + LINE / 2 + 2);
        let (begin, end) = (at(cpu.least), at(cpu.most));
        writeln!(
            text,
            "<text x=\"{:.0}\" y=\"{base}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{:.1}\" height=\"{}\" fill=\"{color}\"/>\
             <path d=\"M{begin:.1} {middle}H{end:.1}\" stroke=\"black\"/>\
             <text x=\"{:.0}\" y=\"{base}\">{:.2}</text>",
            LEFT - 8.0,
            at(cpu.middle) - LEFT,
            LINE - 6,
            end + 6.0,
            cpu.middle,
        )
        .expect("a string takes what is written");
    }
    text + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_least_middle_and_most() {
        let spread = Spread::of([3.0, 1.0, 2.0]);
        let expected = Spread {
            least: 1.0,
            middle: 2.0,
            most: 3.0,
        };
        assert_eq!(spread, expected);
        assert_eq!(spread.to_string(), "2.00 (1.00 to 3.00)");
    }
}
