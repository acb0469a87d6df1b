//! The generator and its oracle against each other: what the bytes say must be what the oracle says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn clicks(config: &ClickConfig) -> Vec<Click> {
    Clicks::new(config.clone()).unwrap().collect()
}

fn expected(config: &ClickConfig, clicks: &[Click]) -> Expected {
    let mut oracle = Oracle::new(config.window, config.disorder, config.partitions).unwrap();
    clicks.iter().for_each(|click| oracle.observe(click));
    oracle.expected()
}

/// Short streams of every sort: before and after 1970, windows smaller and larger than the disorder, shares from
/// nothing to everything.
fn configs() -> impl Strategy<Value = ClickConfig> {
    let share = || prop_oneof![Just(0.0), Just(1.0), 0.0..0.5];
    let time = (
        -100_000_i64..100_000,
        1_u32..200,
        0_i64..20_000,
        1_i64..30_000,
    );
    let people = (1_u32..300, 0.0..3.0, 1_u32..10, 0_i64..5_000);
    let shares = (share(), share(), share());
    let rendering = prop_oneof![Just(Rendering::Json), Just(Rendering::AccessLog)];
    (
        any::<u64>(),
        0_u64..1_500,
        1_i32..6,
        time,
        people,
        shares,
        rendering,
    )
        .prop_map(
            |(seed, events, partitions, time, people, shares, rendering)| ClickConfig {
                seed,
                events,
                partitions,
                start: Timestamp::from_millisecond(time.0).unwrap(),
                rate: time.1,
                disorder: SignedDuration::from_millis(time.2),
                window: SignedDuration::from_millis(time.3),
                users: people.0,
                zipf_exponent: people.1,
                session_pages: people.2,
                pause: SignedDuration::from_millis(people.3),
                bot_share: shares.0,
                late_share: shares.1,
                malformed_share: shares.2,
                rendering,
                ..ClickConfig::default()
            },
        )
}

/// What a reader finds in a row.
#[derive(Debug, PartialEq)]
struct Read {
    user_id: String,
    event_time: i64,
    bot: bool,
}

fn read(rendering: Rendering, value: Option<&[u8]>) -> Option<Read> {
    let text = std::str::from_utf8(value?).ok()?;
    let (user_id, event_time, agent) = match rendering {
        Rendering::Json => read_json(text),
        Rendering::AccessLog => read_line(text),
    }?;
    let agent = agent.to_lowercase();
    let bot = ["bot", "curl", "python-requests"]
        .iter()
        .any(|word| agent.contains(word));
    Some(Read {
        user_id,
        event_time,
        bot,
    })
}

fn read_json(text: &str) -> Option<(String, i64, String)> {
    let object: Value = serde_json::from_str(text).ok()?;
    Some((
        object.get("user_id")?.as_str()?.to_owned(),
        object.get("event_time")?.as_i64()?,
        object.get("user_agent")?.as_str()?.to_owned(),
    ))
}

fn read_line(text: &str) -> Option<(String, i64, String)> {
    let (client, rest) = text.split_once(" [")?;
    let (time, rest) = rest.split_once("] \"")?;
    let time = Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", time).ok()?;
    let quoted: Vec<&str> = rest.split('"').collect();
    let [request, status, _referer, " ", agent, ""] = quoted[..] else {
        return None;
    };
    assert!(request.starts_with("GET /") && request.ends_with(" HTTP/1.1"));
    assert!(status.starts_with(" 200 "));
    Some((
        client.rsplit(' ').next()?.to_owned(),
        time.as_millisecond(),
        agent.to_owned(),
    ))
}

/// The answer worked out a second time, from the bytes alone and with other means: whole partitions at once,
/// watermarks as maxima over all rows before, and counting by sorting.
fn recompute(config: &ClickConfig, clicks: &[Click]) -> Expected {
    let window = i64::try_from(config.window.as_millis()).unwrap();
    let disorder = i64::try_from(config.disorder.as_millis()).unwrap();
    let floor = |time: i64| time / window - i64::from(time % window < 0);

    let mut visits = Vec::new();
    let mut watermarks = Vec::new();
    let (mut late_rows, mut malformed_rows, mut bots) = (Vec::new(), Vec::new(), 0);
    for partition in 0..config.partitions {
        let rows: Vec<Option<Read>> = clicks
            .iter()
            .filter(|click| click.partition == partition)
            .map(|click| read(config.rendering, click.value.as_deref()))
            .collect();
        let watermark = |rows: &[Option<Read>]| {
            rows.iter()
                .flatten()
                .map(|row| row.event_time - disorder)
                .max()
        };
        watermarks.push(watermark(&rows));
        for (index, row) in rows.iter().enumerate() {
            let place = Place {
                partition,
                index: index as u64,
            };
            match row {
                None => malformed_rows.push(place),
                Some(row) if row.bot => bots += 1,
                Some(row) => {
                    let number = floor(row.event_time);
                    let end = (number + 1) * window;
                    match watermark(&rows[..index]) {
                        Some(passed) if passed >= end => late_rows.push(place),
                        _ => visits.push((number, row.user_id.clone())),
                    }
                }
            }
        }
    }
    // `None` is smaller than every time: a partition without rows has the lowest watermark.
    let watermark = watermarks.into_iter().min().unwrap();
    let numbers: BTreeSet<i64> = visits.iter().map(|(number, _)| *number).collect();
    let (windows, open) = numbers
        .into_iter()
        .map(|number| {
            let mut users: Vec<&String> = visits
                .iter()
                .filter(|visit| visit.0 == number)
                .map(|visit| &visit.1)
                .collect();
            let clicks = users.len() as u64;
            users.sort();
            users.dedup();
            ExpectedWindow {
                start: number * window,
                end: (number + 1) * window,
                unique_visitors: users.len() as u64,
                clicks,
            }
        })
        .partition(|window| watermark >= Some(window.end));
    Expected {
        windows,
        open,
        late: late_rows.len() as u64,
        late_rows,
        malformed: malformed_rows.len() as u64,
        malformed_rows,
        bots,
        rows: clicks.len() as u64,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_bytes_say_what_the_oracle_says(config in configs()) {
        let clicks = clicks(&config);
        let mut expected = expected(&config, &clicks);
        expected.late_rows.sort();
        expected.malformed_rows.sort();
        prop_assert_eq!(expected, recompute(&config, &clicks));
    }

    #[test]
    fn exactly_the_rows_meant_to_be_late_are_late(config in configs()) {
        let clicks = clicks(&config);
        let mut rows = BTreeMap::new();
        let mut meant = Vec::new();
        for click in &clicks {
            let index: &mut u64 = rows.entry(click.partition).or_default();
            if matches!(click.truth, Truth::Visit { late: true, .. }) {
                meant.push(Place { partition: click.partition, index: *index });
            }
            *index += 1;
        }
        prop_assert_eq!(expected(&config, &clicks).late_rows, meant);
    }

    #[test]
    fn no_row_on_time_lies_further_back_than_the_disorder(config in configs()) {
        let mut latest = i64::MIN;
        for click in clicks(&config) {
            let event_time = match click.truth {
                Truth::Visit { event_time, late: false, .. } | Truth::Bot { event_time } => event_time,
                Truth::Visit { late: true, .. } | Truth::Malformed(_) => continue,
            };
            latest = latest.max(event_time);
            prop_assert!(i128::from(latest - event_time) <= config.disorder.as_millis());
            prop_assert!(event_time <= click.timestamp);
        }
    }

    #[test]
    fn the_truth_is_what_the_bytes_say(config in configs()) {
        for click in clicks(&config) {
            let read = read(config.rendering, click.value.as_deref());
            let key = String::from_utf8(click.key).unwrap();
            match click.truth {
                Truth::Visit { user, event_time, .. } => {
                    prop_assert_eq!(&key, &format!("u-{user:06}"));
                    prop_assert_eq!(read, Some(Read { user_id: key, event_time, bot: false }));
                }
                Truth::Bot { event_time } => {
                    prop_assert_eq!(read, Some(Read { user_id: key, event_time, bot: true }));
                }
                Truth::Malformed(_) => prop_assert_eq!(read, None),
            }
        }
    }

    #[test]
    fn equal_settings_give_equal_clicks_and_other_seeds_others(config in configs()) {
        let first = clicks(&config);
        prop_assert_eq!(&first, &clicks(&config));
        let other = clicks(&ClickConfig { seed: !config.seed, ..config });
        prop_assert!(first.len() < 10 || first != other);
    }

    #[test]
    fn a_window_once_closed_stays_as_it_is(config in configs()) {
        let mut oracle = Oracle::new(config.window, config.disorder, config.partitions).unwrap();
        let mut closed = Vec::new();
        for click in clicks(&config).iter().take(300) {
            oracle.observe(click);
            let now = oracle.closed();
            prop_assert!(closed.iter().all(|window| now.contains(window)));
            closed = now;
        }
    }
}

#[test]
fn shares_are_what_the_settings_say() {
    let config = ClickConfig {
        events: 100_000,
        bot_share: 0.2,
        late_share: 0.1,
        malformed_share: 0.05,
        ..ClickConfig::default()
    };
    let clicks = clicks(&config);
    let count =
        |wanted: fn(&Truth) -> bool| clicks.iter().filter(|click| wanted(&click.truth)).count();
    let malformed = count(|truth| matches!(truth, Truth::Malformed(_)));
    let bots = count(|truth| matches!(truth, Truth::Bot { .. }));
    let late = count(|truth| matches!(truth, Truth::Visit { late: true, .. }));
    // Of 100,000 rows 5,000 are malformed; 19,000 of the rest are a bot's; a tenth of the other 76,000 late.
    assert!((4_700..5_300).contains(&malformed), "{malformed}");
    assert!((18_000..20_000).contains(&bots), "{bots}");
    assert!((7_200..8_000).contains(&late), "{late}");
}

#[test]
fn every_kind_of_malformed_row_occurs() {
    for rendering in [Rendering::Json, Rendering::AccessLog] {
        let config = ClickConfig {
            events: 1_000,
            malformed_share: 1.0,
            rendering,
            ..ClickConfig::default()
        };
        let clicks = clicks(&config);
        for kind in Malformed::kinds(rendering) {
            let occurs = clicks
                .iter()
                .any(|click| click.truth == Truth::Malformed(*kind));
            assert!(occurs, "{rendering:?} has no row that is {kind:?}");
        }
    }
}

#[test]
fn people_follow_zipfs_law_and_see_several_pages_in_a_session() {
    let clicks = clicks(&ClickConfig {
        malformed_share: 0.0,
        bot_share: 0.0,
        ..ClickConfig::default()
    });
    let mut by_user: BTreeMap<u32, u32> = BTreeMap::new();
    let mut by_session: BTreeMap<String, u32> = BTreeMap::new();
    for click in &clicks {
        let Truth::Visit { user, .. } = click.truth else {
            panic!("neither bots nor malformed rows were asked for");
        };
        *by_user.entry(user).or_default() += 1;
        let row: Value = serde_json::from_slice(click.value.as_deref().unwrap()).unwrap();
        *by_session
            .entry(row["session_id"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    let ratio = f64::from(by_user[&0]) / f64::from(by_user[&9]);
    assert!(
        (8.0..12.0).contains(&ratio),
        "the first is {ratio} times as active as the tenth"
    );
    assert!(by_session.values().all(|pages| (1..=8).contains(pages)));
    let mean = clicks.len() / by_session.len();
    assert!((3..=5).contains(&mean), "{mean} pages a session");
}

#[test]
fn every_default_setting_takes_part() {
    let config = ClickConfig::default();
    let clicks = clicks(&config);
    let text: String = clicks
        .iter()
        .filter(|click| !matches!(click.truth, Truth::Malformed(_)))
        .map(|click| String::from_utf8(click.value.clone().unwrap()).unwrap())
        .collect();
    for page in &config.pages {
        assert!(text.contains(&format!(r#""url":"{page}""#)), "{page}");
    }
    for campaign in &config.campaigns {
        assert!(
            text.contains(&format!("?utm_campaign={campaign}")),
            "{campaign}"
        );
    }
    for referer in &config.referers {
        assert!(
            text.contains(&format!(r#""referer":"{referer}""#)),
            "{referer}"
        );
    }
    let expected = expected(&config, &clicks);
    assert!(expected.windows.len() >= 6 && !expected.open.is_empty());
    assert!(expected.late > 0 && expected.malformed > 0 && expected.bots > 0);
}
