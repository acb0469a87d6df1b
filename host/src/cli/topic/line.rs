//! A record as it is shown: as text for people, or as one JSON object for programs.
//!
//! Keys, values and headers are any bytes. As text, whatever could confuse a terminal is escaped. As JSON, what is not
//! UTF-8 is written in base64, under its name with `_base64` after it.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::cli::out::Format;
use crate::log::RecordBatch;

/// Record `row` of a batch.
pub(super) struct Record<'a> {
    pub(super) batch: &'a RecordBatch,
    pub(super) row: usize,
}

impl Record<'_> {
    /// Writes the record with the end of its last line.
    ///
    /// # Errors
    /// What writing returns.
    pub(super) fn show(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Text => self.show_text(out),
            Format::Json => {
                serde_json::to_writer(&mut *out, self)?;
                writeln!(out)
            }
        }
    }

    fn show_text(&self, out: &mut impl Write) -> io::Result<()> {
        let Record { batch, row } = *self;
        writeln!(
            out,
            "{}:{} {} {} {}",
            batch.partition().partition,
            batch.offset(row),
            batch.timestamp(row),
            Text(batch.key(row)),
            Text(batch.value(row))
        )?;
        for header in batch.headers(row) {
            let (name, value) = (Text(Some(header.name.as_bytes())), Text(Some(header.value)));
            writeln!(out, "  {name}: {value}")?;
        }
        Ok(())
    }
}

/// Bytes, or that there are none, on one line that does nothing to a terminal.
struct Text<'a>(Option<&'a [u8]>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0 else {
            return f.write_str("null");
        };
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    c if c.is_control() => write!(f, "{}", c.escape_default())?,
                    c => f.write_char(c)?,
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Record { batch, row } = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("topic", &*batch.partition().topic)?;
        map.serialize_entry("partition", &batch.partition().partition)?;
        map.serialize_entry("offset", &batch.offset(row).0)?;
        map.serialize_entry("timestamp", &batch.timestamp(row).0)?;
        for (name, bytes) in [("key", batch.key(row)), ("value", batch.value(row))] {
            let (name, value) = member(name, bytes);
            map.serialize_entry(&name, &value)?;
        }
        map.serialize_entry("headers", &self.headers())?;
        map.end()
    }
}

impl Record<'_> {
    /// The headers by name. A name that comes again has a list of its values.
    fn headers(&self) -> Map<String, Value> {
        let mut headers = Map::new();
        for header in self.batch.headers(self.row) {
            let (name, value) = member(header.name, Some(header.value));
            match headers.get_mut(&name) {
                None => {
                    headers.insert(name, value);
                }
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        headers
    }
}

/// A member of a JSON object.
fn member(name: &str, bytes: Option<&[u8]>) -> (String, Value) {
    match bytes.map(|bytes| (bytes, str::from_utf8(bytes))) {
        None => (name.to_owned(), Value::Null),
        Some((_, Ok(text))) => (name.to_owned(), text.into()),
        Some((bytes, Err(_))) => (format!("{name}_base64"), STANDARD.encode(bytes).into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use proptest::prelude::*;

    use super::*;
    use crate::log::{Offset, TopicPartition};
    use crate::time::Timestamp;

    type Bytes<'a> = Option<&'a [u8]>;

    fn shown(format: Format, key: Bytes, value: Bytes, headers: &[(&str, &[u8])]) -> String {
        let mut batch = RecordBatch::new(TopicPartition::new("t", 2));
        batch.push(Offset(7), Timestamp(1), key, value);
        for (name, value) in headers {
            batch.push_header(name, value);
        }
        let mut out = Vec::new();
        let record = Record {
            batch: &batch,
            row: 0,
        };
        record.show(format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_shows_place_time_key_value_and_headers_below() {
        assert_eq!(
            shown(
                Format::Text,
                Some(b"k"),
                Some("{\"a\": \"\u{e4}\\\"}".as_bytes()),
                &[("why", b"late")]
            ),
            "2:7 1970-01-01T00:00:00.001Z k {\"a\": \"\u{e4}\\\"}\n  why: late\n"
        );
    }

    #[test]
    fn text_does_nothing_to_a_terminal() {
        assert_eq!(
            shown(
                Format::Text,
                None,
                Some(b"\x1b[2J\n\xFF"),
                &[("a\r", b"\0")]
            ),
            "2:7 1970-01-01T00:00:00.001Z null \\u{1b}[2J\\n\\xff\n  a\\r: \\u{0}\n"
        );
    }

    #[test]
    fn json_shows_text_as_such() {
        assert_eq!(
            shown(Format::Json, Some(b"k"), Some(b""), &[("why", b"late")]),
            "{\"topic\":\"t\",\"partition\":2,\"offset\":7,\"timestamp\":1,\"key\":\"k\",\"value\":\"\",\
             \"headers\":{\"why\":\"late\"}}\n"
        );
    }

    #[test]
    fn json_shows_other_bytes_in_base64_and_what_is_missing_as_null() {
        assert_eq!(
            shown(Format::Json, Some(b"\xFF"), None, &[("h", b"\xFF")]),
            "{\"topic\":\"t\",\"partition\":2,\"offset\":7,\"timestamp\":1,\"key_base64\":\"/w==\",\"value\":null,\
             \"headers\":{\"h_base64\":\"/w==\"}}\n"
        );
    }

    #[test]
    fn a_header_that_comes_again_has_all_its_values() {
        let line = shown(
            Format::Json,
            None,
            None,
            &[("a", b"1"), ("b", b"2"), ("a", b"3"), ("a", b"4")],
        );
        let record: Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({ "a": ["1", "3", "4"], "b": "2" });
        assert_eq!(record["headers"], expected);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_from_json(value: Vec<u8>) {
            let line = shown(Format::Json, None, Some(&value), &[]);
            let record: Value = serde_json::from_str(&line).unwrap();
            let back = match (record["value"].as_str(), record["value_base64"].as_str()) {
                (Some(text), None) => text.as_bytes().to_vec(),
                (None, Some(text)) => STANDARD.decode(text).unwrap(),
                other => panic!("neither or both: {other:?}"),
            };
            prop_assert_eq!(back, value);
        }

        #[test]
        fn any_record_is_one_line(key: Vec<u8>, value: Vec<u8>) {
            for format in [Format::Text, Format::Json] {
                let lines = shown(format, Some(&key), Some(&value), &[]);
                prop_assert_eq!(lines.lines().count(), 1);
            }
        }

        #[test]
        fn any_text_shown_has_no_control_characters(value: Vec<u8>) {
            let line = shown(Format::Text, None, Some(&value), &[]);
            prop_assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
        }
    }
}
