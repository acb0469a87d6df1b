//! The file that `state export` writes and `state import` reads: a pipeline's state, on its own.
//!
//! # Constraints
//! It can be read and written without having all of it in memory, looked at with the tools of every day, and told from
//! one that was cut off. It holds all that the pipeline needs to go on from where it was taken, and nothing of the log that
//! it was taken from but offsets of the source.
//!
//! # Layout, version 1
//! NDJSON. First the [`Header`], then [`Line`]s: all offsets, then partials, then entries by task and in the order of
//! their keys, and one `end`, which says how many of each came before it.
//!
//! ```json
//! {"millstream_state":1,"pipeline":"visitors","taken":"2026-01-31T08:00:00Z","sources":{"clicks":4},"shape":{}}
//! {"offset":{"topic":"clicks","partition":0,"offset":812,"mark":{"v":2}}}
//! {"final":{"task":0,"mark":{"v":2}}}
//! {"partial":{"task":0,"key":null,"value":"AQ=="}}
//! {"entry":{"task":0,"key":"AA==","value":"AQ=="}}
//! {"end":{"offsets":1,"finals":1,"partials":1,"entries":1}}
//! ```
//!
//! `mark` is what stands beside the committed offset. A final task has no offset here: what it had not read yet of its
//! partition stands in the partials, since offsets of that topic mean nothing once the source is read again. Keys and
//! values are bytes in base64; those of entries are what the changelog holds.
//!
//! # Stories of a crash
//! - *While it is written*: it has no name yet, so there is no file.
//! - *Cut off later, or two files in one*: there is no `end`, or it does not count right, or lines follow it; nothing is
//!   changed before the whole file has been read once.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::state::Shape;

/// The version that is written and read.
const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    millstream_state: u32,
    /// The pipeline that it was taken from.
    pub(super) pipeline: String,
    /// When, for people.
    pub(super) taken: String,
    /// The source topics, with their numbers of partitions.
    pub(super) sources: BTreeMap<String, i32>,
    /// What the state was made with.
    pub(super) shape: Shape,
}

impl Header {
    /// A header of the version that is written.
    pub(super) fn new(
        pipeline: String,
        taken: String,
        sources: BTreeMap<String, i32>,
        shape: Shape,
    ) -> Self {
        Self {
            millstream_state: VERSION,
            pipeline,
            taken,
            sources,
            shape,
        }
    }
}

/// Each further line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(super) enum Line {
    /// Where a source partition stands.
    Offset {
        /// Its topic.
        topic: String,
        /// Its number.
        partition: i32,
        /// The offset to read next.
        offset: i64,
        /// What stands beside it.
        mark: Value,
    },
    /// A task of the second stage.
    Final {
        /// Its number.
        task: i32,
        /// What stands beside its offset.
        mark: Value,
    },
    /// A record on its way to a task of the second stage.
    Partial {
        /// The task.
        task: i32,
        /// The record's key.
        key: Option<Bytes>,
        /// The record's value.
        value: Option<Bytes>,
    },
    /// An entry of a task's state.
    Entry {
        /// The task.
        task: i32,
        /// Its key.
        key: Bytes,
        /// Its value.
        value: Bytes,
    },
    /// The last line.
    End(Counts),
}

/// How many lines there are of each kind.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counts {
    pub(super) offsets: u64,
    pub(super) finals: u64,
    pub(super) partials: u64,
    pub(super) entries: u64,
}

impl Counts {
    fn count(&mut self, line: &Line) {
        match line {
            Line::Offset { .. } => self.offsets += 1,
            Line::Final { .. } => self.finals += 1,
            Line::Partial { .. } => self.partials += 1,
            Line::Entry { .. } => self.entries += 1,
            Line::End(_) => {}
        }
    }
}

/// Bytes, in base64.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes).map_err(D::Error::custom)
    }
}

/// A file can't be read as state.
#[derive(Debug)]
pub(super) struct FileError {
    line: u64,
    what: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Writes the file.
pub(super) struct FileWriter<W> {
    out: W,
    counts: Counts,
}

impl<W: Write> FileWriter<W> {
    /// Begins a file.
    pub(super) fn new(mut out: W, header: &Header) -> std::io::Result<Self> {
        json_line(&mut out, header)?;
        Ok(Self {
            out,
            counts: Counts::default(),
        })
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: &Line) -> std::io::Result<()> {
        self.counts.count(line);
        json_line(&mut self.out, line)
    }

    /// Ends the file and tells what is in it.
    pub(super) fn end(mut self) -> std::io::Result<Counts> {
        json_line(&mut self.out, &Line::End(self.counts))?;
        self.out.flush()?;
        Ok(self.counts)
    }
}

fn json_line(out: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Reads the file, line by line, and sees to it that all of it is there.
pub(super) struct FileReader<R> {
    input: R,
    line: u64,
    counts: Counts,
    ended: bool,
}

impl<R: BufRead> FileReader<R> {
    /// Reads the header.
    pub(super) fn new(input: R) -> Result<(Header, Self), FileError> {
        let mut reader = Self {
            input,
            line: 0,
            counts: Counts::default(),
            ended: false,
        };
        let text = reader
            .text()?
            .ok_or_else(|| reader.error("the file is empty"))?;
        // The version first: another one's header may have other members.
        let any: Value = serde_json::from_str(&text)
            .map_err(|error| reader.error(format!("not exported state: {error}")))?;
        match any.get("millstream_state").and_then(Value::as_u64) {
            None => return Err(reader.error("not exported state: no `millstream_state` in it")),
            Some(version) if version != u64::from(VERSION) => {
                return Err(reader.error(format!(
                    "of version {version}, and this build reads {VERSION}: import it with the build that exported it"
                )));
            }
            Some(_) => {}
        }
        let header = serde_json::from_value(any)
            .map_err(|error| reader.error(format!("not a header: {error}")))?;
        Ok((header, reader))
    }

    /// The next line before the end; `None` after the last, once the file is known to be whole.
    pub(super) fn next(&mut self) -> Result<Option<Line>, FileError> {
        if self.ended {
            return Ok(None);
        }
        let text = self
            .text()?
            .ok_or_else(|| self.error("the file was cut off here"))?;
        let line: Line = serde_json::from_str(&text).map_err(|error| self.error(error))?;
        self.counts.count(&line);
        let Line::End(counts) = line else {
            return Ok(Some(line));
        };
        if counts != self.counts {
            return Err(self.error("lines are missing before this one, or too many"));
        }
        if self.text()?.is_some() {
            return Err(self.error("nothing should follow the end"));
        }
        self.ended = true;
        Ok(None)
    }

    /// How many lines there were of each kind.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// The line that was read last, for an error about it.
    pub(super) fn error(&self, what: impl fmt::Display) -> FileError {
        FileError {
            line: self.line,
            what: what.to_string(),
        }
    }

    fn text(&mut self) -> Result<Option<String>, FileError> {
        let mut text = String::new();
        self.line += 1;
        match self.input.read_line(&mut text) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(text)),
            Err(error) => Err(self.error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    fn header() -> Header {
        Header::new(
            "p".to_owned(),
            "2026-01-31T08:00:00Z".to_owned(),
            [("in".to_owned(), 2)].into(),
            Shape::default(),
        )
    }

    fn lines() -> Vec<Line> {
        let mark = serde_json::json!({"v": 2, "watermark": -5});
        vec![
            Line::Offset {
                topic: "in".to_owned(),
                partition: 1,
                offset: i64::MAX,
                mark: mark.clone(),
            },
            Line::Final { task: 0, mark },
            Line::Partial {
                task: 1,
                key: None,
                value: Some(Bytes(vec![0, 255])),
            },
            Line::Entry {
                task: 1,
                key: Bytes(vec![]),
                value: Bytes(vec![1, 2, 3]),
            },
        ]
    }

    fn file() -> String {
        let mut out = Vec::new();
        let mut writer = FileWriter::new(&mut out, &header()).unwrap();
        for line in lines() {
            writer.line(&line).unwrap();
        }
        writer.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn read(text: &str) -> Result<(Header, Vec<Line>), String> {
        let (header, mut reader) = FileReader::new(text.as_bytes()).map_err(|e| e.to_string())?;
        let mut lines = Vec::new();
        while let Some(line) = reader.next().map_err(|e| e.to_string())? {
            lines.push(line);
        }
        Ok((header, lines))
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        assert_eq!(read(&file()), Ok((header(), lines())));
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused_wherever_it_was_cut() {
        let file = file();
        for end in 0..file.len() - 1 {
            assert!(read(&file[..end]).is_err(), "cut at {end}");
        }
        let lines: Vec<&str> = file.lines().collect();
        for missing in 0..lines.len() {
            let mut left = lines.clone();
            left.remove(missing);
            assert!(read(&left.join("\n")).is_err(), "without line {missing}");
        }
        assert!(read(&format!("{file}{file}")).is_err(), "twice");
    }

    #[test]
    fn another_version_is_told_from_something_else() {
        let newer = file().replacen(":1,", ":2,", 1);
        assert!(read(&newer).unwrap_err().contains("of version 2"));
        for other in ["", "\n", "{}", "[1]", "a,b\n1,2\n"] {
            let why = read(other).unwrap_err();
            assert!(why.starts_with("line 1: "), "{other:?}: {why}");
        }
    }

    /// Version 1 as it is written today: a later release must read it.
    #[test]
    fn version_1_is_read() {
        let golden = concat!(
            r#"{"millstream_state":1,"pipeline":"p","taken":"2026-01-31T08:00:00Z","sources":{"in":2},"shape":{"stages":"none"}}"#,
            "\n",
            r#"{"offset":{"topic":"in","partition":1,"offset":9223372036854775807,"mark":{"v":2,"watermark":-5}}}"#,
            "\n",
            r#"{"final":{"task":0,"mark":{"v":2,"watermark":-5}}}"#,
            "\n",
            r#"{"partial":{"task":1,"key":null,"value":"AP8="}}"#,
            "\n",
            r#"{"entry":{"task":1,"key":"","value":"AQID"}}"#,
            "\n",
            r#"{"end":{"offsets":1,"finals":1,"partials":1,"entries":1}}"#,
            "\n",
        );
        assert_eq!(file(), golden);
        assert_eq!(read(golden), Ok((header(), lines())));
    }
}
