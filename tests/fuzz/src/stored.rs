//! What tasks keep: records of the changelog, which are the entries of the store, and what stands beside committed offsets.

use std::fmt::Debug;

use millstream::format::FormatError;
use millstream::rows::{Field, FieldType, decode_rows, encode_rows};
use millstream::state::{
    Committed, Counter, HeldRow, PartReader, Position, Published, StateKey, TaskState,
    decode_session, encode_session, segments,
};

/// Keys and values: each a byte for its length and as many bytes. Returns whether all are taken.
pub(crate) fn state(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut parts = PartReader::new();
    while let Some(key) = piece(&mut rest) {
        let value = piece(&mut rest).unwrap_or_default();
        let is_taken = match StateKey::decode(key) {
            Ok(decoded) => {
                let mut written = Vec::new();
                decoded.encode(&mut written);
                assert_eq!(
                    written, key,
                    "a key has one form, or entries would be missed"
                );
                entry(&decoded, key, value, &mut parts)
            }
            // The store's own: how far it has come.
            Err(_) => again(value, Position::decode, Position::encode),
        };
        if !is_taken {
            return false;
        }
    }
    parts.finish().is_ok()
}

fn entry(decoded: &StateKey, key: &[u8], value: &[u8], parts: &mut PartReader) -> bool {
    match decoded {
        StateKey::Task => again(value, TaskState::decode, TaskState::encode),
        StateKey::Published { .. } => again(value, Published::decode, Published::encode),
        StateKey::Session { .. } => again(value, decode_session, encode_session),
        StateKey::Counter { .. } => again(value, Counter::decode, Counter::encode),
        StateKey::Held { .. } => again(value, HeldRow::decode, HeldRow::encode),
        StateKey::Part { .. } => match parts.push(key, value) {
            Ok(Some(part)) => rows(&part.bytes),
            Ok(None) => true,
            Err(_) => false,
        },
    }
}

/// Rows that a window-apply keeps.
fn rows(bytes: &[u8]) -> bool {
    let fields = [
        ("flag", FieldType::Bool, true),
        ("n", FieldType::Int64, false),
        ("text", FieldType::Text, true),
    ];
    let fields = fields.map(|(name, ty, optional)| Field {
        name: name.to_owned(),
        ty,
        optional,
    });
    let Ok(segments) = segments::read(bytes).collect::<Result<Vec<_>, _>>() else {
        return false;
    };
    let lots: Vec<&[u8]> = segments.iter().map(|(_, rows)| *rows).collect();
    let Ok(rows) = decode_rows(&fields, &lots) else {
        return false;
    };
    let mut written = Vec::new();
    encode_rows(&fields, &rows, 0..rows.len, &mut written);
    let same = decode_rows(&fields, &[&written]).expect("what was read can be kept");
    assert_eq!(rows.len, same.len);
    assert_eq!(rows.columns, same.columns);
    true
}

/// What stands beside a committed offset.
pub(crate) fn marks(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let Ok(read) = Committed::parse(text) else {
        return false;
    };
    // Texts that are too long for a mark are shortened when it is written.
    let written = read.to_json();
    let again = Committed::parse(&written).expect("what was read can be written");
    assert_eq!(again.to_json(), written);
    true
}

/// Whether the bytes are read; what was read must be the same once it is written and read again.
fn again<T: Debug + PartialEq>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, FormatError>,
    encode: fn(&T, &mut Vec<u8>),
) -> bool {
    let Ok(read) = decode(bytes) else {
        return false;
    };
    let mut written = Vec::new();
    encode(&read, &mut written);
    assert_eq!(decode(&written), Ok(read));
    true
}

fn piece<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first()?;
    let (piece, after) = after.split_at(after.len().min((*length).into()));
    *rest = after;
    Some(piece)
}
