//! Who looks at what: the sessions open at a time and the page that one of them sees next.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};

use super::config::{ClickConfig, ConfigError};

/// The site that pages are on, as it appears in the referer of the page seen next.
const SITE: &str = "https://shop.example";

/// How many ids bots go by.
const BOT_IDS: u32 = 50;

/// Browsers of people, in short. None holds a word by which bots are known.
const HUMAN_AGENTS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0",
    "Mozilla/5.0 (X11; Linux) Chrome/138.0",
    "Mozilla/5.0 (iPhone) Safari/604.1",
    "Mozilla/5.0 (Macintosh) Safari/605.1",
    "Mozilla/5.0 (Android 15) Chrome/138.0",
];

/// User agents of bots. Each holds a word by which bots are known.
const BOT_AGENTS: [&str; 5] = [
    "Mozilla/5.0 (compatible; Googlebot/2.1)",
    "Mozilla/5.0 (compatible; bingbot/2.0)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0)",
    "python-requests/2.32.4",
    "curl/8.14.1",
];

const COUNTRIES: [&str; 8] = ["DE", "FR", "US", "PL", "IN", "BR", "JP", "GB"];

/// One page seen by someone.
#[derive(Debug)]
pub(super) struct PageView<'a> {
    /// The number of the visitor.
    pub(super) user: u32,
    /// Whether the visitor is a bot.
    pub(super) bot: bool,
    /// The number of the session.
    pub(super) session: u64,
    /// Path and query.
    pub(super) url: &'a str,
    /// The address of the page before.
    pub(super) referer: Option<&'a str>,
    /// The browser or bot by name.
    pub(super) user_agent: &'static str,
    /// The country by its two letters.
    pub(super) country: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    number: u64,
    user: u32,
    bot: bool,
    /// How many pages are still to be seen.
    pages_left: u32,
    /// The index of the page seen last; none before the first.
    last_page: Option<usize>,
}

/// The sessions that are open. Each step, one of them at random sees a page, which gives every session its
/// pauses; one that has seen its last page makes room for a new one.
#[derive(Debug)]
pub(super) struct Visitors {
    popularity: Zipf<f64>,
    users: u32,
    bot_share: f64,
    session_pages: u32,
    pages: Vec<String>,
    /// The same pages with the site before them.
    addresses: Vec<String>,
    campaigns: Vec<String>,
    referers: Vec<String>,
    open: Vec<Session>,
    sessions: u64,
    /// The URL of the page seen last; here to be written anew without an allocation.
    url: String,
}

impl Visitors {
    /// Opens the first sessions with fewer pages to go, so that they do not all end together.
    pub(super) fn new(config: ClickConfig, rng: &mut ChaCha8Rng) -> Result<Self, ConfigError> {
        let open_sessions = config.open_sessions()?;
        let popularity = Zipf::new(f64::from(config.users), config.zipf_exponent)
            .map_err(|error| ConfigError::new("zipf_exponent", format!("is unusable: {error}")))?;
        let mut visitors = Self {
            popularity,
            users: config.users,
            bot_share: config.bot_share,
            session_pages: config.session_pages,
            addresses: config
                .pages
                .iter()
                .map(|page| format!("{SITE}{page}"))
                .collect(),
            pages: config.pages,
            campaigns: config.campaigns,
            referers: config.referers,
            open: Vec::new(),
            sessions: 0,
            url: String::new(),
        };
        for _ in 0..open_sessions {
            let mut session = visitors.new_session(rng);
            session.pages_left = rng.random_range(1..=session.pages_left);
            visitors.open.push(session);
        }
        Ok(visitors)
    }

    /// The next page that anyone sees.
    pub(super) fn next_page(&mut self, rng: &mut ChaCha8Rng) -> PageView<'_> {
        let chosen = rng.random_range(0..self.open.len());
        let session = self.open[chosen];
        // The smaller of two equally likely indices: pages further up the list are more popular.
        let page = rng
            .random_range(0..self.pages.len())
            .min(rng.random_range(0..self.pages.len()));

        self.open[chosen] = if session.pages_left > 1 {
            Session {
                pages_left: session.pages_left - 1,
                last_page: Some(page),
                ..session
            }
        } else {
            self.new_session(rng)
        };

        self.url.clear();
        self.url.push_str(&self.pages[page]);
        let referer = match session.last_page {
            _ if session.bot => None,
            Some(last) => {
                self.push_query(0.25, 0.0, rng);
                Some(self.addresses[last].as_str())
            }
            None => {
                self.push_query(0.25, 0.4, rng);
                // One more than there are referers: the last stands for people who typed the address.
                let from = rng.random_range(0..=self.referers.len());
                self.referers.get(from).map(String::as_str)
            }
        };
        let agents = if session.bot {
            &BOT_AGENTS
        } else {
            &HUMAN_AGENTS
        };
        PageView {
            user: session.user,
            bot: session.bot,
            session: session.number,
            url: &self.url,
            referer,
            user_agent: of_user(session.user, agents),
            country: of_user(session.user, &COUNTRIES),
        }
    }

    fn new_session(&mut self, rng: &mut ChaCha8Rng) -> Session {
        let bot = rng.random_bool(self.bot_share);
        let user = if bot {
            self.users.saturating_add(rng.random_range(0..BOT_IDS))
        } else {
            self.person(rng)
        };
        self.sessions += 1;
        Session {
            number: self.sessions,
            user,
            bot,
            pages_left: rng.random_range(1..=self.session_pages),
            last_page: None,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the distribution gives whole numbers from 1 to the number of users, which is a u32"
    )]
    fn person(&self, rng: &mut ChaCha8Rng) -> u32 {
        self.popularity.sample(rng) as u32 - 1
    }

    /// Appends a query, each part with its own chance.
    fn push_query(&mut self, search: f64, campaign: f64, rng: &mut ChaCha8Rng) {
        let mut separator = '?';
        if !self.campaigns.is_empty() && rng.random_bool(campaign) {
            let campaign = &self.campaigns[rng.random_range(0..self.campaigns.len())];
            self.url.push_str("?utm_campaign=");
            self.url.push_str(campaign);
            separator = '&';
        }
        if rng.random_bool(search) {
            self.url.push(separator);
            self.url.push_str("q=");
            self.url.push(char::from(b'1' + rng.random_range(0..9_u8)));
        }
    }
}

/// What a user always has: the same choice for the same number, independent of other choices.
fn of_user<const N: usize>(user: u32, choices: &[&'static str; N]) -> &'static str {
    // Multiplicative hashing by Knuth: neighbours get unrelated upper bits.
    let hash = user.wrapping_mul(2_654_435_761) >> 16;
    choices[hash as usize % N]
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOT_WORDS: [&str; 6] = ["bot", "crawl", "spider", "python", "curl", "http"];

    #[test]
    fn every_user_agent_is_plainly_a_bot_or_plainly_not() {
        let known = |agent: &str| {
            let agent = agent.to_lowercase();
            BOT_WORDS.iter().any(|word| agent.contains(word))
        };
        assert!(BOT_AGENTS.iter().all(|agent| known(agent)));
        assert!(!HUMAN_AGENTS.iter().any(|agent| known(agent)));
    }
}
