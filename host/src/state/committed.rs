//! What may stand beside a committed offset: a task's [`Mark`], or what an operator has set.
//!
//! # Layout
//! The JSON of a mark, or one of
//!
//! ```json
//! {"v":2,"start":true}
//! {"v":2,"importing":true}
//! ```
//!
//! # Stories of a crash
//! - *After a reset*: every offset of the group has `start` beside it, set in one request. Each task that finds it begins a
//!   lineage of its own, so that nothing which is still in the changelog or in a local store counts any more.
//! - *In the middle of an import*: some of the state has been written and no mark names it yet. Nobody may begin with
//!   offsets like these; importing again, or a reset, ends it.

use serde::{Deserialize, Serialize};

use super::mark::Mark;
use crate::format::FormatError;

const VERSION: u32 = 2;

/// What stands beside a committed offset.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Committed {
    /// A task has committed.
    Mark(Mark),
    /// Reading begins here with nothing known: no watermark, no windows.
    Start,
    /// An import is going on, or was not finished: the pipeline must not start.
    Importing,
}

/// What is not a mark, as it is written.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    start: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    importing: bool,
}

impl Committed {
    /// As JSON.
    pub fn to_json(&self) -> String {
        let (start, importing) = match self {
            Committed::Mark(mark) => return mark.to_json(),
            Committed::Start => (true, false),
            Committed::Importing => (false, true),
        };
        let written = Written {
            v: VERSION,
            start,
            importing,
        };
        serde_json::to_string(&written).expect("numbers and booleans can be written as JSON")
    }

    /// Reads what [`Committed::to_json`] wrote.
    ///
    /// # Errors
    /// As [`Mark::parse`] says.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        match serde_json::from_str(text) {
            Ok(Written {
                v: VERSION,
                start: true,
                importing: false,
            }) => Ok(Committed::Start),
            Ok(Written {
                v: VERSION,
                start: false,
                importing: true,
            }) => Ok(Committed::Importing),
            Ok(_) | Err(_) => Mark::parse(text).map(Committed::Mark),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::Shape;
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn each_comes_back_as_it_was_written() {
        let mark = Mark {
            watermark: Timestamp(-1),
            highest: Timestamp(4),
            shape: Shape::default(),
            state: None,
            generation: 0,
        };
        for committed in [
            Committed::Mark(mark),
            Committed::Start,
            Committed::Importing,
        ] {
            assert_eq!(Committed::parse(&committed.to_json()), Ok(committed));
        }
    }

    /// As they are written today: a later release must read them.
    #[test]
    fn a_start_and_an_import_are_read() {
        assert_eq!(
            Committed::parse(r#"{"v":2,"start":true}"#),
            Ok(Committed::Start)
        );
        assert_eq!(Committed::Start.to_json(), r#"{"v":2,"start":true}"#);
        let importing = r#"{"v":2,"importing":true}"#;
        assert_eq!(Committed::parse(importing), Ok(Committed::Importing));
        assert_eq!(Committed::Importing.to_json(), importing);
    }

    #[test]
    fn what_is_neither_is_told_as_a_mark_is() {
        for text in [
            "",
            "something else",
            r#"{"v":1,"next":3}"#,
            r#"{"v":3,"start":true}"#,
            r#"{"v":2}"#,
        ] {
            assert_eq!(
                Committed::parse(text),
                Mark::parse(text).map(Committed::Mark),
                "{text}"
            );
            assert!(Committed::parse(text).is_err(), "{text}");
        }
    }
}
