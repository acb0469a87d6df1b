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
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(10),
        steady_after: Duration::from_secs(100),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn running() -> Machine {
        let mut machine = Machine::new();
        assert_eq!(machine.want(Wanted::Running, at(0)), Action::Start);
        machine
    }

    #[test]
    fn one_that_is_paused_ends_and_stays_still() {
        let mut machine = running();
        assert_eq!(machine.want(Wanted::Still, at(1)), Action::Stop);
        assert_eq!(
            machine.want(Wanted::Still, at(2)),
            Action::Nothing,
            "it has been told"
        );
        assert_eq!(machine.phase(), Phase::Stopping);
        assert_eq!(machine.ended(End::Done, at(3), &BACKOFF), Action::Nothing);
        assert_eq!(machine.phase(), Phase::Idle);
        assert_eq!(machine.time(at(1_000)), Action::Nothing);
    }

    #[test]
    fn one_that_is_resumed_while_it_stops_starts_when_it_has() {
        let mut machine = running();
        machine.want(Wanted::Still, at(1));
        assert_eq!(
            machine.want(Wanted::Running, at(2)),
            Action::Nothing,
            "never two runs at a time"
        );
        assert_eq!(machine.ended(End::Done, at(3), &BACKOFF), Action::Start);
        assert_eq!(machine.phase(), Phase::Working { since: at(3) });
        assert_eq!(machine.want(Wanted::Running, at(4)), Action::Nothing);
    }

    #[test]
    fn one_that_fails_waits_twice_as_long_each_time() {
        let mut machine = running();
        let mut now = at(0);
        for wait in [1, 2, 4, 8, 10, 10] {
            assert_eq!(machine.ended(End::Failed, now, &BACKOFF), Action::Nothing);
            let until = now + at(wait);
            assert_eq!(machine.phase(), Phase::Waiting { until });
            assert_eq!(
                machine.time(until - Duration::from_millis(1)),
                Action::Nothing
            );
            assert_eq!(machine.time(until), Action::Start);
            now = until;
        }
        assert_eq!(machine.failures(), 6);
    }

    #[test]
    fn one_that_has_run_for_long_is_not_blamed_for_earlier_failures() {
        let mut machine = running();
        machine.ended(End::Failed, at(0), &BACKOFF);
        machine.time(at(1));
        machine.ended(End::Failed, at(101), &BACKOFF);
        assert_eq!(machine.failures(), 1);
        assert_eq!(machine.phase(), Phase::Waiting { until: at(102) });
    }

    #[test]
    fn one_that_is_asked_for_while_it_waits_starts_at_once() {
        let mut machine = running();
        machine.ended(End::Failed, at(0), &BACKOFF);
        assert_eq!(machine.want(Wanted::Running, at(0)), Action::Start);
        assert_eq!(machine.failures(), 0);
        machine.ended(End::Failed, at(0), &BACKOFF);
        assert_eq!(machine.want(Wanted::Still, at(0)), Action::Nothing);
        assert_eq!(machine.phase(), Phase::Idle);
    }

    #[test]
    fn one_that_is_reset_ends_first_and_then_is_as_it_was_wanted() {
        let mut machine = running();
        assert_eq!(machine.reset(), Action::Stop);
        assert_eq!(machine.want(Wanted::Running, at(1)), Action::Nothing);
        assert_eq!(machine.ended(End::Done, at(2), &BACKOFF), Action::Reset);
        assert_eq!(machine.phase(), Phase::Resetting);
        assert_eq!(machine.want(Wanted::Running, at(3)), Action::Nothing);
        assert_eq!(machine.time(at(1_000)), Action::Nothing);
        assert_eq!(machine.was_reset(at(4)), Action::Start);
        machine.want(Wanted::Still, at(5));
        assert_eq!(machine.ended(End::Done, at(6), &BACKOFF), Action::Nothing);
        assert_eq!(machine.reset(), Action::Reset, "it rests already");
        assert_eq!(machine.was_reset(at(7)), Action::Nothing);
        assert_eq!(machine.phase(), Phase::Idle);
    }

    #[test]
    fn a_reset_that_is_postponed_is_none() {
        let mut machine = running();
        machine.reset();
        machine.postpone_reset();
        machine.want(Wanted::Still, at(1));
        assert_eq!(machine.ended(End::Done, at(2), &BACKOFF), Action::Nothing);
        assert_eq!(machine.phase(), Phase::Idle);
    }

    #[test]
    fn one_that_has_become_another_is_started_when_it_has_ended() {
        let mut machine = running();
        assert_eq!(machine.restart(at(1)), Action::Stop);
        assert_eq!(machine.ended(End::Done, at(2), &BACKOFF), Action::Start);
        machine.ended(End::Failed, at(3), &BACKOFF);
        assert_eq!(machine.restart(at(3)), Action::Start, "it need not wait");
        machine.want(Wanted::Still, at(4));
        machine.ended(End::Done, at(5), &BACKOFF);
        assert_eq!(machine.restart(at(6)), Action::Nothing, "it rests");
    }

    #[test]
    fn two_processes_do_not_fence_each_other_for_ever() {
        let mut machine = running();
        machine.ended(End::Fenced, at(5), &BACKOFF);
        assert_eq!(machine.phase(), Phase::Waiting { until: at(15) });
    }

    #[test]
    fn a_run_that_ends_by_itself_is_started_again() {
        let mut machine = running();
        assert_eq!(machine.ended(End::Done, at(5), &BACKOFF), Action::Nothing);
        assert_eq!(machine.phase(), Phase::Waiting { until: at(6) });
    }

    /// Whatever happens in whatever order: a run is started only when none is there, and one that nobody wants comes to rest.
    #[test]
    fn there_is_never_a_second_run() {
        for seed in 0..8_u32.pow(6) {
            let mut machine = Machine::new();
            let (mut is_running, mut is_resetting) = (false, false);
            for (turn, now) in (0..6_u32).map(|turn| (seed >> (3 * turn), at(u64::from(turn) * 20)))
            {
                let action = match turn % 8 {
                    0 => machine.want(Wanted::Running, now),
                    1 => machine.want(Wanted::Still, now),
                    2 | 3 if is_running => {
                        is_running = false;
                        machine.ended(End::Failed, now, &BACKOFF)
                    }
                    2 | 3 if is_resetting => {
                        is_resetting = false;
                        machine.was_reset(now)
                    }
                    4 => machine.reset(),
                    5 => machine.restart(now),
                    _ => machine.time(now),
                };
                if matches!(action, Action::Start | Action::Reset) {
                    assert!(!is_running && !is_resetting, "seed {seed}");
                    is_running = action == Action::Start;
                    is_resetting = action == Action::Reset;
                }
                assert!(action != Action::Stop || is_running, "seed {seed}");
                let resets = machine.phase() == Phase::Resetting;
                assert_eq!(resets, is_resetting, "seed {seed}");
                let has_run = matches!(machine.phase(), Phase::Working { .. } | Phase::Stopping);
                assert_eq!(has_run, is_running, "seed {seed}");
            }
        }
    }
}
