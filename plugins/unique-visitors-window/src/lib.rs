//! Counts the distinct visitors of a window by looking at all its rows: the textbook form of `unique-visitors`.

use std::collections::HashSet;

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
pub struct UniqueVisitorsWindow;

#[window_apply]
impl WindowApply for UniqueVisitorsWindow {
    type Row<'a> = Click<'a>;
    type Output<'a> = Visitors;

    fn apply<'a>(
        &'a self,
        _: &'a Window,
        clicks: Rows<'a, Click<'a>>,
        out: &mut Collector<Visitors>,
    ) -> Result<(), Error> {
        let visitors: HashSet<&str> = clicks.map(|click| click.user_id).collect();
        let unique_visitors = visitors.len() as i64;
        out.push(Visitors { unique_visitors });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use millstream_sdk::testing::{self, json};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn minute(clicks: &[Value]) -> Result<Vec<Value>, String> {
        let window = Window {
            start: Timestamp::from_millis(0),
            end: Timestamp::from_millis(60_000),
            key: None,
        };
        testing::window_apply::<UniqueVisitorsWindow>(json!({}), window, clicks)
    }

    #[test]
    fn the_sample_gives_what_is_expected() {
        let clicks = testing::ndjson(include_str!("../sample/input.ndjson"));
        let expected = testing::ndjson(include_str!("../sample/expected.ndjson"));
        assert_eq!(minute(&clicks), Ok(expected));
    }

    proptest! {
        #[test]
        fn it_counts_each_id_once(ids in prop::collection::vec("[a-c]{0,2}", 1..40)) {
            let distinct: BTreeSet<_> = ids.iter().collect();
            let clicks: Vec<_> = ids.iter().map(|id| json!({"user_id": id})).collect();
            prop_assert_eq!(minute(&clicks), Ok(vec![json!({"unique_visitors": distinct.len()})]));
        }
    }
}
