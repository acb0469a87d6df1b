//! Ranks the most viewed pages of a window.

use std::num::NonZeroUsize;

use millstream_sdk::prelude::*;
use serde::Deserialize;

/// What is read of a page view.
#[derive(Row)]
pub struct PageView<'a> {
    path: &'a str,
}

/// A page with its place among the most viewed.
#[derive(Output)]
pub struct RankedPage<'a> {
    rank: i64,
    page: &'a str,
    views: i64,
}

/// How long the list is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopPagesConfig {
    /// The most pages that are listed.
    k: NonZeroUsize,
}

impl Default for TopPagesConfig {
    fn default() -> Self {
        const TEN: NonZeroUsize = NonZeroUsize::new(10).expect("ten is not zero");
        Self { k: TEN }
    }
}

/// The function.
pub struct TopPages {
    k: usize,
}

#[aggregate]
impl Aggregate for TopPages {
    type Config = TopPagesConfig;
    type Row<'a> = PageView<'a>;
    type State = Counts;
    type Output<'a> = RankedPage<'a>;

    fn new(config: TopPagesConfig) -> Result<Self, Error> {
        Ok(TopPages { k: config.k.get() })
    }

    fn add(&self, views: &mut Counts, view: PageView<'_>) -> RowResult {
        views.inc(view.path);
        Ok(())
    }

    fn result<'a>(&'a self, views: &'a Counts, out: &mut Collector<RankedPage<'a>>) {
        for (rank, (page, views)) in (1..).zip(views.top(self.k)) {
            out.push(RankedPage { rank, page, views });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::cmp::Reverse;
    use std::collections::BTreeMap;

    use millstream_sdk::testing::{self, json};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn ranked(config: Value, paths: &[String]) -> Vec<Value> {
        let views: Vec<_> = paths.iter().map(|path| json!({"path": path})).collect();
        testing::aggregate::<TopPages>(config, &views).rows
    }

    #[test]
    fn the_sample_gives_what_is_expected() {
        let config: Value = toml::from_str(include_str!("../sample/config.toml")).unwrap();
        let step: Value = toml::from_str(include_str!("../sample/step.toml")).unwrap();
        let key = step["key"].as_str().unwrap();
        let mut views_by_key = BTreeMap::<String, Vec<Value>>::new();
        for view in testing::ndjson(include_str!("../sample/input.ndjson")) {
            let key = view[key].as_str().unwrap().to_owned();
            views_by_key.entry(key).or_default().push(view);
        }
        let mut rows = Vec::new();
        for (key, views) in views_by_key {
            let outcome = testing::aggregate::<TopPages>(config.clone(), &views);
            assert_eq!(outcome.errors, []);
            for mut row in outcome.rows {
                row["key"] = key.as_str().into();
                rows.push(row);
            }
        }
        let expected = testing::ndjson(include_str!("../sample/expected.ndjson"));
        assert_eq!(rows, expected);
    }

    #[test]
    fn ten_pages_are_listed_unless_told_otherwise() {
        let paths: Vec<_> = (10..22).map(|page| format!("/{page}")).collect();
        assert_eq!(ranked(json!({}), &paths).len(), 10);
        assert_eq!(ranked(json!({"k": 3}), &paths).len(), 3);
        assert_eq!(ranked(json!({"k": 100}), &paths).len(), 12);
    }

    #[test]
    fn a_list_of_no_pages_is_refused() {
        for (config, message) in [
            (json!({"k": 0}), "nonzero"),
            (json!({"k": -1}), "nonzero"),
            (json!({"top": 3}), "unknown field `top`"),
        ] {
            let error = TopPagesConfig::deserialize(config)
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn it_ranks_as_a_full_sort_does_however_the_rows_are_spread(
            paths in prop::collection::vec("/[a-d]?", 0..60),
            split: prop::sample::Index,
            k in 1..6_usize,
        ) {
            let mut counts = BTreeMap::new();
            for path in &paths {
                *counts.entry(path).or_insert(0) += 1;
            }
            let mut pages: Vec<_> = counts.into_iter().collect();
            pages.sort_by_key(|&(page, views)| (Reverse(views), page));
            let expected: Vec<_> = (1..)
                .zip(pages)
                .take(k)
                .map(|(rank, (page, views)): (i32, _)| json!({"rank": rank, "page": page, "views": views}))
                .collect();

            prop_assert_eq!(&ranked(json!({"k": k}), &paths), &expected);
            let views: Vec<_> = paths.iter().map(|path| json!({"path": path})).collect();
            let (first, second) = views.split_at(split.index(views.len() + 1));
            let rows = testing::aggregate_in_parts::<TopPages>(json!({"k": k}), &[second, first]);
            prop_assert_eq!(rows, expected);
        }
    }
}
