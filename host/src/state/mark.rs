//! What is committed beside an offset.
//!
//! # Layout, version 2
//! JSON, at most 4,096 bytes, as Kafka stores no more beside an offset:
//!
//! ```json
//! {"v":2,"watermark":1700000000000,"highest":1700000005000,"shape":{"stages":"one","partitions":1,"kind":"aggregate","function":"visitors",
//! "window":"tumbling 1m"},"state":{"lineage":"source-0/1700000000000/5f1d-0","base":12}}
//! ```
//!
//! - `v`: the version of this format. Version 1 was written by builds that kept no state: their windows were built again from
//!   the source, so that the offsets mean something else. They are not read.
//! - `watermark`: the partition's watermark before the offset, in milliseconds; absent if it had none.
//! - `highest`: the partition's highest event time before the offset; absent if it had none. Windows that are closed without further
//!   rows are closed up to there.
//! - `shape`: what the state was made with, see [`Shape`].
//! - `state`: which history of the changelog belongs to the offset, and where it begins; absent if the task has no state.
//!
//! Absent members of a shape are empty or 0.
//!
//! # Stories of a crash
//! The mark is part of the transaction that commits the offset, the results and the changelog's records. Whoever takes
//! the partition over reads it and knows which records of the changelog to trust: those of its lineage, from its base on.
//! - *Somebody has set the group's offsets by hand*: the mark is gone, which is told as [`FormatError::Foreign`].
//! - *State was reset*: the next owner begins a lineage; records and local entries of the one before are not its own.

use serde::{Deserialize, Serialize};

use super::shape::Shape;
use super::task::Lineage;
use crate::format::FormatError;
use crate::log::Offset;
use crate::time::Timestamp;

const WHAT: &str = "what stands beside the committed offset";
const VERSION: u32 = 2;

/// What is committed beside an offset.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mark {
    /// The partition's watermark before the offset; [`Timestamp::MIN`] if it had none.
    pub watermark: Timestamp,
    /// The partition's highest event time before the offset; [`Timestamp::MIN`] if it had none.
    pub highest: Timestamp,
    /// What the state was made with.
    pub shape: Shape,
    /// Where the state is, for a task that has some.
    pub state: Option<Origin>,
    /// The generation of the version that committed it: 0 where nothing had been deployed.
    pub generation: u64,
}

/// A history of a task's state in the changelog.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Its name.
    pub lineage: Lineage,
    /// The changelog's offset at which it begins.
    pub base: Offset,
}

/// The mark as it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watermark: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    highest: Option<i64>,
    shape: Shape,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<WrittenOrigin>,
    #[serde(default, skip_serializing_if = "is_zero")]
    generation: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenOrigin {
    lineage: Lineage,
    base: i64,
}

/// What all versions have.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl Mark {
    /// The mark as JSON.
    pub fn to_json(&self) -> String {
        let written = Written {
            v: VERSION,
            watermark: (self.watermark != Timestamp::MIN).then_some(self.watermark.0),
            highest: (self.highest != Timestamp::MIN).then_some(self.highest.0),
            shape: self.shape.clone(),
            state: self.state.as_ref().map(|origin| WrittenOrigin {
                lineage: origin.lineage.clone(),
                base: origin.base.0,
            }),
            generation: self.generation,
        };
        serde_json::to_string(&written).expect("texts and numbers can be written as JSON")
    }

    /// Reads what [`Mark::to_json`] wrote.
    ///
    /// # Errors
    /// [`FormatError::Foreign`] if it is empty or no mark of any version.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let foreign = |_| FormatError::Foreign(WHAT);
        let Versioned { v: version } = serde_json::from_str(text).map_err(foreign)?;
        if version < VERSION {
            return Err(FormatError::Earlier {
                what: WHAT,
                version,
            });
        }
        if version > VERSION {
            return Err(FormatError::Later {
                what: WHAT,
                version,
            });
        }
        let damaged = FormatError::Damaged(WHAT);
        let written: Written = serde_json::from_str(text).map_err(|_| damaged.clone())?;
        if written.state.as_ref().is_some_and(|state| state.base < 0) {
            return Err(damaged);
        }
        Ok(Self {
            watermark: written.watermark.map_or(Timestamp::MIN, Timestamp),
            highest: written.highest.map_or(Timestamp::MIN, Timestamp),
            shape: written.shape,
            state: written.state.map(|state| Origin {
                lineage: state.lineage,
                base: Offset(state.base),
            }),
            generation: written.generation,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::shape::tests::{aggregate, shape};
    use super::super::task::{Stage, TaskId};
    use super::*;

    fn lineage(member: &str) -> Lineage {
        let task = TaskId {
            stage: Stage::Source,
            partition: 0,
        };
        Lineage::new(Timestamp(i64::MIN), member, task)
    }

    fn mark() -> impl Strategy<Value = Mark> {
        let origin = ("\\PC{1,20}", 0..i64::MAX).prop_map(|(member, base)| Origin {
            lineage: lineage(&member),
            base: Offset(base),
        });
        let generation = any::<u64>();
        (
            any::<[i64; 2]>(),
            shape(),
            prop::option::of(origin),
            generation,
        )
            .prop_map(|(times, shape, state, generation)| Mark {
                watermark: Timestamp(times[0]),
                highest: Timestamp(times[1]),
                shape,
                state,
                generation,
            })
    }

    proptest! {
        #[test]
        fn a_mark_comes_back(mark in mark()) {
            prop_assert_eq!(Mark::parse(&mark.to_json()), Ok(mark));
        }

        #[test]
        fn a_mark_fits_beside_an_offset_whatever_the_texts_are(text in prop::char::any(), length in 0_usize..3_000) {
            let text = text.to_string().repeat(length);
            let mut shape = aggregate();
            for long in [&mut shape.function, &mut shape.window, &mut shape.key, &mut shape.reads] {
                long.clone_from(&text);
            }
            shape.partitions = i32::MAX;
            shape.state_version = u32::MAX;
            let state = Some(Origin { lineage: lineage(&text), base: Offset(i64::MAX) });
            let longest = Timestamp(i64::MIN + 1);
            let json = Mark { watermark: longest, highest: longest, shape, state, generation: u64::MAX }.to_json();
            prop_assert!(json.len() <= 4_096, "{} bytes", json.len());
            prop_assert!(Mark::parse(&json).is_ok());
        }

        #[test]
        fn no_text_makes_parsing_panic(text: String, mark in mark(), cut in any::<prop::sample::Index>()) {
            let _ = Mark::parse(&text);
            let json = mark.to_json();
            let cut = json.floor_char_boundary(cut.index(json.len()));
            prop_assert!(Mark::parse(&json[..cut]).is_err());
        }
    }

    #[test]
    fn offsets_that_were_set_by_hand_are_not_taken_for_damage() {
        for text in ["", "something else", "[]", "{\"watermark\":1}"] {
            assert_eq!(Mark::parse(text), Err(FormatError::Foreign(WHAT)), "{text}");
        }
    }

    #[test]
    fn what_another_build_wrote_is_named_as_that() {
        let before = r#"{"v":1,"watermark":1700000000000,"next":1234,"fired":1699999980000}"#;
        let error = Mark::parse(before).expect_err("version 1 is not read");
        assert_eq!(
            error.to_string(),
            "what stands beside the committed offset was written by an earlier build (format 1)"
        );
        let after = Mark::parse(r#"{"v":3}"#);
        assert!(matches!(after, Err(FormatError::Later { version: 3, .. })));
    }

    #[test]
    fn a_mark_that_was_tampered_with_is_damage() {
        for text in [
            r#"{"v":2}"#,
            r#"{"v":2,"shape":{"stages":"three"}}"#,
            r#"{"v":2,"shape":{"stages":"one"},"state":{"lineage":"x","base":-1}}"#,
            r#"{"v":2,"shape":{"stages":"one"},"state":{"lineage":"","base":1}}"#,
        ] {
            assert_eq!(Mark::parse(text), Err(FormatError::Damaged(WHAT)), "{text}");
        }
    }
}
