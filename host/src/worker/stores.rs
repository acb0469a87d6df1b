//! The local store of a worker of a real process: a folder of its own on the disk.

use std::io::ErrorKind;
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
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(StoreError::Disk(format!("{}: {error}", self.0.display())))
            }
            _ => Ok(()),
        }
    }
}
