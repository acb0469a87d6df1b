//! What a task knows of itself beside its windows.
//!
//! # Layout, version 2
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: 2 |
//! | 8 | the number of the next write: u64 |
//! | 8 | windows that end at or before this have fired: i64 |
//! | 4 | how many watermarks follow: u32 |
//! | each | length of the topic's name: u32, name: UTF-8, partition: u32, watermark: i64 |
//! | 1 | whether a window is firing: 0 or 1. If it is 1: |
//! | 16 | the window's start and end: i64 each |
//! | 4 and as many as they say | the last of its keys that has fired |
//!
//! Version 1 ends with the watermarks: no window was firing that was not found by what is left of it.
//!
//! The entry is written in the same transaction as the parts that it counts, so a task that is taken over never gives the
//! number of a write that is there to another one.

use super::key::Write;
use crate::format::{FormatError, Reading, put_bytes, put_topic_partition, put_window};
use crate::log::TopicPartition;
use crate::time::Timestamp;
use crate::window::Window;

const WHAT: &str = "the entry of a task";
const VERSION: u8 = 2;

/// What a task knows of itself beside its windows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TaskState {
    /// The number that the next write gets.
    pub next_write: Write,
    /// Windows that end at or before this have been fired, with all their keys.
    pub fired: Timestamp,
    /// The watermarks of the source partitions, as far as they are known.
    pub watermarks: Vec<(TopicPartition, Timestamp)>,
    /// A window that is firing and stays after that, and the last of its keys that has fired.
    pub firing: Option<(Window, Vec<u8>)>,
}

/// A task that has seen nothing.
impl Default for TaskState {
    fn default() -> Self {
        Self {
            next_write: Write::BASE.next(),
            fired: Timestamp::MIN,
            watermarks: Vec::new(),
            firing: None,
        }
    }
}

impl TaskState {
    /// Appends the state as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.next_write.0.to_be_bytes());
        out.extend_from_slice(&self.fired.0.to_be_bytes());
        let count =
            u32::try_from(self.watermarks.len()).expect("a log has far fewer partitions than that");
        out.extend_from_slice(&count.to_be_bytes());
        for (at, watermark) in &self.watermarks {
            put_topic_partition(out, at);
            out.extend_from_slice(&watermark.0.to_be_bytes());
        }
        out.push(self.firing.is_some().into());
        if let Some((window, key)) = &self.firing {
            put_window(out, *window);
            put_bytes(out, key);
        }
    }

    /// Reads what [`TaskState::encode`] wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let version = match bytes.first() {
            Some(1) => 1,
            _ => VERSION,
        };
        let mut reading = Reading::versioned(WHAT, version, bytes)?;
        let next_write = Write(reading.u64()?);
        let fired = reading.timestamp()?;
        let count = reading.u32()?;
        let mut watermarks = Vec::new();
        for _ in 0..count {
            watermarks.push((reading.topic_partition()?, reading.timestamp()?));
        }
        let firing = match version {
            1 => None,
            _ => match reading.u8()? {
                0 => None,
                1 => Some((reading.window()?, reading.bytes()?.to_vec())),
                _ => return Err(reading.damaged()),
            },
        };
        reading.end()?;
        Ok(Self {
            next_write,
            fired,
            watermarks,
            firing,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> impl Strategy<Value = TaskState> {
        let watermark = (any::<String>(), 0..i32::MAX, any::<i64>())
            .prop_map(|(topic, partition, at)| (TopicPartition::new(topic, partition), at));
        let watermarks = prop::collection::vec(watermark, 0..4);
        let firing = prop::option::of((any::<i64>(), any::<i64>(), any::<Vec<u8>>()));
        (any::<u64>(), any::<i64>(), watermarks, firing).prop_map(
            |(next, fired, watermarks, firing)| TaskState {
                firing: firing.map(|(start, end, key)| {
                    let (start, end) = (Timestamp(start), Timestamp(end));
                    (Window { start, end }, key)
                }),
                next_write: Write(next),
                fired: Timestamp(fired),
                watermarks: watermarks
                    .into_iter()
                    .map(|(at, watermark)| (at, Timestamp(watermark)))
                    .collect(),
            },
        )
    }

    fn encode(state: &TaskState) -> Vec<u8> {
        let mut bytes = Vec::new();
        state.encode(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn a_tasks_state_comes_back(state in state()) {
            prop_assert_eq!(TaskState::decode(&encode(&state)), Ok(state));
        }

        #[test]
        fn a_state_that_is_cut_off_or_followed_by_more_is_told(state in state(), cut in any::<prop::sample::Index>()) {
            let mut bytes = encode(&state);
            prop_assert!(TaskState::decode(&bytes[..cut.index(bytes.len())]).is_err());
            bytes.push(0);
            prop_assert!(TaskState::decode(&bytes).is_err());
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
            let _ = TaskState::decode(&[&[VERSION], &bytes[..]].concat());
            let _ = TaskState::decode(&bytes);
        }
    }

    #[test]
    fn a_count_that_the_bytes_do_not_bear_out_is_damage() {
        let mut bytes = encode(&TaskState::default());
        let at = bytes.len() - 5;
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(TaskState::decode(&bytes), Err(FormatError::Damaged(WHAT)));
    }

    #[test]
    fn a_later_version_is_not_taken_for_damage() {
        let mut bytes = encode(&TaskState::default());
        bytes[0] = VERSION + 1;
        let error = TaskState::decode(&bytes);
        assert!(matches!(error, Err(FormatError::Later { version: 3, .. })));
    }
}
