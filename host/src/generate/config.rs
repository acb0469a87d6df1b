//! What a stream of clicks looks like: the settings, their defaults and what makes them invalid.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The most partitions that a generator fills.
const MAX_PARTITIONS: i32 = 100_000;

/// The largest exponent of Zipf's law: from about here on one person opens every session.
const MAX_EXPONENT: f64 = 10.0;

/// The longest duration: far above any use, and far from where sums of times overflow.
const MAX_DURATION: SignedDuration = SignedDuration::from_hours(366 * 24);

/// The most sessions that are open at a time: what keeps the generator's memory bounded.
const MAX_OPEN_SESSIONS: u64 = 1_000_000;

/// How a click is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rendering {
    /// One JSON object.
    #[default]
    Json,
    /// One line in the combined log format of Apache and nginx. Its times have whole seconds, so the
    /// event times of the clicks do too.
    AccessLog,
}

/// The settings of a stream of clicks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClickConfig {
    /// What every random choice derives from: equal settings and seeds give equal bytes.
    pub seed: u64,
    /// How many rows to generate, malformed ones included.
    pub events: u64,
    /// How many people there are. Bots have user ids of their own beside these.
    pub users: u32,
    /// The exponent of Zipf's law by which people open sessions: at 0 all are equally active, at 1 the
    /// second most active opens half as many as the first, the third a third. At most 10.
    pub zipf_exponent: f64,
    /// Over how many partitions users are spread.
    pub partitions: i32,
    /// The event time at which the stream begins.
    pub start: Timestamp,
    /// Rows per second of event time.
    pub rate: u32,
    /// By how much at most a row's event time may lie behind that of an earlier row, as a duration. The
    /// pipeline that reads the rows allows the same disorder.
    #[serde(serialize_with = "jiff::fmt::serde::duration::friendly::compact::required")]
    pub disorder: SignedDuration,
    /// The size of the tumbling windows that late rows miss, as a duration.
    #[serde(serialize_with = "jiff::fmt::serde::duration::friendly::compact::required")]
    pub window: SignedDuration,
    /// The share of sessions, from 0 to 1, that are a bot's.
    pub bot_share: f64,
    /// The share of the well-formed rows of people, from 0 to 1, that come after their window has
    /// passed in their partition.
    pub late_share: f64,
    /// The share of rows, from 0 to 1, that a pipeline must not be able to decode.
    pub malformed_share: f64,
    /// The most pages seen in one session; each number from 1 on is equally likely.
    pub session_pages: u32,
    /// The mean time between two pages of a session, as a duration.
    #[serde(serialize_with = "jiff::fmt::serde::duration::friendly::compact::required")]
    pub pause: SignedDuration,
    /// The paths of the site's pages, the popular ones first.
    pub pages: Vec<String>,
    /// The names of campaigns that bring people to the site. There may be none.
    pub campaigns: Vec<String>,
    /// The addresses of other sites that people come from. There may be none.
    pub referers: Vec<String>,
    /// How rows are written.
    pub rendering: Rendering,
}

impl Default for ClickConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            events: 200_000,
            users: 20_000,
            zipf_exponent: 1.0,
            partitions: 4,
            start: Timestamp::constant(1_767_225_600, 0), // 2026-01-01T00:00:00Z
            rate: 500,
            disorder: SignedDuration::from_secs(5),
            window: SignedDuration::from_secs(60),
            bot_share: 0.05,
            late_share: 0.01,
            malformed_share: 0.005,
            session_pages: 8,
            pause: SignedDuration::from_secs(15),
            pages: strings(&[
                "/",
                "/products/shoes",
                "/products/jackets",
                "/products/bags",
                "/sale",
                "/products/hats",
                "/basket",
                "/checkout",
                "/blog/how-to-lace-boots",
                "/blog/rain-or-shine",
                "/about",
                "/help/returns",
            ]),
            campaigns: strings(&["spring", "newsletter", "retargeting", "black-friday"]),
            referers: strings(&[
                "https://search.example/",
                "https://social.example/feed",
                "https://news.example/style",
            ]),
            rendering: Rendering::Json,
        }
    }
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("generator setting `{setting}` {problem}")]
pub struct ConfigError {
    setting: &'static str,
    problem: String,
}

impl ConfigError {
    pub(super) fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self {
            setting,
            problem: problem.into(),
        }
    }
}

impl ClickConfig {
    /// Checks the settings that need no arithmetic on time; `Timeline` checks the others.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        partition_count(self.partitions)?;
        at_least_one("users", self.users)?;
        at_least_one("session_pages", self.session_pages)?;
        if !(0.0..=MAX_EXPONENT).contains(&self.zipf_exponent) {
            let problem = format!("must be from 0 to {MAX_EXPONENT}");
            return Err(ConfigError::new("zipf_exponent", problem));
        }
        share("bot_share", self.bot_share)?;
        share("late_share", self.late_share)?;
        share("malformed_share", self.malformed_share)?;
        if self.pages.is_empty() {
            return Err(ConfigError::new("pages", "must name at least one page"));
        }
        for page in &self.pages {
            if !page.starts_with('/') {
                let problem = format!("must hold paths that begin with `/`, not {page:?}");
                return Err(ConfigError::new("pages", problem));
            }
        }
        url_parts("pages", &self.pages)?;
        url_parts("campaigns", &self.campaigns)?;
        url_parts("referers", &self.referers)
    }

    /// How many sessions are open at a time, so that one of them sees a page every `pause`.
    pub(super) fn open_sessions(&self) -> Result<u64, ConfigError> {
        let pause = u64::try_from(millis("pause", self.pause)?)
            .map_err(|_| ConfigError::new("pause", "must not be negative"))?;
        let sessions = u64::from(self.rate).saturating_mul(pause) / 1000;
        if sessions > MAX_OPEN_SESSIONS {
            let problem = format!(
                "keeps {sessions} sessions open at this rate; at most {MAX_OPEN_SESSIONS} are possible: \
                 lower it or `rate`"
            );
            return Err(ConfigError::new("pause", problem));
        }
        Ok(sessions.max(1))
    }
}

/// The whole milliseconds of a duration.
pub(super) fn millis(setting: &'static str, duration: SignedDuration) -> Result<i64, ConfigError> {
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err(ConfigError::new(setting, "must be whole milliseconds"));
    }
    if duration.abs() > MAX_DURATION {
        return Err(ConfigError::new(setting, "must be at most 366 days"));
    }
    Ok(i64::try_from(duration.as_millis()).expect("366 days in milliseconds fit"))
}

/// The allowed disorder in milliseconds.
pub(super) fn disorder_millis(duration: SignedDuration) -> Result<i64, ConfigError> {
    match millis("disorder", duration)? {
        negative if negative < 0 => Err(ConfigError::new("disorder", "must not be negative")),
        disorder => Ok(disorder),
    }
}

/// The size of a window in milliseconds.
pub(super) fn window_millis(duration: SignedDuration) -> Result<i64, ConfigError> {
    match millis("window", duration)? {
        window if window > 0 => Ok(window),
        _ => Err(ConfigError::new("window", "must be longer than nothing")),
    }
}

/// The number of partitions, as the length of a table of them.
pub(super) fn partition_count(partitions: i32) -> Result<usize, ConfigError> {
    usize::try_from(partitions)
        .ok()
        .filter(|_| (1..=MAX_PARTITIONS).contains(&partitions))
        .ok_or_else(|| {
            let problem = format!("must be from 1 to {MAX_PARTITIONS}, not {partitions}");
            ConfigError::new("partitions", problem)
        })
}

pub(super) fn at_least_one(setting: &'static str, number: u32) -> Result<(), ConfigError> {
    match number {
        0 => Err(ConfigError::new(setting, "must be at least 1")),
        _ => Ok(()),
    }
}

fn share(setting: &'static str, share: f64) -> Result<(), ConfigError> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    let problem = format!("must be a share from 0 to 1, not {share}");
    Err(ConfigError::new(setting, problem))
}

/// Refuses what would need escaping in a URL or in a log line.
fn url_parts(setting: &'static str, parts: &[String]) -> Result<(), ConfigError> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\<>^`{|}".contains(&byte);
    match parts.iter().find(|part| !part.bytes().all(plain)) {
        None => Ok(()),
        Some(part) => {
            let problem = format!("must hold characters that may stand in a URL, unlike {part:?}");
            Err(ConfigError::new(setting, problem))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn refusal(change: impl FnOnce(&mut ClickConfig)) -> String {
        let mut config = ClickConfig::default();
        change(&mut config);
        super::super::Clicks::new(config).err().unwrap().to_string()
    }

    #[test]
    fn a_refusal_names_the_setting_and_what_it_wants() {
        assert_eq!(
            refusal(|config| config.bot_share = 1.5),
            "generator setting `bot_share` must be a share from 0 to 1, not 1.5"
        );
        assert_eq!(
            refusal(|config| config.partitions = 0),
            "generator setting `partitions` must be from 1 to 100000, not 0"
        );
        assert_eq!(
            refusal(|config| config.pages = vec!["about us".to_owned()]),
            "generator setting `pages` must hold paths that begin with `/`, not \"about us\""
        );
        assert_eq!(
            refusal(|config| config.window = SignedDuration::ZERO),
            "generator setting `window` must be longer than nothing"
        );
    }

    #[test]
    fn every_bound_is_kept() {
        assert!(refusal(|config| config.late_share = f64::NAN).contains("late_share"));
        assert!(refusal(|config| config.malformed_share = -0.1).contains("malformed_share"));
        assert!(refusal(|config| config.zipf_exponent = f64::INFINITY).contains("zipf_exponent"));
        assert!(refusal(|config| config.users = 0).contains("users"));
        assert!(refusal(|config| config.rate = 0).contains("rate"));
        assert!(refusal(|config| config.session_pages = 0).contains("session_pages"));
        assert!(refusal(|config| config.pages.clear()).contains("pages"));
        assert!(refusal(|config| config.campaigns[0].push('"')).contains("campaigns"));
        assert!(refusal(|config| config.referers[0].push(' ')).contains("referers"));
        assert!(refusal(|config| config.pause = SignedDuration::from_hours(9)).contains("pause"));
        assert!(refusal(|config| config.pause = SignedDuration::from_secs(-1)).contains("pause"));
        assert!(
            refusal(|config| config.disorder = SignedDuration::from_secs(-1)).contains("disorder")
        );
        assert!(refusal(|config| config.window = SignedDuration::MAX).contains("window"));
        let micro = SignedDuration::from_micros(1);
        assert!(refusal(|config| config.disorder = micro).contains("milliseconds"));
        assert!(refusal(|config| config.start = Timestamp::MAX).contains("start"));
        assert!(refusal(|config| config.start = Timestamp::MIN).contains("start"));
        assert!(refusal(|config| config.events = u64::MAX).contains("start"));
    }

    #[test]
    fn settings_have_units_and_defaults() {
        let config: ClickConfig =
            serde_json::from_str(r#"{"disorder": "1m 30s", "start": "1969-12-31T23:00:00Z"}"#)
                .unwrap();
        assert_eq!(config.disorder, SignedDuration::from_secs(90));
        assert_eq!(config.start.as_millisecond(), -3_600_000);
        assert_eq!(config.events, ClickConfig::default().events);
    }

    #[test]
    fn settings_survive_being_written_and_read() {
        let config = ClickConfig::default();
        let written = serde_json::to_string(&config).unwrap();
        assert!(written.contains(r#""window":"1m""#), "{written}");
        assert_eq!(
            serde_json::from_str::<ClickConfig>(&written).unwrap(),
            config
        );
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let refused = serde_json::from_str::<ClickConfig>(r#"{"bots": 1}"#).unwrap_err();
        assert!(refused.to_string().contains("unknown field `bots`"));
    }
}
