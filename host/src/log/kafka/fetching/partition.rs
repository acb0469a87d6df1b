//! A partition that is read: where it stands, what of it waits to be handed out, and whom to ask for more. Decided here, without a socket.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::records::{Malformed, Records, Room};
use crate::log::{Offset, RecordBatch, TopicPartition};

/// How long to rest after something has failed for the first time, and at most.
const REST: Duration = Duration::from_millis(50);
const MOST_REST: Duration = Duration::from_secs(1);

/// How long a replica is read before its leader is asked again; librdkafka has the same.
const LEASE: Duration = Duration::from_secs(5 * 60);

/// How long to rest after so many failures in a row.
pub(super) fn rest_after(failures: u32) -> Duration {
    REST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
        .min(MOST_REST)
}

/// Who has the records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    /// Has to be found out.
    Unknown,
    Leader(i32),
    /// A replica that the leader has named, since it is nearer.
    /// It is asked again after a while who is nearer: one that gets no more records itself does not know it.
    Replica {
        of: i32,
        at: i32,
        until: Instant,
    },
    /// The offset is gone, it is said, and it has to be found out which are there.
    NoOffset,
}

/// A partition that is read.
pub(super) struct Partition {
    pub(super) at: TopicPartition,
    /// Behind what has been handed out.
    position: i64,
    /// Behind what has come.
    next: i64,
    waiting: VecDeque<Records>,
    paused: bool,
    source: Source,
    /// Whether somebody is finding out what is to be found out.
    is_sought: bool,
    rests_until: Option<Instant>,
    failures: u32,
    /// Since when its topic has been missing.
    missing_since: Option<Instant>,
}

impl Partition {
    /// Read from an offset on.
    pub(super) fn new(at: TopicPartition, from: Offset) -> Self {
        Self {
            at,
            position: from.0,
            next: from.0,
            waiting: VecDeque::new(),
            paused: false,
            source: Source::Unknown,
            is_sought: false,
            rests_until: None,
            failures: 0,
            missing_since: None,
        }
    }

    /// Goes on at another offset.
    pub(super) fn seek(&mut self, Offset(to): Offset) {
        self.waiting.clear();
        (self.position, self.next) = (to, to);
        if self.source == Source::NoOffset {
            self.source = Source::Unknown;
            self.is_sought = false;
        }
    }

    /// Hands out nothing until it is resumed.
    pub(super) fn pause(&mut self) {
        self.paused = true;
        self.seek(Offset(self.position));
    }

    pub(super) fn resume(&mut self, from: Offset) {
        self.paused = false;
        self.seek(from);
    }

    /// Whether it is rested, and is to be asked for.
    fn is_wanted(&self, now: Instant) -> bool {
        !self.paused && self.rests_until.is_none_or(|until| now >= until)
    }

    /// Until when it rests, if it does.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.rests_until.filter(|_| !self.paused)
    }

    /// Whether its leader is to be found out. Says so once, until it is told.
    pub(super) fn seeks_leader(&mut self, now: Instant) -> bool {
        self.seeks(Source::Unknown, now)
    }

    /// Whether its bounds are to be found out, likewise.
    pub(super) fn seeks_bounds(&mut self, now: Instant) -> bool {
        self.seeks(Source::NoOffset, now)
    }

    fn seeks(&mut self, what: Source, now: Instant) -> bool {
        let seeks = self.source == what && !self.is_sought && self.is_wanted(now);
        self.is_sought |= seeks;
        seeks
    }

    /// The broker that has its records, if that is known.
    pub(super) fn broker(&self) -> Option<i32> {
        match self.source {
            Source::Leader(leader) => Some(leader),
            Source::Replica { at, .. } => Some(at),
            Source::Unknown | Source::NoOffset => None,
        }
    }

    /// Tells it its leader.
    pub(super) fn led_by(&mut self, leader: i32) {
        if self.source == Source::Unknown {
            self.source = Source::Leader(leader);
            self.is_sought = false;
            self.missing_since = None;
        }
    }

    /// Tells it a replica that is nearer than its leader.
    pub(super) fn nearer_at(&mut self, at: i32, now: Instant) {
        if let Source::Leader(of) = self.source {
            let until = now + LEASE;
            self.source = Source::Replica { of, at, until };
        }
    }

    /// Goes back to its leader, if it has read a replica for long.
    pub(super) fn end_lease(&mut self, now: Instant) {
        if let Source::Replica { of, until, .. } = self.source
            && now >= until
        {
            self.source = Source::Leader(of);
        }
    }

    /// Tells it that an offset is gone. A replica may only be behind, so that its leader is asked before it is found out which is the first.
    pub(super) fn offset_is_gone(&mut self) {
        self.source = match self.source {
            Source::Replica { of, .. } => Source::Leader(of),
            Source::Unknown | Source::Leader(_) | Source::NoOffset => Source::NoOffset,
        };
    }

    /// Tells it which offsets are there: the first, and the one behind the last. Returns from where to where it went, if it had to.
    ///
    /// An offset that is there after all was asked for at somebody who did not lead any more, or not yet. One behind the end is of a topic that
    /// has been made anew, or of records that were lost with their leader: like Kafka's own clients with `auto.offset.reset=earliest` it
    /// begins at the first.
    pub(super) fn has_bounds(
        &mut self,
        (first, end): (Offset, Offset),
        now: Instant,
    ) -> Option<(Offset, Offset)> {
        if self.source != Source::NoOffset {
            return None;
        }
        let stood = Offset(self.next);
        (self.source, self.is_sought) = (Source::Unknown, false);
        if (first..=end).contains(&stood) {
            self.has_failed(now);
            return None;
        }
        if stood < first && self.has_records() {
            // What has come before is handed out first.
            self.next = first.0;
        } else {
            self.seek(first);
        }
        Some((stood, first))
    }

    /// Lets go of whoever had its records, and rests: the next one may have them.
    pub(super) fn has_failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.rests_until = Some(now + rest_after(self.failures));
        if self.source != Source::NoOffset {
            self.source = Source::Unknown;
        }
        self.is_sought = false;
    }

    /// Notes that its topic is missing. Returns whether it has been for so long.
    pub(super) fn is_missing_for(&mut self, long: Duration, now: Instant) -> bool {
        let since = *self.missing_since.get_or_insert(now);
        now.saturating_duration_since(since) >= long
    }

    /// The offset to ask a broker for, if it has the records and they are wanted.
    pub(super) fn wants(&self, broker: i32, now: Instant) -> Option<i64> {
        let is_wanted = self.broker() == Some(broker) && self.is_wanted(now);
        is_wanted.then_some(self.next)
    }

    /// How many bytes wait to be handed out.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().map(Records::left).sum()
    }

    /// Whether an answer to what was asked for at this offset is of use: it may have been sought in since.
    pub(super) fn expects(&self, offset: i64) -> bool {
        !self.paused && self.next == offset
    }

    /// Records have come, up to an offset.
    pub(super) fn arrive(&mut self, records: Records, behind: i64) {
        self.failures = 0;
        self.rests_until = None;
        self.next = behind;
        self.waiting.push_back(records);
    }

    /// Hands out what waits, while there is room.
    ///
    /// # Errors
    /// If something of it can't be read. All before it is handed out, and it is asked for again.
    pub(super) fn take(
        &mut self,
        into: &mut RecordBatch,
        room: &mut Room,
        now: Instant,
    ) -> Result<(), Malformed> {
        while let Some(records) = self.waiting.front_mut() {
            let taken = records.take(into, room);
            if let Some(Offset(last)) = into.last_offset() {
                self.position = last + 1;
            }
            match taken {
                Ok(true) => self.waiting.pop_front(),
                Ok(false) => break,
                Err(malformed) => {
                    self.seek(Offset(self.position));
                    self.has_failed(now);
                    return Err(malformed);
                }
            };
        }
        Ok(())
    }

    /// Whether there is anything to hand out.
    pub(super) fn has_records(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> Partition {
        Partition::new(TopicPartition::new("t", 0), Offset(10))
    }

    /// One whose leader is known.
    fn led(leader: i32, now: Instant) -> Partition {
        let mut partition = partition();
        assert!(partition.seeks_leader(now));
        partition.led_by(leader);
        partition
    }

    #[test]
    fn its_leader_is_found_out_once_and_then_asked() {
        let now = Instant::now();
        let mut partition = partition();
        assert_eq!(partition.wants(1, now), None);
        assert!(partition.seeks_leader(now));
        assert!(!partition.seeks_leader(now), "somebody is at it");
        partition.led_by(1);
        assert!(!partition.seeks_leader(now));
        assert_eq!(partition.wants(1, now), Some(10));
        assert_eq!(partition.wants(2, now), None);
    }

    #[test]
    fn after_a_failure_it_rests_longer_each_time_and_finds_out_its_leader_anew() {
        let now = Instant::now();
        let mut partition = led(1, now);
        partition.has_failed(now);
        assert_eq!(partition.broker(), None);
        assert!(!partition.seeks_leader(now));
        assert!(partition.seeks_leader(now + REST));
        partition.has_failed(now);
        assert!(!partition.seeks_leader(now + REST));
        assert!(partition.seeks_leader(now + 2 * REST));
        assert_eq!(rest_after(1), REST);
        assert_eq!(rest_after(u32::MAX), MOST_REST);
    }

    #[test]
    fn what_was_asked_before_it_was_sought_in_is_of_no_use() {
        let now = Instant::now();
        let mut partition = led(1, now);
        assert!(partition.expects(10));
        partition.seek(Offset(3));
        assert!(!partition.expects(10));
        assert_eq!(partition.wants(1, now), Some(3));
    }

    #[test]
    fn paused_it_is_left_alone_until_it_is_resumed_somewhere() {
        let now = Instant::now();
        let mut partition = led(1, now);
        partition.pause();
        assert_eq!(partition.wants(1, now), None);
        assert!(!partition.expects(10));
        partition.seek(Offset(4));
        assert_eq!(partition.wants(1, now), None);
        partition.resume(Offset(7));
        assert_eq!(partition.wants(1, now), Some(7));
    }

    #[test]
    fn an_offset_that_is_gone_is_asked_for_at_the_leader_before_the_first_is_found_out() {
        let now = Instant::now();
        let mut partition = led(1, now);
        partition.nearer_at(2, now);
        assert_eq!(partition.broker(), Some(2));
        partition.offset_is_gone();
        assert_eq!(partition.broker(), Some(1));
        partition.offset_is_gone();
        assert_eq!(partition.broker(), None);
        assert!(!partition.seeks_leader(now));
        assert!(partition.seeks_bounds(now));
        let bounds = (Offset(15), Offset(20));
        assert_eq!(
            partition.has_bounds(bounds, now),
            Some((Offset(10), Offset(15)))
        );
        assert!(partition.seeks_leader(now));
        partition.led_by(1);
        assert_eq!(partition.wants(1, now), Some(15));
    }

    #[test]
    fn who_seeks_while_the_first_offset_is_found_out_is_asked_for_what_it_sought() {
        let now = Instant::now();
        let mut partition = led(1, now);
        partition.offset_is_gone();
        assert!(partition.seeks_bounds(now));
        partition.seek(Offset(12));
        assert_eq!(partition.has_bounds((Offset(15), Offset(20)), now), None);
        assert!(partition.seeks_leader(now));
        partition.led_by(1);
        assert_eq!(partition.wants(1, now), Some(12));
    }

    #[test]
    fn an_offset_that_is_there_after_all_is_asked_for_again_and_one_behind_the_end_is_not() {
        let now = Instant::now();
        for (first, end) in [(0, 10), (10, 10), (10, 30)] {
            let mut partition = led(1, now);
            partition.offset_is_gone();
            let bounds = (Offset(first), Offset(end));
            assert_eq!(partition.has_bounds(bounds, now), None);
            assert!(partition.seeks_leader(now + REST));
            assert!(partition.expects(10));
        }
        let mut partition = led(1, now);
        partition.offset_is_gone();
        let moved = partition.has_bounds((Offset(2), Offset(9)), now);
        assert_eq!(moved, Some((Offset(10), Offset(2))));
        assert!(partition.expects(2));
    }

    #[test]
    fn a_replica_is_read_for_a_while_and_its_leader_asked_again_then() {
        let now = Instant::now();
        let mut partition = led(1, now);
        partition.nearer_at(2, now);
        partition.end_lease(now + LEASE / 2);
        assert_eq!(partition.broker(), Some(2));
        partition.end_lease(now + LEASE);
        assert_eq!(partition.broker(), Some(1));
    }

    #[test]
    fn a_topic_is_missing_only_after_a_while_in_which_nobody_knew_it() {
        let now = Instant::now();
        let mut partition = partition();
        assert!(!partition.is_missing_for(MOST_REST, now));
        assert!(partition.is_missing_for(MOST_REST, now + MOST_REST));
        assert!(partition.seeks_leader(now));
        partition.led_by(1);
        assert!(!partition.is_missing_for(MOST_REST, now + MOST_REST));
    }
}
