//! A click as a line of an access log, in the combined format of Apache and nginx:
//! `10.0.48.57 - u-012345 [01/Jan/2026:00:00:00 +0000] "GET /sale HTTP/1.1" 200 1548 "-" "curl/8.14.1"`.
//!
//! Nothing needs escaping: the settings refuse what would, and user agents are ours.

use jiff::Timestamp;

use super::clicks::Row;

/// The line of a row.
pub(super) fn line(row: &Row<'_>) -> Vec<u8> {
    let time = Timestamp::from_millisecond(row.event_time)
        .expect("the timeline keeps event times within the years that have a calendar date");
    line_at(row, &time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string())
}

/// The line of a row with any text in place of the time.
pub(super) fn line_at(row: &Row<'_>, time: &str) -> Vec<u8> {
    let [_, a, b, c] = row.page.user.to_be_bytes();
    let url = row.page.url;
    // Any plausible size will do; the same page has the same one.
    let size = 500 + 131 * url.len();
    format!(
        r#"10.{a}.{b}.{c} - {user} [{time}] "GET {url} HTTP/1.1" 200 {size} "{referer}" "{agent}""#,
        user = row.user_id,
        referer = row.page.referer.unwrap_or("-"),
        agent = row.page.user_agent,
    )
    .into_bytes()
}
