//! What a process holds, as the system tells it, and whether that grows.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// By how much memory may differ between two looks at a process that does not grow.
const SWING: f64 = 16.0;
/// By how much it may grow within an hour, in MiB.
const PER_HOUR: f64 = 8.0;
/// How many files and threads may come and go with connections.
const COME_AND_GO: usize = 6;

/// What a process holds at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Since the load began.
    at: Duration,
    /// Resident memory in MiB.
    memory: f64,
    threads: usize,
    files: usize,
}

impl Held {
    /// Asks the system.
    pub(crate) fn by(process: u32, at: Duration) -> Self {
        let of = |name: &str| PathBuf::from(format!("/proc/{process}/{name}"));
        let status = std::fs::read_to_string(of("status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let number = line.split_whitespace().nth(1).unwrap();
            number.parse::<u32>().unwrap()
        };
        Self {
            at,
            memory: f64::from(number("VmRSS:")) / 1_024.0,
            threads: usize::try_from(number("Threads:")).unwrap(),
            files: std::fs::read_dir(of("fd")).unwrap().count(),
        }
    }
}

/// Of what there are so many.
type Count = fn(&Held) -> usize;

/// The middle one of some.
fn median(of: &[Held], figure: impl Fn(&Held) -> f64) -> f64 {
    let mut all: Vec<f64> = of.iter().map(figure).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// The first and the last quarter of what was held in the second half, at least one look each.
fn quarters(rounds: &[Held]) -> (&[Held], &[Held]) {
    let warm = &rounds[rounds.len() / 2..];
    let quarter = warm.len().div_ceil(4);
    (&warm[..quarter], &warm[warm.len() - quarter..])
}

/// By how much memory has grown, and within how many hours.
fn growth(rounds: &[Held]) -> (f64, f64) {
    let (first, last) = quarters(rounds);
    let between = |figure: fn(&Held) -> f64| median(last, figure) - median(first, figure);
    (
        between(|held| held.memory),
        between(|held| held.at.as_secs_f64() / 3_600.0),
    )
}

/// What has leaked, by what was held after each round.
pub(crate) fn judge_held(rounds: &[Held]) -> Vec<String> {
    let mut leaks = Vec::new();
    let (grown, hours) = growth(rounds);
    let most = SWING + PER_HOUR * hours;
    if grown > most {
        leaks.push(format!(
            "memory has grown by {grown:.1} MiB in {:.1} minutes; {most:.1} are allowed",
            hours * 60.0
        ));
    }
    let (first, last) = quarters(rounds);
    let counts: [(&str, Count); 2] = [
        ("threads", |held| held.threads),
        ("files", |held| held.files),
    ];
    for (name, count) in counts {
        let before = first.iter().map(count).max().unwrap();
        let after = last.iter().map(count).min().unwrap();
        if after > before + COME_AND_GO {
            leaks.push(format!(
                "there were {before} {name}, and now there are {after}"
            ));
        }
    }
    leaks
}

/// What was held, for people.
pub(crate) fn table(start: &Held, rounds: &[Held]) -> String {
    let mut text = String::from("                    after    memory  threads  files\n");
    let last = rounds.len() - 1;
    for (name, held) in [
        ("at the start", start),
        ("after a round", &rounds[0]),
        ("at the end", &rounds[last]),
    ] {
        let Held {
            at,
            memory,
            threads,
            files,
        } = held;
        let seconds = at.as_secs();
        let _ = writeln!(
            text,
            "  {name:<15} {seconds:>5} s {memory:>6.1} MiB {threads:>7} {files:>6}"
        );
    }
    let (grown, hours) = growth(rounds);
    let _ = write!(
        text,
        "  memory has grown by {grown:.1} MiB in {:.1} minutes",
        hours * 60.0
    );
    // A shorter time says nothing of an hour.
    if hours > 0.1 {
        let _ = write!(text, ", {:.1} MiB an hour", grown / hours);
    }
    text
}

#[test]
fn what_grows_is_seen_and_what_swings_is_not() {
    let rounds = |of: fn(u32) -> (f64, u32, u32)| -> Vec<Held> {
        let held = |minute| {
            let (memory, threads, files) = of(minute);
            let [threads, files] = [threads, files].map(|it| usize::try_from(it).unwrap());
            Held {
                at: Duration::from_secs(60 * u64::from(minute)),
                memory,
                threads,
                files,
            }
        };
        (0..31).map(held).collect()
    };
    let steady = rounds(|minute| (100.0 + 30.0 * f64::from(minute % 2), 20, 50 + minute % 3));
    assert_eq!(judge_held(&steady), Vec::<String>::new());
    let told = judge_held(&rounds(|minute| (100.0 + 4.0 * f64::from(minute), 20, 50)));
    assert!(told.len() == 1 && told[0].contains("memory"), "{told:?}");
    let told = judge_held(&rounds(|minute| (100.0, 20 + minute, 50)));
    assert_eq!(told.len(), 1, "{told:?}");
    let told = judge_held(&rounds(|minute| (100.0, 20, 50 + minute)));
    assert_eq!(told.len(), 1, "{told:?}");
}
