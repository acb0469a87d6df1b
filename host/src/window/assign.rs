//! Which windows a row belongs to, for kinds of windows whose bounds do not depend on rows.
//!
//! Contents are kept in *panes*: spans that no bound of a window cuts, so that a row is accumulated once however many windows it is
//! in. A window's contents are those of its panes.

use std::time::Duration;

use super::Window;
use super::calendar::Calendar;
use crate::time::{Timestamp, millis};

/// Assigns instants to panes, and panes to windows.
#[derive(Clone, Debug)]
pub enum Assigner {
    /// Windows of one size, end to end.
    Tumbling(Tumbling),
    /// Windows of one size that overlap.
    Sliding(Sliding),
    /// Days, weeks or months.
    Calendar(Calendar),
}

impl Assigner {
    /// The pane that holds `at`.
    pub fn pane_of(&self, at: Timestamp) -> Window {
        match self {
            Assigner::Tumbling(windows) => windows.window_of(at),
            Assigner::Sliding(windows) => windows.pane_of(at),
            Assigner::Calendar(calendar) => calendar.window_of(at),
        }
    }

    /// The window with a pane that ends first.
    pub fn first(&self, pane: Window) -> Window {
        match self {
            Assigner::Tumbling(_) | Assigner::Calendar(_) => pane,
            Assigner::Sliding(windows) => windows.first(pane),
        }
    }

    /// The window with a pane that ends last.
    pub fn last(&self, pane: Window) -> Window {
        match self {
            Assigner::Tumbling(_) | Assigner::Calendar(_) => pane,
            Assigner::Sliding(windows) => windows.last(pane),
        }
    }

    /// The windows with a pane, in the order of their ends.
    pub fn windows_of(&self, pane: Window) -> impl Iterator<Item = Window> {
        let last = self.last(pane);
        let slide = match self {
            Assigner::Tumbling(_) | Assigner::Calendar(_) => 0,
            Assigner::Sliding(windows) => windows.slide,
        };
        std::iter::successors(Some(self.first(pane)), move |window| {
            (*window != last).then(|| Window {
                start: Timestamp(window.start.0 + slide),
                end: Timestamp(window.end.0 + slide),
            })
        })
    }

    /// Whether a window is one pane, and a pane one window.
    pub fn is_simple(&self) -> bool {
        !matches!(self, Assigner::Sliding(_))
    }

    /// How long after a pane's end a window with it may end, in milliseconds.
    pub fn reach(&self) -> i64 {
        match self {
            Assigner::Tumbling(_) | Assigner::Calendar(_) => 0,
            Assigner::Sliding(windows) => windows.size,
        }
    }
}

/// Windows of one size that follow each other without gap or overlap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tumbling {
    size: i64,
    offset: i64,
}

impl Tumbling {
    /// Windows of `size` whose starts are multiples of it since 1970-01-01T00:00:00Z, moved by `offset`.
    ///
    /// Returns `None` if `size` is less than a millisecond.
    pub fn new(size: Duration, offset: Duration) -> Option<Self> {
        let size = millis(size);
        (size > 0).then(|| Self {
            size,
            offset: millis(offset) % size,
        })
    }

    /// The window that holds `at`. Floor division puts times before 1970 into the right one too.
    pub fn window_of(&self, at: Timestamp) -> Window {
        let start = at.0 - (at.0 - self.offset).rem_euclid(self.size);
        Window {
            start: Timestamp(start),
            end: Timestamp(start + self.size),
        }
    }
}

/// Windows of one size whose starts are one slide apart: each instant is in several.
///
/// Panes are cut at each start and each end of a window, which makes one or two for each slide (paired windows: Krishnamurthy, Wu and
/// Franklin, "On-the-fly sharing for streamed aggregation", SIGMOD 2006).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sliding {
    size: i64,
    slide: i64,
    offset: i64,
}

impl Sliding {
    /// Windows of `size` whose starts are multiples of `slide` since 1970-01-01T00:00:00Z, moved by `offset`.
    ///
    /// Returns `None` if `slide` is less than a millisecond or more than `size`.
    pub fn new(size: Duration, slide: Duration, offset: Duration) -> Option<Self> {
        let (size, slide) = (millis(size), millis(slide));
        (0 < slide && slide <= size).then(|| Self {
            size,
            slide,
            offset: millis(offset) % slide,
        })
    }

    fn since_slide(&self, at: i64) -> i64 {
        (at - self.offset).rem_euclid(self.slide)
    }

    fn pane_of(&self, at: Timestamp) -> Window {
        let since = self.since_slide(at.0);
        // Where in a slide windows end that began earlier.
        let cut = self.size % self.slide;
        let (from, to) = if since < cut {
            (0, cut)
        } else {
            (cut, self.slide)
        };
        Window {
            start: Timestamp(at.0 - since + from),
            end: Timestamp(at.0 - since + to),
        }
    }

    fn first(&self, pane: Window) -> Window {
        let earliest = pane.end.0 - self.size;
        let start = earliest + (self.slide - self.since_slide(earliest)) % self.slide;
        self.window(start)
    }

    fn last(&self, pane: Window) -> Window {
        self.window(pane.start.0 - self.since_slide(pane.start.0))
    }

    fn window(&self, start: i64) -> Window {
        Window {
            start: Timestamp(start),
            end: Timestamp(start + self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn minute() -> Tumbling {
        Tumbling::new(Duration::from_secs(60), Duration::ZERO).expect("a minute is a size")
    }

    #[test]
    fn the_end_belongs_to_the_next_window() {
        assert_eq!(minute().window_of(Timestamp(59_999)).start, Timestamp(0));
        assert_eq!(
            minute().window_of(Timestamp(60_000)).start,
            Timestamp(60_000)
        );
    }

    #[test]
    fn times_before_1970_lie_in_the_window_that_holds_them() {
        let window = minute().window_of(Timestamp(-1));
        assert_eq!((window.start.0, window.end.0), (-60_000, 0));
        assert_eq!(minute().window_of(Timestamp(-60_000)).start.0, -60_000);
        assert_eq!(minute().window_of(Timestamp(-60_001)).start.0, -120_000);
    }

    #[test]
    fn a_size_of_nothing_is_no_size() {
        assert_eq!(
            Tumbling::new(Duration::from_micros(10), Duration::ZERO),
            None
        );
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_its_window_and_windows_tile(
            at in Timestamp::EARLIEST.0..=Timestamp::LATEST.0,
            size in 1_u64..100_000_000,
            offset in 0_u64..200_000_000,
        ) {
            let windows = Tumbling::new(Duration::from_millis(size), Duration::from_millis(offset))
                .expect("the size is positive");
            let window = windows.window_of(Timestamp(at));
            prop_assert!(window.start.0 <= at && at < window.end.0);
            prop_assert_eq!(u64::try_from(window.end.0 - window.start.0), Ok(size));
            prop_assert_eq!(windows.window_of(window.end).start, window.end);
            prop_assert_eq!(windows.window_of(Timestamp(window.start.0 - 1)).end, window.start);
        }

        /// Against the definition: all windows that hold the instant.
        #[test]
        fn a_sliding_windows_panes_are_in_the_windows_that_hold_their_instants(
            at in -100_000_i64..100_000,
            size in 1_i64..500,
            slide in 1_i64..500,
            offset in 0_u64..1_000,
        ) {
            let slide = slide.min(size);
            let ms = |n: i64| Duration::from_millis(n.unsigned_abs());
            let sliding = Sliding::new(ms(size), ms(slide), Duration::from_millis(offset));
            let assigner = Assigner::Sliding(sliding.expect("the slide is no more than the size"));
            let pane = assigner.pane_of(Timestamp(at));
            let shift = i64::try_from(offset).unwrap_or(0);
            for instant in [pane.start.0, at, pane.end.0 - 1] {
                let holds = |start: &i64| (start - shift).rem_euclid(slide) == 0;
                let expected: Vec<i64> = (instant - size + 1..=instant).filter(holds).collect();
                let found: Vec<i64> = assigner.windows_of(pane).map(|window| window.start.0).collect();
                prop_assert_eq!(&found, &expected);
                prop_assert_eq!(assigner.pane_of(Timestamp(instant)), pane);
            }
            for window in assigner.windows_of(pane) {
                prop_assert!(window.start <= pane.start && pane.end <= window.end);
                prop_assert!(window.end.0 <= pane.end.0 + assigner.reach());
            }
        }
    }
}
