//! What is read from a JSON object, and which ones are refused.

use super::*;

/// One field of one JSON record.
fn json(declared: &str, value: &str) -> Result<String, String> {
    let fields = [declared];
    let mut decoder = decoder(Format::Json, EventTime::Record, &fields);
    one(&mut decoder, &fields, value.as_bytes()).map(|mut row| row.remove(0))
}

fn check_json(table: &[(&str, &str, Result<&str, &str>)]) {
    for (declared, value, expected) in table {
        let found = json(declared, value);
        let found = found.as_ref().map(String::as_str).map_err(String::as_str);
        assert_eq!(found, *expected, "{declared} of {value}");
    }
}

#[test]
fn json_values_are_read_by_their_declared_type() {
    check_json(&[
        ("a: bool", r#"{"a":true}"#, Ok("true")),
        ("a: bool", r#"{"a":1}"#, Err("field a is 1, bool is needed")),
        (
            "a: int64",
            r#"{"a":-9223372036854775808}"#,
            Ok("-9223372036854775808"),
        ),
        (
            "a: int64",
            r#"{"a":9223372036854775807}"#,
            Ok("9223372036854775807"),
        ),
        (
            "a: int64",
            r#"{"a":9223372036854775808}"#,
            Err("field a is 9223372036854775808, out of the range of int64"),
        ),
        (
            "a: int64",
            r#"{"a":1e30}"#,
            Err("field a is 1e30, a whole number in the range of int64 is needed"),
        ),
        (
            "a: int64",
            r#"{"a":1.0}"#,
            Err("field a is 1.0, a whole number in the range of int64 is needed"),
        ),
        (
            "a: int64",
            r#"{"a":"1"}"#,
            Err("field a is a string, int64 is needed"),
        ),
        ("a: float64", r#"{"a":1}"#, Ok("1.0")),
        (
            "a: float64",
            r#"{"a":18446744073709551615}"#,
            Ok("1.8446744073709552e19"),
        ),
        ("a: float64", r#"{"a":-1.5e-7}"#, Ok("-1.5e-7")),
        (
            "price: float64",
            r#"{"price":"1"}"#,
            Err("field price is a string, float64 is needed"),
        ),
        (
            "a: float64",
            r#"{"a":1e999}"#,
            Err("the value is not one JSON object: number out of range at line 1 column 10"),
        ),
        ("a: timestamp", r#"{"a":-1}"#, Ok("-1")),
        (
            "a: timestamp",
            r#"{"a":"1970-01-01T01:00:00.5+01:00"}"#,
            Ok("500"),
        ),
        (
            "a: timestamp",
            r#"{"a":"1970-01-01T00:00:00\u005a"}"#,
            Ok("0"),
        ),
        (
            "a: timestamp",
            r#"{"a":"noon"}"#,
            Err("field a is \"noon\", RFC 3339 text or milliseconds are needed"),
        ),
        (
            "a: timestamp",
            r#"{"a":1.5}"#,
            Err("field a is 1.5, a whole number in the range of timestamp is needed"),
        ),
        ("a: text", r#"{"a":"plain ü"}"#, Ok("plain ü")),
        (
            "a: text",
            r#"{"a":"\u00fc\n\"\ud83d\ude00"}"#,
            Ok("ü\n\"😀"),
        ),
        ("a: text", r#"{"a":""}"#, Ok("")),
        ("a: text", r#"{"a":7}"#, Err("field a is 7, text is needed")),
        (
            "a: text",
            r#"{"a":[7]}"#,
            Err("field a is a list, text is needed"),
        ),
        (
            "a: text",
            r#"{"a":{"b":7}}"#,
            Err("field a is an object, text is needed"),
        ),
        (
            "a: text",
            r#"{"a":false}"#,
            Err("field a is a boolean, text is needed"),
        ),
        ("a: bytes", r#"{"a":"AP8="}"#, Ok("[0, 255]")),
        ("a: bytes", r#"{"a":"\/\/8="}"#, Ok("[255, 255]")),
        ("a: bytes", r#"{"a":""}"#, Ok("[]")),
        (
            "a: bytes",
            r#"{"a":"AP8"}"#,
            Err("field a is not base64: invalid padding"),
        ),
        (
            "a: json",
            r#"{"a": [1, 1e999 , {"b":"\u00fc"}] }"#,
            Ok(r#"[1, 1e999 , {"b":"\u00fc"}]"#),
        ),
        ("a: json", r#"{"a":"\u00fc"}"#, Ok(r#""\u00fc""#)),
        ("a: option<json>", r#"{"a": null }"#, Ok("null")),
    ]);
}

#[test]
fn missing_and_null_are_null_where_the_field_is_optional() {
    check_json(&[
        (
            "user_id: text",
            "{}",
            Err("field user_id is missing (text is needed)"),
        ),
        (
            "user_id: text",
            r#"{"user_id":null}"#,
            Err("field user_id is missing (text is needed)"),
        ),
        (
            "a: json",
            r#"{"a":null}"#,
            Err("field a is missing (json is needed)"),
        ),
        ("a: option<bool>", "{}", Ok("null")),
        ("a: option<int64>", "{}", Ok("null")),
        ("a: option<float64>", r#"{"a":null}"#, Ok("null")),
        ("a: option<timestamp>", "{}", Ok("null")),
        ("a: option<text>", r#"{"a":null}"#, Ok("null")),
        ("a: option<bytes>", "{}", Ok("null")),
        (
            "a: option<int64>",
            r#"{"a":"x"}"#,
            Err("field a is a string, int64 is needed"),
        ),
    ]);
}

#[test]
fn paths_descend_into_objects_only() {
    check_json(&[
        (
            "user.id: int64",
            r#"{"id":1,"user":{"x":{"id":2},"id":3}}"#,
            Ok("3"),
        ),
        ("a.b.c: text", r#"{"a":{"b":{"c":"deep"}}}"#, Ok("deep")),
        (
            "user.id: int64",
            r#"{"user":7}"#,
            Err("field user.id is missing (int64 is needed)"),
        ),
        (
            "user.id: option<int64>",
            r#"{"user":[{"id":1}]}"#,
            Ok("null"),
        ),
        ("user.id: option<int64>", r#"{"user.id":1}"#, Ok("null")),
    ]);
}

#[test]
fn of_equal_keys_the_last_counts() {
    check_json(&[
        ("a: int64", r#"{"a":"wrong","a":2}"#, Ok("2")),
        ("a: option<int64>", r#"{"a":2,"a":null}"#, Ok("null")),
        ("a: int64", r#"{"a":2,"\u0061":3}"#, Ok("3")),
        (
            "a: int64",
            r#"{"a":2,"a":"wrong"}"#,
            Err("field a is a string, int64 is needed"),
        ),
        (
            "a.b: option<int64>",
            r#"{"a":{"b":1},"a":{"c":2}}"#,
            Ok("null"),
        ),
        ("a.b: option<int64>", r#"{"a":{"b":1},"a":5}"#, Ok("null")),
        ("a: json", r#"{"a":1,"a":{}}"#, Ok("{}")),
    ]);
}

#[test]
fn a_record_is_one_object_and_all_of_it_is_checked() {
    for (value, reason) in [
        ("[1]", "it does not begin with {"),
        ("\"long string\"", "it does not begin with {"),
        ("{} {}", "trailing characters at line 1 column 4"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        (r#"{"b":tru}"#, "expected ident at line 1 column 9"),
        (r#"{"b":{"c":[01]}}"#, "invalid number at line 1 column 13"),
        (r#"{"b":["\u00zz"]}"#, "invalid escape at line 1 column 13"),
        (
            "{\"b\":\"\n\"}",
            "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 6",
        ),
    ] {
        for declared in ["a: option<text>", "b: option<json>", "b.c: option<text>"] {
            let found = json(declared, value).unwrap_err();
            assert!(
                found.starts_with("the value is not one JSON object: "),
                "{found}"
            );
            if declared == "a: option<text>" {
                assert_eq!(found, format!("the value is not one JSON object: {reason}"));
            }
        }
    }
    assert_eq!(json("a: option<text>", " \n{ } \t").as_deref(), Ok("null"));
}

#[test]
fn a_record_that_is_not_utf8_fails_wherever_the_bytes_are() {
    let mut decoder = decoder(Format::Json, EventTime::Record, &["a: option<text>"]);
    for value in [
        &b"{\"b\":\"\xff\"}"[..],
        b"{\"a\":\"\xc3\"}",
        b"{\"\xff\":1}",
    ] {
        let reason = one(&mut decoder, &[], value).unwrap_err();
        assert!(
            reason.starts_with("the value is not UTF-8 (at byte "),
            "{reason}"
        );
    }
}

#[test]
fn text_that_cannot_exist_fails_only_where_it_is_read() {
    let value = r#"{"a":"\ud800","b":1}"#;
    assert_eq!(json("b: int64", value).as_deref(), Ok("1"));
    assert!(
        json("a: text", value)
            .unwrap_err()
            .contains("unexpected end of hex escape")
    );
}

#[test]
fn any_depth_of_nesting_leaves_the_stack_alone() {
    for depth in [10_000, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let inner = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let value = format!("{{\"a\":{inner},\"b\":7}}");
            assert_eq!(json("b: int64", &value).as_deref(), Ok("7"));
            assert!(json("a: text", &value).is_err());
            assert_eq!(json("a.a.c: option<text>", &value).as_deref(), Ok("null"));
            assert_eq!(json("a: json", &value), Ok(inner));
            let unclosed = &value[..value.len() - 20];
            assert!(json("b: option<int64>", unclosed).is_err());
        }
    }
}

#[test]
fn one_place_can_be_read_in_several_ways() {
    let fields = [
        "a: json",
        "a: option<timestamp>",
        "a: option<int64>",
        "b: json",
        "b.c: text",
        "b.c: bytes",
    ];
    let mut decoder = decoder(Format::Json, EventTime::Record, &fields);
    let row = one(&mut decoder, &fields, br#"{"b":{"c":"\u0051UJD"},"a":12}"#).unwrap();
    assert_eq!(
        row,
        [
            "12",
            "12",
            "12",
            r#"{"c":"\u0051UJD"}"#,
            "QUJD",
            "[65, 66, 67]"
        ]
    );
}

#[test]
fn a_value_of_10_mb_is_read() {
    let text = "x".repeat(10 << 20);
    let value = format!(r#"{{"a":"{text}"}}"#);
    assert_eq!(json("a: text", &value), Ok(text));
}
