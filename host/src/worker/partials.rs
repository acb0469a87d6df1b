//! The first of two stages: what a worker's source partitions bring is accumulated here, and sent on as partials.
//!
//! All source partitions of a worker share one accumulator for each window and key. At each commit what has come in since the last
//! goes to the repartition topic, to the partition of its window and key, and with it the watermark of every source
//! partition that has moved. So it needs no durable state of its own. Accumulators are kept
//! until their window can get no more rows from here, so that, say, a visitor who has been sent is not sent again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::contents::{AT_ONCE, Contents};
use super::steps::StepError;
use crate::log::{Outbox, RecordParts, TopicPartition, partition_of};
use crate::state::{ExchangeWriter, HeldRow};
use crate::time::Timestamp;
use crate::window::{Owner, Pane, Sessions, Slot};

use super::gather::Counters;
use super::windowing::Windowing;

/// The number by which its slots are known among those of the worker's tasks, whose numbers are those of partitions.
pub(super) const PARTIALS: Owner = Owner(u32::MAX);

/// By which version partials were made: the key of their records. Those of earlier builds have none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Made {
    /// The generation of the version.
    pub(super) generation: u64,
    /// The version of the function's state.
    pub(super) state_version: u32,
}

impl Made {
    fn to_key(self) -> [u8; 12] {
        let mut key = [0; 12];
        key[..8].copy_from_slice(&self.generation.to_be_bytes());
        key[8..].copy_from_slice(&self.state_version.to_be_bytes());
        key
    }

    /// What a record's key says.
    pub(super) fn from_key(key: &[u8]) -> Option<Self> {
        let (generation, rest) = key.split_first_chunk()?;
        Some(Self {
            generation: u64::from_be_bytes(*generation),
            state_version: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// By whom partials are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    /// A number that no other worker sends under.
    pub(super) number: u32,
    pub(super) made: Made,
}

/// Where partials are sent.
pub(super) struct Partials {
    topic: Arc<str>,
    partitions: i32,
    /// The largest value that a record may have.
    most: usize,
    windowing: Arc<Windowing>,
    /// The watermarks that have been sent, of partitions that are this worker's.
    sent: BTreeMap<TopicPartition, Timestamp>,
    /// Sessions that have come together since the last commit: the final tasks join them with the others.
    pub(super) sessions: Sessions,
    /// Counted windows have one stage, so nothing is counted here.
    pub(super) counters: Counters,
    /// Rows that may be late, each with the number of its source partition.
    held: Vec<(u32, HeldRow)>,
    /// The next commit says of all that have ended that they have.
    says_again: bool,
}

impl Partials {
    /// To a topic of so many partitions.
    pub(super) fn new(
        topic: Arc<str>,
        partitions: i32,
        most: usize,
        windowing: Arc<Windowing>,
    ) -> Self {
        Self {
            topic,
            partitions,
            most,
            windowing,
            sent: BTreeMap::new(),
            sessions: Sessions::new(),
            counters: Counters::default(),
            held: Vec::new(),
            says_again: false,
        }
    }

    /// Adds a row that may be late, from the source partition of this number.
    pub(super) fn hold(&mut self, source: u32, row: HeldRow) {
        self.held.push((source, row));
    }

    /// Lets the next commit say of all partitions that have ended that they have.
    pub(super) fn say_again(&mut self) {
        self.says_again = true;
    }

    /// Whether there is that to say.
    pub(super) fn says_again(&self) -> bool {
        self.says_again
    }

    /// Stages what has come into the slots `dirty` since the last commit, and the watermarks that have moved, each with whether its
    /// partition has ended.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn stage<'a>(
        &mut self,
        dirty: &[Slot],
        sender: Sender,
        watermarks: impl Iterator<Item = (&'a TopicPartition, Timestamp, bool)>,
        contents: &mut Contents,
        outbox: &mut Outbox,
        now: Timestamp,
    ) -> Result<(), StepError> {
        let mut writers: BTreeMap<i32, ExchangeWriter> = BTreeMap::new();
        for slots in dirty.chunks(AT_ONCE) {
            let deltas = contents.take_deltas(slots)?;
            for (slot, delta) in slots.iter().zip(deltas.iter()) {
                let Some((_, pane, key)) = contents.slots().of(*slot) else {
                    continue;
                };
                // A session has grown since its pane began.
                let session = match pane.is_pending() {
                    true => None,
                    false => self.sessions.of_pane(key, pane.span),
                };
                let pane = session.map_or(pane, |session| Pane::of(session.span));
                let to = self.target(pane, key);
                let writer = writers
                    .entry(to)
                    .or_insert_with(|| ExchangeWriter::new(self.most));
                writer.part(pane, key, sender.number, delta.unwrap_or_default());
            }
        }
        for (source, row) in std::mem::take(&mut self.held) {
            let to = self.target(Pane::of(row.span), &row.key);
            let writer = writers
                .entry(to)
                .or_insert_with(|| ExchangeWriter::new(self.most));
            writer.held(source, &row);
        }
        let says_again = std::mem::take(&mut self.says_again);
        for (at, watermark, has_ended) in watermarks {
            let is_told = watermark == Timestamp::MIN || self.sent.get(at) == Some(&watermark);
            if is_told && !(has_ended && says_again) {
                continue;
            }
            for to in 0..self.partitions {
                let writer = writers
                    .entry(to)
                    .or_insert_with(|| ExchangeWriter::new(self.most));
                if !is_told {
                    writer.watermark(at, watermark);
                }
                if has_ended {
                    writer.ended(at);
                }
            }
            if !is_told {
                self.sent.insert(at.clone(), watermark);
            }
        }
        let key = sender.made.to_key();
        for (to, writer) in writers {
            writer.finish(|value| {
                let parts = RecordParts {
                    partition: Some(to),
                    timestamp: now,
                    key: Some(&key),
                    value: Some(value),
                    headers: &[],
                };
                outbox.push(&self.topic, parts);
            });
        }
        Ok(())
    }

    /// After a commit: lets go of accumulators of panes that can get no more rows, when the lowest watermark of this worker's
    /// source partitions is `watermark`.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn close(
        &mut self,
        watermark: Timestamp,
        contents: &mut Contents,
    ) -> Result<(), StepError> {
        if self.windowing.has_sessions() {
            // Where a session will end is not known here; what has come of it has been sent.
            self.sessions = Sessions::new();
            let slots = contents.slots().slots_of(PARTIALS);
            return contents.free(&slots);
        }
        let is_closed = |pane: Pane| match pane.is_pending() {
            true => pane.since <= watermark,
            false => self.windowing.closed_at(pane.span) <= watermark,
        };
        loop {
            let slots = contents.slots();
            let first = slots.first_after(PARTIALS, Timestamp::MIN).map(Pane::of);
            let panes = [first, slots.first_pending(PARTIALS)];
            let Some(pane) = panes.into_iter().flatten().find(|pane| is_closed(*pane)) else {
                return Ok(());
            };
            let keys = contents.slots().keys(PARTIALS, pane);
            let slots: Vec<Slot> = keys.into_iter().map(|(_, slot)| slot).collect();
            contents.free(&slots)?;
        }
    }

    /// Forgets what has been sent: after an abort, and of partitions that are another's now.
    pub(super) fn forget(&mut self, keep: impl Fn(&TopicPartition) -> Option<Timestamp>) {
        self.sent = std::mem::take(&mut self.sent)
            .into_keys()
            .filter_map(|at| keep(&at).map(|watermark| (at, watermark)))
            .collect();
    }

    /// After an abort: throws away what has not been sent.
    pub(super) fn roll_back(&mut self) {
        self.sessions = Sessions::new();
        self.held.clear();
    }

    /// The partition to which a pane and key go: all panes of a window to the same.
    fn target(&self, pane: Pane, key: &[u8]) -> i32 {
        let start = match self.windowing.spreads_by_window() {
            true => pane.span.start,
            false => Timestamp(0),
        };
        target(start, key, self.partitions)
    }
}

/// The partition to which a window that begins at `start` and key go: the same on every host.
fn target(start: Timestamp, key: &[u8], partitions: i32) -> i32 {
    let mut bytes = Vec::with_capacity(8 + key.len());
    bytes.extend_from_slice(&start.0.to_be_bytes());
    bytes.extend_from_slice(key);
    partition_of(&bytes, partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_made_partials_stands_in_their_key() {
        let made = Made {
            generation: 1 << 40,
            state_version: 7,
        };
        assert_eq!(Made::from_key(&made.to_key()), Some(made));
        assert_eq!(Made::from_key(b""), None);
        assert_eq!(Made::from_key(&[0; 13]), None);
    }

    /// A change here sends a window's partials to two tasks.
    #[test]
    fn a_window_and_key_go_where_they_have_always_gone() {
        let at = [
            target(Timestamp(0), b"", 8),
            target(Timestamp(60_000), b"", 8),
            target(Timestamp(-60_000), b"DE", 8),
            target(Timestamp(0), b"DE", 8),
        ];
        assert_eq!(at, [3, 7, 1, 3]);
    }
}
