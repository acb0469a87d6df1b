//! The workers of one process: as many threads as asked for, which share the order to stop and a board of what each has read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::WorkerError;
use super::board::Board;
use super::progress::{Progress, Snapshot};
use super::rollout::Rollout;
use super::run::{Identity, Worker};
use super::stores::WorkerFolder;
use crate::log::Log;
use crate::pipeline::Pipeline;
use crate::plugin::PluginEngine;
use crate::state::InstanceFolder;
use crate::time::Clock;

/// The workers of a process.
pub struct Team {
    workers: Vec<Arc<Progress>>,
    stop: Arc<AtomicBool>,
    board: Arc<Board>,
}

impl Team {
    /// A team of `workers` workers that runs until `stop` is set.
    pub fn new(workers: usize, stop: Arc<AtomicBool>) -> Self {
        let progress = || Arc::new(Progress::new());
        Self {
            workers: std::iter::repeat_with(progress).take(workers).collect(),
            stop,
            board: Arc::new(Board::new(workers, false)),
        }
    }

    /// The same, which ends when it has read all that the source held at the start, and closed all windows.
    #[must_use]
    pub fn until_end(mut self) -> Self {
        self.board = Arc::new(Board::new(self.workers.len(), true));
        self
    }

    /// Whether it has come to the end of its run.
    pub fn has_ended(&self) -> bool {
        self.board.is_over()
    }

    /// What all of them have counted together.
    pub fn snapshot(&self) -> Snapshot {
        Progress::together(&self.workers)
    }

    /// Runs what `rollout` says with the state that is in `folder`. Returns when all workers have ended: after they were told to stop, have
    /// come to the end of the run, or
    /// after one has failed, which stops the others. While the log or the disk is away they try again, for ever or for
    /// `give_up_after`. Blocks its thread.
    ///
    /// # Errors
    /// What the first one that failed ended with.
    pub fn run<L: Log, C: Clock + Clone + Send>(
        &self,
        rollout: &Rollout,
        engine: &PluginEngine,
        log: &L,
        clock: &C,
        folder: &InstanceFolder,
        give_up_after: Option<Duration>,
    ) -> Result<(), WorkerError> {
        let target = rollout.target();
        end_retired(
            &target.base.version.pipeline,
            log,
            folder,
            self.workers.len(),
        );
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..)
                .zip(&self.workers)
                .map(|(number, progress)| {
                    let worker = Worker::new(
                        rollout,
                        engine,
                        log.clone(),
                        clock.clone(),
                        WorkerFolder(folder.worker(number)),
                        Identity {
                            member: format!("{}-{number}", folder.instance()),
                            give_up_after,
                        },
                        Arc::clone(progress),
                        Arc::clone(&self.stop),
                    )
                    .beside(Arc::clone(&self.board));
                    scope.spawn(move || {
                        let result = worker.run();
                        if result.is_err() {
                            self.stop.store(true, Ordering::Relaxed);
                        }
                        result
                    })
                })
                .collect();
            let results = running.into_iter().map(|worker| {
                let joined = worker.join();
                joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            // All are waited for, whatever the first one says.
            let results: Vec<_> = results.collect();
            results.into_iter().collect()
        })
    }
}

/// Ends what workers of this process's earlier runs left open that it no longer has. Those that it has end their own.
fn end_retired<L: Log>(pipeline: &Pipeline, log: &L, folder: &InstanceFolder, workers: usize) {
    let group = &pipeline.config().name;
    let ours = format!("{group}-{}-", folder.instance());
    let is_retired = |id: &str| {
        let number = id
            .strip_prefix(&ours)
            .and_then(|number| number.parse().ok());
        number.is_some_and(|number: usize| number >= workers)
    };
    match log.end_transactions(group, &is_retired) {
        Ok(0) => {}
        Ok(ended) => tracing::info!(ended, "ended transactions of workers that are no more"),
        // Whoever takes their partitions over looks again.
        Err(error) => {
            tracing::debug!(%error, "looking for transactions of workers that are no more")
        }
    }
}
