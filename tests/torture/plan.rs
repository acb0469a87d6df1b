//! What is done to whom, and in which order: all of it drawn from one seed.
//!
//! Two torturers work at the same time, one on each pipeline, each through a list of its own. So what one of them does
//! to the broker or the network comes over the other's hosts whatever they are in the middle of.

use std::time::Duration;

use jiff::SignedDuration;
use millstream::generate::ClickConfig;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::job::Kind;

/// How many partitions the clicks have.
pub(crate) const PARTITIONS: i32 = 4;

/// The longest that one round of a long run lasts, faults only.
const ROUND: Duration = Duration::from_secs(280);

/// A place in the host's code at which it kills itself when told to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Point {
    /// All of a commit is staged and nothing sent.
    Staged,
    /// The records are written, in a transaction that is open.
    Produced,
    /// The offsets are in the transaction as well.
    OffsetsSent,
    /// The transaction is committed; the local store is behind.
    Committed,
    /// The local store is level again.
    Applied,
}

impl Point {
    /// The name in `MILLSTREAM_FAIL_AT`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Point::Staged => "staged",
            Point::Produced => "produced",
            Point::OffsetsSent => "offsets-sent",
            Point::Committed => "committed",
            Point::Applied => "applied",
        }
    }
}

/// Something that is done to a host, the broker or the network between them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fault {
    /// A host kills itself at a point of a commit.
    KilledAt(Point),
    /// A host gets SIGKILL at any time.
    Killed,
    /// A host is stopped for longer than its session lasts, another takes over, and the first wakes up.
    Zombie,
    /// The broker gets SIGKILL and is started again.
    BrokerKilled,
    /// Every connection ends, and no new one is made for a while.
    Cut,
    /// Every byte takes longer.
    Slow,
    /// The broker commits, and its answer never arrives.
    AnswerLost,
    /// The broker commits, and its answer arrives late.
    AnswerHeld,
    /// The request to commit arrives after its sender has given up.
    CommitLate,
    /// The state folder is deleted between two starts.
    StateDeleted,
    /// The state folder is replaced by a copy made some commits ago.
    StateOld,
    /// A file of the state folder loses its second half.
    StateDamaged,
    /// There is no space left for the state folder.
    DiskFull,
    /// A restart with more workers.
    MoreWorkers,
    /// A restart with fewer.
    FewerWorkers,
    /// A second process joins, and one of the two leaves.
    TwoProcesses,
}

impl Fault {
    /// Every one, in the order of the table.
    pub(crate) const ALL: [Fault; 20] = [
        Fault::KilledAt(Point::Staged),
        Fault::KilledAt(Point::Produced),
        Fault::KilledAt(Point::OffsetsSent),
        Fault::KilledAt(Point::Committed),
        Fault::KilledAt(Point::Applied),
        Fault::Killed,
        Fault::Zombie,
        Fault::BrokerKilled,
        Fault::Cut,
        Fault::Slow,
        Fault::AnswerLost,
        Fault::AnswerHeld,
        Fault::CommitLate,
        Fault::StateDeleted,
        Fault::StateOld,
        Fault::StateDamaged,
        Fault::DiskFull,
        Fault::MoreWorkers,
        Fault::FewerWorkers,
        Fault::TwoProcesses,
    ];

    /// What the table calls it.
    pub(crate) fn name(self) -> String {
        let name = match self {
            Fault::KilledAt(point) => return format!("host killed at {}", point.name()),
            Fault::Killed => "host killed at any time",
            Fault::Zombie => "zombies woken after a takeover",
            Fault::BrokerKilled => "broker killed and restarted",
            Fault::Cut => "connections cut",
            Fault::Slow => "network slow",
            Fault::AnswerLost => "answer to a commit lost",
            Fault::AnswerHeld => "answer to a commit held back",
            Fault::CommitLate => "commit delivered after its sender left",
            Fault::StateDeleted => "state folder deleted",
            Fault::StateOld => "state folder from an old copy",
            Fault::StateDamaged => "state folder with a file cut short",
            Fault::DiskFull => "disk of the state folder full",
            Fault::MoreWorkers => "restarted with more workers",
            Fault::FewerWorkers => "restarted with fewer workers",
            Fault::TwoProcesses => "two processes at once",
        };
        name.to_owned()
    }

    /// About how long it takes, with the recovery.
    fn takes(self) -> Duration {
        let seconds = match self {
            Fault::Zombie => 13,
            Fault::BrokerKilled | Fault::TwoProcesses => 10,
            Fault::CommitLate | Fault::StateOld | Fault::AnswerHeld => 7,
            Fault::AnswerLost | Fault::Cut | Fault::Slow | Fault::DiskFull => 5,
            _ => 4,
        };
        Duration::from_secs(seconds)
    }
}

/// A part of a run: its own clicks, its own topics, its own state.
#[derive(Debug)]
pub(crate) struct Round {
    /// What everything in it is drawn from.
    pub(crate) seed: u64,
    /// What is written.
    pub(crate) clicks: ClickConfig,
    /// How many clicks are written at least; they go on until the last fault is over.
    pub(crate) events: u64,
    /// Clicks a second.
    pub(crate) pace: u32,
    /// The two pipelines, and what is done to each.
    pub(crate) torture: [(Kind, Vec<Fault>); 2],
}

/// The round of the test: each fault once.
pub(crate) fn short(seed: u64) -> Round {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let [one, other] = deal(&mut rng);
    let torture = [(Kind::Global, one), (Kind::ByCountry, other)];
    round(seed, 5, 200_000, 3_000, torture)
}

/// A round of a long run, of about `length`: each pipeline gets each fault over and over.
pub(crate) fn long(seed: u64, length: Duration) -> Round {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let length = length.min(ROUND);
    let mut kinds = Kind::ALL;
    kinds.shuffle(&mut rng);
    let torture = [kinds[0], kinds[1]].map(|kind| (kind, fill(&mut rng, length)));
    let window = [2, 5, 15, 60][rng.random_range(0..4)];
    let pace = u32::try_from(500_000 / length.as_secs().max(1)).unwrap();
    round(seed, window, 500_000, pace, torture)
}

fn round(
    seed: u64,
    window: i64,
    events: u64,
    pace: u32,
    torture: [(Kind, Vec<Fault>); 2],
) -> Round {
    let clicks = ClickConfig {
        seed,
        // Far more than are written: the writer ends when the torture does.
        events: u64::from(u32::MAX),
        partitions: PARTITIONS,
        rate: pace,
        window: SignedDuration::from_secs(window),
        disorder: SignedDuration::from_secs(2),
        ..ClickConfig::default()
    };
    Round {
        seed,
        clicks,
        events,
        pace,
        torture,
    }
}

/// Shares all faults out to two lists that take about as long.
fn deal(rng: &mut ChaCha8Rng) -> [Vec<Fault>; 2] {
    let mut faults = Fault::ALL;
    faults.shuffle(rng);
    // The long ones first, so that the short ones can level it.
    faults.sort_by_key(|fault| std::cmp::Reverse(fault.takes()));
    let mut lists = [Vec::new(), Vec::new()];
    for fault in faults {
        let to = usize::from(length(&lists[1]) < length(&lists[0]));
        lists[to].push(fault);
    }
    for list in &mut lists {
        list.shuffle(rng);
    }
    lists
}

/// Decks of all faults, each shuffled, until `time` is filled.
fn fill(rng: &mut ChaCha8Rng, time: Duration) -> Vec<Fault> {
    let mut faults = Vec::new();
    loop {
        let mut deck = Fault::ALL;
        deck.shuffle(rng);
        for fault in deck {
            faults.push(fault);
            if length(&faults) >= time {
                return faults;
            }
        }
    }
}

fn length(faults: &[Fault]) -> Duration {
    faults.iter().map(|fault| fault.takes()).sum()
}

#[test]
fn the_short_form_has_each_fault_once_and_fits_its_time() {
    for seed in 0..50 {
        let [(_, one), (_, other)] = short(seed).torture;
        for list in [&one, &other] {
            assert!(length(list) <= Duration::from_secs(65), "{list:?}");
        }
        let mut all: Vec<Fault> = one.into_iter().chain(other).collect();
        all.sort_unstable();
        let mut wanted = Fault::ALL;
        wanted.sort_unstable();
        assert_eq!(all, wanted);
    }
}

#[test]
fn the_long_form_fills_its_time_and_follows_from_its_seed() {
    for seed in 0..20 {
        let round = long(seed, Duration::from_secs(3_600));
        assert_eq!(
            round.torture,
            long(seed, Duration::from_secs(3_600)).torture
        );
        assert_ne!(round.torture[0].0, round.torture[1].0, "two pipelines");
        for (_, faults) in &round.torture {
            assert!(length(faults) >= ROUND);
            let missing = Fault::ALL.into_iter().find(|fault| !faults.contains(fault));
            assert_eq!(missing, None);
        }
    }
}
