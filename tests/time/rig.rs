//! Runs a scenario on the real engine, from its pipeline file to the records that it writes.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use millstream::log::Log;
use millstream::pipeline::Pipeline;
use millstream::plugin::PluginEngine;
use millstream::state::{MemoryStore, StoreError};
use millstream::time::{SystemClock, Timestamp};
use millstream::worker::{Identity, Progress, Rollout, Stores, Worker};

use crate::fed_log::{FedLog, MEMBER, record};
use crate::lines::{Line, lines};
use crate::oracle;
use crate::scenario::{Happening, Names, Scenario};
use crate::support;

/// In which pieces, and in which order of the partitions, rows come to the worker. Results do not depend on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Interleaving {
    /// As written down, each when the one before has been dealt with.
    OneByOne,
    /// All together.
    AtOnce,
    /// One by one, all of the last partition first, those of the first last.
    LastPartitionFirst,
}

impl Interleaving {
    pub(crate) const ALL: [Self; 3] = [Self::OneByOne, Self::AtOnce, Self::LastPartitionFirst];

    /// What happens together. Waits and restarts keep their places.
    fn steps(self, happenings: &[Happening]) -> Vec<Vec<Happening>> {
        let is_row = |happening: &Happening| matches!(happening, Happening::Row(_));
        let together = happenings.chunk_by(|a, b| is_row(a) && is_row(b));
        let steps = together.flat_map(|chunk| {
            let mut chunk = chunk.to_vec();
            match self {
                Self::AtOnce => return vec![chunk],
                Self::OneByOne => {}
                Self::LastPartitionFirst => chunk.sort_by_key(|happening| match happening {
                    Happening::Row(row) => -row.partition,
                    _ => 0,
                }),
            }
            chunk.into_iter().map(|one| vec![one]).collect()
        });
        steps.collect()
    }
}

/// What a run has written.
///
/// # Errors
/// Why the pipeline is refused, or what the worker ended with.
pub(crate) fn run(scenario: &Scenario, interleaving: Interleaving) -> Result<Vec<Line>, String> {
    let names = Names::new("");
    let pipeline = pipeline(&scenario.file(&names))?;
    let log = FedLog::new(
        names.clone(),
        scenario.partitions(),
        interleaving.steps(&scenario.happenings),
    );
    let rollout = Rollout::fixed((*pipeline).clone());
    while !log.is_over() {
        log.stop.store(false, Ordering::Relaxed);
        let worker = Worker::new(
            &rollout,
            engine(),
            log.clone(),
            log.clock.clone(),
            NewDisk,
            Identity {
                member: MEMBER.to_owned(),
                give_up_after: None,
            },
            Arc::new(Progress::new()),
            Arc::clone(&log.stop),
        );
        worker.run().map_err(|error| error.to_string())?;
    }
    Ok(lines(scenario, &names, &log.inner))
}

/// The same with all rows written beforehand to a log that may be shared, by a team of workers with the machine's own clock.
pub(crate) fn run_team<L: Log>(scenario: &Scenario, workers: usize, log: &L) -> Vec<Line> {
    let names = Names::new(&support::unique("time"));
    let file = format!("workers = {workers}\n{}", scenario.file(&names));
    let pipeline = support::pipeline(&file, engine());
    support::create(log, &names.source, scenario.partitions(), &[]);
    support::write(log, &names.source, scenario.rows().map(record));
    let (sources, until) = (support::ends(log, &names.source), oracle::until(scenario));
    support::run_until(&pipeline, engine(), log, SystemClock::new(), |now| {
        support::is_read(now, &sources)
            && now.watermark == Some(Timestamp(until))
            && now.has_settled()
    })
    .unwrap_or_else(|error| panic!("{error}"));
    lines(scenario, &names, log)
}

/// The engine of all runs.
fn engine() -> &'static PluginEngine {
    static ENGINE: OnceLock<PluginEngine> = OnceLock::new();
    ENGINE.get_or_init(support::engine)
}

/// Pipelines by their files: to prepare one takes longer than to run it.
fn pipeline(file: &str) -> Result<Arc<Pipeline>, String> {
    static ALL: Mutex<Option<HashMap<String, Arc<Pipeline>>>> = Mutex::new(None);
    let known = || ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let found = known().get_or_insert_default().get(file).cloned();
    if let Some(pipeline) = found {
        return Ok(pipeline);
    }
    let pipeline = Arc::new(support::prepare(file, engine())?);
    known()
        .get_or_insert_default()
        .insert(file.to_owned(), Arc::clone(&pipeline));
    Ok(pipeline)
}

/// Each worker begins with nothing: what it needs is in the log.
struct NewDisk;

impl Stores for NewDisk {
    type Store = MemoryStore;

    fn open(&self) -> Result<MemoryStore, StoreError> {
        Ok(MemoryStore::new())
    }

    fn remove(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
