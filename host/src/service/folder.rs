//! The folder of pipeline files, looked at again and again.
//!
//! A file counts as changed, new or gone when two looks in a row saw the same of it, so that one which is being written is left alone. A
//! program that stops in the middle of writing for longer than that should write beside it and rename.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::disk;

/// How far apart looks are.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What can be told of a file without reading it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// Of a file.
    pub(super) fn of(seen: &fs::Metadata) -> Self {
        Self {
            size: seen.len(),
            modified: seen.modified().ok(),
        }
    }
}

/// What has become of a pipeline's file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// It is new.
    Added(String),
    /// It is another.
    Changed(String),
    /// It is gone.
    Removed(String),
}

/// What is known of the folder.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// What the pipelines were made of.
    taken: BTreeMap<String, Stamp>,
    /// What the last look saw.
    last: BTreeMap<String, Stamp>,
}

impl Watch {
    /// A folder of which everything that was found has been taken.
    pub(super) fn new(found: BTreeMap<String, Stamp>) -> Self {
        Self {
            taken: found.clone(),
            last: found,
        }
    }

    /// What has changed, by what was found now.
    pub(super) fn changes(&mut self, found: BTreeMap<String, Stamp>) -> Vec<Change> {
        let names: BTreeSet<&String> = self.taken.keys().chain(found.keys()).collect();
        let mut changes = Vec::new();
        for name in names {
            let (now, before) = (found.get(name), self.last.get(name));
            if now != before {
                continue;
            }
            match (self.taken.get(name), now) {
                (None, Some(_)) => changes.push(Change::Added(name.clone())),
                (Some(_), None) => changes.push(Change::Removed(name.clone())),
                (Some(taken), Some(now)) if taken != now => {
                    changes.push(Change::Changed(name.clone()));
                }
                _ => {}
            }
        }
        for change in &changes {
            match change {
                Change::Added(name) | Change::Changed(name) => {
                    if let Some(stamp) = found.get(name) {
                        self.taken.insert(name.clone(), stamp.clone());
                    }
                }
                Change::Removed(name) => drop(self.taken.remove(name)),
            }
        }
        self.last = found;
        changes
    }

    /// A new file could not be taken: it is looked at again.
    pub(super) fn put_back(&mut self, name: &str) {
        self.taken.remove(name);
    }
}

/// The pipeline files in a folder, by the names that their pipelines have.
///
/// # Errors
/// If the folder can't be read.
pub(super) fn look(folder: &Path) -> io::Result<BTreeMap<String, Stamp>> {
    let mut files = BTreeMap::new();
    let entries = fs::read_dir(folder).map_err(|error| disk::at(folder, &error))?;
    for file in entries {
        let path = file?.path();
        let is_pipeline = path.extension().is_some_and(|ending| ending == "toml");
        let name = path.file_stem().and_then(|stem| stem.to_str());
        // A file that goes away meanwhile is not there.
        if let (true, Some(name), Ok(seen)) = (is_pipeline, name, fs::metadata(&path)) {
            files.insert(name.to_owned(), Stamp::of(&seen));
        }
    }
    Ok(files)
}

/// The file of a pipeline.
pub(super) fn file_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, u64)]) -> BTreeMap<String, Stamp> {
        let stamp = |(name, size): &(&str, u64)| {
            let stamp = Stamp {
                size: *size,
                modified: None,
            };
            ((*name).to_owned(), stamp)
        };
        files.iter().map(stamp).collect()
    }

    #[test]
    fn a_file_is_taken_when_it_has_come_to_rest() {
        let mut watch = Watch::new(found(&[("a", 1), ("b", 1)]));
        assert_eq!(watch.changes(found(&[("a", 1), ("b", 1)])), []);
        assert_eq!(
            watch.changes(found(&[("a", 2), ("c", 1)])),
            [],
            "all is on its way"
        );
        assert_eq!(
            watch.changes(found(&[("a", 3), ("c", 1)])),
            [Change::Removed("b".into()), Change::Added("c".into())],
        );
        let rest = found(&[("a", 3), ("c", 1)]);
        assert_eq!(watch.changes(rest.clone()), [Change::Changed("a".into())]);
        assert_eq!(watch.changes(rest), [], "told once");
    }

    #[test]
    fn a_file_that_is_replaced_at_once_is_never_gone() {
        let mut watch = Watch::new(found(&[("a", 1)]));
        assert_eq!(watch.changes(found(&[])), []);
        assert_eq!(watch.changes(found(&[("a", 1)])), []);
        assert_eq!(watch.changes(found(&[("a", 1)])), []);
    }

    #[test]
    fn one_that_could_not_be_taken_is_told_again() {
        let mut watch = Watch::default();
        watch.changes(found(&[("a", 1)]));
        assert_eq!(
            watch.changes(found(&[("a", 1)])),
            [Change::Added("a".into())]
        );
        watch.put_back("a");
        assert_eq!(
            watch.changes(found(&[("a", 1)])),
            [Change::Added("a".into())]
        );
    }
}
