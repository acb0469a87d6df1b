//! A host's state folder and what can happen to it between two starts, or while it is used.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

/// What a folder that can be full holds at most: with room for copies, in which the holes of sparse files are filled.
const SIZE: &str = "size=1g";

/// A state folder. Where the machine lets us it is a file system of its own, kept in memory, which can be full without
/// harm to others.
pub(crate) struct StateFolder {
    path: PathBuf,
    is_mounted: bool,
}

impl StateFolder {
    /// Makes an empty one.
    pub(crate) fn new(path: &Path) -> Self {
        fs::create_dir_all(path).unwrap();
        Self {
            path: path.to_owned(),
            is_mounted: mount(path),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can be made full.
    pub(crate) fn can_be_full(&self) -> bool {
        self.is_mounted
    }

    /// Deletes what is in it. Says whether there was a file.
    pub(crate) fn delete(&self) -> bool {
        let had_files = !self.files().is_empty();
        for entry in fs::read_dir(&self.path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        had_files
    }

    /// Copies it beside itself, in place of an older copy. Says whether there was a file.
    pub(crate) fn copy(&self) -> bool {
        let copy = self.path.with_extension("copy");
        if copy.exists() {
            fs::remove_dir_all(&copy).unwrap();
        }
        let files = self.files();
        for file in &files {
            let to = copy.join(file.strip_prefix(&self.path).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
        !files.is_empty()
    }

    /// Puts the copy in its place. Says whether there was a file in it.
    pub(crate) fn restore(&self) -> bool {
        self.delete();
        let copy = self.path.with_extension("copy");
        let files = files_in(&copy);
        for file in &files {
            let to = self.path.join(file.strip_prefix(&copy).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
        !files.is_empty()
    }

    /// Cuts the second half off a file, chosen by `pick` among those that have any bytes. Says whether there was one.
    pub(crate) fn damage(&self, pick: impl FnOnce(usize) -> usize) -> bool {
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
        let mut files = self.files();
        files.retain(|path| size(path) > 1);
        if files.is_empty() {
            return false;
        }
        let chosen = &files[pick(files.len())];
        let file = File::options().write(true).open(chosen).unwrap();
        file.set_len(size(chosen) / 2).unwrap();
        true
    }

    /// Takes all the space that is left.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        let mut piece = vec![0_u8; 1 << 20];
        while !piece.is_empty() {
            while file.write_all(&piece).is_ok() {}
            // The last bytes too.
            piece.truncate(piece.len() / 2);
        }
    }

    /// Gives the space back.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    fn files(&self) -> Vec<PathBuf> {
        files_in(&self.path)
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        if self.is_mounted {
            // What is still mounted ends with the machine: there is nothing better to do about it here.
            let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        }
    }
}

/// All files below a folder, in order.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Mounts a file system of a limited size. Only root may, and not in every container.
fn mount(path: &Path) -> bool {
    geteuid().is_root()
        && Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(path)
            .output()
            .is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_comes_back_from_its_copy_and_loses_what_came_later() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::new(&folder.path().join("state"));
        assert!(!state.copy());
        let (old, new) = (state.path().join("a/old"), state.path().join("new"));
        fs::create_dir(state.path().join("a")).unwrap();
        fs::write(&old, "old").unwrap();
        assert!(state.copy());
        fs::write(&old, "changed").unwrap();
        fs::write(&new, "new").unwrap();
        assert!(state.restore());
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
        assert!(!new.exists());
        assert!(state.damage(|_| 0));
        assert_eq!(fs::read_to_string(&old).unwrap(), "o");
        assert!(state.delete());
        assert!(!state.delete() && !state.damage(|_| 0));
    }

    #[test]
    fn a_full_folder_takes_nothing_until_it_is_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::new(&folder.path().join("state"));
        if state.can_be_full() {
            state.fill();
            let file = state.path().join("file");
            assert!(fs::write(&file, [0; 5_000]).is_err());
            state.empty();
            fs::write(&file, [0; 5_000]).unwrap();
        }
    }
}
