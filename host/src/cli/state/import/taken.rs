//! An exported file that has been read through: it is whole, and each thing in it is what it says. Entries and partials
//! are looked at one by one and not kept, so that a file may be larger than memory.

use std::collections::BTreeMap;
use std::io::BufRead;

use crate::cli::state::file::{Counts, FileError, FileReader, Header, Line};
use crate::log::{GroupOffset, Offset};
use crate::outside::Standing;
use crate::pipeline::config::Start;
use crate::state::{
    Committed, Counter, ExchangeReader, FormatError, HeldRow, PartReader, Published, StateKey,
    TaskState, decode_session,
};

/// What stands in the file, but for entries and partials.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) header: Header,
    /// Where each source partition stands, and what beside it.
    pub(super) offsets: BTreeMap<(String, i32), (Offset, Committed)>,
    /// What stands beside the offset of each final task.
    pub(super) finals: BTreeMap<i32, Committed>,
    pub(super) counts: Counts,
}

impl Taken {
    /// Reads a file to its end.
    pub(super) fn read(input: impl BufRead) -> Result<Self, FileError> {
        let (header, mut lines) = FileReader::new(input)?;
        let mut taken = Self {
            header,
            offsets: BTreeMap::new(),
            finals: BTreeMap::new(),
            counts: Counts::default(),
        };
        let mut entries = Entries::default();
        while let Some(line) = lines.next()? {
            taken
                .take(line, &mut entries)
                .map_err(|what| lines.error(what))?;
        }
        entries.end().map_err(|error| lines.error(error))?;
        taken.counts = lines.counts();
        Ok(taken)
    }

    fn take(&mut self, line: Line, entries: &mut Entries) -> Result<(), String> {
        let text = |error: FormatError| error.to_string();
        let task_exists = |task: i32, most: i32| match (0..most).contains(&task) {
            true => Ok(()),
            false => Err(format!("there is no task {task}")),
        };
        let most = self.header.shape.partitions;
        let twice = match line {
            Line::Offset {
                topic,
                partition,
                offset,
                mark,
            } => {
                let partitions = self.header.sources.get(&topic).copied();
                if offset < 0 || !(0..partitions.unwrap_or(0)).contains(&partition) {
                    return Err(format!("there is no {topic}/{partition} at {offset}"));
                }
                let mark = Committed::parse(&mark.to_string()).map_err(text)?;
                let at = (topic, partition);
                self.offsets.insert(at, (Offset(offset), mark)).is_some()
            }
            Line::Final { task, mark } => {
                task_exists(task, most)?;
                let mark = Committed::parse(&mark.to_string()).map_err(text)?;
                self.finals.insert(task, mark).is_some()
            }
            Line::Partial { task, value, .. } => {
                task_exists(task, most)?;
                let value = value.ok_or("a partial has a value")?;
                ExchangeReader::new(&value.0)
                    .try_for_each(|entry| entry.map(drop))
                    .map_err(text)?;
                false
            }
            Line::Entry { task, key, value } => {
                task_exists(task, most)?;
                entries.take(task, key.0, &value.0)?;
                false
            }
            Line::End(_) => false,
        };
        if twice {
            return Err("the same as on an earlier line".to_owned());
        }
        Ok(())
    }

    /// The offsets of the source partitions: those of the file. A partition that has committed since begins as one that never
    /// has.
    pub(super) fn source_offsets(&self, standing: &Standing, start: Start) -> Vec<GroupOffset> {
        let mut offsets = Vec::new();
        for task in &standing.sources {
            let at = (task.at.topic.to_string(), task.at.partition);
            let (offset, mark) = match (self.offsets.get(&at), &task.committed, start) {
                (Some((offset, mark)), ..) => (*offset, mark),
                (None, None, _) => continue,
                (None, Some(_), Start::Earliest) => (task.bounds.start, &Committed::Start),
                (None, Some(_), Start::Latest) => (task.bounds.end, &Committed::Start),
            };
            offsets.push(GroupOffset {
                at: task.at.clone(),
                offset,
                metadata: mark.to_json(),
            });
        }
        offsets
    }
}

/// Sees to it that entries are such, in order, and each part whole.
#[derive(Default)]
struct Entries {
    last: Option<(i32, Vec<u8>)>,
    parts: PartReader,
}

impl Entries {
    fn take(&mut self, task: i32, key: Vec<u8>, value: &[u8]) -> Result<(), String> {
        let text = |error: FormatError| error.to_string();
        let other = self.last.as_ref().is_none_or(|(last, _)| *last != task);
        if other {
            self.end().map_err(text)?;
        }
        if self
            .last
            .as_ref()
            .is_some_and(|last| (last.0, &last.1) >= (task, &key))
        {
            return Err("entries are not in the order of their tasks and keys".to_owned());
        }
        match StateKey::decode(&key).map_err(text)? {
            StateKey::Task => {
                TaskState::decode(value).map_err(text)?;
            }
            StateKey::Part { .. } => {
                self.parts.push(&key, value).map_err(text)?;
            }
            StateKey::Published { .. } => drop(Published::decode(value).map_err(text)?),
            StateKey::Session { .. } => drop(decode_session(value).map_err(text)?),
            StateKey::Counter { .. } => {
                Counter::decode(value).map_err(text)?;
            }
            StateKey::Held { .. } => drop(HeldRow::decode(value).map_err(text)?),
        }
        self.last = Some((task, key));
        Ok(())
    }

    /// Tells that no more entries of a task follow.
    fn end(&mut self) -> Result<(), FormatError> {
        std::mem::take(&mut self.parts).finish()
    }
}
