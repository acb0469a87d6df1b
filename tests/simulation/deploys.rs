//! What is deployed while a run goes on. The director has all targets in order, as the control topic has deploys, and plays the one who
//! asks for them and the follower who heeds what workers report; each worker hears of them when the dice say so.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream::pipeline::Pipeline;
use millstream::worker::{Report, Rollout, Running, Target, Trial, TrialLimits, Version};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::faults::{Fault, Odds};
use crate::mutations::Mutation;
use crate::pipelines::{Build, builds};

/// The shares that canaries have, in percent.
const SHARES: [u8; 3] = [25, 50, 100];

/// A version in its place.
#[derive(Clone)]
struct Placed {
    build: &'static Build,
    running: Running,
}

/// What was to run at some time.
#[derive(Clone)]
struct Plan {
    base: Placed,
    canary: Option<(Placed, u8)>,
    /// What goes back into the place if the base is taken back.
    before: &'static Build,
}

impl Plan {
    fn target(&self) -> Target {
        Target {
            base: self.base.running.clone(),
            canary: self
                .canary
                .as_ref()
                .map(|(canary, share)| (canary.running.clone(), *share)),
            can_go_back: BTreeSet::new(),
        }
    }

    /// The highest generation in it.
    fn generation(&self) -> u64 {
        let canary = self
            .canary
            .as_ref()
            .map_or(&self.base, |(canary, _)| canary);
        let of = |placed: &Placed| placed.running.version.generation;
        of(canary).max(of(&self.base))
    }
}

/// See the opening of this file.
pub(crate) struct Deploys {
    plans: Vec<Plan>,
    builds: &'static [Build],
    /// The highest generation so far.
    generation: u64,
    mutation: Option<Mutation>,
}

/// How far one worker has heard.
pub(crate) struct Ear {
    pub(crate) rollout: Arc<Rollout>,
    /// The number of the plan that it knows.
    known: usize,
}

impl Deploys {
    /// Into a pipeline of the kind with this number.
    pub(crate) fn new(kind_number: usize, mutation: Option<Mutation>) -> Self {
        let builds = builds(kind_number);
        let first = Plan {
            base: placed(&builds[0], 0, None),
            canary: None,
            before: &builds[0],
        };
        Self {
            plans: vec![first],
            builds,
            generation: 0,
            mutation,
        }
    }

    /// For a worker that starts: it begins with the newest target. Returns that one's generation too.
    pub(crate) fn ear(&self) -> (Ear, u64) {
        let ear = Ear {
            rollout: Arc::new(Rollout::new(self.newest().target())),
            known: self.plans.len() - 1,
        };
        (ear, self.newest().generation())
    }

    /// Whether a worker has something to hear.
    pub(crate) fn has_news(&self, ear: &Ear) -> bool {
        ear.known + 1 < self.plans.len()
    }

    /// Lets a worker hear of one of the targets that it does not know, `rng` says of which. Returns the generation that it knows then.
    pub(crate) fn tell(&self, ear: &mut Ear, rng: &mut ChaCha8Rng) -> u64 {
        ear.known = rng.random_range(ear.known + 1..self.plans.len());
        let plan = &self.plans[ear.known];
        ear.rollout.set(plan.target());
        plan.generation()
    }

    /// Somebody deploys something, or goes on with what is under way, or takes it back. Returns what has happened by that.
    pub(crate) fn act(&mut self, rng: &mut ChaCha8Rng) -> Option<Fault> {
        let newest = self.newest().clone();
        if let Some((canary, _)) = &newest.canary {
            return match rng.random_bool(0.5) && !canary.build.is_bad {
                true => Some(self.promote()),
                false => Some(self.take_back()),
            };
        }
        let is_on_trial = newest.base.running.trial.is_some();
        if newest.base.build.is_bad {
            // Somebody has noticed, for whom the trial was too slow.
            return rng.random_bool(0.2).then(|| self.take_back());
        }
        if is_on_trial && rng.random_bool(0.3) {
            return Some(self.settle());
        }
        let build = &self.builds[rng.random_range(0..self.builds.len())];
        let canary = rng.random_bool(0.4);
        let share = SHARES[rng.random_range(0..SHARES.len())];
        Some(self.deploy(build, canary.then_some(share)))
    }

    /// What a worker reports of a version that is in place, or under way, leads to that being taken back. Returns whether it was.
    pub(crate) fn heed(&mut self, report: &Report) -> bool {
        if self.mutation == Some(Mutation::NobodyHeeds) {
            return false;
        }
        let newest = self.newest();
        let watched = match &newest.canary {
            Some((canary, _)) => canary,
            None => &newest.base,
        };
        let version = &watched.running;
        let is_meant = version.trial.is_some() && version.version.generation == report.generation();
        if is_meant {
            self.take_back();
        }
        is_meant
    }

    fn newest(&self) -> &Plan {
        &self.plans[self.plans.len() - 1]
    }

    fn raise(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    fn deploy(&mut self, build: &'static Build, share: Option<u8>) -> Fault {
        let newest = self.newest().clone();
        let is_untried = self.mutation == Some(Mutation::BadUntried) && build.is_bad;
        let before = (!is_untried).then_some(newest.base.running.version.generation);
        let placed = placed(build, self.raise(), before);
        let (plan, fault) = match share {
            Some(share) => {
                let canary = Some((placed, share));
                (Plan { canary, ..newest }, Fault::CanaryBegan)
            }
            None => {
                let plan = Plan {
                    before: newest.base.build,
                    base: placed,
                    canary: None,
                };
                (plan, Fault::Deployed)
            }
        };
        self.plans.push(plan);
        fault
    }

    /// The canary gets all partitions, under a number of its own.
    fn promote(&mut self) -> Fault {
        let newest = self.newest().clone();
        let canary = newest.canary.as_ref().map_or(&newest.base, |(it, _)| it);
        let before = newest.base.running.version.generation;
        let base = placed(canary.build, self.raise(), Some(before));
        self.plans.push(Plan {
            base,
            canary: None,
            before: newest.base.build,
        });
        Fault::Promoted
    }

    /// What ran before runs again, under a number of its own.
    fn take_back(&mut self) -> Fault {
        let newest = self.newest().clone();
        let build = match &newest.canary {
            Some(_) => newest.base.build,
            None => newest.before,
        };
        let generation = match self.mutation {
            Some(Mutation::NumberNotRaised) => 0,
            _ => self.raise(),
        };
        self.plans.push(Plan {
            base: placed(build, generation, None),
            canary: None,
            before: build,
        });
        Fault::TakenBack
    }

    /// The version in place has proved itself.
    fn settle(&mut self) -> Fault {
        let mut plan = self.newest().clone();
        plan.base.running.trial = None;
        self.plans.push(plan);
        Fault::ProvedItself
    }
}

/// A build in its place, on trial against the version of the generation `before`.
fn placed(build: &'static Build, generation: u64, before: Option<u64>) -> Placed {
    let trial = before.map(|before| Trial {
        step: window_step(&build.pipeline).to_owned(),
        before,
        limits: TrialLimits::default(),
    });
    let version = Arc::new(Version {
        generation,
        pipeline: build.pipeline.clone(),
    });
    Placed {
        build,
        running: Running { version, trial },
    }
}

/// The step that is deployed: the last.
fn window_step(pipeline: &Pipeline) -> &str {
    let functions = pipeline.functions();
    functions[functions.len() - 1].name()
}

/// How likely a run has deploys, and how soon workers hear of them, for one turn of the director.
pub(crate) fn odds(rng: &mut ChaCha8Rng, odds: &mut Odds) {
    odds.deploy = [0.0, 0.0, 0.05, 0.15, 0.4][rng.random_range(0..5)];
    odds.hear = [0.1, 0.3, 0.9][rng.random_range(0..3)];
}
