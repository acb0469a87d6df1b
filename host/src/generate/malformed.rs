//! Rows that no pipeline can decode, each wrong in one way.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::access_log;
use super::clicks::Row;
use super::config::Rendering;
use super::json::{JsonRow, Member};

/// What is wrong with a row.
///
/// A pipeline that reads its event time from `event_time` and requires `user_id` as text must send each of
/// these to its dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Malformed {
    /// It ends early.
    Truncated,
    /// It is text of another format.
    OtherFormat,
    /// It is well-formed JSON, but not an object.
    NotAnObject,
    /// One of its bytes cannot stand in UTF-8.
    InvalidUtf8,
    /// It does not say whose it is.
    UserIdMissing,
    /// Its user id is a number.
    UserIdNotText,
    /// It does not say when it happened.
    EventTimeMissing,
    /// Its event time is no time.
    EventTimeGarbage,
    /// Its event time is a larger integer than 64 bits with a sign can hold.
    EventTimeOutOfRange,
    /// Its value has no bytes.
    Empty,
    /// It has no value.
    Tombstone,
}

impl Malformed {
    /// All kinds of malformed rows that a rendering has.
    pub fn kinds(rendering: Rendering) -> &'static [Self] {
        match rendering {
            Rendering::Json => &[
                Self::Truncated,
                Self::OtherFormat,
                Self::NotAnObject,
                Self::InvalidUtf8,
                Self::UserIdMissing,
                Self::UserIdNotText,
                Self::EventTimeMissing,
                Self::EventTimeGarbage,
                Self::EventTimeOutOfRange,
                Self::Empty,
                Self::Tombstone,
            ],
            // In a line every member is text and stands at its place: there is no other type to give it,
            // and a user that is not known is a well-formed `-`.
            Rendering::AccessLog => &[
                Self::Truncated,
                Self::OtherFormat,
                Self::InvalidUtf8,
                Self::EventTimeMissing,
                Self::EventTimeGarbage,
                Self::Empty,
                Self::Tombstone,
            ],
        }
    }

    pub(super) fn draw(rendering: Rendering, rng: &mut ChaCha8Rng) -> Self {
        let kinds = Self::kinds(rendering);
        kinds[rng.random_range(0..kinds.len())]
    }

    /// The value that a row has instead of its own.
    pub(super) fn render(
        self,
        row: &Row<'_>,
        rendering: Rendering,
        rng: &mut ChaCha8Rng,
    ) -> Option<Vec<u8>> {
        let value = match (self, rendering) {
            (Self::Tombstone, _) => return None,
            (Self::Empty, _) => Vec::new(),
            (Self::OtherFormat, _) => b"<click user=\"lost\"/>".to_vec(),
            (Self::NotAnObject, _) => b"[\"event_time\",\"user_id\"]".to_vec(),
            (Self::InvalidUtf8, _) => {
                let mut value = row.render(rendering);
                let place = rng.random_range(0..value.len());
                value[place] = 0xFF;
                value
            }
            (Self::Truncated, _) => {
                let mut value = row.render(rendering);
                value.truncate(rng.random_range(1..shortest_whole(&value, rendering)));
                value
            }
            (Self::EventTimeMissing, Rendering::AccessLog) => access_log::line_at(row, "-"),
            (Self::EventTimeGarbage, Rendering::AccessLog) => access_log::line_at(row, "yesterday"),
            (Self::UserIdMissing, _) => edited(row, |json| json.user_id = None),
            (Self::UserIdNotText, _) => edited(row, |json| {
                json.user_id = Some(Member::Integer(i64::from(row.page.user)));
            }),
            (Self::EventTimeMissing, _) => edited(row, |json| json.event_time = None),
            (Self::EventTimeGarbage, _) => edited(row, |json| {
                json.event_time = Some(Member::Text("yesterday"));
            }),
            (Self::EventTimeOutOfRange, _) => edited(row, |json| {
                json.event_time = Some(Member::Unsigned(u64::MAX));
            }),
        };
        Some(value)
    }
}

/// The JSON object of a row after a change to it.
fn edited<'a>(row: &Row<'a>, edit: impl FnOnce(&mut JsonRow<'a>)) -> Vec<u8> {
    let mut json = JsonRow::of(row);
    edit(&mut json);
    json.render()
}

/// The length below which a value cannot be whole. A JSON object needs its last brace; a line is cut before
/// its request, since what follows the size is optional in older log formats.
fn shortest_whole(value: &[u8], rendering: Rendering) -> usize {
    match rendering {
        Rendering::Json => value.len(),
        Rendering::AccessLog => value
            .iter()
            .position(|byte| *byte == b'"')
            .expect("the request is quoted"),
    }
}
