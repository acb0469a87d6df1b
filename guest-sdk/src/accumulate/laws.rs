//! The laws of accumulators, as one set of property tests that each of them runs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::Accumulator;

/// An accumulator as the laws see it.
pub(super) trait Subject: Accumulator {
    /// What comes in.
    type Row: Clone + Debug + 'static;
    /// What two accumulators are compared by: the result, in a form that does not depend on order.
    type Seen: PartialEq + Debug;

    /// Rows that make the interesting cases likely.
    fn row() -> BoxedStrategy<Self::Row>;
    fn take_in(&mut self, row: &Self::Row);
    fn seen(&self) -> Self::Seen;
}

/// One thing that happens to an accumulator.
#[derive(Clone, Debug)]
pub(super) enum Step<R> {
    Row(R),
    /// Merges the snapshot of an accumulator of these rows.
    Merge(Vec<R>),
    TakeDelta,
}

/// How a partial is damaged.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    CutAt(Index),
    Replace(Index, u8),
    Append(Vec<u8>),
}

pub(super) fn rows<S: Subject>() -> impl Strategy<Value = Vec<S::Row>> {
    vec(S::row(), 0..12)
}

pub(super) fn steps<S: Subject>() -> impl Strategy<Value = Vec<Step<S::Row>>> {
    let step = prop_oneof![
        6 => S::row().prop_map(Step::Row),
        1 => vec(S::row(), 0..6).prop_map(Step::Merge),
        2 => Just(Step::TakeDelta),
    ];
    vec(step, 0..40)
}

pub(super) fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        any::<Index>().prop_map(Damage::CutAt),
        any::<(Index, u8)>().prop_map(|(at, byte)| Damage::Replace(at, byte)),
        any::<Vec<u8>>().prop_map(Damage::Append),
    ];
    vec(one, 0..4)
}

pub(super) fn of<S: Subject>(rows: &[S::Row]) -> S {
    let mut subject = S::default();
    rows.iter().for_each(|row| subject.take_in(row));
    subject
}

pub(super) fn snapshot<S: Subject>(subject: &S) -> Vec<u8> {
    let mut partial = Vec::new();
    subject.snapshot(&mut partial);
    partial
}

pub(super) fn take_delta<S: Subject>(subject: &mut S) -> Vec<u8> {
    let mut partial = Vec::new();
    subject.take_delta(&mut partial);
    partial
}

/// The accumulator that a partial alone makes.
pub(super) fn merged<S: Subject>(partials: &[Vec<u8>]) -> S {
    let mut subject = S::default();
    for partial in partials {
        subject.merge(partial).unwrap();
    }
    subject
}

/// Carries the steps out; gives the accumulator, the deltas taken, the last one at the end, and all rows.
pub(super) fn run<S: Subject>(steps: &[Step<S::Row>]) -> (S, Vec<Vec<u8>>, Vec<S::Row>) {
    let mut subject = S::default();
    let mut deltas = Vec::new();
    let mut all = Vec::new();
    for step in steps {
        match step {
            Step::Row(row) => {
                subject.take_in(row);
                all.push(row.clone());
            }
            Step::Merge(rows) => {
                subject.merge(&snapshot(&of::<S>(rows))).unwrap();
                all.extend_from_slice(rows);
            }
            Step::TakeDelta => deltas.push(take_delta(&mut subject)),
        }
    }
    deltas.push(take_delta(&mut subject));
    (subject, deltas, all)
}

/// Merges partials two by two until one is left, those and in the order that `choices` says.
pub(super) fn grouped<S: Subject>(mut partials: Vec<Vec<u8>>, choices: &[(Index, Index)]) -> S {
    for (left, right) in choices.iter().cycle() {
        if partials.len() < 2 {
            break;
        }
        let left = partials.swap_remove(left.index(partials.len()));
        let right = partials.swap_remove(right.index(partials.len()));
        partials.push(snapshot(&merged::<S>(&[left, right])));
    }
    merged(&partials)
}

pub(super) fn damaged(mut partial: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for damage in damage {
        match damage {
            Damage::CutAt(at) => partial.truncate(at.index(partial.len() + 1)),
            Damage::Replace(at, byte) => {
                if !partial.is_empty() {
                    let at = at.index(partial.len());
                    partial[at] = *byte;
                }
            }
            Damage::Append(bytes) => partial.extend_from_slice(bytes),
        }
    }
    partial
}

/// Merges bytes that may be anything. Neither that nor using the accumulator afterwards may panic.
pub(super) fn survive<S: Subject>(rows: &[S::Row], bytes: &[u8]) {
    let mut subject = of::<S>(rows);
    // Damage may also make another good partial, so either outcome is right.
    let _ = subject.merge(bytes);
    rows.iter().for_each(|row| subject.take_in(row));
    let _ = subject.merge(bytes);
    subject.seen();
    snapshot(&subject);
    take_delta(&mut subject);
    subject.seen();
}

/// The tests, for one accumulator.
macro_rules! laws {
    ($subject:ty) => {
        mod obeys_the_laws {
            use proptest::prelude::*;
            use proptest::sample::Index;

            use super::*;
            use $crate::accumulate::Accumulator;
            use $crate::accumulate::laws::{self, Subject};

            type S = $subject;

            proptest! {
                #[test]
                fn merging_is_commutative(a in laws::rows::<S>(), b in laws::rows::<S>()) {
                    let [a, b] = [a, b].map(|rows| laws::snapshot(&laws::of::<S>(&rows)));
                    let one_way = laws::merged::<S>(&[a.clone(), b.clone()]);
                    let the_other = laws::merged::<S>(&[b, a]);
                    prop_assert_eq!(one_way.seen(), the_other.seen());
                }

                #[test]
                fn merging_is_associative(a in laws::rows::<S>(), b in laws::rows::<S>(), c in laws::rows::<S>()) {
                    let [a, b, c] = [a, b, c].map(|rows| laws::snapshot(&laws::of::<S>(&rows)));
                    let left = laws::snapshot(&laws::merged::<S>(&[a.clone(), b.clone()]));
                    let right = laws::snapshot(&laws::merged::<S>(&[b, c.clone()]));
                    prop_assert_eq!(laws::merged::<S>(&[left, c]).seen(), laws::merged::<S>(&[a, right]).seen());
                }

                #[test]
                fn merging_partials_equals_accumulating_all_rows(a in laws::rows::<S>(), b in laws::rows::<S>()) {
                    let whole = laws::of::<S>(&[a.clone(), b.clone()].concat());
                    let parts = [a, b].map(|rows| laws::snapshot(&laws::of::<S>(&rows)));
                    prop_assert_eq!(laws::merged::<S>(&parts).seen(), whole.seen());
                }

                #[test]
                fn zero_is_neutral(rows in laws::rows::<S>()) {
                    let zero = S::default();
                    let mut subject = laws::of::<S>(&rows);
                    subject.merge(&laws::snapshot(&zero)).unwrap();
                    subject.merge(&[]).unwrap();
                    prop_assert_eq!(subject.seen(), laws::of::<S>(&rows).seen());
                }

                #[test]
                fn a_snapshot_merged_into_zero_is_the_whole(steps in laws::steps::<S>()) {
                    let (subject, _, rows) = laws::run::<S>(&steps);
                    prop_assert_eq!(subject.seen(), laws::of::<S>(&rows).seen());
                    prop_assert_eq!(laws::merged::<S>(&[laws::snapshot(&subject)]).seen(), subject.seen());
                }

                #[test]
                fn deltas_merged_in_any_grouping_equal_the_whole(
                    steps in laws::steps::<S>(),
                    choices in prop::collection::vec(any::<(Index, Index)>(), 1..8),
                ) {
                    let (subject, deltas, _) = laws::run::<S>(&steps);
                    prop_assert_eq!(laws::grouped::<S>(deltas, &choices).seen(), subject.seen());
                }

                #[test]
                fn a_delta_is_empty_when_nothing_has_come_in(steps in laws::steps::<S>()) {
                    let (mut subject, _, _) = laws::run::<S>(&steps);
                    prop_assert!(laws::take_delta(&mut subject).is_empty());
                }

                #[test]
                fn random_bytes_never_panic(rows in laws::rows::<S>(), tag in 0_u8..16, bytes: Vec<u8>) {
                    laws::survive::<S>(&rows, &bytes);
                    laws::survive::<S>(&rows, &[&[tag], &bytes[..]].concat());
                }

                #[test]
                fn a_damaged_partial_never_panics(rows in laws::rows::<S>(), damage in laws::damage()) {
                    let partial = laws::damaged(laws::snapshot(&laws::of::<S>(&rows)), &damage);
                    laws::survive::<S>(&rows, &partial);
                }
            }

            #[test]
            fn zero_writes_nothing() {
                assert!(laws::snapshot(&S::default()).is_empty());
            }
        }
    };
}
pub(super) use laws;
