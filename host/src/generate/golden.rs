//! The same seed gives the same bytes for ever: a failure here, after a change or with another version of a
//! library, means that results published for a seed no longer hold.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sha2::{Digest, Sha256};

use super::*;

/// A digest of rows of a partition, a key, a value and a timestamp each.
fn digest<'a>(rows: impl Iterator<Item = (i32, &'a [u8], Option<&'a [u8]>, i64)>) -> String {
    let mut digest = Sha256::new();
    for (partition, key, value, timestamp) in rows {
        digest.update(partition.to_be_bytes());
        digest.update(key);
        digest.update(value.unwrap_or(b"(none)"));
        digest.update(timestamp.to_be_bytes());
    }
    let bytes = digest.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first two values, to see what changed, and a digest of the first thousand rows.
fn clicks(rendering: Rendering) -> (String, String, String) {
    let config = ClickConfig {
        events: 1_000,
        rendering,
        ..ClickConfig::default()
    };
    let clicks: Vec<Click> = Clicks::new(config).unwrap().collect();
    let value = |row: usize| String::from_utf8(clicks[row].value.clone().unwrap()).unwrap();
    let digest = digest(clicks.iter().map(|row| {
        (
            row.partition,
            &row.key[..],
            row.value.as_deref(),
            row.timestamp,
        )
    }));
    (value(0), value(1), digest)
}

#[test]
fn clicks_as_json_are_the_same_for_ever() {
    let (first, second, digest) = clicks(Rendering::Json);
    assert_eq!(
        first,
        r#"{"event_time":1767225596427,"user_id":"u-020035","url":"/products/bags","user_agent":"Mozilla/5.0 (compatible; bingbot/2.0)","referer":null,"session_id":"s-006795","country":"DE"}"#
    );
    assert_eq!(
        second,
        r#"{"event_time":1767225596625,"user_id":"u-000335","url":"/products/hats?q=6","user_agent":"Mozilla/5.0 (iPhone) Safari/604.1","referer":"https://news.example/style","session_id":"s-007088","country":"DE"}"#
    );
    assert_eq!(
        digest,
        "e172559e3fb8db425646b26e79645a33d120ecb2c3f855ead7378210a06801cc"
    );
}

#[test]
fn clicks_as_access_log_are_the_same_for_ever() {
    let (first, second, digest) = clicks(Rendering::AccessLog);
    assert_eq!(
        first,
        r#"10.0.78.67 - u-020035 [31/Dec/2025:23:59:56 +0000] "GET /products/bags HTTP/1.1" 200 2334 "-" "Mozilla/5.0 (compatible; bingbot/2.0)""#
    );
    assert_eq!(
        second,
        r#"10.0.1.79 - u-000335 [31/Dec/2025:23:59:56 +0000] "GET /products/hats?q=6 HTTP/1.1" 200 2858 "https://news.example/style" "Mozilla/5.0 (iPhone) Safari/604.1""#
    );
    assert_eq!(
        digest,
        "d33c0d3d4280bca0b5bd3a5253dcc1231e57482706020461b2a09adb6f3b5dbb"
    );
}

#[test]
fn orders_are_the_same_for_ever() {
    let config = OrderConfig {
        events: 1_000,
        ..OrderConfig::default()
    };
    let orders: Vec<Order> = Orders::new(&config).unwrap().collect();
    let first = String::from_utf8(orders[0].value.clone()).unwrap();
    let digest = digest(orders.iter().map(|row| {
        (
            row.partition,
            &row.key[..],
            Some(&row.value[..]),
            row.timestamp,
        )
    }));
    assert_eq!(
        first,
        r#"{"order_id":"o-00000001","event_time":1767225595077,"user_id":"u-002746","currency":"EUR","items":[{"sku":"sku-298","quantity":2,"price":211.55}],"total":423.1}"#
    );
    assert_eq!(
        digest,
        "dcede9fea1974aaf7daa38913c87d7207447f71b36cc432d588507a40d2954fc"
    );
}
