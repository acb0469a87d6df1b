//! What a function made of a sample, and how that differs from what is expected.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::Value;

/// What came of the records of a sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The rows that came out, in order.
    pub rows: Vec<Value>,
    /// The records refused, in order.
    pub refused: Vec<Refusal>,
}

/// A record that was refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Its index in the input, from 0 on.
    pub row: u32,
    /// Why.
    pub message: String,
}

impl Outcome {
    /// How `self` differs from what is expected, a line each: `-` stands before what is missing, `+` before what came
    /// instead. Empty if it does not.
    pub fn differences(&self, expected: &Outcome) -> Vec<String> {
        let mut lines = differing("row", &expected.rows, &self.rows, Value::to_string);
        let told = |refusal: &Refusal| format!("record {}: {}", refusal.row, refusal.message);
        lines.extend(differing("refusal", &expected.refused, &self.refused, told));
        lines
    }
}

/// The lines where two lists differ, without what they have in common at their beginnings and ends.
fn differing<T: PartialEq, D: Display>(
    what: &str,
    expected: &[T],
    got: &[T],
    tell: impl Fn(&T) -> D,
) -> Vec<String> {
    let same = |(a, b): &(&T, &T)| a == b;
    let before = expected.iter().zip(got).take_while(same).count();
    let (expected, got) = (&expected[before..], &got[before..]);
    let backwards = expected.iter().rev().zip(got.iter().rev());
    let after = backwards.take_while(same).count();
    let lines = |sign: char, items: &[T]| {
        (before + 1..)
            .zip(&items[..items.len() - after])
            .map(|(number, item)| format!("{sign} {what} {number}: {}", tell(item)))
            .collect::<Vec<_>>()
    };
    let mut all = lines('-', expected);
    all.extend(lines('+', got));
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(rows: &[i64], refused: &[(u32, &str)]) -> Outcome {
        let refusal = |(row, message): &(u32, &str)| Refusal {
            row: *row,
            message: (*message).to_owned(),
        };
        Outcome {
            rows: rows.iter().map(|n| json!({ "n": n })).collect(),
            refused: refused.iter().map(refusal).collect(),
        }
    }

    #[test]
    fn only_what_differs_is_told() {
        let expected = of(&[1, 2, 3], &[(0, "odd")]);
        assert_eq!(expected.differences(&expected), [""; 0]);
        assert_eq!(
            of(&[1, 5, 6, 3], &[(0, "even")]).differences(&expected),
            [
                r#"- row 2: {"n":2}"#,
                r#"+ row 2: {"n":5}"#,
                r#"+ row 3: {"n":6}"#,
                "- refusal 1: record 0: odd",
                "+ refusal 1: record 0: even",
            ]
        );
        assert_eq!(
            of(&[1, 3], &[(0, "odd")]).differences(&expected),
            [r#"- row 2: {"n":2}"#]
        );
    }

    #[test]
    fn a_whole_number_and_a_fraction_are_not_the_same() {
        let fraction = Outcome {
            rows: vec![json!({"n": 1.0})],
            refused: vec![],
        };
        assert_eq!(fraction.differences(&of(&[1], &[])).len(), 2);
    }

    proptest! {
        #[test]
        fn there_are_differences_exactly_where_outcomes_differ(
            a in prop::collection::vec(0..3_i64, 0..6),
            b in prop::collection::vec(0..3_i64, 0..6),
        ) {
            let none = of(&a, &[]).differences(&of(&b, &[])).is_empty();
            prop_assert_eq!(none, a == b);
        }
    }
}
