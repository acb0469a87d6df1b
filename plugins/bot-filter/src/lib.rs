//! Drops the clicks of bots: known by a word in their user agent, or by more clicks in a batch than people make.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;

use aho_corasick::AhoCorasick;
use millstream_sdk::prelude::*;
use serde::Deserialize;

/// Words in the user agents of well-known bots, and of tools and libraries that people do not browse with.
const KNOWN_BOTS: [&str; 18] = [
    "bot",
    "crawl",
    "spider",
    "slurp",
    "scrapy",
    "headless",
    "phantomjs",
    "lighthouse",
    "facebookexternalhit",
    "curl/",
    "wget/",
    "libwww",
    "httpclient",
    "http-client",
    "aiohttp",
    "python-requests",
    "python-urllib",
    "python-httpx",
];

/// What is read of a click.
#[derive(Row)]
pub struct Click<'a> {
    user_agent: &'a str,
    user_id: &'a str,
}

/// How bots are told from people.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BotFilterConfig {
    /// What a bot's user agent holds somewhere, in capitals or not.
    patterns: Vec<String>,
    /// The most clicks of one user id in a batch; without it, clicks are not counted.
    max_per_batch: Option<NonZeroUsize>,
}

impl Default for BotFilterConfig {
    fn default() -> Self {
        Self {
            patterns: KNOWN_BOTS.map(str::to_owned).to_vec(),
            max_per_batch: None,
        }
    }
}

/// The function.
pub struct BotFilter {
    bots: AhoCorasick,
    max_per_batch: Option<NonZeroUsize>,
}

#[filter]
impl Filter for BotFilter {
    type Config = BotFilterConfig;
    type Row<'a> = Click<'a>;

    fn new(config: BotFilterConfig) -> Result<Self, Error> {
        if let Some(index) = config.patterns.iter().position(String::is_empty) {
            return Err(format!(
                "`patterns[{index}]` is empty, which would make everyone a bot: leave it out"
            )
            .into());
        }
        let bots = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&config.patterns)?;
        Ok(BotFilter {
            bots,
            max_per_batch: config.max_per_batch,
        })
    }

    fn keep(&self, click: Click<'_>) -> RowResult<bool> {
        Ok(!self.bots.is_match(click.user_agent))
    }

    fn judge<'a>(
        &'a self,
        clicks: Rows<'a, Click<'a>>,
    ) -> impl FnMut(Click<'a>) -> RowResult<bool> {
        let hasty = match self.max_per_batch {
            Some(most) => ids_with_more_than(most.get(), clicks),
            None => HashSet::new(),
        };
        move |click| Ok(!hasty.contains(click.user_id) && self.keep(click)?)
    }
}

fn ids_with_more_than<'a>(most: usize, clicks: Rows<'a, Click<'a>>) -> HashSet<&'a str> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for click in clicks {
        *counts.entry(click.user_id).or_default() += 1;
    }
    counts.retain(|_, count| *count > most);
    counts.into_keys().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use millstream_sdk::testing::{self, json};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const BOTS: [&str; 10] = [
        "Mozilla/5.0 (compatible; Googlebot/2.1)",
        "Mozilla/5.0 (compatible; bingbot/2.0)",
        "Mozilla/5.0 (compatible; AhrefsBot/7.0)",
        "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/138.0.0.0",
        "Baiduspider+(+http://www.baidu.com/search/spider.htm)",
        "python-requests/2.32.4",
        "curl/8.14.1",
        "Wget/1.25.0",
        "Go-http-client/2.0",
    ];

    const PEOPLE: [&str; 8] = [
        "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0",
        "Mozilla/5.0 (X11; Linux) Chrome/138.0",
        "Mozilla/5.0 (iPhone) Safari/604.1",
        "Mozilla/5.0 (Macintosh) Safari/605.1",
        "Mozilla/5.0 (Android 15) Chrome/138.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
        "",
    ];

    fn click(user_agent: &str, user_id: &str) -> Value {
        json!({"user_agent": user_agent, "user_id": user_id})
    }

    fn kept(config: Value, clicks: &[Value]) -> Vec<usize> {
        let filtered = testing::filter::<BotFilter>(config, clicks);
        assert_eq!(filtered.errors, []);
        filtered.kept
    }

    fn refusal(config: Value) -> String {
        match BotFilterConfig::deserialize(config) {
            Ok(config) => BotFilter::new(config).err().unwrap().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_sample_gives_what_is_expected() {
        let config = toml::from_str(include_str!("../sample/config.toml")).unwrap();
        let clicks = testing::ndjson(include_str!("../sample/input.ndjson"));
        let kept: Vec<_> = kept(config, &clicks)
            .into_iter()
            .map(|index| clicks[index].clone())
            .collect();
        let expected = testing::ndjson(include_str!("../sample/expected.ndjson"));
        assert_eq!(kept, expected);
    }

    #[test]
    fn without_a_configuration_well_known_bots_are_dropped_and_people_kept() {
        for agent in BOTS {
            assert!(kept(json!({}), &[click(agent, "a")]).is_empty(), "{agent}");
        }
        for agent in PEOPLE {
            assert_eq!(kept(json!({}), &[click(agent, "a")]), [0], "{agent}");
        }
    }

    #[test]
    fn patterns_of_the_configuration_take_the_place_of_the_known_ones() {
        let clicks = [click("curl/8.14.1", "a"), click("Acme-Monitor/1", "a")];
        assert_eq!(kept(json!({"patterns": ["acme-"]}), &clicks), [0]);
        assert_eq!(kept(json!({"patterns": []}), &clicks), [0, 1]);
    }

    #[test]
    fn an_id_with_too_many_clicks_in_a_batch_loses_them_all() {
        let clicks = ["a", "b", "a", "c", "a", "b"].map(|id| click("Firefox", id));
        let most = |most| kept(json!({"max_per_batch": most}), &clicks);
        assert_eq!(most(1), [3]);
        assert_eq!(most(2), [1, 3, 5]);
        assert_eq!(most(3), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_configuration_that_makes_no_sense_is_refused() {
        assert_eq!(
            refusal(json!({"patterns": ["bot", ""]})),
            "`patterns[1]` is empty, which would make everyone a bot: leave it out"
        );
        assert!(refusal(json!({"max_per_batch": 0})).contains("nonzero"));
        assert!(refusal(json!({"pattern": ["bot"]})).starts_with("unknown field `pattern`"));
    }

    proptest! {
        #[test]
        fn it_finds_a_pattern_wherever_a_plain_search_finds_it(
            patterns in prop::collection::vec("[abAB-]{1,3}", 0..4),
            agents in prop::collection::vec("[abABé-]{0,6}", 1..20),
        ) {
            let holds = |agent: &str, pattern: &String| {
                agent.to_ascii_lowercase().contains(&pattern.to_ascii_lowercase())
            };
            let people: Vec<_> = (0..agents.len())
                .filter(|&index| !patterns.iter().any(|pattern| holds(&agents[index], pattern)))
                .collect();
            let clicks: Vec<_> = agents.iter().map(|agent| click(agent, "a")).collect();
            prop_assert_eq!(kept(json!({"patterns": patterns}), &clicks), people);
        }
    }
}
