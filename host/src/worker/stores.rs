//! The local store of a worker of a real process: a folder of its own on the disk.

use std::path::PathBuf;

use super::run::Stores;
use crate::state::{DiskStore, StoreError};

/// The folder of one worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WorkerFolder(pub PathBuf);

impl Stores for WorkerFolder {
    type Store = DiskStore;

    fn open(&self) -> Result<DiskStore, StoreError> {
        DiskStore::open(&self.0)
    }

    fn remove(&self) -> Result<(), StoreError> {
        DiskStore::remove(&self.0)
    }
}
