//! What every store promises, and what the formats look like.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod damage;
mod golden;
mod model;
mod space;
mod suite;

use std::path::Path;

use super::*;
use crate::log::Offset;
use crate::time::Timestamp;

/// A store that can be left and come back to.
trait Place {
    type Store: Store;
    /// The store as it was left.
    fn open(&mut self) -> Self::Store;
    /// Leaves it.
    fn leave(&mut self, store: Self::Store);
}

/// The store in memory: left as it is.
#[derive(Default)]
struct Memory(MemoryStore);

impl Place for Memory {
    type Store = MemoryStore;

    fn open(&mut self) -> MemoryStore {
        std::mem::take(&mut self.0)
    }

    fn leave(&mut self, store: MemoryStore) {
        self.0 = store;
    }
}

/// The store on disk: closed.
struct Disk(tempfile::TempDir);

impl Default for Disk {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Place for Disk {
    type Store = DiskStore;

    fn open(&mut self) -> DiskStore {
        DiskStore::open(self.0.path()).unwrap()
    }

    fn leave(&mut self, store: DiskStore) {
        drop(store);
    }
}

fn source(partition: i32) -> TaskId {
    TaskId {
        stage: Stage::Source,
        partition,
    }
}

/// A position that only its offset tells from others.
fn position(next: i64) -> Position {
    Position {
        lineage: Lineage::new(Timestamp(0), "member", source(0)),
        next: Offset(next),
        applied: Timestamp(next * 1_000),
    }
}

/// Keys and values, in order.
type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// All entries of a task.
fn entries(store: &impl Store, task: TaskId) -> Result<Entries, StoreError> {
    let mut found = Vec::new();
    store.scan(task, &[], &[255; 40], &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Applies one change of one task.
fn put(store: &mut impl Store, task: TaskId, key: &[u8], value: Option<&[u8]>, next: i64) {
    let slice = Slice {
        task,
        changes: vec![Change { key, value }],
        position: &position(next),
    };
    store.apply(&[slice]).unwrap();
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
