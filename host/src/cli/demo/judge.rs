//! Compares what the pipeline counted with what the generator knows.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

use crate::generate::ExpectedWindow;

/// A result as it stands in the sink.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Counted {
    pub(super) window_start_ms: i64,
    pub(super) window_end_ms: i64,
    pub(super) unique_visitors: u64,
}

/// A result beside the right answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Judged {
    pub(super) counted: Counted,
    /// `None` if there should be no such result, or no second one.
    pub(super) right: Option<u64>,
}

impl Judged {
    pub(super) fn agrees(&self) -> bool {
        self.right == Some(self.counted.unique_visitors)
    }
}

/// Compares results one by one.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// By the start of the window: whether its only result agrees.
    windows: BTreeMap<i64, bool>,
}

impl Judge {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Compares a result with the windows that the generator knows to be closed.
    ///
    /// # Errors
    /// If the value is no result.
    pub(super) fn judge(
        &mut self,
        value: &[u8],
        closed: &[ExpectedWindow],
    ) -> anyhow::Result<Judged> {
        let counted: Counted = serde_json::from_slice(value).context("a result can't be read")?;
        let start = counted.window_start_ms;
        let is_first = !self.windows.contains_key(&start);
        let right = closed
            .iter()
            .find(|window| (window.start, window.end) == (start, counted.window_end_ms))
            .filter(|_| is_first)
            .map(|window| window.unique_visitors);
        let judged = Judged { counted, right };
        self.windows.insert(start, judged.agrees());
        Ok(judged)
    }

    /// How many windows agree, once all results are there. A closed window without a result does not.
    pub(super) fn finish(&self, closed: &[ExpectedWindow]) -> Windows {
        let is_missing = |window: &&ExpectedWindow| !self.windows.contains_key(&window.start);
        let missing = closed.iter().filter(is_missing).count();
        Windows {
            compared: self.windows.len() + missing,
            agreed: self.windows.values().filter(|agrees| **agrees).count(),
            missing,
        }
    }
}

/// How many windows there are, and agree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Windows {
    /// Windows that have a result, or should.
    pub(super) compared: usize,
    /// Those whose result is right.
    pub(super) agreed: usize,
    /// Those that should have a result and have none.
    pub(super) missing: usize,
}

/// How many records there are, and how many there should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Tally {
    pub(super) found: u64,
    pub(super) right: u64,
}

impl Tally {
    pub(super) fn agrees(&self) -> bool {
        self.found == self.right
    }
}

/// What came of it all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Outcome {
    /// From the first click until all were processed.
    pub(super) elapsed: Duration,
    /// Rows written.
    pub(super) rows: u64,
    pub(super) windows: Windows,
    /// Windows that only later clicks could close.
    pub(super) still_open: usize,
    /// Against the malformed rows.
    pub(super) dead_letters: Tally,
    /// Against the late clicks.
    pub(super) late: Tally,
    /// Clicks that the filter dropped.
    pub(super) filtered: u64,
}

impl Outcome {
    /// Whether everything agrees.
    ///
    /// # Errors
    /// With what does not, or that there was nothing to compare.
    pub(super) fn verdict(&self) -> Result<(), &'static str> {
        let windows_agree = self.windows.agreed == self.windows.compared;
        if !windows_agree || !self.dead_letters.agrees() || !self.late.agrees() {
            return Err(
                "the pipeline's results are not the generator's: this is a bug in Millstream",
            );
        }
        if self.windows.compared == 0 {
            return Err("it ended before a window had closed, so no result could be compared");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn window(start: i64, unique_visitors: u64) -> ExpectedWindow {
        ExpectedWindow {
            start,
            end: start + 10,
            unique_visitors,
            clicks: 9,
        }
    }

    fn result(start: i64, unique_visitors: u64) -> Vec<u8> {
        let end = start + 10;
        format!(
            r#"{{"window_start":"-","window_start_ms":{start},"window_end_ms":{end},"unique_visitors":{unique_visitors}}}"#
        )
        .into_bytes()
    }

    /// Which results agree, and the windows of all.
    fn judged(results: &[Vec<u8>], closed: &[ExpectedWindow]) -> (Vec<bool>, Windows) {
        let mut judge = Judge::new();
        let agree = results
            .iter()
            .map(|value| judge.judge(value, closed).unwrap().agrees())
            .collect();
        (agree, judge.finish(closed))
    }

    fn windows(compared: usize, agreed: usize, missing: usize) -> Windows {
        Windows {
            compared,
            agreed,
            missing,
        }
    }

    #[test]
    fn a_window_agrees_if_its_count_is_right() {
        let closed = [window(0, 3), window(10, 4)];
        let found = judged(&[result(0, 3), result(10, 5)], &closed);
        assert_eq!(found, (vec![true, false], windows(2, 1, 0)));
    }

    #[test]
    fn a_window_without_a_result_does_not_agree() {
        assert_eq!(judged(&[], &[window(0, 3)]).1, windows(1, 0, 1));
    }

    #[test]
    fn a_result_that_should_not_be_does_not_agree() {
        let (agree, found) = judged(&[result(20, 3)], &[window(0, 3)]);
        assert_eq!((agree, found), (vec![false], windows(2, 0, 1)));
    }

    #[test]
    fn a_second_result_makes_a_window_disagree() {
        let (agree, found) = judged(&[result(0, 3), result(0, 3)], &[window(0, 3)]);
        assert_eq!((agree, found), (vec![true, false], windows(1, 0, 0)));
    }

    #[test]
    fn a_result_that_is_none_is_an_error() {
        assert!(Judge::new().judge(b"{}", &[]).is_err());
    }

    #[test]
    fn only_full_agreement_on_something_is_success() {
        let tally = |found, right| Tally { found, right };
        let good = Outcome {
            elapsed: Duration::from_secs(1),
            rows: 10,
            windows: windows(2, 2, 0),
            still_open: 1,
            dead_letters: tally(1, 1),
            late: tally(2, 2),
            filtered: 3,
        };
        assert_eq!(good.verdict(), Ok(()));
        for bad in [
            Outcome {
                windows: windows(2, 1, 0),
                ..good
            },
            Outcome {
                windows: windows(0, 0, 0),
                ..good
            },
            Outcome {
                dead_letters: tally(0, 1),
                ..good
            },
            Outcome {
                late: tally(3, 2),
                ..good
            },
        ] {
            assert!(bad.verdict().is_err(), "{bad:?}");
        }
    }
}
