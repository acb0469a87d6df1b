//! One version of a pipeline's functions at work in a lane, with what hangs on it; and which version has which partition.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::WorkerError;
use super::contents::Contents;
use super::gather::Gatherer;
use super::lane::Around;
use super::partials::Partials;
use super::rollout::{Running, Target, share_of};
use super::steps::{RowSteps, StepError};
use super::topology::Topology;
use super::trial::Tally;
use super::write::Writing;
use crate::decode::Decoder;
use crate::log::{Log, TopicPartition};
use crate::pipeline::Pipeline;
use crate::pipeline::plan::OutputPlan;
use crate::pipeline::shape::shape;
use crate::plugin::PluginEngine;
use crate::state::Shape;
use crate::time::Clock;

/// A version at work.
pub(super) struct Mill {
    pub(super) running: Running,
    /// What its state depends on.
    pub(super) shape: Shape,
    pub(super) writing: Writing,
    pub(super) decoder: Decoder,
    pub(super) steps: RowSteps,
    pub(super) gatherer: Option<Gatherer>,
    pub(super) contents: Option<Contents>,
    pub(super) partials: Option<Partials>,
    /// What it has made of rows that are not committed.
    pub(super) tally: Tally,
    /// At how many rows it has failed.
    pub(super) convicted: u32,
}

impl Mill {
    /// Starts a version.
    ///
    /// # Errors
    /// If a function does not start, or the log does not tell how large a record may be.
    fn start<L: Log, C: Clock>(
        running: Running,
        around: &Around<'_, L, C>,
        topology: &Topology,
    ) -> Result<Self, WorkerError> {
        let version = &running.version;
        let pipeline = &version.pipeline;
        let (steps, contents) = functions(pipeline, around.engine)?;
        let gatherer = Gatherer::of(pipeline);
        let windowing = gatherer.as_ref().map(Gatherer::windowing);
        let partials = topology.repartition.as_ref().zip(windowing);
        let partials = partials.map(|(to, windowing)| {
            let windowing = Arc::clone(windowing);
            Partials::new(to.topic.clone(), to.partitions, to.most, windowing)
        });
        let decoder = pipeline.decoder().map_err(|error| {
            WorkerError::Bug(format!("a decoder that had been made before: {error}"))
        })?;
        let Shape {
            stages, partitions, ..
        } = topology.shape;
        Ok(Self {
            shape: shape(pipeline, stages, partitions),
            writing: Writing::new(pipeline, version.generation, around.log)?,
            decoder,
            steps,
            gatherer,
            contents,
            partials,
            tally: Tally::default(),
            convicted: 0,
            running,
        })
    }

    pub(super) fn pipeline(&self) -> &Pipeline {
        &self.running.version.pipeline
    }

    pub(super) fn generation(&self) -> u64 {
        self.running.version.generation
    }

    /// Fresh instances of its functions, which have nothing at hand.
    ///
    /// # Errors
    /// If one does not start.
    fn restart(&mut self, engine: &PluginEngine) -> Result<(), WorkerError> {
        (self.steps, self.contents) = functions(&self.running.version.pipeline, engine)?;
        self.tally = Tally::default();
        if let Some(partials) = &mut self.partials {
            partials.roll_back();
        }
        Ok(())
    }
}

/// The versions at work in a lane.
pub(super) struct Mills {
    base: Mill,
    canary: Option<(Mill, BTreeSet<TopicPartition>)>,
    /// The number of the target that they are.
    pub(super) number: u64,
}

impl Mills {
    /// Starts what is to run.
    ///
    /// # Errors
    /// See [`Mill::start`].
    pub(super) fn start<L: Log, C: Clock>(
        around: &Around<'_, L, C>,
        topology: &Topology,
    ) -> Result<Self, WorkerError> {
        // In this order: a target that is set in between is taken for newer.
        let number = around.rollout.changes();
        let target = around.rollout.target();
        let canary = match &target.canary {
            Some((running, percent)) => {
                let share = share_of(&topology.partitions(), *percent);
                Some((Mill::start(running.clone(), around, topology)?, share))
            }
            None => None,
        };
        Ok(Self {
            base: Mill::start(target.base.clone(), around, topology)?,
            canary,
            number,
        })
    }

    /// Whether a target has the versions that are at work, so that only how they are watched has changed.
    pub(super) fn are(&self, target: &Target) -> bool {
        let same =
            |mill: &Mill, running: &Running| Arc::ptr_eq(&mill.running.version, &running.version);
        let canary = match (&self.canary, &target.canary) {
            (None, None) => true,
            (Some((mill, _)), Some((running, _))) => same(mill, running),
            _ => false,
        };
        canary && same(&self.base, &target.base)
    }

    /// Takes over how versions are watched.
    pub(super) fn watch(&mut self, target: &Target, number: u64) {
        self.base.running.trial.clone_from(&target.base.trial);
        if let (Some((mill, _)), Some((running, _))) = (&mut self.canary, &target.canary) {
            mill.running.trial.clone_from(&running.trial);
        }
        self.number = number;
    }

    /// The version that a partition's records go through.
    pub(super) fn of(&mut self, at: &TopicPartition) -> &mut Mill {
        match &mut self.canary {
            Some((mill, share)) if share.contains(at) => mill,
            _ => &mut self.base,
        }
    }

    /// The same, to look at.
    pub(super) fn at(&self, at: &TopicPartition) -> &Mill {
        match &self.canary {
            Some((mill, share)) if share.contains(at) => mill,
            _ => &self.base,
        }
    }

    /// All versions.
    pub(super) fn all(&self) -> impl Iterator<Item = &Mill> {
        let canary = self.canary.iter().map(|(mill, _)| mill);
        std::iter::once(&self.base).chain(canary)
    }

    /// All versions, each with whether a partition is its own.
    pub(super) fn each(&mut self) -> impl Iterator<Item = (&mut Mill, Whose<'_>)> {
        let Self { base, canary, .. } = self;
        let (canary, share) = match canary {
            Some((mill, share)) => (Some(mill), Some(&*share)),
            None => (None, None),
        };
        let base = (base, Whose::AllBut(share));
        let canary = canary
            .zip(share)
            .map(|(mill, share)| (mill, Whose::These(share)));
        std::iter::once(base).chain(canary)
    }

    /// Judges none of them any more.
    pub(super) fn end_trials(&mut self) {
        self.each().for_each(|(mill, _)| mill.running.trial = None);
    }

    /// The highest generation among them.
    pub(super) fn generation(&self) -> u64 {
        self.all().map(Mill::generation).max().unwrap_or_default()
    }

    /// Whether any of them has so much at hand that it has to be committed now.
    pub(super) fn are_pressed(&self) -> bool {
        let contents = self.all().filter_map(|mill| mill.contents.as_ref());
        contents.into_iter().any(Contents::is_pressed)
    }

    /// Fresh instances of everything.
    ///
    /// # Errors
    /// If a function does not start.
    pub(super) fn restart(&mut self, engine: &PluginEngine) -> Result<(), WorkerError> {
        self.each().try_for_each(|(mill, _)| mill.restart(engine))
    }
}

/// Which partitions a version has.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    /// Those that a canary does not have.
    AllBut(Option<&'a BTreeSet<TopicPartition>>),
    /// These.
    These(&'a BTreeSet<TopicPartition>),
}

impl Whose<'_> {
    pub(super) fn has(&self, at: &TopicPartition) -> bool {
        match self {
            Whose::AllBut(others) => !others.is_some_and(|others| others.contains(at)),
            Whose::These(ours) => ours.contains(at),
        }
    }
}

/// Fresh instances of a pipeline's functions.
fn functions(
    pipeline: &Pipeline,
    engine: &PluginEngine,
) -> Result<(RowSteps, Option<Contents>), WorkerError> {
    let start = || {
        let contents = match &pipeline.plan().output {
            OutputPlan::Windows { select, .. } => {
                Some(Contents::start(pipeline, engine, select.clone())?)
            }
            OutputPlan::Records { .. } | OutputPlan::Rows { .. } => None,
        };
        Ok((RowSteps::start(pipeline, engine)?, contents))
    };
    start().map_err(|error| match error {
        StepError::Host(error) => error,
        StepError::Function(function, source) => WorkerError::Start {
            step: pipeline.functions()[function].name().to_owned(),
            source,
        },
    })
}
