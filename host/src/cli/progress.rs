//! What `run` shows while it runs: a live line on a terminal, a log line every ten seconds elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::log::Log;
pub(super) use crate::service::lag;
use crate::worker::{Snapshot, Status, Team};

/// How often the live line changes.
const LIVE: Duration = Duration::from_millis(500);
/// How often a log line is written where there is no terminal.
const LOGGED: Duration = Duration::from_secs(10);

/// Shows progress on a thread of its own until it is dropped.
pub(super) struct Shown {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Shown {
    /// Starts to show how a team is getting on. The log is asked now and then how far its topics reach.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn start<L: Log>(
        team: Arc<Team>,
        log: L,
        topics: Vec<String>,
        bars: &MultiProgress,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let bars = bars.clone();
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || show(&team, &log, &topics, &bars, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to show.
            let _ = thread.join();
        }
    }
}

fn show<L: Log>(
    team: &Team,
    log: &L,
    topics: &[String],
    bars: &MultiProgress,
    stopped: &mpsc::Receiver<()>,
) {
    let terminal = std::io::stderr().is_terminal();
    let line = terminal.then(|| {
        let style = ProgressStyle::with_template("{spinner} {msg}")
            .expect("the template is one that indicatif reads");
        bars.add(ProgressBar::new_spinner().with_style(style))
    });
    let every = if terminal { LIVE } else { LOGGED };
    let (mut last, mut at) = (team.snapshot(), Instant::now());
    while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        let now = team.snapshot();
        let rate = rate(now.records - last.records, at.elapsed());
        let lag = lag(&now, log, topics);
        match &line {
            Some(line) => {
                line.set_message(live(&now, rate, lag));
                line.tick();
            }
            None => tracing::info!(
                records = now.records,
                records_per_second = rate,
                lag,
                watermark = now.watermark.map(|at| at.to_string()),
                windows_fired = now.windows_fired,
                results = now.results,
                late = now.late,
                dead_letters = now.dead_letters,
                skipped = now.skipped,
                failures = now.failures,
                commits = now.commits,
                aborts = now.aborts,
                restoring = restoring(&now.status),
                "progress"
            ),
        }
        (last, at) = (now, Instant::now());
    }
    if let Some(line) = line {
        line.finish_and_clear();
    }
}

/// What is being restored, for a log line.
fn restoring(status: &Status) -> Option<String> {
    match status {
        Status::Restoring { task, done, of } => Some(format!("{task}: {done} of {of}")),
        _ => None,
    }
}

/// Records a second.
fn rate(records: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    records.saturating_mul(1_000) / millis
}

/// The live line.
fn live(now: &Snapshot, rate: u64, lag: Option<u64>) -> String {
    match &now.status {
        Status::Starting => return "starting".to_owned(),
        Status::Waiting => return "waiting for partitions".to_owned(),
        Status::Restoring { task, done, of } => {
            return format!("restoring the state of {task}: {done} of {of}");
        }
        Status::Unavailable(why) => return format!("the log is away, trying again: {why}"),
        Status::Running => {}
    }
    let lag = lag.map_or("?".to_owned(), |lag| lag.to_string());
    let watermark = now
        .watermark
        .map_or("none yet".to_owned(), |at| at.to_string());
    format!(
        "{rate} records/s · lag {lag} · watermark {watermark} · windows {} · late {} · dead letters {}",
        now.windows_fired, now.late, now.dead_letters
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn the_live_line_says_what_there_is_to_say() {
        let mut now = Snapshot {
            windows_fired: 3,
            late: 2,
            dead_letters: 1,
            watermark: Some(Timestamp(0)),
            status: Status::Running,
            ..Snapshot::default()
        };
        assert_eq!(
            live(&now, 10, Some(5)),
            "10 records/s · lag 5 · watermark 1970-01-01T00:00:00Z · windows 3 · late 2 · dead letters 1"
        );
        now.status = Status::Restoring {
            task: "final-3".to_owned(),
            done: 1,
            of: 4,
        };
        assert_eq!(
            live(&now, 0, None),
            "restoring the state of final-3: 1 of 4"
        );
    }

    #[test]
    fn a_rate_needs_no_whole_second() {
        assert_eq!(rate(50, Duration::from_millis(500)), 100);
        assert_eq!(rate(0, Duration::ZERO), 0);
    }
}
