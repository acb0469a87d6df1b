//! What the workers of a process run, and what they are to run next: deploys decide it, workers follow at a commit.
//!
//! Whoever decides sets a [`Target`]; each worker looks between two polls whether there is a newer one, commits, and goes on with
//! that. A version that is on trial is judged on the way: before each commit by what it has made of its rows (`trial`), and
//! at once where it fails. Nothing of a bad version's doing is committed then: the worker reports it, and waits for the next target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::trial::{Tally, TrialLimits, judge};
use crate::log::TopicPartition;
use crate::pipeline::Pipeline;

/// A pipeline with the components that a deploy has put in place.
pub struct Version {
    /// Counts what has been in place: higher than that of any version before. 0 is what the pipeline's file says.
    pub generation: u64,
    /// The pipeline.
    pub pipeline: Pipeline,
}

/// A version and how it is watched.
#[derive(Clone)]
pub struct Running {
    /// The version.
    pub version: Arc<Version>,
    /// `None` where it has proved itself.
    pub trial: Option<Trial>,
}

/// What a version on trial is compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The step whose function is new.
    pub step: String,
    /// The generation of the version before.
    pub before: u64,
    /// What it may not exceed.
    pub limits: TrialLimits,
}

/// What workers are to run.
pub struct Target {
    /// Runs the partitions that no canary has.
    pub base: Running,
    /// Runs a share of the partitions, in percent.
    pub canary: Option<(Running, u8)>,
    /// The steps that have had another version before, to which a step that fails too often can go back.
    pub can_go_back: BTreeSet<String>,
}

/// What workers have to say of a version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Report {
    /// A version on trial has failed it.
    Bad {
        /// Its generation.
        generation: u64,
        /// What it did.
        reason: String,
    },
    /// A step has failed at more rows than it may, and there is a version to go back to.
    Exhausted {
        /// The generation that it failed in.
        generation: u64,
        /// The step.
        step: String,
        /// How it failed last.
        reason: String,
    },
}

impl Report {
    /// The generation that it is about.
    pub fn generation(&self) -> u64 {
        match self {
            Report::Bad { generation, .. } | Report::Exhausted { generation, .. } => *generation,
        }
    }
}

/// Where deploys and the workers of a process meet.
pub struct Rollout {
    target: Mutex<Arc<Target>>,
    /// How often there was a new target.
    changes: AtomicU64,
    reports: Mutex<Vec<Report>>,
    tallies: Mutex<BTreeMap<u64, Tally>>,
}

impl Rollout {
    /// Of a pipeline that nothing is deployed into.
    pub fn fixed(pipeline: Pipeline) -> Self {
        let version = Arc::new(Version {
            generation: 0,
            pipeline,
        });
        Self::new(Target {
            base: Running {
                version,
                trial: None,
            },
            canary: None,
            can_go_back: BTreeSet::new(),
        })
    }

    /// That begins with a target.
    pub fn new(target: Target) -> Self {
        Self {
            target: Mutex::new(Arc::new(target)),
            changes: AtomicU64::new(0),
            reports: Mutex::default(),
            tallies: Mutex::default(),
        }
    }

    /// Lets the workers go over to a target, each at its next commit.
    pub fn set(&self, target: Target) {
        *lock(&self.target) = Arc::new(target);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// What is to run now.
    pub fn target(&self) -> Arc<Target> {
        Arc::clone(&lock(&self.target))
    }

    /// What workers have reported since this was last asked.
    pub fn take_reports(&self) -> Vec<Report> {
        std::mem::take(&mut *lock(&self.reports))
    }

    /// What the version of a generation has made of the rows that were committed by this process.
    pub fn tally(&self, generation: u64) -> Tally {
        lock(&self.tallies)
            .get(&generation)
            .copied()
            .unwrap_or_default()
    }

    /// How often there was a new target: what a worker compares.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn report(&self, report: Report) {
        lock(&self.reports).push(report);
    }

    /// Adds what a version has made of rows that have been committed.
    pub(super) fn count(&self, generation: u64, tally: Tally) {
        if tally.rows > 0 {
            lock(&self.tallies)
                .entry(generation)
                .or_default()
                .add(tally);
        }
    }

    /// Why a version has failed its trial, by what has been committed of it and `more` that has not.
    pub(super) fn verdict(&self, running: &Running, more: Tally) -> Option<String> {
        let trial = running.trial.as_ref()?;
        let mut now = self.tally(running.version.generation);
        now.add(more);
        judge(self.tally(trial.before), now, &trial.limits)
    }
}

/// The partitions of a canary that has a share in percent: of each topic the first ones, at least one.
pub(super) fn share_of(partitions: &[TopicPartition], percent: u8) -> BTreeSet<TopicPartition> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for at in partitions {
        *counts.entry(&at.topic).or_default() += 1;
    }
    let is_in = |at: &&TopicPartition| {
        let count = counts.get(&*at.topic).copied().unwrap_or_default();
        let share = (count * u64::from(percent)).div_ceil(100).max(1);
        u64::try_from(at.partition).is_ok_and(|number| number < share)
    };
    partitions.iter().filter(is_in).cloned().collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_gets_its_share_of_each_topic_and_never_nothing() {
        let of = |topic: &str, count| {
            let topic: Arc<str> = topic.into();
            (0..count).map(move |number| TopicPartition::new(Arc::clone(&topic), number))
        };
        let all: Vec<TopicPartition> = of("a", 4).chain(of("b", 10)).chain(of("c", 1)).collect();
        let counted = |percent| {
            let share = share_of(&all, percent);
            ["a", "b", "c"].map(|topic| share.iter().filter(|at| &*at.topic == topic).count())
        };
        assert_eq!(counted(25), [1, 3, 1]);
        assert_eq!(counted(1), [1, 1, 1]);
        assert_eq!(counted(50), [2, 5, 1]);
        assert_eq!(counted(100), [4, 10, 1]);
    }
}
