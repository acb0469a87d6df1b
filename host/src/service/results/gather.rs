//! From the records of a sink to what stands: of each window and key the last publication.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Cursor, ResultView, WantedResults};
use crate::log::RecordBatch;
use crate::pipeline::config::{Output, PipelineConfig, Trigger, Window};
use crate::service::reading;

/// How the results of a pipeline are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// They are records, each for itself.
    Records,
    /// Each is of a span of time.
    Spans,
    /// Each is of all up to an instant.
    Until,
    /// Each is of so many rows.
    Rows,
}

impl Shape {
    pub(super) fn of(config: &PipelineConfig) -> Self {
        match &config.output {
            Output::Rows { .. } => Shape::Records,
            Output::Windows(step) => match step.window {
                Window::Count { .. } => Shape::Rows,
                Window::Global(Trigger::Rows(_)) => Shape::Rows,
                Window::Global(_) => Shape::Until,
                _ => Shape::Spans,
            },
        }
    }
}

/// A window and key, or a record.
type Name = (i64, i64, Vec<u8>);

/// A record of the sink.
pub(super) struct Seen {
    name: Name,
    revision: i64,
    is_retraction: bool,
    key: Vec<u8>,
    size: usize,
    view: ResultView,
}

impl Seen {
    /// `None` if it is none of the pipeline's results: others may write to its sink.
    pub(super) fn of(batch: &RecordBatch, row: usize, shape: Shape) -> Option<Self> {
        let (partition, offset) = (batch.partition().partition, batch.offset(row).0);
        let bytes = batch.value(row);
        let value: Option<Value> = bytes.and_then(|bytes| serde_json::from_slice(bytes).ok());
        let number = |name: &str| value.as_ref()?.get(name)?.as_i64();
        let key = batch.key(row).unwrap_or_default().to_vec();
        let name = match shape {
            Shape::Records => (
                batch.timestamp(row).0,
                i64::from(partition),
                offset.to_be_bytes().to_vec(),
            ),
            Shape::Spans => (
                number("window_start_ms")?,
                number("window_end_ms")?,
                key.clone(),
            ),
            Shape::Until => {
                let end = number("window_end_ms")?;
                (end, end, key.clone())
            }
            Shape::Rows => (number("first_row")?, number("last_row")?, key.clone()),
        };
        let is_retraction = value
            .as_ref()
            .is_some_and(|value| value["retraction"] == true);
        let value_base64 = match value {
            Some(_) => None,
            None => bytes.map(reading::base64),
        };
        Some(Self {
            name,
            revision: number("revision").unwrap_or_default(),
            is_retraction,
            size: bytes.map_or(0, <[u8]>::len) + key.len() + 128,
            view: ResultView {
                partition,
                offset,
                timestamp: batch.timestamp(row).to_string(),
                key: batch
                    .key(row)
                    .map(|key| String::from_utf8_lossy(key).into_owned()),
                value,
                value_base64,
            },
            key,
        })
    }

    pub(super) fn is_wanted(&self, wanted: &WantedResults) -> bool {
        let start = self.name.0;
        wanted
            .key
            .as_ref()
            .is_none_or(|key| key.as_bytes() == self.key)
            && wanted.from.is_none_or(|from| from.0 <= start)
            && wanted.to.is_none_or(|to| start < to.0)
    }
}

/// What has been published of a window and key.
struct Publication {
    revision: i64,
    rows: Vec<ResultView>,
    bytes: usize,
}

/// The publications seen so far.
#[derive(Default)]
pub(super) struct Gathered {
    /// Whether a later publication leaves an earlier one as it is.
    keeps_all: bool,
    /// Whether what is taken back is told, and not done.
    is_raw: bool,
    publications: BTreeMap<Name, Publication>,
    /// By partition, what was seen last: the rows of a publication follow each other.
    last: BTreeMap<i32, (Name, i64, i64)>,
    pub(super) bytes: usize,
}

impl Gathered {
    /// Nothing yet.
    pub(super) fn new(keeps_all: bool, is_raw: bool) -> Self {
        Self {
            keeps_all,
            is_raw,
            ..Self::default()
        }
    }

    pub(super) fn take(&mut self, seen: Seen) {
        let Seen {
            name,
            revision,
            is_retraction,
            size,
            view,
            ..
        } = seen;
        let place = (name.clone(), revision, view.offset);
        let before = self.last.insert(view.partition, place);
        if is_retraction && !self.is_raw {
            // It names the revision that it takes back; another one of the window may have come since.
            if let Some(known) = self.publications.get(&name)
                && known.revision == revision
                && let Some(gone) = self.publications.remove(&name)
            {
                self.bytes -= gone.bytes;
            }
            return;
        }
        let follows = before.is_some_and(|(last, its, offset)| {
            last == name && its == revision && offset + 1 == view.offset
        });
        let known = self.publications.entry(name).or_insert(Publication {
            revision,
            rows: Vec::new(),
            bytes: 0,
        });
        if !(follows || self.keeps_all) {
            self.bytes -= known.bytes;
            known.rows.clear();
            known.bytes = 0;
        }
        known.revision = revision;
        known.rows.push(view);
        known.bytes += size;
        self.bytes += size;
    }

    /// The part that is asked for, and where the next begins.
    pub(super) fn page(self, wanted: &WantedResults) -> (Vec<ResultView>, Option<String>) {
        let place = |order: i64, view: &ResultView| Cursor {
            order: if self.is_raw { 0 } else { order },
            partition: view.partition,
            offset: view.offset,
        };
        let mut all: Vec<(Cursor, ResultView)> = Vec::new();
        for (name, publication) in self.publications {
            let rows = publication.rows.into_iter();
            all.extend(rows.map(|view| (place(name.0, &view), view)));
        }
        all.sort_by_key(|(cursor, _)| cursor.rank());
        if let Some(page) = wanted.page {
            all.retain(|(cursor, _)| cursor.rank() > page.rank());
        }
        let is_cut = all.len() > wanted.limit;
        all.truncate(wanted.limit);
        let next = all
            .last()
            .filter(|_| is_cut)
            .map(|(cursor, _)| cursor.to_string());
        (all.into_iter().map(|(_, view)| view).collect(), next)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;
    use crate::log::{Offset, TopicPartition};
    use crate::service::results::Positions;
    use crate::time::Timestamp;

    fn wanted(limit: usize) -> WantedResults {
        WantedResults {
            key: None,
            from: None,
            to: None,
            limit,
            page: None,
            after: None,
            look_back: 100,
        }
    }

    /// Results of one partition: offset, start of the window, key, revision, count, and whether it is taken back.
    fn shown(gathered: Gathered, records: &[(i64, i64, &str, i64, i64, bool)]) -> Vec<(i64, i64)> {
        let mut gathered = gathered;
        for (offset, start, key, revision, count, is_retraction) in records {
            let value = serde_json::json!({
                "window_start_ms": start, "window_end_ms": start + 1, "n": count, "revision": revision,
                "retraction": is_retraction,
            });
            let mut batch = RecordBatch::new(TopicPartition::new("sink", 0));
            let bytes = value.to_string().into_bytes();
            let key = Some(key.as_bytes());
            batch.push(Offset(*offset), Timestamp(0), key, Some(&bytes));
            gathered.take(Seen::of(&batch, 0, Shape::Spans).unwrap());
        }
        let (page, _) = gathered.page(&wanted(100));
        page.iter()
            .map(|view| {
                (
                    view.offset,
                    view.value.as_ref().unwrap()["n"].as_i64().unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn the_newest_revision_of_a_window_and_key_stands_and_the_latest_window_is_first() {
        let records = [
            (0, 10, "a", 0, 1, false),
            (1, 10, "b", 0, 2, false),
            (3, 20, "a", 0, 3, false),
            (5, 10, "a", 1, 4, false),
        ];
        let page = shown(Gathered::default(), &records);
        assert_eq!(page, [(3, 3), (1, 2), (5, 4)]);
    }

    #[test]
    fn what_is_taken_back_is_gone_and_what_comes_after_it_stands() {
        let records = [
            (0, 10, "a", 0, 1, false),
            (2, 10, "a", 0, 1, true),
            (3, 10, "a", 1, 2, false),
            (5, 30, "a", 0, 7, false),
            (7, 30, "a", 0, 7, true),
        ];
        assert_eq!(shown(Gathered::default(), &records), [(3, 2)]);
    }

    #[test]
    fn the_rows_of_one_publication_stay_together_and_those_after_a_reset_take_their_place() {
        let records = [
            (0, 10, "a", 0, 1, false),
            (1, 10, "a", 0, 2, false),
            (3, 10, "a", 1, 3, false),
            // After a reset the window begins with revision 0 again; another transaction lies between.
            (5, 10, "a", 0, 4, false),
            (6, 10, "a", 0, 5, false),
        ];
        assert_eq!(shown(Gathered::default(), &records), [(5, 4), (6, 5)]);
        assert_eq!(shown(Gathered::default(), &records[..2]), [(0, 1), (1, 2)]);
    }

    #[test]
    fn differences_are_all_kept() {
        let gathered = Gathered::new(true, false);
        let records = [(0, 10, "a", 0, 1, false), (2, 10, "a", 1, 2, false)];
        assert_eq!(shown(gathered, &records), [(0, 1), (2, 2)]);
    }

    #[test]
    fn pages_follow_each_other_without_a_gap() {
        let mut page = None;
        let mut offsets = Vec::new();
        loop {
            let mut gathered = Gathered::default();
            for offset in 0..5 {
                let mut batch = RecordBatch::new(TopicPartition::new("sink", 0));
                let value = format!("{{\"window_start_ms\":{},\"window_end_ms\":9}}", offset / 2);
                let key = offset.to_string();
                batch.push(
                    Offset(offset),
                    Timestamp(0),
                    Some(key.as_bytes()),
                    Some(value.as_bytes()),
                );
                gathered.take(Seen::of(&batch, 0, Shape::Spans).unwrap());
            }
            let asked = WantedResults { page, ..wanted(2) };
            let (results, next) = gathered.page(&asked);
            offsets.extend(results.iter().map(|view| view.offset));
            match next {
                None => break,
                Some(next) => page = Some(next.parse().unwrap()),
            }
        }
        assert_eq!(offsets, [4, 2, 3, 0, 1]);
        for wrong in ["", "1.2", "1.2.3.4", "a.b.c"] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
        assert_eq!("3,0".parse(), Ok(Positions(vec![3, 0])));
        assert!("3,-1".parse::<Positions>().is_err());
    }
}
