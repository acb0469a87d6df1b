//! The disk of a simulated member, and the store on it: the twin in memory of the real one. It survives crashes of its worker,
//! and has accidents of its own.

use std::sync::Arc;

use millstream::log::{Log, Offset, OutboxRecord};
use millstream::state::{
    Change, Lineage, MemoryStore, Position, Slice, Stage, StateKey, Store, StoreError, TaskId,
    Visit,
};
use millstream::time::Timestamp;
use millstream::worker::Stores;
use rand::RngExt;

use crate::baton::{Id, State, World};
use crate::faults::{Call, Fault, When};
use crate::mutations::Mutation;
use crate::scenario::CHANGELOG;
use crate::sim_log::SimLog;

/// What is on a disk.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) store: MemoryStore,
    /// As it was some time ago.
    old: Option<MemoryStore>,
    /// What is there can't be read.
    torn: bool,
    /// Nothing can be written before this time.
    full_until: u64,
    /// Who uses it.
    pub(crate) user: Option<Id>,
}

impl Disk {
    /// Keeps a copy, as a backup does.
    pub(crate) fn keep(&mut self) {
        self.old = Some(self.store.clone());
    }

    /// There is room again.
    pub(crate) fn recover(&mut self) {
        self.full_until = 0;
    }

    /// Something happens to the disk while nobody uses it.
    pub(crate) fn suffer(state: &mut State, number: usize) {
        let kind = state.rng.random_range(0..6);
        let now = Timestamp(i64::try_from(state.now).unwrap());
        let disk = &mut state.disks[number];
        let fault = match kind {
            0 => {
                disk.store = MemoryStore::new();
                Fault::StoreLost
            }
            1 => match &disk.old {
                Some(old) => {
                    disk.store = old.clone();
                    Fault::StoreOld
                }
                None => return,
            },
            2 => {
                disk.torn = true;
                Fault::StoreTorn
            }
            3 => {
                disk.full_until = state.now + 1_500;
                Fault::StoreFull
            }
            4 => {
                disk.advance(1_000_000);
                Fault::StoreAhead
            }
            _ => {
                disk.store = foreign(now);
                Fault::StoreForeign
            }
        };
        state.tally.count(fault);
    }

    /// Puts all slices ahead of the log, with something in them that it does not have.
    fn advance(&mut self, by: i64) {
        for task in self.store.tasks().unwrap() {
            let Some(mut position) = self.store.position(task).unwrap() else {
                continue;
            };
            position.next = Offset(position.next.0 + by);
            let junk = junk();
            let changes = junk.iter().map(|(key, value)| Change {
                key,
                value: Some(value),
            });
            let slice = Slice {
                task,
                changes: changes.collect(),
                position: &position,
            };
            self.store.apply(&[slice]).unwrap();
        }
    }

    /// Applies changes before they are committed, at the position of before.
    pub(crate) fn apply_early(&mut self, records: &[OutboxRecord<'_>]) {
        for task in self.store.tasks().unwrap() {
            let Some(position) = self.store.position(task).unwrap() else {
                continue;
            };
            let of_task = records
                .iter()
                .filter(|record| record.partition() == Some(task.partition));
            let changes = of_task.map(|record| Change {
                key: record.key().unwrap_or_default(),
                value: record.value(),
            });
            let slice = Slice {
                task,
                changes: changes.collect(),
                position: &position,
            };
            self.store.apply(&[slice]).unwrap();
        }
    }
}

/// Entries that no pipeline has written.
fn junk() -> Vec<(Vec<u8>, Vec<u8>)> {
    let window = millstream::window::Window {
        start: Timestamp(0),
        end: Timestamp(10_000),
    };
    let mut junk = Vec::new();
    let mut put = |key: &[u8], value: &[u8]| junk.push((key.to_vec(), value.to_vec()));
    millstream::state::put_parts(
        millstream::window::Pane::of(window),
        b"junk",
        millstream::state::Write::BASE,
        b"junk",
        1_024,
        &mut put,
    );
    junk
}

/// The store of another cluster.
fn foreign(now: Timestamp) -> MemoryStore {
    let mut store = MemoryStore::new();
    let stages = [Stage::Source, Stage::Final];
    let tasks = stages
        .into_iter()
        .flat_map(|stage| (0..4).map(move |partition| TaskId { stage, partition }));
    for task in tasks {
        let position = Position {
            lineage: Lineage::new(now, "stranger", task),
            next: Offset(1),
            applied: now,
        };
        let junk = junk();
        let changes = junk.iter().map(|(key, value)| Change {
            key,
            value: Some(value),
        });
        let slice = Slice {
            task,
            changes: changes.collect(),
            position: &position,
        };
        store.apply(&[slice]).unwrap();
    }
    store
}

/// Opens the store of one worker.
pub(crate) struct SimStores {
    pub(crate) world: Arc<World>,
    pub(crate) me: Id,
    pub(crate) log: SimLog,
    /// The number of its disk.
    pub(crate) disk: usize,
}

impl Stores for SimStores {
    type Store = SimStore;

    fn open(&self) -> Result<SimStore, StoreError> {
        self.world.may_crash(self.me, Call::Open, When::Before);
        self.world.pass(self.me, 0);
        self.world
            .with(|state| state.disks[self.disk].user = Some(self.me));
        self.world.may_crash(self.me, Call::Open, When::After);
        Ok(SimStore {
            world: Arc::clone(&self.world),
            me: self.me,
            log: self.log.clone(),
            disk: self.disk,
        })
    }

    fn remove(&self) -> Result<(), StoreError> {
        self.world.note(self.me, || "removes its store".to_owned());
        self.world.with(|state| {
            let disk = &mut state.disks[self.disk];
            disk.store = MemoryStore::new();
            disk.torn = false;
        });
        Ok(())
    }
}

/// The store of one worker.
pub(crate) struct SimStore {
    world: Arc<World>,
    me: Id,
    log: SimLog,
    disk: usize,
}

impl SimStore {
    fn read<T>(
        &self,
        work: impl FnOnce(&MemoryStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.world.with(|state| {
            let disk = &state.disks[self.disk];
            if disk.torn {
                return Err(StoreError::Damaged("a page is torn".to_owned()));
            }
            work(&disk.store)
        })
    }

    /// The store never leads the log.
    fn check(&self, slices: &[Slice<'_>]) {
        let bounds = self.log.inner.bounds(CHANGELOG).unwrap();
        for slice in slices {
            let end = bounds[usize::try_from(slice.task.partition).unwrap()].end;
            let next = slice.position.next;
            if next > end && self.world.mutation.is_none() {
                self.world.fail(format!(
                    "the store of {} is at {next}, its changelog ends at {end}",
                    slice.task
                ));
            }
        }
    }
}

impl Store for SimStore {
    fn position(&self, task: TaskId) -> Result<Option<Position>, StoreError> {
        self.read(|store| store.position(task))
    }

    fn apply(&mut self, slices: &[Slice<'_>]) -> Result<(), StoreError> {
        self.world.may_crash(self.me, Call::Apply, When::Before);
        self.world.pass(self.me, 0);
        self.check(slices);
        self.read(|_| Ok(()))?;
        let is_full = self.world.with(|state| {
            let odds = state.odds.full;
            if state.happens(odds, Fault::StoreFull) {
                let until = state.now + state.rng.random_range(0..2_000);
                state.disks[self.disk].full_until = until;
            }
            state.disks[self.disk].full_until > state.now
        });
        if is_full {
            self.world.note(self.me, || "the disk is full".to_owned());
            return Err(StoreError::Disk("no space left on device".to_owned()));
        }
        let drops = self.world.mutation == Some(Mutation::StoreWithoutChanges);
        self.world.with(|state| {
            let store = &mut state.disks[self.disk].store;
            for slice in slices {
                let changes = slice
                    .changes
                    .iter()
                    .filter(|change| !drops || is_state(change));
                let slice = Slice {
                    task: slice.task,
                    changes: changes.copied().collect(),
                    position: slice.position,
                };
                store.apply(&[slice]).unwrap();
            }
        });
        self.world.may_crash(self.me, Call::Apply, When::After);
        Ok(())
    }

    fn get(&self, task: TaskId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|store| store.get(task, key))
    }

    fn scan(
        &self,
        task: TaskId,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.read(|store| store.scan(task, from, to, visit))
    }

    fn clear(&mut self, task: TaskId) -> Result<(), StoreError> {
        self.read(|_| Ok(()))?;
        self.world
            .with(|state| state.disks[self.disk].store.clear(task))
    }

    fn tasks(&self) -> Result<Vec<TaskId>, StoreError> {
        self.read(Store::tasks)
    }
}

/// Whether a change is of a task's own state.
fn is_state(change: &Change<'_>) -> bool {
    matches!(StateKey::decode(change.key), Ok(StateKey::Task))
}
