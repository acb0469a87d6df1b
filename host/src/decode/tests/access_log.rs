//! What is read from lines of an access log, and which ones are refused.

use proptest::prelude::*;

use super::*;

const FIELDS: [&str; 12] = [
    "host: option<text>",
    "ident: option<text>",
    "user: option<text>",
    "time: timestamp",
    "request: option<text>",
    "method: option<text>",
    "path: option<text>",
    "protocol: option<text>",
    "status: option<int64>",
    "bytes: option<int64>",
    "referer: option<text>",
    "user_agent: option<text>",
];

fn event_time() -> EventTime {
    EventTime::Field {
        path: "time".to_owned(),
        unit: TimeUnit::Rfc3339,
    }
}

fn line(text: &str) -> Result<Vec<String>, String> {
    let mut decoder = decoder(Format::AccessLog, event_time(), &FIELDS);
    one(&mut decoder, &FIELDS, text.as_bytes())
}

#[test]
fn a_combined_line_has_every_field() {
    let text = concat!(
        r#"192.0.2.7 ident mary [23/Nov/2026:14:05:00 +0100] "GET /shop?c=x HTTP/1.1" 200 512 "#,
        r#""https://example.org/" "Mozilla/5.0 (X11)""#
    );
    let expected = [
        "192.0.2.7",
        "ident",
        "mary",
        "1795439100000",
        "GET /shop?c=x HTTP/1.1",
        "GET",
        "/shop?c=x",
        "HTTP/1.1",
        "200",
        "512",
        "https://example.org/",
        "Mozilla/5.0 (X11)",
    ];
    for end in ["", "\n", "\r\n"] {
        assert_eq!(line(&format!("{text}{end}")).unwrap(), expected);
    }
    let mut decoder = decoder(Format::AccessLog, event_time(), &[]);
    let decoded = decode(&mut decoder, &batch([Some(text.as_bytes())]));
    assert_eq!(decoded.event_times, [Timestamp(1_795_439_100_000)]);
}

#[test]
fn a_common_line_lacks_the_client_and_a_dash_is_null() {
    let row = line(r#"- - a b [01/Jan/1970:00:00:00 +0000] "-" - -"#).unwrap();
    let mut expected = vec!["null"; 12];
    expected[2] = "a b";
    expected[3] = "0";
    assert_eq!(row, expected);

    let mut decoder = decoder(Format::AccessLog, EventTime::Record, &["bytes: int64"]);
    let reason = one(
        &mut decoder,
        &[],
        br#"h - - [01/Jan/1970:00:00:00 +0000] "GET /" 304 -"#,
    );
    assert_eq!(
        reason,
        Err("field bytes is missing (int64 is needed)".to_owned())
    );
}

#[test]
fn a_request_is_taken_apart_where_it_has_the_parts() {
    for (request, parts) in [
        ("GET / HTTP/2", ["GET", "/", "HTTP/2"]),
        ("GET /", ["GET", "/", "null"]),
        ("GET /a b HTTP/1.0", ["GET", "/a b", "HTTP/1.0"]),
        ("hello", ["null", "null", "null"]),
        ("", ["null", "null", "null"]),
    ] {
        let text = format!("h - - [01/Jan/1970:00:00:00 +0000] \"{request}\" 400 0");
        assert_eq!(line(&text).unwrap()[5..8], parts, "{request}");
    }
}

#[test]
fn escapes_are_resolved_and_must_make_utf8() {
    let with = |agent: &str| {
        format!(r#"h - - [01/Jan/1970:00:00:00 +0000] "GET / HTTP/1.1" 200 1 "" "{agent}""#)
    };
    for (agent, expected) in [
        (r#"say \"hi\" \\ \t\x41\xC3\xbc"#, "say \"hi\" \\ \tAü"),
        ("", ""),
        (r"\x2d", "-"),
    ] {
        assert_eq!(line(&with(agent)).unwrap()[11], expected);
    }
    let binary = with(r"\x16\xff");
    let reason = "field user_agent is not UTF-8 once its escapes are resolved";
    assert_eq!(line(&binary), Err(reason.to_owned()));
    // Nobody reads it here.
    let mut decoder = decoder(Format::AccessLog, EventTime::Record, &["status: int64"]);
    assert_eq!(
        one(&mut decoder, &["status: int64"], binary.as_bytes()).unwrap(),
        ["200"]
    );
}

#[test]
fn a_broken_line_is_refused_with_the_place() {
    let head = "h - - [01/Jan/1970:00:00:00 +0000] ";
    for (text, reason) in [
        ("x".to_owned(), "the host and \" \" are expected at byte 0".to_owned()),
        ("h - - no time".to_owned(), "the user and \" [\" are expected at byte 4".to_owned()),
        (
            "h - - [01/Foo/1970:00:00:00 +0000] \"\" 1 1".to_owned(),
            "the time \"01/Foo/1970:00:00:00 +0000\" is not written like 23/Nov/2026:14:05:00 +0100"
                .to_owned(),
        ),
        (format!("{head}\"GET / "), "the request has no closing quote".to_owned()),
        (format!("{head}\"\\q\" 1 1"), "the request has an unknown escape at byte 36".to_owned()),
        (format!("{head}\"\\x4\" 1 1"), "the request has an unknown escape at byte 36".to_owned()),
        (format!("{head}\"\"1 1"), "\" \" is expected after the request, at byte 37".to_owned()),
        (format!("{head}\"\" ok 1"), "status is \"ok\", a whole number is needed".to_owned()),
        (format!("{head}\"\" +1 1"), "status is \"+1\", a whole number is needed".to_owned()),
        (format!("{head}\"\" 1 "), "bytes is \"\", a whole number is needed".to_owned()),
        (format!("{head}\"\" 1 1 2"), "the bytes and \" \\\"\" are expected at byte 40".to_owned()),
        (
            format!("{head}\"\" 1 1 \"a\" \"b\" c"),
            "unexpected \" c\" after the user agent".to_owned(),
        ),
    ] {
        assert_eq!(line(&text), Err(format!("the value is not an access log line: {reason}")));
    }
}

/// A text as both servers would write it between quotes.
fn quote(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'"' => "\\\"".to_owned(),
            b'\\' => "\\\\".to_owned(),
            b'\n' => "\\n".to_owned(),
            b' '..=b'~' => char::from(byte).to_string(),
            _ => format!("\\x{byte:02X}"),
        })
        .collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        host in "[a-z0-9.:]{1,20}",
        user in "[a-z@.]{1,10}",
        second in 0i64..4_000_000_000,
        path in "/[^ ]{0,20}",
        status in 100i64..600,
        bytes in 0i64..,
        referer in ".{1,30}",
        agent in "(.|\n){1,30}",
    ) {
        prop_assume!(referer != "-" && agent != "-");
        let time = jiff::Timestamp::from_second(second).unwrap();
        let time = time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        let text = format!(
            "{host} - {user} [{time}] \"GET {} HTTP/1.1\" {status} {bytes} \"{}\" \"{}\"",
            quote(&path), quote(&referer), quote(&agent),
        );
        let row = line(&text).unwrap();
        let (millis, request) = ((second * 1000).to_string(), format!("GET {path} HTTP/1.1"));
        let (status, bytes) = (status.to_string(), bytes.to_string());
        prop_assert_eq!(row, [
            &*host, "null", &*user, &*millis, &*request, "GET", &*path, "HTTP/1.1", &*status,
            &*bytes, &*referer, &*agent,
        ]);
    }

    #[test]
    fn a_line_is_good_or_bad_whatever_is_read_of_it(
        at in any::<proptest::sample::Index>(),
        byte in proptest::sample::select(b" -\"\\[]5n".to_vec()),
    ) {
        let good = br#"h - u [01/Jan/1970:00:00:00 +0000] "GET /\t HTTP/1.1" 200 1 "r" "a\"b""#;
        let mut bytes = good.to_vec();
        bytes[at.index(good.len())] = byte;
        let mut all = decoder(Format::AccessLog, EventTime::Record, &FIELDS);
        let mut none = decoder(Format::AccessLog, EventTime::Record, &[]);
        let found = one(&mut all, &[], &bytes);
        prop_assert_eq!(one(&mut none, &[], &bytes), found);
    }
}
