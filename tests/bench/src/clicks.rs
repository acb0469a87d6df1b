//! The clicks of the benchmark: each of 100 bytes, made from its number alone, so that what is written and what is expected come from
//! one place.

use std::fmt::Write as _;

/// Where event time begins: the start of a minute, 2026-01-01T00:00:00Z, in milliseconds.
pub(crate) const BEGIN: u64 = 1_767_225_600_000;
/// A window of the jobs, in milliseconds.
pub(crate) const MINUTE: u64 = 60_000;
/// How many people click.
pub(crate) const USERS: u64 = 100_000;
/// How many pages there are.
pub(crate) const URLS: u64 = 1_000;
/// How far event time may go back within a partition, in milliseconds. A row lies less far back.
pub(crate) const DISORDER: u64 = 1_000;
/// How much later the click is that closes all windows before it, in milliseconds.
const LATER: u64 = 3_600_000;

/// One click.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Click {
    pub(crate) event_time: u64,
    pub(crate) user: u64,
    pub(crate) url: u64,
    pub(crate) status: u64,
}

/// A number that looks drawn by lot: the output function of SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Click {
    /// The click of a number, of `events` spread over `minutes` of event time.
    pub(crate) fn of(number: u64, events: u64, minutes: u64) -> Self {
        let drawn = mixed(number);
        let at = BEGIN + DISORDER + number * (minutes * MINUTE - DISORDER) / events;
        Self {
            event_time: at - drawn % (DISORDER - 100),
            user: (drawn >> 16) % USERS,
            url: (drawn >> 36) % URLS,
            status: if drawn >> 63 == 0 { 200 } else { 404 },
        }
    }

    /// The click that closes all windows of so many minutes.
    pub(crate) fn last(minutes: u64) -> Self {
        Self {
            event_time: BEGIN + minutes * MINUTE + LATER,
            user: 0,
            url: 0,
            status: 200,
        }
    }

    /// Its JSON, 100 bytes of it.
    pub(crate) fn write(&self, text: &mut String) {
        let Self {
            event_time,
            user,
            url,
            status,
        } = self;
        text.clear();
        write!(
            text,
            r#"{{"event_time":{event_time},"user_id":"user-{user:07}","url":"/products/{url:04}","status":{status},"pad":"xx"}}"#
        )
        .expect("a string takes what is written");
    }

    /// The minute that it is in: the start of its window.
    pub(crate) fn minute(&self) -> u64 {
        self.event_time / MINUTE * MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_has_a_hundred_bytes_and_lies_where_it_should() {
        let (events, minutes) = (10_000, 3);
        let mut text = String::new();
        let mut latest = 0;
        for number in 0..events {
            let click = Click::of(number, events, minutes);
            click.write(&mut text);
            assert_eq!(text.len(), 100, "{text}");
            assert!(click.event_time >= BEGIN);
            assert!(click.event_time < BEGIN + minutes * MINUTE);
            assert!(click.event_time + DISORDER > latest, "{number} is late");
            latest = latest.max(click.event_time);
        }
        Click::last(minutes).write(&mut text);
        assert_eq!(text.len(), 100, "{text}");
    }
}
