//! Counts the distinct visitors of a window, exactly.

use millstream_sdk::prelude::*;

/// What is read of a click.
#[derive(Row)]
pub struct Click<'a> {
    user_id: &'a str,
}

/// What is said of a window.
#[derive(Output)]
pub struct Visitors {
    unique_visitors: i64,
}

/// The function.
#[derive(Default)]
pub struct UniqueVisitors;

#[aggregate]
impl Aggregate for UniqueVisitors {
    type Row<'a> = Click<'a>;
    type State = ExactSet;
    type Output<'a> = Visitors;

    fn add(&self, visitors: &mut ExactSet, click: Click<'_>) -> RowResult {
        visitors.insert(click.user_id);
        Ok(())
    }

    fn result(&self, visitors: &ExactSet, out: &mut Collector<Visitors>) {
        let unique_visitors = visitors.len() as i64;
        out.push(Visitors { unique_visitors });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use millstream_sdk::testing::{self, json};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sample_gives_what_is_expected() {
        let clicks = testing::ndjson(include_str!("../sample/input.ndjson"));
        let outcome = testing::aggregate::<UniqueVisitors>(json!({}), &clicks);
        let expected = testing::ndjson(include_str!("../sample/expected.ndjson"));
        assert_eq!(outcome.rows, expected);
        assert_eq!(outcome.errors, []);
    }

    #[test]
    fn ids_are_compared_byte_by_byte() {
        let clicks = ["ada", "Ada", "ada ", "", "ada"].map(|id| json!({"user_id": id}));
        let outcome = testing::aggregate::<UniqueVisitors>(json!({}), &clicks);
        assert_eq!(outcome.rows, [json!({"unique_visitors": 4})]);
    }

    proptest! {
        #[test]
        fn it_counts_what_a_set_holds_however_the_rows_are_spread(
            parts in prop::collection::vec(prop::collection::vec("[a-c]{0,2}", 0..20), 0..5),
        ) {
            let distinct: HashSet<_> = parts.iter().flatten().collect();
            let click = |id: &String| json!({"user_id": id});
            let parts: Vec<Vec<_>> = parts.iter().map(|ids| ids.iter().map(click).collect()).collect();
            let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
            let rows = testing::aggregate_in_parts::<UniqueVisitors>(json!({}), &parts);
            prop_assert_eq!(rows, [json!({"unique_visitors": distinct.len()})]);
        }
    }
}
