//! What becomes of a pipeline in a service: decided here from what is wanted, what is and what has happened, without a clock,
//! a thread or a disk.
//!
//! ```text
//!          want running            ended, not asked to
//!   Idle ───────────────► Working ─────────────────────► Waiting
//!    ▲                     │   ▲                           │  │
//!    │ ended    want paused│   │ its time has come         │  │
//!    └──────── Stopping ◄──┘   └───────────────────────────┘  │
//!    ▲                                     want paused        │
//!    └────────────────────────────────────────────────────────┘
//! ```
//!
//! A reset is made while there are no workers, in `Resetting`: at once from `Idle` and `Waiting`, and from `Working` when they have
//! ended. What is wanted then decides whether `Working` or `Idle` comes next.

use std::time::Duration;

/// What somebody has asked for last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wanted {
    /// That it runs.
    Running,
    /// That it does not: it is paused or deleted, or the service ends.
    Still,
}

/// What a pipeline is about. Times are monotonic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// It has no workers.
    Idle,
    /// It has workers, or is about to.
    Working {
        /// Since when.
        since: Duration,
    },
    /// Its workers have been told to end, and have not yet.
    Stopping,
    /// It has failed, and is started again.
    Waiting {
        /// When.
        until: Duration,
    },
    /// It has no workers, and is made to begin anew.
    Resetting,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// In good order.
    Done,
    /// By a failure.
    Failed,
    /// Another process runs the pipeline. To start again soon would only make the two fence each other in turn.
    Fenced,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// Nothing.
    Nothing,
    /// Start its workers.
    Start,
    /// Tell its workers to end.
    Stop,
    /// Make it begin anew.
    Reset,
}

/// How long a pipeline that has failed waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    /// The first wait; each further one is twice as long.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// A pipeline that has run for so long starts with the first wait again.
    pub steady_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            steady_after: Duration::from_secs(600),
        }
    }
}

impl Backoff {
    /// The wait after so many failures in a row, at least one.
    fn wait(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

/// One pipeline's part in the service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Machine {
    wanted: Wanted,
    phase: Phase,
    failures: u32,
    /// Whether it is reset when its workers have ended.
    is_to_be_reset: bool,
}

impl Machine {
    /// A pipeline that nobody has asked for yet.
    pub(super) fn new() -> Self {
        Self {
            wanted: Wanted::Still,
            phase: Phase::Idle,
            failures: 0,
            is_to_be_reset: false,
        }
    }

    /// What it is about.
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// How often it has failed in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Somebody asks for something. One that waits after a failure is started at once if it is asked for: whoever asks has
    /// mended something.
    pub(super) fn want(&mut self, wanted: Wanted, now: Duration) -> Action {
        self.wanted = wanted;
        match (wanted, self.phase) {
            (Wanted::Running, Phase::Idle | Phase::Waiting { .. }) => {
                self.failures = 0;
                self.start(now)
            }
            (Wanted::Running, Phase::Working { .. } | Phase::Stopping) => Action::Nothing,
            (Wanted::Still, Phase::Working { .. }) => {
                self.phase = Phase::Stopping;
                Action::Stop
            }
            (_, Phase::Resetting) => Action::Nothing,
            (Wanted::Still, Phase::Idle | Phase::Waiting { .. }) => {
                self.phase = Phase::Idle;
                Action::Nothing
            }
            (Wanted::Still, Phase::Stopping) => Action::Nothing,
        }
    }

    /// It is to be what it has become: its workers end, and others begin. One that rests goes on resting, and one that waits after
    /// a failure is started at once.
    pub(super) fn restart(&mut self, now: Duration) -> Action {
        match (self.wanted, self.phase) {
            (Wanted::Running, Phase::Working { .. }) => {
                self.phase = Phase::Stopping;
                Action::Stop
            }
            (wanted, _) => self.want(wanted, now),
        }
    }

    /// It is to begin anew.
    pub(super) fn reset(&mut self) -> Action {
        match self.phase {
            Phase::Idle | Phase::Waiting { .. } => {
                self.phase = Phase::Resetting;
                Action::Reset
            }
            Phase::Working { .. } => {
                self.is_to_be_reset = true;
                self.phase = Phase::Stopping;
                Action::Stop
            }
            Phase::Stopping => {
                self.is_to_be_reset = true;
                Action::Nothing
            }
            Phase::Resetting => Action::Nothing,
        }
    }

    /// A reset that has not begun is left for another time.
    pub(super) fn postpone_reset(&mut self) {
        self.is_to_be_reset = false;
    }

    /// It has been made to begin anew, or could not be.
    pub(super) fn was_reset(&mut self, now: Duration) -> Action {
        match self.wanted {
            Wanted::Running => {
                self.failures = 0;
                self.start(now)
            }
            Wanted::Still => {
                self.phase = Phase::Idle;
                Action::Nothing
            }
        }
    }

    /// Its workers have ended.
    pub(super) fn ended(&mut self, end: End, now: Duration, backoff: &Backoff) -> Action {
        if std::mem::take(&mut self.is_to_be_reset) {
            self.phase = Phase::Resetting;
            return Action::Reset;
        }
        match (self.phase, self.wanted) {
            (Phase::Stopping, Wanted::Running) => self.start(now),
            (_, Wanted::Still) => {
                self.phase = Phase::Idle;
                Action::Nothing
            }
            (phase, Wanted::Running) => {
                let since = match phase {
                    Phase::Working { since } => since,
                    _ => now,
                };
                let was_steady = now.saturating_sub(since) >= backoff.steady_after;
                self.failures = if was_steady { 1 } else { self.failures + 1 };
                let wait = match end {
                    End::Done | End::Failed => backoff.wait(self.failures),
                    End::Fenced => backoff.longest,
                };
                self.phase = Phase::Waiting { until: now + wait };
                Action::Nothing
            }
        }
    }

    /// Time has gone by.
    pub(super) fn time(&mut self, now: Duration) -> Action {
        match self.phase {
            Phase::Waiting { until } if now >= until => self.start(now),
            _ => Action::Nothing,
        }
    }

    fn start(&mut self, now: Duration) -> Action {
        self.phase = Phase::Working { since: now };
        Action::Start
    }
}

#[cfg(test)]
mod tests;
