//! The store on the local disk, in a folder of its own.
//!
//! # Constraints
//! One process has the folder open. A commit's changes of all tasks are one batch. A task's slice is forgotten at once,
//! however large it is.
//!
//! # Layout, version 1
//! Each task has a keyspace of the engine, named as the task is (`source-0`):
//!
//! | key | value |
//! |---|---|
//! | a 0 byte | the task's [`Position`], whose version is also that of this layout |
//! | a 1 byte and the entry's key | the entry's value |
//!
//! Position and entries share a keyspace so that no damage to the folder can keep one and lose the other: the engine
//! recovers each keyspace to one point in time.
//!
//! # Stories of a crash
//! - *The process is killed:* each batch has been handed to the operating system when [`Store::apply`] returns, so that
//!   all that was applied is there. The torn end of a batch under way is cut off when the folder is opened.
//! - *The machine fails:* batches are not synced, since what is missing is taken from the changelog again. The engine
//!   goes back to some earlier batch, position and all.
//! - *A file is gone, cut short or overwritten:* the engine's checksums tell, at opening or at reading, as
//!   [`StoreError::Damaged`]; or only the end of its journal is dropped, as after a failure of the machine.
//! - *The disk is full:* the engine takes no more writes, which [`StoreError::Disk`] tells; opened anew, it stands where it
//!   stood.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::error::StoreError;
use super::store::{Change, Slice, Store, Visit};
use super::task::{Position, TaskId};

/// What the engine holds of files, for all tasks of the store. It lets go of nothing before it is full, of files that are gone neither.
const CACHE_BYTES: u64 = 4 << 20;
/// What it gathers of a task before it writes a file. It holds up to four such lots of a task: one that is gathered, two that wait to be
/// written, and the last one until it is replaced.
const GATHER_BYTES: u64 = 2 << 20;
/// When it must write files only to be rid of a journal. One is 64 MiB long: with no more than that every task would be written at once whenever one
/// is full, and each of those lots be held until the next time.
const JOURNAL_BYTES: u64 = 96 << 20;
/// A store has few files, and a process many stores.
const OPEN_FILES: usize = 100;
/// One thread of the engine's own: a second spins while the first is busy.
const THREADS: usize = 1;

/// At so many gathered lots that wait to be written, [`Store::apply`] waits too. The engine waits at 4, but without
/// looking whether its thread still lives.
const WAITING_LOTS: usize = 2;
/// How often it looks, and how many times before it gives up: after half a minute.
const LOOK: Duration = Duration::from_millis(1);
const LOOKS: u32 = 30_000;

/// What is written to see whether the disk takes anything.
static PROBE: [u8; 1 << 16] = [0; 1 << 16];
const PROBE_NAME: &str = "probe";

const POSITION: &[u8] = &[0];
const ENTRY: u8 = 1;

/// A store in a folder.
pub struct DiskStore {
    folder: PathBuf,
    /// Before the engine, so that its handles are gone when that is closed.
    tasks: BTreeMap<TaskId, Keyspace>,
    engine: Database,
}

impl DiskStore {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// If it is open elsewhere, damaged, or not to be written to.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        // The engine expects what it finds to make sense, and panics at some of what does not.
        let open = AssertUnwindSafe(|| Self::open_engine(folder));
        catch_unwind(open).unwrap_or_else(|_| {
            let folder = folder.display();
            Err(StoreError::Damaged(format!(
                "folder {folder}: its engine failed to open it"
            )))
        })
    }

    fn open_engine(folder: &Path) -> Result<Self, StoreError> {
        let failed = |error| storage_error(folder, error);
        let engine = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .max_cached_files(Some(OPEN_FILES))
            .worker_threads(THREADS)
            .open()
            .map_err(failed)?;
        let mut tasks = BTreeMap::new();
        for name in engine.list_keyspace_names() {
            let keyspace = engine.keyspace(&name, options).map_err(failed)?;
            tasks.insert(name.parse()?, keyspace);
        }
        let store = Self {
            folder: folder.to_owned(),
            tasks,
            engine,
        };
        // A keyspace without a position is that of a task to which nothing has been applied yet, or a part of what is lost.
        for (task, keyspace) in &store.tasks {
            if store.position(*task)?.is_none() && !keyspace.is_empty().map_err(failed)? {
                let folder = folder.display();
                return Err(StoreError::Damaged(format!(
                    "folder {folder}: {task} has entries and no position"
                )));
            }
        }
        Ok(store)
    }

    /// Removes a folder that is damaged, or is to be forgotten, with all that is in it. It must not be open. That there
    /// is none is no error.
    ///
    /// # Errors
    /// If it can't be removed.
    pub fn remove(folder: &Path) -> Result<(), StoreError> {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let folder = folder.display();
                Err(StoreError::Disk(format!(
                    "{folder} can't be removed: {error}"
                )))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, error: fjall::Error) -> StoreError {
        storage_error(&self.folder, error)
    }

    /// The keyspace of a task, made where it is not.
    fn keyspace(&mut self, task: TaskId) -> Result<Keyspace, StoreError> {
        if let Some(keyspace) = self.tasks.get(&task) {
            return Ok(keyspace.clone());
        }
        let made = self.engine.keyspace(&task.to_string(), options);
        let keyspace = made.map_err(|error| self.failed(error))?;
        self.tasks.insert(task, keyspace.clone());
        Ok(keyspace)
    }

    /// Waits until the engine has written what it gathered, where more comes than the disk takes.
    fn wait_for_room(&self, keyspace: &Keyspace) -> Result<(), StoreError> {
        for _ in 0..LOOKS {
            if keyspace.sealed_memtable_count() < WAITING_LOTS {
                return Ok(());
            }
            // Tells also whether the engine has failed.
            let failed = self.engine.persist(PersistMode::Buffer);
            failed.map_err(|error| self.failed(error))?;
            #[expect(
                clippy::disallowed_methods,
                reason = "the engine's thread tells nobody when it is done"
            )]
            std::thread::sleep(LOOK);
        }
        let folder = self.folder.display();
        Err(StoreError::Disk(format!(
            "{folder}: the disk has taken nothing for half a minute"
        )))
    }
}

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(GATHER_BYTES)
}

/// An entry's key in the engine.
fn entry_key(key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(1 + key.len());
    name.push(ENTRY);
    name.extend_from_slice(key);
    name
}

impl Store for DiskStore {
    fn position(&self, task: TaskId) -> Result<Option<Position>, StoreError> {
        let Some(keyspace) = self.tasks.get(&task) else {
            return Ok(None);
        };
        let stored = keyspace.get(POSITION);
        let stored = stored.map_err(|error| self.failed(error))?;
        let position = stored.map(|bytes| Position::decode(&bytes)).transpose()?;
        Ok(position)
    }

    fn apply(&mut self, slices: &[Slice<'_>]) -> Result<(), StoreError> {
        let count = slices.iter().map(|slice| slice.changes.len() + 1).sum();
        let mut batch = fjall::OwnedWriteBatch::with_capacity(self.engine.clone(), count)
            .durability(Some(PersistMode::Buffer));
        let (mut name, mut position) = (Vec::new(), Vec::new());
        for slice in slices {
            let keyspace = self.keyspace(slice.task)?;
            self.wait_for_room(&keyspace)?;
            // In the order of the keys the engine takes them three times as fast; of one key, the last counts.
            let mut changes: Vec<&Change<'_>> = slice.changes.iter().collect();
            changes.sort_by_key(|change| change.key);
            for change in changes {
                name.clear();
                name.push(ENTRY);
                name.extend_from_slice(change.key);
                match change.value {
                    Some(value) => batch.insert(&keyspace, &name[..], value),
                    None => batch.remove(&keyspace, &name[..]),
                }
            }
            position.clear();
            slice.position.encode(&mut position);
            batch.insert(&keyspace, POSITION, &position[..]);
        }
        batch.commit().map_err(|error| self.failed(error))
    }

    fn get(&self, task: TaskId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(keyspace) = self.tasks.get(&task) else {
            return Ok(None);
        };
        let value = keyspace.get(entry_key(key));
        let value = value.map_err(|error| self.failed(error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        task: TaskId,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(keyspace) = self.tasks.get(&task).filter(|_| from < to) else {
            return Ok(());
        };
        for entry in keyspace.range(entry_key(from)..entry_key(to)) {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(error))?;
            if visit(&key[1..], &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn clear(&mut self, task: TaskId) -> Result<(), StoreError> {
        match self.tasks.remove(&task) {
            None => Ok(()),
            // Its files go when the journal holds nothing of it any more, or when the folder is opened again.
            Some(keyspace) => {
                let deleted = self.engine.delete_keyspace(keyspace);
                deleted.map_err(|error| self.failed(error))
            }
        }
    }

    fn tasks(&self) -> Result<Vec<TaskId>, StoreError> {
        let mut found = Vec::new();
        for task in self.tasks.keys() {
            if self.position(*task)?.is_some() {
                found.push(*task);
            }
        }
        Ok(found)
    }
}

/// The engine's error in our words.
fn storage_error(folder: &Path, error: fjall::Error) -> StoreError {
    let path = folder.display();
    if matches!(error, fjall::Error::Locked) {
        return StoreError::Busy(path.to_string());
    }
    if matches!(error, fjall::Error::Poisoned) {
        return poisoned(folder);
    }
    let first: &(dyn Error + 'static) = &error;
    let cause = std::iter::successors(Some(first), |error| (*error).source())
        .find_map(|error| error.downcast_ref::<io::Error>());
    match cause {
        Some(cause) if !tells_of_damage(cause) => StoreError::Disk(format!("{path}: {cause}")),
        Some(cause) => StoreError::Damaged(format!("folder {path}: {cause}")),
        None => StoreError::Damaged(format!("folder {path}: {error:?}")),
    }
}

/// Whether a file is not what the engine left; otherwise the disk did not do what it was asked.
fn tells_of_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, InvalidData, InvalidInput, NotFound, Other, UnexpectedEof};
    matches!(
        error.kind(),
        NotFound | AlreadyExists | UnexpectedEof | InvalidData | InvalidInput | Other
    )
}

/// The engine has failed before, in this call's thread or its own, and does not say of what: a disk that takes nothing, or a
/// file that it could not read.
fn poisoned(folder: &Path) -> StoreError {
    let probe = folder.join(PROBE_NAME);
    let written = std::fs::File::create(&probe).and_then(|mut file| {
        file.write_all(&PROBE)?;
        file.sync_all()
    });
    // One that stays behind is written over by the next.
    let _ = std::fs::remove_file(&probe);
    let path = folder.display();
    match written {
        Err(cause) => StoreError::Disk(format!("{path}: {cause}")),
        Ok(()) => StoreError::Damaged(format!("folder {path}: its engine failed earlier")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: fjall::Error) -> StoreError {
        storage_error(Path::new("state"), error)
    }

    #[test]
    fn a_full_disk_is_not_taken_for_damage() {
        for kind in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::ReadOnlyFilesystem,
            io::ErrorKind::PermissionDenied,
        ] {
            let error = told(fjall::Error::Io(kind.into()));
            assert!(matches!(error, StoreError::Disk(_)), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_gone_or_cut_short_is_not_taken_for_a_bad_disk() {
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof] {
            let error = told(fjall::Error::Io(kind.into()));
            assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        }
    }

    #[test]
    fn an_engine_that_failed_on_a_disk_that_takes_writes_has_met_damage() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let here = storage_error(folder.path(), fjall::Error::Poisoned);
        assert!(matches!(here, StoreError::Damaged(_)), "{here}");
        let gone = storage_error(&folder.path().join("gone"), fjall::Error::Poisoned);
        assert!(matches!(gone, StoreError::Disk(_)), "{gone}");
    }
}
