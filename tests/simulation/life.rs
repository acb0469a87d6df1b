//! The life of one simulated worker, from its start to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use millstream::worker::{Identity, Progress, Rollout, Worker};

use crate::baton::{Crash, End};
use crate::clock::SimClock;
use crate::pipelines::engine;
use crate::sim_log::SimLog;
use crate::sim_store::SimStores;

/// What a worker is born with.
pub(crate) struct Life {
    pub(crate) log: SimLog,
    pub(crate) member: String,
    /// The number of its disk.
    pub(crate) disk: usize,
    /// What it runs, and will.
    pub(crate) rollout: Arc<Rollout>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Life {
    /// Runs the worker on this thread, whenever it has the baton.
    pub(crate) fn live(self) {
        let (world, me) = (Arc::clone(&self.log.world), self.log.me);
        world.await_turn(me);
        let end = match catch_unwind(AssertUnwindSafe(|| self.work())) {
            Ok(end) => end,
            Err(payload) if payload.is::<Crash>() => End::Crashed,
            Err(payload) => End::Panicked(text(payload.as_ref())),
        };
        world.leave(me, end);
    }

    fn work(self) -> End {
        let (world, me) = (Arc::clone(&self.log.world), self.log.me);
        let clock = SimClock {
            world: Arc::clone(&world),
            me,
        };
        let stores = SimStores {
            world,
            me,
            log: self.log.clone(),
            disk: self.disk,
        };
        let identity = Identity {
            member: self.member,
            give_up_after: None,
        };
        let progress = Arc::new(Progress::new());
        let worker = Worker::new(
            &self.rollout,
            engine(),
            self.log,
            clock,
            stores,
            identity,
            progress,
            self.stop,
        );
        match worker.run() {
            Ok(()) => End::Stopped,
            Err(error) => End::Failed(error),
        }
    }
}

/// What a panic said.
fn text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| {
        payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
    })
    .unwrap_or_else(|| "something that is not a text".to_owned())
}
