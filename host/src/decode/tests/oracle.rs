//! Decoding beside a plain and slow twin that reads a `serde_json::Value`, and what must hold for any bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::*;
use crate::decode::cell::{Cell, Scratch};
use crate::decode::json::ObjectReader;
use crate::decode::scan::Unusual;

/// JSON text, in which keys may occur twice, strings be escaped and white space stand anywhere.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>()
            .prop_filter("JSON has no others", |x| x.is_finite())
            .prop_map(|x| format!("{x:?}")),
        any::<f64>()
            .prop_filter("JSON has no others", |x| x.is_finite())
            .prop_map(|x| x.to_string()),
        any::<String>().prop_map(|s| Value::from(s).to_string()),
        proptest::collection::vec(any::<u8>(), 0..9)
            .prop_map(|bytes| Value::from(STANDARD.encode(bytes)).to_string()),
        Just(r#""\u0041QI\u003d \ud83d\ude00""#.to_owned()),
        Just(r#""1969-12-31T23:59:59.9995Z""#.to_owned()),
        Just(r#""2026-11-23T14:05:00+01:00""#.to_owned()),
    ];
    let value = leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            object(inner.clone()),
            proptest::collection::vec(inner, 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
        ]
    });
    object(value)
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let key = select(vec!["a", "b", "c", "\\u0061", "d\\n"]);
    let space = select(vec!["", "", " ", "\n\t "]);
    proptest::collection::vec((key, space, value), 0..6).prop_map(|members| {
        let members: Vec<String> = members
            .into_iter()
            .map(|(key, space, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn declared() -> impl Strategy<Value = Vec<String>> {
    let path = select(vec!["a", "b", "c", "d\n", "a.a", "a.b", "b.a", "b.c.a"]);
    let ty = select(vec![
        "bool",
        "int64",
        "float64",
        "timestamp",
        "text",
        "bytes",
        "json",
    ]);
    let field = (path, ty, any::<bool>()).prop_map(|(path, ty, optional)| match optional {
        true => format!("{path}: option<{ty}>"),
        false => format!("{path}: {ty}"),
    });
    proptest::collection::vec(field, 1..4)
}

/// A way of reading a record.
type Read<'de, E> = fn(&ObjectReader, &'de str, &mut [Cell<'de>], &mut Scratch) -> Result<(), E>;

/// What one way of reading a record puts into the cells.
fn cells<'de, E>(
    reader: &ObjectReader,
    text: &'de str,
    read: Read<'de, E>,
) -> Result<Vec<String>, E> {
    let mut scratch = Scratch::default();
    let mut cells = vec![Cell::Missing; reader.cells()];
    read(reader, text, &mut cells, &mut scratch)?;
    let show = |cell: &Cell<'_>| match cell.text(&scratch) {
        Some(text) => format!("{text:?}"),
        None => format!("{cell:?}"),
    };
    Ok(cells.iter().map(show).collect())
}

fn reader(declared: &[&str]) -> ObjectReader {
    let mut reader = ObjectReader::new();
    for text in declared {
        let field = field(text);
        reader
            .cell(&field.name, field.ty == FieldType::Json)
            .unwrap();
    }
    reader
}

#[test]
fn what_is_ordinary_never_needs_serde() {
    let reader = reader(&["a: int64", "a: json", "b.c: text", "d: float64"]);
    for text in [
        "{}",
        r#"{"a":1}"#,
        r#" { "a" : -12345678901234567 , "x" : [ ] , "y" : { } } "#,
        r#"{"x":"a \" quote and \u00e4 in what nobody reads","b":{"c":"text","x":null},"d":-1.5e3}"#,
        r#"{"x":{"y":[1,2.5,{"z":[true,false,null,"\n"]}],"z":{"a":""}},"d":7,"b":{"c":"größer als ein Block, also länger als vierundsechzig Bytes"}}"#,
        r#"{"b":{"c":"escapes: \n \ud83d\ude00"},"d":18446744073709551615,"a":9223372036854775808}"#,
        r#"{"a":"text","b":[],"d":true,"a":{"x":{}}}"#,
    ] {
        let found = cells(&reader, text, ObjectReader::read_ordinary);
        assert_eq!(
            found.ok(),
            cells(&reader, text, ObjectReader::read_unusual).ok()
        );
        assert!(
            cells(&reader, text, ObjectReader::read_ordinary).is_ok(),
            "{text}"
        );
    }
}

/// What a field is in a record, as text; `None` where that makes the record a bad one.
fn expected(record: &Value, field: &Field) -> Option<String> {
    let found = field
        .name
        .split('.')
        .try_fold(record, |value, part| value.as_object()?.get(part));
    let Some(value) = found.filter(|value| !value.is_null()) else {
        return field.optional.then(|| "null".to_owned());
    };
    match field.ty {
        FieldType::Bool => value.as_bool().map(|b| b.to_string()),
        FieldType::Int64 => value.as_i64().map(|n| n.to_string()),
        FieldType::Float64 => value.as_f64().map(|x| format!("{x:?}")),
        FieldType::Timestamp => match value.as_str() {
            None => value.as_i64().map(|n| n.to_string()),
            Some(text) => {
                let instant: jiff::Timestamp = text.parse().ok()?;
                Some(instant.as_nanosecond().div_euclid(1_000_000).to_string())
            }
        },
        FieldType::Text => value.as_str().map(str::to_owned),
        FieldType::Bytes => STANDARD
            .decode(value.as_str()?)
            .ok()
            .map(|bytes| format!("{bytes:?}")),
        FieldType::Json => Some(value.to_string()),
    }
}

proptest! {
    #[test]
    fn an_ordinary_reading_finds_what_serde_finds_or_nothing(
        text in json_text(),
        declared in declared(),
        blanks in 0..130usize,
        change in proptest::option::of((any::<proptest::sample::Index>(), select(&b"\"\\{}[]:,.-+e0159tfnu x\n\0\xc3"[..]))),
    ) {
        let mut bytes = " ".repeat(blanks).into_bytes();
        bytes.extend(text.into_bytes());
        if let Some((at, byte)) = change {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let fields: Vec<&str> = declared.iter().map(String::as_str).collect();
            let reader = reader(&fields);
            let serde = cells(&reader, text, ObjectReader::read_unusual);
            match cells(&reader, text, ObjectReader::read_ordinary) {
                Ok(found) => prop_assert_eq!(Ok(found), serde),
                // What is left is bad, or has an escape in a key.
                Err(Unusual) => prop_assert!(serde.is_err() || text.contains('\\'), "{}", text),
            }
        }
    }

    #[test]
    fn numbers_are_read_to_the_last_digit(
        number in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?",
        blanks in 0..20usize,
    ) {
        let text = format!("{{{}\"a\":{number}}}", " ".repeat(blanks));
        let reader = reader(&["a: float64"]);
        let serde = cells(&reader, &text, ObjectReader::read_unusual);
        prop_assert_eq!(cells(&reader, &text, ObjectReader::read_ordinary).ok(), serde.ok());
    }

    #[test]
    fn a_row_is_what_a_plain_reading_of_the_record_gives(text in json_text(), declared in declared()) {
        let record: Value = serde_json::from_str(&text).unwrap();
        let fields: Vec<&str> = declared.iter().map(String::as_str).collect();
        let expected: Option<Vec<String>> =
            fields.iter().map(|text| expected(&record, &field(text))).collect();

        let mut decoder = decoder(Format::Json, EventTime::Record, &fields);
        let found = one(&mut decoder, &fields, text.as_bytes()).ok().map(|row| {
            // JSON keeps its text as it was written; the twin compares what it means.
            row.into_iter()
                .zip(&fields)
                .map(|(value, text)| match field(text).ty {
                    FieldType::Json => serde_json::from_str::<Value>(&value).unwrap().to_string(),
                    _ => value,
                })
                .collect()
        });
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_record_that_is_json_by_half_is_as_bad_as_by_a_plain_reading(
        text in json_text(),
        cut in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = text.into_bytes();
        let at = cut.index(bytes.len());
        bytes[at] = byte;
        let plain = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes);
        let mut decoder = decoder(Format::Json, EventTime::Record, &["a: option<json>"]);
        let found = one(&mut decoder, &[], &bytes);
        if plain.is_ok() {
            prop_assert_eq!(found, Ok(vec![]));
        } else if let Ok(text) = std::str::from_utf8(&bytes)
            && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()
        {
            prop_assert!(found.is_err());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let fields = ["$value: text", "$value: json", "$key: text"];
        for format in [Format::Json, Format::AccessLog, Format::Raw] {
            let mut decoder = decoder(format, EventTime::Record, &fields);
            let decoded = decode(&mut decoder, &batch([Some(&bytes[..])]));
            prop_assert_eq!(decoded.source.len() + decoded.failures.len(), 1);
        }
    }

    #[test]
    fn bad_records_leave_no_trace_in_the_rows(
        values in proptest::collection::vec(prop_oneof![
            3 => json_text().prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..9),
        ], 0..20),
        declared in declared(),
    ) {
        let fields: Vec<&str> = declared.iter().map(String::as_str).collect();
        let mut decoder = decoder(Format::Json, EventTime::Record, &fields);
        let all = decode(&mut decoder, &batch(values.iter().map(|value| Some(&**value))));
        let good = all.source.iter().map(|row| Some(&*values[usize::try_from(*row).unwrap()]));
        let alone = decode(&mut decoder, &batch(good));
        prop_assert_eq!(all.source.len() + all.failures.len(), values.len());
        prop_assert!(alone.failures.is_empty());
        prop_assert_eq!(all.rows.len, alone.rows.len);
        prop_assert_eq!(all.rows.columns, alone.rows.columns);
        prop_assert_eq!(all.event_times, alone.event_times);
    }
}
