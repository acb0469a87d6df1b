//! Accumulators made of accumulators keep the laws that their parts keep.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use millstream_sdk::{Accumulator, PartialError};
use proptest::collection::vec;
use proptest::prelude::*;

/// Counts, one byte for each in a partial; the simplest accumulator whose partials differ in length.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Count {
    whole: usize,
    delta: usize,
}

impl Count {
    fn add(&mut self, n: usize) {
        self.whole += n;
        self.delta += n;
    }
}

impl Accumulator for Count {
    fn snapshot(&self, out: &mut Vec<u8>) {
        out.resize(out.len() + self.whole, b'x');
    }

    fn take_delta(&mut self, out: &mut Vec<u8>) {
        out.resize(out.len() + std::mem::take(&mut self.delta), b'x');
    }

    fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
        if partial.iter().any(|byte| *byte != b'x') {
            return Err(PartialError("not a count".to_owned()));
        }
        self.add(partial.len());
        Ok(())
    }
}

#[derive(Accumulator, Clone, Debug, Default, Eq, PartialEq)]
struct Named {
    small: Count,
    pair: Pair,
    tuple: (Count, Count, Count, Count),
}

#[derive(Accumulator, Clone, Debug, Default, Eq, PartialEq)]
struct Pair(Count, Count);

impl Named {
    fn add(&mut self, [small, first, second, tuple]: [usize; 4]) {
        self.small.add(small);
        self.pair.0.add(first);
        self.pair.1.add(second);
        self.tuple.0.add(tuple);
        self.tuple.3.add(tuple);
    }
}

fn delta(of: &mut impl Accumulator) -> Vec<u8> {
    let mut out = Vec::new();
    of.take_delta(&mut out);
    out
}

fn snapshot(of: &impl Accumulator) -> Vec<u8> {
    let mut out = Vec::new();
    of.snapshot(&mut out);
    out
}

proptest! {
    #[test]
    fn deltas_merged_in_any_grouping_equal_the_whole(
        steps in vec((any::<[u8; 4]>(), any::<bool>(), any::<bool>()), 0..20),
    ) {
        let mut whole = Named::default();
        let mut halves = [Named::default(), Named::default()];
        for (amounts, take, half) in steps {
            whole.add(amounts.map(usize::from));
            if take {
                halves[usize::from(half)].merge(&delta(&mut whole)).unwrap();
            }
        }
        let [mut joined, second] = halves;
        joined.merge(&snapshot(&second)).unwrap();
        joined.merge(&delta(&mut whole)).unwrap();
        prop_assert_eq!(snapshot(&joined), snapshot(&whole));
        prop_assert_eq!(delta(&mut whole), b"");
    }

    #[test]
    fn no_partial_makes_merging_panic(partial in vec(prop_oneof![Just(0u8), Just(1), Just(b'x'), any::<u8>()], 0..60)) {
        let mut merged = Named::default();
        if merged.merge(&partial).is_ok() && !partial.is_empty() {
            // What was taken for a partial was one.
            let again = snapshot(&merged);
            prop_assert!(again == partial || merged == Named::default());
        }
    }
}

#[test]
fn empty_is_zero_bytes() {
    assert_eq!(snapshot(&Named::default()), b"");
    assert_eq!(delta(&mut Named::default()), b"");
    let mut named = Named::default();
    named.merge(b"").unwrap();
    assert_eq!(named, Named::default());
}

#[test]
fn a_partial_is_appended_to_what_is_there() {
    let mut pair = Pair::default();
    pair.1.add(2);
    let mut out = b"before".to_vec();
    pair.take_delta(&mut out);
    assert_eq!(out, b"before\x00\x00\x00\x00\x02\x00\x00\x00xx");
    pair.take_delta(&mut out);
    assert_eq!(out.len(), b"before".len() + 10);
}

#[test]
fn a_damaged_partial_is_refused_with_its_place() {
    let refused = |partial: &[u8]| Pair::default().merge(partial).unwrap_err().to_string();
    assert_eq!(refused(b"\x00"), "part 0 of 2 is cut short");
    assert_eq!(
        refused(b"\x00\x00\x00\x00\xff\xff\xff\xff"),
        "part 1 of 2 is cut short"
    );
    assert_eq!(
        refused(b"\x00\x00\x00\x00\x00\x00\x00\x00x"),
        "1 bytes follow the 2 parts"
    );
    assert_eq!(refused(b"\x00\x00\x00\x00\x01\x00\x00\x00y"), "not a count");
}
