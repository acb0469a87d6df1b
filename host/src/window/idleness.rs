//! What silence means: what a partition promises that brings nothing, and up to where windows are closed when none brings anything.
//! Pure.
//!
//! A partition that is read to its end and has brought nothing for a while is *idle*. It promises to be judged, from now on, as if it
//! had come as far as the slowest of those that are not idle, so that it holds nobody's windows open. Where all are idle nobody
//! promises anything: time stands still, unless windows are to be closed by the wall clock.

use std::time::Duration;

use crate::log::Offset;
use crate::time::Timestamp;

/// How a source partition is being read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reading {
    /// It is being taken over, and nothing of it has been read.
    Pending,
    /// It may have more right now.
    Active,
    /// It is read to its end, and has brought nothing since this monotonic time.
    Quiet(Duration),
    /// It is read as far as the run goes.
    Ended,
}

/// What the workers of a process know of one source partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Its watermark.
    pub watermark: Timestamp,
    /// Its highest event time; [`Timestamp::MIN`] if it had none.
    pub highest: Timestamp,
    /// How it is being read.
    pub reading: Reading,
}

impl Standing {
    /// Whether it has been silent for as long as this at monotonic time `now`. What has ended is silent for ever; without a span
    /// nothing else is.
    pub fn is_silent(&self, now: Duration, span: Option<Duration>) -> bool {
        match self.reading {
            Reading::Pending | Reading::Active => false,
            Reading::Quiet(since) => span.is_some_and(|span| now.saturating_sub(since) >= span),
            Reading::Ended => true,
        }
    }
}

/// What those that are idle promise: the lowest watermark of those that are not. `None` if all are idle.
pub fn promise(
    standings: &[Standing],
    now: Duration,
    idle_after: Option<Duration>,
) -> Option<Timestamp> {
    let goes_on = |standing: &&Standing| !standing.is_silent(now, idle_after);
    let going_on = standings.iter().filter(goes_on);
    going_on.map(|standing| standing.watermark).min()
}

/// The highest event time of all partitions, if none of them has brought anything for as long as this: up to its windows all can be
/// closed. `None` as long as one goes on, or if none ever had a row.
pub fn last_event(
    standings: &[Standing],
    now: Duration,
    close_idle_after: Option<Duration>,
) -> Option<Timestamp> {
    let are_silent = standings
        .iter()
        .all(|standing| standing.is_silent(now, close_idle_after));
    let highest = standings.iter().map(|standing| standing.highest).max();
    highest.filter(|highest| are_silent && *highest != Timestamp::MIN)
}

/// How long a partition has brought nothing, and what is known of its end.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    since: Duration,
    /// When the log was last asked about its end, and whether it was reached.
    looked: Option<(Duration, bool)>,
    /// Up to here the partition has no record that has not come.
    empty_to: Offset,
}

impl Silence {
    /// One that begins at this monotonic time.
    pub fn since(now: Duration) -> Self {
        Self {
            since: now,
            looked: None,
            empty_to: Offset(0),
        }
    }

    /// Whether the log is to be asked whether the partition is at its end: it has been silent for `span`, and the last answer
    /// is as old.
    pub fn wants_look(&self, now: Duration, span: Duration) -> bool {
        let is_old = |(at, _): (Duration, bool)| now.saturating_sub(at) >= span;
        now.saturating_sub(self.since) >= span && self.looked.is_none_or(is_old)
    }

    /// Takes note of the answer.
    pub fn looked(&mut self, now: Duration, is_at_end: bool) {
        self.looked = Some((now, is_at_end));
    }

    /// Takes note that there is no record up to an offset: what lies there is not for readers.
    pub fn found_empty(&mut self, to: Offset) {
        self.empty_to = to;
    }

    /// Whether that is known up to this offset.
    pub fn is_empty_to(&self, end: Offset) -> bool {
        self.empty_to >= end
    }

    /// How the partition is being read. An answer that is twice as old as it should be says nothing any more: the worker was kept
    /// from asking, and records may wait since.
    pub fn reading(&self, now: Duration, span: Duration) -> Reading {
        match self.looked {
            Some((at, true)) if now.saturating_sub(at) < span * 2 => Reading::Quiet(self.since),
            _ => Reading::Active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn standing(watermark: i64, reading: Reading) -> Standing {
        Standing {
            watermark: Timestamp(watermark),
            highest: Timestamp(watermark + 5),
            reading,
        }
    }

    const NOW: Duration = Duration::from_secs(100);
    const SPAN: Option<Duration> = Some(Duration::from_secs(10));

    #[test]
    fn the_idle_follow_the_slowest_that_is_not() {
        let all = [
            standing(7, Reading::Quiet(seconds(90))),
            standing(30, Reading::Active),
            standing(20, Reading::Quiet(seconds(91))),
            standing(40, Reading::Ended),
        ];
        assert_eq!(promise(&all, NOW, SPAN), Some(Timestamp(20)));
        // Without a span only what has ended is out of the way.
        assert_eq!(promise(&all, NOW, None), Some(Timestamp(7)));
    }

    #[test]
    fn nobody_promises_anything_where_all_are_idle_or_one_has_not_begun() {
        let idle = standing(7, Reading::Quiet(Duration::ZERO));
        assert_eq!(promise(&[idle, idle], NOW, SPAN), None);
        let pending = Standing {
            watermark: Timestamp::MIN,
            highest: Timestamp::MIN,
            reading: Reading::Pending,
        };
        let promised = promise(&[idle, pending], NOW, SPAN);
        assert_eq!(promised, Some(Timestamp::MIN));
        assert_eq!(last_event(&[idle, pending], NOW, SPAN), None);
    }

    #[test]
    fn windows_are_closed_when_the_last_has_fallen_silent_up_to_the_highest_event() {
        let older = standing(7, Reading::Quiet(Duration::ZERO));
        let newer = |since| standing(30, Reading::Quiet(since));
        assert_eq!(last_event(&[older, newer(seconds(91))], NOW, SPAN), None);
        let all = [newer(seconds(90)), older];
        assert_eq!(last_event(&all, NOW, SPAN), Some(Timestamp(35)));
        assert_eq!(last_event(&all, NOW, None), None);
        assert_eq!(last_event(&[], NOW, SPAN), None);
        let ended = [standing(7, Reading::Ended), standing(9, Reading::Ended)];
        assert_eq!(last_event(&ended, NOW, None), Some(Timestamp(14)));
    }

    #[test]
    fn the_log_is_asked_once_a_span_and_an_old_answer_is_none() {
        let span = seconds(10);
        let mut silence = Silence::since(seconds(5));
        assert!(!silence.wants_look(seconds(14), span));
        assert!(silence.wants_look(seconds(15), span));
        assert_eq!(silence.reading(seconds(15), span), Reading::Active);
        silence.looked(seconds(15), true);
        assert!(!silence.wants_look(seconds(24), span));
        assert_eq!(
            silence.reading(seconds(24), span),
            Reading::Quiet(seconds(5))
        );
        assert!(silence.wants_look(seconds(25), span));
        assert_eq!(silence.reading(seconds(35), span), Reading::Active);
        silence.looked(seconds(35), false);
        assert_eq!(silence.reading(seconds(36), span), Reading::Active);
    }

    fn some_standing() -> impl Strategy<Value = Standing> {
        let reading = prop_oneof![
            Just(Reading::Pending),
            Just(Reading::Active),
            (0_u64..100).prop_map(|since| Reading::Quiet(seconds(since))),
            Just(Reading::Ended),
        ];
        (0_i64..100, reading).prop_map(|(watermark, reading)| standing(watermark, reading))
    }

    proptest! {
        /// The rule "the lowest of all" needs no exception: a promise never passes one that goes on.
        #[test]
        fn a_promise_never_passes_a_partition_that_goes_on(
            mut all in prop::collection::vec(some_standing(), 0..6),
        ) {
            let lowest = |all: &[Standing]| all.iter().map(|standing| standing.watermark).min();
            let going_on: Vec<Standing> =
                all.iter().copied().filter(|standing| !standing.is_silent(NOW, SPAN)).collect();
            if let Some(to) = promise(&all, NOW, SPAN) {
                prop_assert_eq!(Some(to), lowest(&going_on));
                for standing in all.iter_mut().filter(|standing| standing.is_silent(NOW, SPAN)) {
                    standing.watermark = standing.watermark.max(to);
                }
                prop_assert_eq!(lowest(&all), Some(to));
            } else {
                prop_assert!(going_on.is_empty());
            }
        }
    }
}
