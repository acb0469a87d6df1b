//! A pipeline's part in the service, event by event.

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
        for (turn, now) in (0..6_u32).map(|turn| (seed >> (3 * turn), at(u64::from(turn) * 20))) {
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
