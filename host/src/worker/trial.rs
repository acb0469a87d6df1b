//! Whether a version that is on trial does what it must not: decided from what it and the version before have made of their rows. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So few rows of the version before say nothing of it; and of how long rows take, so many times as few.
const FEW: u64 = 100;
/// How many times as many rows it takes to judge how long they take.
const TIMED: u64 = 50;
/// Of a version with nothing to compare it with, a larger share of rows in error is too much.
const MOST_ALONE: f64 = 0.5;

/// What a version has made of its rows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Rows that came.
    pub rows: u64,
    /// Those of them that could not be processed.
    pub errors: u64,
    /// What processing them took.
    pub took: Duration,
}

impl Tally {
    /// Adds what else there was.
    pub fn add(&mut self, more: Tally) {
        self.rows += more.rows;
        self.errors += more.errors;
        self.took += more.took;
    }

    /// The share of the rows that could not be processed.
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    pub fn error_share(&self) -> f64 {
        self.errors as f64 / self.rows.max(1) as f64
    }

    /// How long a row took.
    #[expect(clippy::cast_precision_loss, reason = "a mean need not be exact")]
    pub fn per_row(&self) -> Duration {
        Duration::from_secs_f64(self.took.as_secs_f64() / self.rows.max(1) as f64)
    }
}

/// What a version on trial may not exceed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrialLimits {
    /// How much larger the share of rows in error may be than that of the version before: 0.01 is one row in a hundred.
    pub more_errors: f64,
    /// How many times as long a row may take.
    pub slower: f64,
    /// After how many rows it is judged by these two.
    pub after_rows: u64,
    /// At how many rows it may fail: trap, or exceed its limits. With 0 the first failure ends the trial.
    pub failures: u32,
}

impl Default for TrialLimits {
    fn default() -> Self {
        Self {
            more_errors: 0.01,
            slower: 5.0,
            after_rows: FEW,
            failures: 0,
        }
    }
}

/// Why a version has failed its trial; `None` if it has not, or not yet.
pub(super) fn judge(before: Tally, now: Tally, limits: &TrialLimits) -> Option<String> {
    if now.rows < limits.after_rows {
        return None;
    }
    let is_alone = before.rows < FEW;
    let most = match is_alone {
        true => MOST_ALONE,
        false => before.error_share() + limits.more_errors,
    };
    let percent = |share: f64| share * 100.0;
    if now.error_share() > most {
        return Some(format!(
            "{} of {} rows could not be processed ({:.2} percent; {:.2} are allowed{})",
            now.errors,
            now.rows,
            percent(now.error_share()),
            percent(most),
            match is_alone {
                true => String::new(),
                false => format!(", since it was {:.2} before", percent(before.error_share())),
            }
        ));
    }
    if before.rows >= FEW * TIMED
        && now.rows >= limits.after_rows.saturating_mul(TIMED)
        && now.per_row() > before.per_row().mul_f64(limits.slower)
    {
        return Some(format!(
            "a row takes {:?}, more than {} times the {:?} of the version before",
            now.per_row(),
            limits.slower,
            before.per_row()
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(rows: u64, errors: u64, micros_each: u64) -> Tally {
        Tally {
            rows,
            errors,
            took: Duration::from_micros(micros_each * rows),
        }
    }

    fn told(before: Tally, now: Tally) -> Option<String> {
        judge(before, now, &TrialLimits::default())
    }

    #[test]
    fn more_errors_than_before_are_too_many() {
        let before = tally(10_000, 300, 1);
        assert_eq!(told(before, tally(10_000, 390, 1)), None);
        let why = told(before, tally(10_000, 410, 1)).expect("4.1 percent against 3");
        assert!(
            why.contains("410 of 10000") && why.contains("4.00 are allowed"),
            "{why}"
        );
        assert_eq!(told(before, tally(99, 99, 1)), None, "too early to say");
    }

    #[test]
    fn with_nothing_to_compare_only_most_rows_in_error_are_too_many() {
        let nothing = Tally::default();
        assert_eq!(told(nothing, tally(1_000, 400, 1)), None);
        assert!(told(nothing, tally(1_000, 501, 1)).is_some());
    }

    #[test]
    fn a_version_that_is_many_times_slower_fails_once_enough_rows_have_come() {
        let before = tally(10_000, 0, 2);
        assert_eq!(told(before, tally(10_000, 0, 10)), None);
        assert_eq!(told(before, tally(4_000, 0, 100)), None, "too few");
        let why = told(before, tally(10_000, 0, 11)).expect("more than five times");
        assert!(why.contains("11µs") && why.contains("2µs"), "{why}");
        assert_eq!(told(tally(4_000, 0, 2), tally(10_000, 0, 11)), None);
    }
}
