//! Which of the records that librdkafka hands out for a partition have been handed out before. Pure.
//!
//! Offsets alone can't tell a topic that was made anew from records that come again, where the new one ends within the last batch of the
//! old. That a topic was deleted librdkafka tells as an error, after which a session begins its partitions again.

use crate::log::Offset;

/// Where a partition is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// Where the last batch that had anything new began. What comes again begins there at the earliest.
    last: i64,
    /// Where the batch began that is under way.
    this: i64,
    /// Behind the last record.
    next: i64,
}

impl Place {
    /// At an offset that was asked for.
    pub(super) fn at(offset: Offset) -> Self {
        let Offset(offset) = offset;
        Self {
            last: offset,
            this: offset,
            next: offset,
        }
    }

    /// Another batch is looked at.
    pub(super) fn begin_batch(&mut self) {
        if self.next > self.this {
            self.last = self.this;
        }
        self.this = self.next;
    }

    /// Whether a record has not been handed out before; then its place is behind it. An offset before anything that could come again is that
    /// of a topic which has been made anew, or has lost its end.
    pub(super) fn is_new(&mut self, offset: i64) -> bool {
        if (self.last..self.next).contains(&offset) {
            return false;
        }
        if offset < self.last {
            (self.last, self.this) = (offset, offset);
        }
        self.next = offset + 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is new of batches, one after the other.
    fn new_of(place: &mut Place, batches: &[&[i64]]) -> Vec<i64> {
        let mut new = Vec::new();
        for batch in batches {
            place.begin_batch();
            new.extend(batch.iter().filter(|offset| place.is_new(**offset)));
        }
        new
    }

    #[test]
    fn what_comes_again_is_passed_over_in_one_batch_or_in_several() {
        let mut place = Place::at(Offset(10));
        let batches: [&[i64]; 5] = [&[10, 11], &[12, 13, 14], &[12], &[13, 14, 15], &[16]];
        assert_eq!(new_of(&mut place, &batches), [10, 11, 12, 13, 14, 15, 16]);
    }

    #[test]
    fn gaps_are_nothing_special() {
        let mut place = Place::at(Offset(0));
        assert_eq!(
            new_of(&mut place, &[&[0, 5], &[9], &[9, 20]]),
            [0, 5, 9, 20]
        );
    }

    #[test]
    fn a_topic_that_was_made_anew_is_read_from_its_beginning() {
        let mut place = Place::at(Offset(100));
        assert_eq!(new_of(&mut place, &[&[0, 1], &[2]]), [0, 1, 2]);
        let mut place = Place::at(Offset(0));
        let batches: [&[i64]; 4] = [&[10, 11], &[12], &[0, 1], &[2]];
        assert_eq!(new_of(&mut place, &batches), [10, 11, 12, 0, 1, 2]);
    }

    proptest! {
        /// However often the assignment changes in the middle of a batch, each record is handed out once and in order.
        #[test]
        fn each_record_is_new_once(
            begin in 0..1_000_i64,
            batches in prop::collection::vec((1..6_i64, any::<bool>()), 1..40),
        ) {
            let mut place = Place::at(Offset(begin));
            // What librdkafka fetches next, and what it has noted as taken.
            let (mut new, mut next, mut taken) = (Vec::new(), begin, begin);
            for (len, comes_again) in batches {
                let batch = next..next + len;
                place.begin_batch();
                new.extend(batch.clone().filter(|offset| place.is_new(*offset)));
                next = if comes_again { taken } else { batch.end };
                taken = taken.max(batch.end);
            }
            // The last batch came, whether or not it was to come again.
            let expected: Vec<i64> = (begin..begin + i64::try_from(new.len()).unwrap_or(0)).collect();
            prop_assert_eq!(new, expected);
        }
    }
}
