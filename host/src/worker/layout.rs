//! How the contents of a window and key lie in the changelog, and how a change to them is written. Pure.
//!
//! Contents are a *base* (write number 0) and *deltas* (one write each); merged, in any order, they are the whole. What is
//! small is written whole, over its base, so that there is one record for it. What is large is written as deltas, so that a
//! commit costs what changed; now and then they are folded into a new base, so that the records stay few.

use crate::state::Write;

/// Contents of up to so many bytes are written whole: a record of that size costs about what a small one does.
const SMALL: usize = 1_024;
/// Deltas are folded when there are so many, and they have grown to a good part of the base.
const FOLD: usize = 16;
/// Deltas are folded when there are so many, however small they are.
const FOLD_ANYWAY: usize = 128;

/// What is known of the records in which some contents lie.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Layout {
    /// How many chunks the base has; `None` where there is no base.
    pub(super) base: Option<u32>,
    pub(super) base_bytes: usize,
    /// The deltas, each with its number of chunks.
    pub(super) deltas: Vec<(Write, u32)>,
    pub(super) delta_bytes: usize,
}

impl Layout {
    /// Whether there is no record.
    pub(super) fn is_empty(&self) -> bool {
        self.base.is_none() && self.deltas.is_empty()
    }

    /// Takes note of a write of so many chunks and bytes.
    pub(super) fn wrote(&mut self, write: Write, chunks: u32, bytes: usize) {
        if write == Write::BASE {
            self.base = Some(chunks);
            self.base_bytes = bytes;
        } else {
            self.deltas.push((write, chunks));
            self.delta_bytes += bytes;
        }
    }

    /// The records that a new base of `chunks` chunks makes superfluous, as write and chunk.
    pub(super) fn replaced_by(&self, chunks: u32) -> impl Iterator<Item = (Write, u32)> + '_ {
        let of_base = chunks..self.base.unwrap_or(chunks).max(chunks);
        let base = of_base.map(|chunk| (Write::BASE, chunk));
        base.chain(self.deltas())
    }

    /// All records, as write and chunk.
    pub(super) fn records(&self) -> impl Iterator<Item = (Write, u32)> + '_ {
        let base = 0..self.base.unwrap_or_default();
        base.map(|chunk| (Write::BASE, chunk)).chain(self.deltas())
    }

    fn deltas(&self) -> impl Iterator<Item = (Write, u32)> + '_ {
        let chunks = |(write, chunks): &(Write, u32)| {
            let write = *write;
            (0..*chunks).map(move |chunk| (write, chunk))
        };
        self.deltas.iter().flat_map(chunks)
    }
}

/// What the store has of contents that are at hand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Stored {
    /// These records, and all that they hold is at hand too.
    Known(Layout),
    /// There may be more than is at hand. These deltas were written from what is at hand, and so hold nothing new to it.
    Unknown(Vec<Write>),
}

/// How a change is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    /// The delta is all there is: it becomes the base.
    First,
    /// The whole becomes the base, in place of all records before.
    Whole,
    /// The delta goes beside what is there.
    Delta,
}

impl Stored {
    /// Whether the store's part has to be brought back before the next write, so that it can be folded.
    pub(super) fn wants_folding(&self) -> bool {
        matches!(self, Stored::Unknown(writes) if writes.len() >= FOLD)
    }

    /// Whether a stored write holds what is not at hand.
    pub(super) fn lacks(&self, write: Write) -> bool {
        matches!(self, Stored::Unknown(writes) if !writes.contains(&write))
    }

    /// How a change is written whose delta has `delta` bytes.
    pub(super) fn how(&self, delta: usize) -> How {
        match self {
            Stored::Unknown(_) => How::Delta,
            Stored::Known(layout) if layout.is_empty() => How::First,
            Stored::Known(layout) => {
                let deltas = layout.delta_bytes + delta;
                let is_small = layout.base_bytes + deltas <= SMALL;
                let has_grown = deltas >= layout.base_bytes / 4;
                let count = layout.deltas.len();
                if is_small || (count >= FOLD && has_grown) || count >= FOLD_ANYWAY {
                    How::Whole
                } else {
                    How::Delta
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(base: usize, deltas: &[usize]) -> Layout {
        let mut layout = Layout::default();
        layout.wrote(Write::BASE, 1, base);
        for (write, bytes) in (1..).zip(deltas) {
            layout.wrote(Write(write), 1, *bytes);
        }
        layout
    }

    #[test]
    fn the_first_change_is_the_base() {
        assert_eq!(Stored::Known(Layout::default()).how(1 << 20), How::First);
    }

    #[test]
    fn what_is_small_is_written_whole_and_what_is_large_as_deltas() {
        assert_eq!(Stored::Known(layout(20, &[])).how(20), How::Whole);
        assert_eq!(Stored::Known(layout(20, &[])).how(2_000), How::Delta);
        assert_eq!(Stored::Known(layout(2_000, &[])).how(20), How::Delta);
    }

    #[test]
    fn many_deltas_are_folded_once_they_are_worth_it() {
        let few = Stored::Known(layout(100_000, &[2_000; 15]));
        assert_eq!(few.how(2_000), How::Delta);
        let many = Stored::Known(layout(100_000, &[2_000; 16]));
        assert_eq!(many.how(2_000), How::Whole);
        let tiny = Stored::Known(layout(1_000_000, &[10; 100]));
        assert_eq!(tiny.how(10), How::Delta);
        let endless = Stored::Known(layout(1_000_000, &[10; 128]));
        assert_eq!(endless.how(10), How::Whole);
    }

    #[test]
    fn what_is_not_all_at_hand_cannot_be_written_whole() {
        let unknown = |writes| Stored::Unknown((1..=writes).map(Write).collect());
        assert_eq!(unknown(1_000).how(1), How::Delta);
        assert!(!unknown(15).wants_folding());
        assert!(unknown(16).wants_folding());
    }

    #[test]
    fn what_was_written_from_what_is_at_hand_is_not_lacking() {
        let unknown = Stored::Unknown(vec![Write(7), Write(9)]);
        assert!(unknown.lacks(Write::BASE) && unknown.lacks(Write(8)));
        assert!(!unknown.lacks(Write(7)) && !unknown.lacks(Write(9)));
        assert!(
            !Stored::Known(layout(20, &[20])).lacks(Write(1)),
            "all of it is at hand"
        );
    }

    #[test]
    fn a_new_base_leaves_no_record_of_before() {
        let mut layout = Layout::default();
        layout.wrote(Write::BASE, 3, 3_000);
        layout.wrote(Write(7), 2, 2_000);
        let replaced: Vec<_> = layout.replaced_by(1).collect();
        let expected = [
            (Write::BASE, 1),
            (Write::BASE, 2),
            (Write(7), 0),
            (Write(7), 1),
        ];
        assert_eq!(replaced, expected);
        assert_eq!(layout.replaced_by(5).count(), 2);
        assert_eq!(layout.records().count(), 5);
    }
}
