//! A click as a JSON object.

use serde::Serialize;

use super::clicks::Row;

/// The object, in the order of its members. A member that is `None` is left out, except for the referer.
#[derive(Debug, Serialize)]
pub(super) struct JsonRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_time: Option<Member<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<Member<'a>>,
    url: &'a str,
    user_agent: &'a str,
    referer: Option<&'a str>,
    session_id: String,
    country: &'a str,
}

/// A member that a malformed row holds in another type.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Member<'a> {
    Text(&'a str),
    Integer(i64),
    Unsigned(u64),
}

impl<'a> JsonRow<'a> {
    /// The well-formed object of a row.
    pub(super) fn of(row: &Row<'a>) -> Self {
        Self {
            event_time: Some(Member::Integer(row.event_time)),
            user_id: Some(Member::Text(row.user_id)),
            url: row.page.url,
            user_agent: row.page.user_agent,
            referer: row.page.referer,
            session_id: format!("s-{:06}", row.page.session),
            country: row.page.country,
        }
    }

    /// The object as text.
    pub(super) fn render(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and integers have a JSON form")
    }
}
