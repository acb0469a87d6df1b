//! Where a process keeps its state, and by that who it is.
//!
//! # Layout, version 1
//! The processes of a pipeline on one machine each have a folder below the state folder:
//!
//! | path | what |
//! |---|---|
//! | `{pipeline}/{n}/lock` | locked by the process that has the folder |
//! | `{pipeline}/{n}/instance` | 16 hexadecimal digits: the name of whoever has the folder |
//! | `{pipeline}/{n}/worker-{i}/` | the store of its worker `i`, see [`DiskStore`](super::DiskStore) |
//!
//! A process takes the first folder that nobody has. So one that is started again is the same member of its group as
//! before, takes the same partitions and finds its entries; a second one at the same time is another member.
//!
//! # Stories of a crash
//! - *The process is killed:* the operating system releases the lock. The next process takes the folder and the name, and
//!   by that ends what the killed one left open in the log.
//! - *While the name is written:* it is written to another file and moved, so there is the whole name or none.
//! - *The folder is lost:* the next process is a new member; state is built again from the log.
//! - *The folder is copied to another machine and both copies are used:* the two have one name, and fence each other in the
//!   log. Nothing is written twice; one of them ends.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, TryLockError};
use std::hash::BuildHasher;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::StoreError;

/// More processes of one pipeline than a machine runs.
const MOST: usize = 1_000;

/// The folder of one process. It is this process's until it is dropped.
#[derive(Debug)]
pub struct InstanceFolder {
    path: PathBuf,
    instance: String,
    /// Holds the lock.
    _lock: File,
}

impl InstanceFolder {
    /// Takes the first folder of a pipeline that nobody has, and makes it where none is left.
    ///
    /// # Errors
    /// If the folder can't be written to.
    pub fn claim(folder: &Path, pipeline: &str) -> Result<Self, StoreError> {
        let folder = folder.join(pipeline);
        for number in 0..MOST {
            let path = folder.join(number.to_string());
            let failed =
                |error: io::Error| StoreError::Disk(format!("{}: {error}", path.display()));
            fs::create_dir_all(&path).map_err(failed)?;
            let mut options = File::options();
            options.create(true).truncate(false).write(true);
            let lock = options.open(path.join("lock")).map_err(failed)?;
            match lock.try_lock() {
                Ok(()) => {
                    let instance = instance(&path).map_err(failed)?;
                    return Ok(Self {
                        path,
                        instance,
                        _lock: lock,
                    });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Err(StoreError::Busy(folder.display().to_string()))
    }

    /// The name of the process, unique among all machines: 16 hexadecimal digits.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Where worker `number` has its store.
    pub fn worker(&self, number: usize) -> PathBuf {
        self.path.join(format!("worker-{number}"))
    }
}

/// The name that the folder has; a new one where it has none that can be read.
fn instance(folder: &Path) -> io::Result<String> {
    let path = folder.join("instance");
    match fs::read_to_string(&path) {
        Ok(name) if is_name(&name) => return Ok(name),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // Not text: as little a name as any other.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
        Err(error) => return Err(error),
    }
    // The hasher's keys are random; time and process make up for it if they were not.
    let seed = (SystemTime::now(), std::process::id());
    let name = format!("{:016x}", RandomState::new().hash_one(seed));
    let new = folder.join("instance.new");
    let mut file = File::create(&new)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)?;
    Ok(name)
}

fn is_name(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use super::*;

    #[test]
    fn a_process_that_starts_again_is_who_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let first = InstanceFolder::claim(folder.path(), "clicks").unwrap();
        let (instance, worker) = (first.instance().to_owned(), first.worker(1));
        assert!(is_name(&instance), "{instance}");
        assert!(worker.ends_with("clicks/0/worker-1"), "{worker:?}");
        drop(first);
        let again = InstanceFolder::claim(folder.path(), "clicks").unwrap();
        assert_eq!((again.instance(), again.worker(1)), (&*instance, worker));
    }

    #[test]
    fn two_processes_at_a_time_have_different_folders_and_names() {
        let folder = tempfile::tempdir().unwrap();
        let first = InstanceFolder::claim(folder.path(), "clicks").unwrap();
        let second = InstanceFolder::claim(folder.path(), "clicks").unwrap();
        assert_ne!(first.instance(), second.instance());
        assert!(second.worker(0).ends_with("clicks/1/worker-0"));
        let (name, place) = (first.instance().to_owned(), first.worker(0));
        drop(first);
        let third = InstanceFolder::claim(folder.path(), "clicks").unwrap();
        assert_eq!((third.instance(), third.worker(0)), (&*name, place));
    }

    #[test]
    fn pipelines_have_nothing_in_common() {
        let folder = tempfile::tempdir().unwrap();
        let clicks = InstanceFolder::claim(folder.path(), "clicks").unwrap();
        let orders = InstanceFolder::claim(folder.path(), "orders").unwrap();
        assert!(orders.worker(0).ends_with("orders/0/worker-0"));
        assert_ne!(clicks.instance(), orders.instance());
    }

    #[test]
    fn a_name_that_can_not_be_read_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        drop(InstanceFolder::claim(folder.path(), "clicks").unwrap());
        let path = folder.path().join("clicks/0/instance");
        for damaged in [
            &b""[..],
            b"0123456789abcde",
            b"../../../../etc/",
            &[255; 16],
        ] {
            fs::write(&path, damaged).unwrap();
            let claimed = InstanceFolder::claim(folder.path(), "clicks").unwrap();
            assert!(is_name(claimed.instance()));
            assert_eq!(fs::read_to_string(&path).unwrap(), claimed.instance());
        }
    }

    #[test]
    fn a_folder_that_can_not_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("clicks"), "a file").unwrap();
        let error = InstanceFolder::claim(folder.path(), "clicks").unwrap_err();
        assert!(
            matches!(&error, StoreError::Disk(text) if text.contains("clicks/0")),
            "{error}"
        );
    }
}
