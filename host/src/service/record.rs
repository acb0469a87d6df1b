//! What a service remembers of each pipeline, so that it comes back as it was.
//!
//! # Format, version 1
//! `{data}/pipelines/{name}.json`, one file a pipeline, replaced whole (see `disk`):
//!
//! | member | what |
//! |---|---|
//! | `version` | 1 |
//! | `wanted` | `running` or `paused` |
//! | `text` | the pipeline file, if it was created through the API; it may hold secrets. Not there if a file of the pipelines' folder has it |
//! | `plugins` | the digest of each plugin that the pipeline names as `name@version` |
//! | `reset` | where the pipeline is to begin, from when that is asked until it is done; not there otherwise |
//!
//! # Stories of a crash
//! - *Before the file is moved to its place:* the pipeline is what it was before; whoever asked got no answer.
//! - *After that, before the answer:* the pipeline is what was asked for. To ask again changes nothing.
//! - *While a pipeline is reset:* `reset` is still there, so the next start does it, once more if need be, before the pipeline runs: it
//!   has not run since, and the same offsets set twice are set once.
//! - *A record can't be read:* the service does not start, and names the file: to leave a pipeline out would not be coming
//!   back as it was.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk;

const VERSION: u32 = 1;

/// What is wanted of a pipeline across restarts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Desired {
    /// It runs whenever the service does.
    #[default]
    Running,
    /// It does not run until it is resumed.
    Paused,
}

/// What a service remembers of a pipeline.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Record {
    /// What is wanted of it.
    pub(super) wanted: Desired,
    /// The text of its file, if it came through the API.
    pub(super) text: Option<String>,
    /// The digest of each plugin that it names as `name@version`.
    pub(super) plugins: BTreeMap<String, String>,
    /// Where it is to begin before it runs again.
    pub(super) reset: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    wanted: Desired,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    plugins: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset: Option<String>,
}

/// The folder of the records.
#[derive(Debug)]
pub(super) struct Records(PathBuf);

impl Records {
    /// The records in a service's data folder.
    ///
    /// # Errors
    /// If the folder can't be made.
    pub(super) fn open(data: &Path) -> io::Result<Self> {
        let folder = data.join("pipelines");
        disk::make_folder(&folder)?;
        Ok(Self(folder))
    }

    /// All records, by the names of their pipelines.
    ///
    /// # Errors
    /// If one can't be read: what it says is not made up.
    pub(super) fn read_all(&self) -> io::Result<BTreeMap<String, Record>> {
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let is_record = path.extension().is_some_and(|ending| ending == "json");
            let name = path.file_stem().and_then(|stem| stem.to_str());
            if let (true, Some(name)) = (is_record, name) {
                records.insert(name.to_owned(), read(&path)?);
            }
        }
        Ok(records)
    }

    /// What is remembered of one pipeline, if anything is.
    ///
    /// # Errors
    /// If it can't be read.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Record>> {
        let path = self.path(name);
        match path.try_exists()? {
            true => read(&path).map(Some),
            false => Ok(None),
        }
    }

    /// Remembers a pipeline.
    ///
    /// # Errors
    /// If the disk refuses; then it is remembered as before.
    pub(super) fn write(&self, name: &str, record: &Record) -> io::Result<()> {
        let written = Written {
            version: VERSION,
            wanted: record.wanted,
            text: record.text.clone(),
            plugins: record.plugins.clone(),
            reset: record.reset.clone(),
        };
        disk::write(&self.path(name), &serde_json::to_vec_pretty(&written)?)
    }

    /// Forgets a pipeline.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        disk::remove(&self.path(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }
}

fn read(path: &Path) -> io::Result<Record> {
    let record = fs::read(path).and_then(|bytes| parse(&bytes));
    record.map_err(|error| disk::at(path, &error))
}

fn parse(bytes: &[u8]) -> io::Result<Record> {
    let refuse = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let advice = "restore the file from a backup, or remove it and create the pipeline again";
    let written: Written = serde_json::from_slice(bytes)
        .map_err(|error| refuse(format!("not a record of a pipeline ({error}): {advice}")))?;
    if written.version != VERSION {
        return Err(refuse(format!(
            "a record of version {}, and this release reads version {VERSION}: run the release that wrote it",
            written.version
        )));
    }
    Ok(Record {
        wanted: written.wanted,
        text: written.text,
        plugins: written.plugins,
        reset: written.reset,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    #[test]
    fn what_was_remembered_comes_back() {
        let data = tempfile::tempdir().unwrap();
        let records = Records::open(data.path()).unwrap();
        let clicks = Record {
            wanted: Desired::Paused,
            text: Some("name = \"clicks\"".to_owned()),
            plugins: [("a@1".to_owned(), "00".to_owned())].into(),
            reset: Some("earliest".to_owned()),
        };
        records.write("clicks", &clicks).unwrap();
        records.write("orders", &Record::default()).unwrap();
        // What a crash in the middle of writing leaves.
        fs::write(data.path().join("pipelines/clicks.new"), "{").unwrap();
        let all = Records::open(data.path()).unwrap().read_all().unwrap();
        let expected = [
            ("clicks".to_owned(), clicks),
            ("orders".to_owned(), Record::default()),
        ];
        assert_eq!(all, expected.into());
        assert_eq!(records.read("orders").unwrap(), Some(Record::default()));
        assert_eq!(records.read("none").unwrap(), None);
        records.remove("clicks").unwrap();
        assert_eq!(records.read_all().unwrap().len(), 1);
    }

    #[test]
    fn a_record_that_can_not_be_read_is_named_and_not_made_up() {
        let data = tempfile::tempdir().unwrap();
        let records = Records::open(data.path()).unwrap();
        let told = |text: &str| {
            fs::write(data.path().join("pipelines/clicks.json"), text).unwrap();
            records.read_all().unwrap_err().to_string()
        };
        let half = told("{\"version\": 1, \"wan");
        assert!(
            half.contains("clicks.json") && half.contains("backup"),
            "{half}"
        );
        let later = told("{\"version\": 2, \"wanted\": \"running\", \"plugins\": {}}");
        assert!(later.contains("version 2"), "{later}");
    }
}
