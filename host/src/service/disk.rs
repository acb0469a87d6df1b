//! Files that are there whole or not at all.
//!
//! A file is written under another name, flushed, and moved to its place; then the folder is flushed, so that the name
//! survives too. A crash leaves the old file or the new one, and perhaps the other name, which is overwritten next time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Puts a file in place of the one that may be there. Only its owner may read it: it may hold secrets.
///
/// # Errors
/// If the disk refuses, with the file's path.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let put = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        flush_folder(path)
    };
    put().map_err(|error| at(path, &error))
}

/// Takes a file away for good. One that is not there is no failure.
///
/// # Errors
/// If the disk refuses, with the file's path.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let gone = match fs::remove_file(path) {
        Ok(()) => flush_folder(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    gone.map_err(|error| at(path, &error))
}

/// Makes a folder that only its owner may look into, with those above it. One that is there stays as it is.
///
/// # Errors
/// If the disk refuses, with the folder's path.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| at(path, &error))
}

/// Flushes the folder of a path, so that what was moved to it or taken from it survives a crash of the machine.
///
/// # Errors
/// If the disk refuses.
pub(crate) fn flush_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The error with the path in it.
pub(crate) fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_read_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("a/b");
        make_folder(&inside).unwrap();
        make_folder(&inside).unwrap();
        let path = inside.join("record.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(!inside.join("record.new").exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(&inside)), (0o600, 0o700));
        }
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        let error = write(&folder.path().join("nowhere/x"), b"").unwrap_err();
        assert!(error.to_string().contains("nowhere/x"), "{error}");
    }
}
