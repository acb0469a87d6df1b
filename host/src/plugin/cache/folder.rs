//! A folder whose files nobody else could have written.
//!
//! Whoever writes compiled code decides what this process executes. So a file is taken only if it and its folder belong to the
//! user of this process and neither its group nor anybody else may write to them; a link is not followed. Each is opened once and asked by
//! its descriptor: what was looked at is what is read, whatever happens to the path meanwhile.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::sweep::Kept;

/// What the names of files of compiled code end with.
pub(super) const ENDING: &str = ".code";
/// What a file is called until it is whole.
const ON_ITS_WAY: &str = ".part";

/// An open folder of ours.
#[derive(Debug)]
pub(super) struct Folder {
    descriptor: OwnedFd,
    path: PathBuf,
}

/// Why a file or folder is not trusted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Distrust {
    /// Somebody else's.
    #[error("it belongs to another user")]
    Owner,
    /// Others may write to it.
    #[error("others may write to it: take that away with chmod go-w")]
    Writable,
    /// A link, a device, a pipe.
    #[error("it is neither a plain file nor a folder of its own, such as a link")]
    NoFile,
    /// Too large to be what it should be.
    #[error("it is larger than compiled code may be")]
    TooLarge,
}

/// Whether what a descriptor is open on can only have been written by `user`.
fn judge(stat: &Stat, kind: FileType, user: u32) -> Result<(), Distrust> {
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(Distrust::NoFile);
    }
    if stat.st_uid != user {
        return Err(Distrust::Owner);
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(Distrust::Writable);
    }
    Ok(())
}

fn distrusted(why: Distrust) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl Folder {
    /// Opens a folder, which is made where there is none, for this user alone.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        crate::service::disk::make_folder(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NOTDIR) => Err(distrusted(Distrust::NoFile)),
            other => Ok(other?),
        }?;
        let stat = rustix::fs::fstat(&descriptor)?;
        judge(&stat, FileType::Directory, user()).map_err(distrusted)?;
        Ok(Self {
            descriptor,
            path: path.to_owned(),
        })
    }

    /// Where a file of the folder is, for people.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file, and notes that it was used. `None` if there is none.
    pub(super) fn read(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        // A pipe would be waited for without NONBLOCK.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.descriptor, name, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(distrusted(Distrust::NoFile)),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&file)?;
        judge(&stat, FileType::RegularFile, user()).map_err(distrusted)?;
        let size = file.metadata()?.size();
        if size > most {
            return Err(distrusted(Distrust::TooLarge));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        (&file).take(most).read_to_end(&mut bytes)?;
        let at = |nanoseconds| Timespec {
            tv_sec: 0,
            tv_nsec: nanoseconds,
        };
        let used_now = Timestamps {
            last_access: at(rustix::fs::UTIME_OMIT),
            last_modification: at(rustix::fs::UTIME_NOW),
        };
        // On a disk that is read-only the code is as good.
        let _noted = rustix::fs::futimens(&file, &used_now);
        Ok(Some(bytes))
    }

    /// Puts a file in place of the one that may be there, whole or not at all. Many processes may do so at once.
    pub(super) fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let part = format!("{name}.{}-{count}{ON_ITS_WAY}", std::process::id());
        // A process of the same number may have died here.
        self.remove(&part)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(rustix::fs::openat(&self.descriptor, &*part, flags, mode)?);
        let put = || {
            parts.iter().try_for_each(|part| file.write_all(part))?;
            Ok(rustix::fs::renameat(
                &self.descriptor,
                &*part,
                &self.descriptor,
                name,
            )?)
        };
        let put: io::Result<()> = { put }();
        if put.is_err() {
            self.remove(&part)?;
        }
        put
    }

    /// Takes a file away. One that is not there is no failure: another process may have been quicker.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The files that a cache has put here; others are left alone.
    pub(super) fn list(&self) -> io::Result<Vec<Kept>> {
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let on_its_way = name.ends_with(ON_ITS_WAY);
            if !on_its_way && !name.ends_with(ENDING) {
                continue;
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let stat = match rustix::fs::statat(&self.descriptor, name, flags) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            files.push(Kept {
                name: name.to_owned(),
                size: u64::try_from(stat.st_size).unwrap_or_default(),
                used: SystemTime::UNIX_EPOCH
                    + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default()),
                on_its_way,
            });
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn refused(result: io::Result<Option<Vec<u8>>>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_others_could_have_written_is_not_read() {
        let outside = tempfile::tempdir().unwrap();
        let path = outside.path().join("cache");
        let folder = Folder::open(&path).unwrap();
        folder.write("a.code", &[b"co", b"de"]).unwrap();
        assert_eq!(folder.read("a.code", 4).unwrap().unwrap(), b"code");
        assert_eq!(folder.read("b.code", 4).unwrap(), None);
        assert!(refused(folder.read("a.code", 3)).contains("larger"));

        let chmod = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
        for mode in [0o620, 0o602] {
            chmod(&path.join("a.code"), mode).unwrap();
            assert!(refused(folder.read("a.code", 4)).contains("chmod go-w"));
        }
        chmod(&path.join("a.code"), 0o600).unwrap();
        symlink(path.join("a.code"), path.join("link.code")).unwrap();
        assert!(refused(folder.read("link.code", 4)).contains("link"));
        fs::create_dir(path.join("folder.code")).unwrap();
        assert!(refused(folder.read("folder.code", 4)).contains("link"));

        symlink(&path, outside.path().join("other")).unwrap();
        assert!(Folder::open(&outside.path().join("other")).is_err());
        chmod(&path, 0o777).unwrap();
        let error = Folder::open(&path).unwrap_err().to_string();
        assert!(error.contains("chmod go-w"), "{error}");
    }

    #[test]
    fn a_file_of_another_user_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::open(folder.path()).unwrap();
        let stat = rustix::fs::fstat(&file).unwrap();
        assert_eq!(judge(&stat, FileType::Directory, stat.st_uid), Ok(()));
        let other = stat.st_uid + 1;
        assert_eq!(
            judge(&stat, FileType::Directory, other),
            Err(Distrust::Owner)
        );
    }

    #[test]
    fn a_file_is_replaced_whole_and_what_is_not_ours_is_not_listed() {
        let outside = tempfile::tempdir().unwrap();
        let folder = Folder::open(&outside.path().join("cache")).unwrap();
        folder.write("a.code", &[b"one"]).unwrap();
        folder.write("a.code", &[b"three"]).unwrap();
        fs::write(folder.place("notes.txt"), "mine").unwrap();
        let files = folder.list().unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!((&*files[0].name, files[0].size), ("a.code", 5));
        folder.remove("a.code").unwrap();
        folder.remove("a.code").unwrap();
        assert!(folder.list().unwrap().is_empty());
    }
}
