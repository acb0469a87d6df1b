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
use crate::state::ExchangeWriter;
use crate::time::Timestamp;
use crate::window::{Owner, Slot, Window};

/// The number by which its slots are known among those of the worker's tasks, whose numbers are those of partitions.
pub(super) const PARTIALS: Owner = Owner(u32::MAX);

/// Where partials are sent.
pub(super) struct Partials {
    topic: Arc<str>,
    partitions: i32,
    /// The largest value that a record may have.
    most: usize,
    /// The watermarks that have been sent, of partitions that are this worker's.
    sent: BTreeMap<TopicPartition, Timestamp>,
    /// The next commit says of all that have ended that they have.
    says_again: bool,
}

impl Partials {
    /// To a topic of so many partitions.
    pub(super) fn new(topic: Arc<str>, partitions: i32, most: usize) -> Self {
        Self {
            topic,
            partitions,
            most,
            sent: BTreeMap::new(),
            says_again: false,
        }
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
    /// partition has ended. `sender` is a number that no other worker sends under.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn stage<'a>(
        &mut self,
        dirty: &[Slot],
        sender: u32,
        watermarks: impl Iterator<Item = (&'a TopicPartition, Timestamp, bool)>,
        contents: &mut Contents,
        outbox: &mut Outbox,
        now: Timestamp,
    ) -> Result<(), StepError> {
        let mut writers: BTreeMap<i32, ExchangeWriter> = BTreeMap::new();
        for slots in dirty.chunks(AT_ONCE) {
            let deltas = contents.take_deltas(slots)?;
            for (slot, delta) in slots.iter().zip(deltas.iter()) {
                let Some((_, window, key)) = contents.slots().of(*slot) else {
                    continue;
                };
                let to = target(window, key, self.partitions);
                let writer = writers
                    .entry(to)
                    .or_insert_with(|| ExchangeWriter::new(self.most));
                writer.part(window, key, sender, delta.unwrap_or_default());
            }
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
        for (to, writer) in writers {
            writer.finish(|value| {
                let parts = RecordParts {
                    partition: Some(to),
                    timestamp: now,
                    key: None,
                    value: Some(value),
                    headers: &[],
                };
                outbox.push(&self.topic, parts);
            });
        }
        Ok(())
    }

    /// After a commit: lets go of accumulators of windows that end at or before `watermark`, the lowest of this worker's
    /// source partitions.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn close(
        &self,
        watermark: Timestamp,
        contents: &mut Contents,
    ) -> Result<(), StepError> {
        while let Some(window) = contents.slots().first(PARTIALS) {
            if window.end > watermark {
                break;
            }
            let keys = contents.slots().keys(PARTIALS, window);
            let slots: Vec<Slot> = keys.into_iter().map(|(_, slot)| slot).collect();
            contents.free(&slots)?;
        }
        Ok(())
    }

    /// Forgets what has been sent: after an abort, and of partitions that are another's now.
    pub(super) fn forget(&mut self, keep: impl Fn(&TopicPartition) -> Option<Timestamp>) {
        self.sent = std::mem::take(&mut self.sent)
            .into_keys()
            .filter_map(|at| keep(&at).map(|watermark| (at, watermark)))
            .collect();
    }
}

/// The partition to which a window and key go: the same on every host.
fn target(window: Window, key: &[u8], partitions: i32) -> i32 {
    let mut bytes = Vec::with_capacity(8 + key.len());
    bytes.extend_from_slice(&window.start.0.to_be_bytes());
    bytes.extend_from_slice(key);
    partition_of(&bytes, partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change here sends a window's partials to two tasks.
    #[test]
    fn a_window_and_key_go_where_they_have_always_gone() {
        let window = |start| Window {
            start: Timestamp(start),
            end: Timestamp(start + 60_000),
        };
        let at = [
            target(window(0), b"", 8),
            target(window(60_000), b"", 8),
            target(window(-60_000), b"DE", 8),
            target(window(0), b"DE", 8),
        ];
        assert_eq!(at, [3, 7, 1, 3]);
    }
}
