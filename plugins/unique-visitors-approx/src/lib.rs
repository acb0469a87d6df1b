//! Counts the distinct visitors of a window with HyperLogLog: about, in little memory.

use millstream_sdk::prelude::*;

/// The sketch: 2 to the power of 14 registers, so that the standard error is 1.04 / √16384 = 0.8 %.
type Sketch = HyperLogLog<14>;

/// What is read of a click.
#[derive(Row)]
pub struct Click<'a> {
    user_id: &'a str,
}

/// What is said of a window: the same as by `unique-visitors`, for which this function can stand in.
#[derive(Output)]
pub struct Visitors {
    unique_visitors: i64,
}

/// The function.
#[derive(Default)]
pub struct UniqueVisitorsApprox;

#[aggregate]
impl Aggregate for UniqueVisitorsApprox {
    type Row<'a> = Click<'a>;
    type State = Sketch;
    type Output<'a> = Visitors;

    fn add(&self, visitors: &mut Sketch, click: Click<'_>) -> RowResult {
        visitors.insert(click.user_id);
        Ok(())
    }

    fn result(&self, visitors: &Sketch, out: &mut Collector<Visitors>) {
        let unique_visitors = visitors.count();
        out.push(Visitors { unique_visitors });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use millstream_sdk::testing::{self, json};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn clicks(ids: impl IntoIterator<Item = u32>) -> Vec<Value> {
        let click = |id| json!({"user_id": format!("u-{id:06}")});
        ids.into_iter().map(click).collect()
    }

    fn count(clicks: &[Value]) -> i64 {
        let outcome = testing::aggregate::<UniqueVisitorsApprox>(json!({}), clicks);
        outcome.rows[0]["unique_visitors"].as_i64().unwrap()
    }

    #[test]
    fn the_sample_gives_what_is_expected() {
        let clicks = testing::ndjson(include_str!("../sample/input.ndjson"));
        let outcome = testing::aggregate::<UniqueVisitorsApprox>(json!({}), &clicks);
        let expected = testing::ndjson(include_str!("../sample/expected.ndjson"));
        assert_eq!(outcome.rows, expected);
        assert_eq!(outcome.errors, []);
    }

    #[test]
    fn a_few_hundred_visitors_are_counted_to_within_one() {
        for visitors in [0, 1, 50, 300] {
            assert!((count(&clicks(0..visitors)) - i64::from(visitors)).abs() <= 1);
        }
    }

    #[test]
    fn many_visitors_are_counted_within_three_standard_errors() {
        for visitors in [5_000, 40_000, 100_000] {
            let off = count(&clicks(0..visitors)) - i64::from(visitors);
            let most = f64::from(visitors) * 3.0 * 1.04 / 16_384_f64.sqrt();
            assert!((off as f64).abs() <= most, "{off} of {visitors}");
        }
    }

    proptest! {
        #[test]
        fn the_count_is_the_same_however_the_rows_are_spread(
            ids in prop::collection::vec(0..200_u32, 0..300),
            split: prop::sample::Index,
        ) {
            let clicks = clicks(ids);
            let (first, second) = clicks.split_at(split.index(clicks.len() + 1));
            let rows = testing::aggregate_in_parts::<UniqueVisitorsApprox>(json!({}), &[first, second]);
            prop_assert_eq!(rows, [json!({"unique_visitors": count(&clicks)})]);
        }
    }
}
