//! What a record holds in one place, and its conversion to the type that a field declares.
//!
//! Reading and converting are two steps, because only at a record's end is it known which of two equal keys counts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::event_time;
use crate::rows::{Field, FieldType};

/// What a record holds in one place, as the format's reader found it. It borrows from the record where it can.
///
/// Its tag is as wide as a word: a smaller one is written alone and then read with the bytes beside it, and such a read waits until
/// the write has reached the cache.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(super) enum Cell<'a> {
    /// Nothing.
    Missing,
    /// An explicit null.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above the highest `i64`.
    Uint(u64),
    /// A number with a fraction or an exponent, or a whole one that is too large for the others.
    Float(f64),
    /// Text as it stands in the record.
    Text(&'a str),
    /// Text whose escapes were resolved into the row's scratch text.
    Resolved(Span),
    /// The source text of one JSON value other than null.
    Raw(&'a str),
    /// A list, unread.
    Array,
    /// An object, unread.
    Object,
}

/// A stretch of one of the row's scratch buffers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: usize,
    end: usize,
}

/// Buffers for what cannot be borrowed from the record; emptied before each row.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    text: String,
    bytes: Vec<u8>,
}

impl Scratch {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.bytes.clear();
    }

    /// Keeps a text until the row ends.
    pub(super) fn keep(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        Span {
            start,
            end: self.text.len(),
        }
    }

    pub(super) fn text(&self, span: Span) -> &str {
        &self.text[span.start..span.end]
    }

    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        &self.bytes[span.start..span.end]
    }

    /// Keeps bytes as text until the row ends; `None` where they are not UTF-8.
    pub(super) fn keep_utf8(&mut self, bytes: impl Iterator<Item = u8>) -> Option<Span> {
        let from = self.bytes.len();
        self.bytes.extend(bytes);
        let text = std::str::from_utf8(&self.bytes[from..]).ok()?;
        let start = self.text.len();
        self.text.push_str(text);
        Some(Span {
            start,
            end: self.text.len(),
        })
    }
}

/// A value of a field's own type, ready for its column. Its tag is a word for the reason given at [`Cell`].
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(super) enum Datum<'a> {
    /// None.
    Null,
    /// Of a bool.
    Bool(bool),
    /// Of an int64 or a timestamp.
    Int(i64),
    /// Of a float64.
    Float(f64),
    /// Of a text or json.
    Text(&'a str),
    /// The same, in the scratch text.
    ScratchText(Span),
    /// Of bytes.
    Bytes(&'a [u8]),
    /// The same, in the scratch bytes.
    ScratchBytes(Span),
}

impl<'a> Cell<'a> {
    /// Whether it counts as missing.
    pub(super) fn is_absent(self) -> bool {
        matches!(self, Cell::Missing | Cell::Null)
    }

    /// The text, if it is one.
    pub(super) fn text<'s>(self, scratch: &'s Scratch) -> Option<&'s str>
    where
        'a: 's,
    {
        match self {
            Cell::Text(text) => Some(text),
            Cell::Resolved(span) => Some(scratch.text(span)),
            _ => None,
        }
    }

    /// The value as what `field` declares, or why it is not.
    pub(super) fn convert(self, field: &Field, scratch: &mut Scratch) -> Result<Datum<'a>, String> {
        if self.is_absent() {
            return absent(field);
        }
        let datum = match (field.ty, self) {
            (FieldType::Bool, Cell::Bool(value)) => Datum::Bool(value),
            (FieldType::Int64 | FieldType::Timestamp, Cell::Int(value)) => Datum::Int(value),
            (FieldType::Float64, Cell::Float(value)) => Datum::Float(value),
            (FieldType::Float64, Cell::Int(value)) => Datum::Float(value as f64),
            (FieldType::Float64, Cell::Uint(value)) => Datum::Float(value as f64),
            (FieldType::Text, Cell::Text(text)) => Datum::Text(text),
            (FieldType::Text, Cell::Resolved(span)) => Datum::ScratchText(span),
            (FieldType::Json, Cell::Raw(text)) => Datum::Text(text),
            (FieldType::Timestamp, Cell::Text(_) | Cell::Resolved(_)) => {
                let instant = self.text(scratch).and_then(event_time::rfc3339_millis);
                Datum::Int(instant.ok_or_else(|| mismatch(self, field, scratch))?)
            }
            (FieldType::Bytes, Cell::Text(text)) => {
                Datum::ScratchBytes(decode_base64(text, &mut scratch.bytes, field)?)
            }
            (FieldType::Bytes, Cell::Resolved(Span { start, end })) => {
                // Base64 needs no escapes, but `\/` is a common one.
                let text = &scratch.text[start..end];
                Datum::ScratchBytes(decode_base64(text, &mut scratch.bytes, field)?)
            }
            _ => return Err(mismatch(self, field, scratch)),
        };
        Ok(datum)
    }

    /// What it is, in words for a message: `a string`, `1.5`.
    pub(super) fn describe(self) -> String {
        match self {
            Cell::Missing => "missing".to_owned(),
            Cell::Null => "null".to_owned(),
            Cell::Bool(_) => "a boolean".to_owned(),
            Cell::Int(value) => value.to_string(),
            Cell::Uint(value) => value.to_string(),
            // Debug writes large and small numbers with an exponent.
            Cell::Float(value) => format!("{value:?}"),
            Cell::Text(_) | Cell::Resolved(_) => "a string".to_owned(),
            Cell::Array => "a list".to_owned(),
            Cell::Object => "an object".to_owned(),
            Cell::Raw(text) => match text.as_bytes().first() {
                Some(b'"') => "a string".to_owned(),
                Some(b'{') => "an object".to_owned(),
                Some(b'[') => "a list".to_owned(),
                Some(b't' | b'f') => "a boolean".to_owned(),
                _ => clip(text).to_owned(),
            },
        }
    }
}

/// Null, or the failure of a row that lacks a required field.
pub(super) fn absent(field: &Field) -> Result<Datum<'static>, String> {
    if field.optional {
        Ok(Datum::Null)
    } else {
        let Field { name, ty, .. } = field;
        Err(format!("field {name} is missing ({ty} is needed)"))
    }
}

/// The start of a text, short enough for a message.
pub(super) fn clip(text: &str) -> &str {
    const MOST: usize = 64;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cold]
fn mismatch(cell: Cell<'_>, field: &Field, scratch: &Scratch) -> String {
    let Field { name, ty, .. } = field;
    match (ty, cell, cell.text(scratch)) {
        (FieldType::Int64 | FieldType::Timestamp, Cell::Uint(_), _) => {
            format!(
                "field {name} is {}, out of the range of {ty}",
                cell.describe()
            )
        }
        (FieldType::Int64 | FieldType::Timestamp, Cell::Float(_), _) => format!(
            "field {name} is {}, a whole number in the range of {ty} is needed",
            cell.describe()
        ),
        (FieldType::Timestamp, _, Some(text)) => format!(
            "field {name} is {:?}, RFC 3339 text or milliseconds are needed",
            clip(text)
        ),
        _ => format!("field {name} is {}, {ty} is needed", cell.describe()),
    }
}

fn decode_base64(text: &str, into: &mut Vec<u8>, field: &Field) -> Result<Span, String> {
    let start = into.len();
    STANDARD.decode_vec(text, into).map_err(|error| {
        let detail = error.to_string().to_lowercase();
        format!("field {} is not base64: {detail}", field.name)
    })?;
    Ok(Span {
        start,
        end: into.len(),
    })
}
