//! Splits the URL of a page view into what reports are made of: path, query, campaign, section.

mod url;

use std::borrow::Cow;

use millstream_sdk::prelude::*;
use serde::Deserialize;

/// What is read of a click.
#[derive(Row)]
pub struct Click<'a> {
    url: &'a str,
}

/// What the URL says. Nothing is copied, except the name of a campaign that has to be decoded.
#[derive(Output)]
pub struct PageView<'a> {
    path: &'a str,
    query: Option<&'a str>,
    campaign: Option<Cow<'a, str>>,
    section: &'a str,
}

/// How much of the URL goes on.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitUrlConfig {
    /// Leaves the query out, which may hold what people searched for; the campaign is still taken from it.
    drop_query: bool,
}

/// The function.
pub struct SplitUrl {
    drop_query: bool,
}

#[map]
impl Map for SplitUrl {
    type Config = SplitUrlConfig;
    type Row<'a> = Click<'a>;
    type Output<'a> = PageView<'a>;

    fn new(config: SplitUrlConfig) -> Result<Self, Error> {
        Ok(SplitUrl {
            drop_query: config.drop_query,
        })
    }

    fn map<'a>(&'a self, click: Click<'a>, out: &mut Collector<PageView<'a>>) -> RowResult {
        let (path, query) = url::path_and_query(click.url)?;
        out.push(PageView {
            path,
            query: query.filter(|_| !self.drop_query),
            campaign: query.and_then(url::campaign),
            section: url::section(path),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use millstream_sdk::testing::{self, json};

    use super::*;

    #[test]
    fn the_sample_gives_what_is_expected() {
        let config = toml::from_str(include_str!("../sample/config.toml")).unwrap();
        let clicks = testing::ndjson(include_str!("../sample/input.ndjson"));
        let outcome = testing::map::<SplitUrl>(config, &clicks);
        let expected = testing::ndjson(include_str!("../sample/expected.ndjson"));
        assert_eq!(outcome.rows, expected);
        let errors = testing::row_errors(include_str!("../sample/errors.ndjson"));
        assert_eq!(outcome.errors, errors);
    }

    #[test]
    fn a_dropped_query_still_tells_the_campaign() {
        let clicks = [json!({"url": "/sale?q=gift&utm_campaign=spring"})];
        let query = |config| {
            let outcome = testing::map::<SplitUrl>(config, &clicks);
            assert_eq!(outcome.rows[0]["campaign"], "spring");
            outcome.rows[0]["query"].clone()
        };
        assert_eq!(query(json!({})), "q=gift&utm_campaign=spring");
        assert_eq!(query(json!({"drop_query": true})), json!(null));
    }
}
