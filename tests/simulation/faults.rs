//! What can go wrong in a run, how likely it is, and how often it did.

use std::collections::BTreeMap;
use std::fmt;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::deploys;

/// A call into the world, before and after which a worker can crash.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Call {
    Open,
    Ask,
    Join,
    Poll,
    Begin,
    Seek,
    Release,
    Committed,
    Commit,
    Restore,
    Apply,
}

/// All of them.
const CALLS: [Call; 11] = [
    Call::Open,
    Call::Ask,
    Call::Join,
    Call::Poll,
    Call::Begin,
    Call::Seek,
    Call::Release,
    Call::Committed,
    Call::Commit,
    Call::Restore,
    Call::Apply,
];

/// On which side of a call.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum When {
    Before,
    After,
}

/// Something that has happened.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fault {
    Crash(When, Call),
    /// A worker was killed wherever it was.
    Killed,
    /// A worker was told to stop while others went on.
    Left,
    /// A worker came while others were at work.
    Joined,
    /// A member never came back: others had to end what it left.
    NeverCameBack,
    CommitAborted,
    /// The answer was lost; the log has it.
    CommitDoneUnknown,
    /// The answer was lost; the log does not have it.
    CommitLostUnknown,
    /// Nobody knew for a while, and then the log had it.
    CommitDoneUndecided,
    /// Nobody knew for a while, and then the log did not have it.
    CommitLostUndecided,
    /// A dead member's transaction was ended by somebody else.
    EndedForTheDead,
    /// A second process came under the same name.
    SecondProcess,
    /// The first one was refused.
    Fenced,
    /// A worker stood still for longer than the session timeout.
    Zombie,
    /// Partitions were lost by a worker that lives.
    Lost,
    /// A commit was refused because the partition was another's by then.
    ZombieRefused,
    /// The log was away for one call, or for a time.
    Away,
    Outage,
    StoreLost,
    StoreOld,
    StoreForeign,
    StoreAhead,
    StoreTorn,
    StoreFull,
    /// A poll held a partition's records back.
    Withheld,
    /// A poll handed out only some of a batch.
    PartialBatch,
    /// A poll failed that had taken records.
    BesideAnError,
    /// A partition that brought nothing for long.
    IdlePartition,
    /// A partition that never brought anything.
    SilentPartition,
    /// A function trapped, and the operator put another in its place.
    Trap,
    /// A changelog was read after compaction had removed something of it.
    Compacted,
    /// State was read back from the changelog.
    Restored,
    /// A value was written in chunks.
    Chunked,
    /// A delta was written beside a base.
    Delta,
    /// Deltas were folded into a new base.
    Folded,
    /// A window was published that was still open.
    Early,
    /// A result was taken back.
    Retracted,
    /// A partition that was silent moved time.
    Promised,
    /// Rows were late that would not have been without that.
    LateByPromise,
    /// A partition waited for others.
    Paused,
    /// A version was put in place for all partitions.
    Deployed,
    /// A version was put beside the other for a share.
    CanaryBegan,
    /// A canary was given all partitions.
    Promoted,
    /// A version was taken back because somebody wished it.
    TakenBack,
    /// The same, because a worker reported that it was bad.
    FailedTrial,
    /// A version was not watched any more.
    ProvedItself,
    /// What a partition had in one version went on in another.
    WentOver,
    /// Two versions committed together.
    TwoAtOnce,
    /// A worker met what a version had committed of which it had not heard.
    Unheard,
}

impl Fault {
    /// Every kind. A proof only if each of them has happened.
    pub(crate) fn all() -> Vec<Fault> {
        let crash = |when| CALLS.map(|call| Fault::Crash(when, call));
        let mut all = crash(When::Before).to_vec();
        all.extend(crash(When::After));
        all.extend([
            Fault::Killed,
            Fault::Left,
            Fault::Joined,
            Fault::NeverCameBack,
            Fault::CommitAborted,
            Fault::CommitDoneUnknown,
            Fault::CommitLostUnknown,
            Fault::CommitDoneUndecided,
            Fault::CommitLostUndecided,
            Fault::EndedForTheDead,
            Fault::SecondProcess,
            Fault::Fenced,
            Fault::Zombie,
            Fault::Lost,
            Fault::ZombieRefused,
            Fault::Away,
            Fault::Outage,
            Fault::StoreLost,
            Fault::StoreOld,
            Fault::StoreForeign,
            Fault::StoreAhead,
            Fault::StoreTorn,
            Fault::StoreFull,
            Fault::Withheld,
            Fault::PartialBatch,
            Fault::BesideAnError,
            Fault::IdlePartition,
            Fault::SilentPartition,
            Fault::Trap,
            Fault::Compacted,
            Fault::Restored,
            Fault::Chunked,
            Fault::Delta,
            Fault::Folded,
            Fault::Early,
            Fault::Retracted,
            Fault::Promised,
            Fault::LateByPromise,
            Fault::Paused,
            Fault::Deployed,
            Fault::CanaryBegan,
            Fault::Promoted,
            Fault::TakenBack,
            Fault::FailedTrial,
            Fault::ProvedItself,
            Fault::WentOver,
            Fault::TwoAtOnce,
            Fault::Unheard,
        ]);
        all
    }
}

/// How likely things are in a run, each for one occasion. Nothing happens by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Odds {
    crash: BTreeMap<Call, f64>,
    pub(crate) aborted: f64,
    pub(crate) done_unknown: f64,
    pub(crate) lost_unknown: f64,
    pub(crate) undecided: f64,
    pub(crate) away: f64,
    pub(crate) withheld: f64,
    pub(crate) partial: f64,
    pub(crate) full: f64,
    pub(crate) compacted: f64,
    /// For one act of the director.
    pub(crate) kill: f64,
    pub(crate) freeze: f64,
    pub(crate) second: f64,
    pub(crate) join: f64,
    pub(crate) leave: f64,
    pub(crate) outage: f64,
    pub(crate) store: f64,
    pub(crate) deploy: f64,
    /// That a worker hears of a deploy.
    pub(crate) hear: f64,
}

impl Odds {
    /// Odds of a run: some are quiet, some wild, most have a character of their own.
    pub(crate) fn of(rng: &mut ChaCha8Rng) -> Self {
        let wildness = [0.0, 0.3, 1.0, 1.0, 1.0, 3.0][rng.random_range(0..6)];
        let mut odds = |base: f64| {
            let factor = [0.0, 0.0, 0.3, 1.0, 1.0, 4.0][rng.random_range(0..6)];
            (base * factor * wildness).min(0.6)
        };
        let crash = CALLS.map(|call| {
            let base = match call {
                Call::Poll => 0.002,
                Call::Ask => 0.004,
                Call::Commit | Call::Apply | Call::Restore => 0.015,
                Call::Open | Call::Join | Call::Committed | Call::Begin => 0.03,
                Call::Seek | Call::Release => 0.1,
            };
            (call, odds(base))
        });
        let mut all = Self {
            crash: crash.into(),
            aborted: odds(0.05),
            done_unknown: odds(0.03),
            lost_unknown: odds(0.03),
            undecided: odds(0.06),
            away: odds(0.004),
            withheld: odds(0.2),
            partial: odds(0.2),
            full: odds(0.01),
            compacted: odds(0.4),
            kill: odds(0.04),
            freeze: odds(0.04),
            second: odds(0.03),
            join: odds(0.06),
            leave: odds(0.03),
            outage: odds(0.02),
            store: odds(0.05),
            deploy: 0.0,
            hear: 0.0,
        };
        deploys::odds(rng, &mut all);
        all
    }

    /// How likely a crash is on either side of a call.
    pub(crate) fn crash(&self, call: Call) -> f64 {
        self.crash.get(&call).copied().unwrap_or_default()
    }
}

/// How often each fault has happened.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally(BTreeMap<Fault, u64>);

impl Tally {
    pub(crate) fn count(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        for (fault, times) in &other.0 {
            *self.0.entry(*fault).or_default() += times;
        }
    }

    /// What has never happened.
    pub(crate) fn missing(&self) -> Vec<Fault> {
        let mut all = Fault::all();
        all.retain(|fault| !self.0.contains_key(fault));
        all
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, times) in &self.0 {
            let name = match fault {
                Fault::Crash(when, call) => format!("crash {when:?} {call:?}").to_lowercase(),
                other => format!("{other:?}"),
            };
            writeln!(f, "  {name:24} {times:>8}")?;
        }
        Ok(())
    }
}
