//! Properties of the record, event times, refused declarations, and stretches of a batch.

use super::*;

#[test]
fn tombstones_and_empty_values_fail_in_every_format() {
    for format in [Format::Json, Format::AccessLog, Format::Raw] {
        let mut decoder = decoder(format, EventTime::Record, &["$offset: int64"]);
        let decoded = decode(&mut decoder, &batch([None, Some(&b""[..])]));
        let reasons: Vec<_> = decoded
            .failures
            .iter()
            .map(|f| (f.row, f.reason.as_str()))
            .collect();
        assert_eq!(
            reasons,
            [(0, "the record has no value"), (1, "the value is empty")]
        );
        assert_eq!(decoded.rows.len, 0);
    }
}

#[test]
fn event_times_are_read_by_their_unit_and_kept_in_range() {
    let range = "outside 0000-01-01T00:00:00Z to 9999-12-30T21:59:59.999Z";
    for (unit, ts, expected) in [
        (TimeUnit::Millis, "1700000000123", Ok(1_700_000_000_123)),
        (TimeUnit::Millis, "-62167219200000", Ok(-62_167_219_200_000)),
        (TimeUnit::Millis, "9405000000000000", Err(format!("event time in field m.ts is 9405000000000000, {range}"))),
        (TimeUnit::Millis, "18446744073709551615", Err(format!("event time in field m.ts is 18446744073709551615, {range}"))),
        (TimeUnit::Millis, "1.5", Err("field m.ts is 1.5, the event time as a whole number of milliseconds is needed".to_owned())),
        (TimeUnit::Millis, "null", Err("field m.ts is missing (the event time is needed)".to_owned())),
        (TimeUnit::Seconds, "1700000000.123", Ok(1_700_000_000_123)),
        (TimeUnit::Seconds, "-0.0001", Ok(-1)),
        (TimeUnit::Seconds, "9405000000000", Err(format!("event time in field m.ts is 9405000000000, {range}"))),
        (TimeUnit::Seconds, "\"5\"", Err("field m.ts is a string, the event time as a number of seconds is needed".to_owned())),
        (TimeUnit::Rfc3339, "\"1970-01-01T00:00:01.2349Z\"", Ok(1_234)),
        (TimeUnit::Rfc3339, "\"+300000-01-01T00:00:00Z\"", Err("field m.ts is \"+300000-01-01T00:00:00Z\", the event time as RFC 3339 text is needed".to_owned())),
        (TimeUnit::Rfc3339, "5", Err("field m.ts is 5, the event time as RFC 3339 text is needed".to_owned())),
    ] {
        let path = "m.ts".to_owned();
        let fields = ["$event_time: timestamp"];
        let mut decoder = decoder(Format::Json, EventTime::Field { path, unit }, &fields);
        let value = format!("{{\"m\":{{\"ts\":{ts}}}}}");
        let found = one(&mut decoder, &fields, value.as_bytes());
        assert_eq!(found, expected.map(|millis: i64| vec![millis.to_string()]), "{unit:?} {ts}");
    }
}

#[test]
fn the_records_own_timestamp_must_be_there_and_in_range() {
    let mut batch = RecordBatch::new(TopicPartition::new("clicks", 0));
    for timestamp in [0, -1, i64::MAX] {
        batch.push(Offset(0), Timestamp(timestamp), None, Some(b"x"));
    }
    let mut decoder = decoder(Format::Raw, EventTime::Record, &[]);
    let decoded = decode(&mut decoder, &batch);
    assert_eq!(decoded.event_times, [Timestamp(0)]);
    assert_eq!(
        decoded.failures[0].reason,
        "the record has no timestamp to take as its event time"
    );
    assert!(
        decoded.failures[1]
            .reason
            .starts_with("event time is 9223372036854775807, outside")
    );
}

#[test]
fn properties_come_from_the_record() {
    let fields = [
        "$value: bytes",
        "$value: text",
        "$value: json",
        "$key: bytes",
        "$key: text",
        "$topic: text",
        "$partition: int64",
        "$offset: int64",
        "$timestamp: timestamp",
        "$event_time: timestamp",
    ];
    let expected = [
        "[123, 125]",
        "{}",
        "{}",
        "[107, 101, 121]",
        "key",
        "clicks",
        "3",
        "70",
        "1000",
        "1000",
    ];
    for format in [Format::Json, Format::Raw] {
        let mut decoder = decoder(format, EventTime::Record, &fields);
        assert_eq!(one(&mut decoder, &fields, b"{}").unwrap(), expected);
    }
    let mut decoder = decoder(Format::Json, EventTime::Record, &["$value: json"]);
    assert_eq!(
        one(&mut decoder, &["$value: json"], b"\n{ } ").unwrap(),
        ["{ }"]
    );
}

#[test]
fn properties_that_a_record_lacks_are_missing() {
    let mut batch = RecordBatch::new(TopicPartition::new("clicks", 0));
    batch.push(Offset(0), Timestamp(-1), None, Some(br#"{"ts":5}"#));
    let event_time = || EventTime::Field {
        path: "ts".to_owned(),
        unit: TimeUnit::Millis,
    };
    for (field, reason) in [
        ("$key: text", "field $key is missing (text is needed)"),
        (
            "$timestamp: timestamp",
            "field $timestamp is missing (timestamp is needed)",
        ),
    ] {
        let mut decoder = decoder(Format::Json, event_time(), &[field]);
        assert_eq!(decode(&mut decoder, &batch).failures[0].reason, reason);
    }
    let fields = ["$key: option<text>", "$timestamp: option<timestamp>"];
    let decoded = decode(&mut decoder(Format::Json, event_time(), &fields), &batch);
    assert!(decoded.rows.columns.iter().all(|column| column.is_null(0)));
}

#[test]
fn raw_values_are_checked_where_they_are_read_as_text_or_json() {
    for (field, value, expected) in [
        (
            "$value: text",
            &b"\xff"[..],
            Err("$value is not UTF-8 (at byte 0)".to_owned()),
        ),
        ("$value: bytes", b"\xff", Ok(vec!["[255]".to_owned()])),
        ("$value: json", b" [1] ", Ok(vec!["[1]".to_owned()])),
        (
            "$value: json",
            b"[1",
            Err("field $value is not JSON: EOF while parsing a list at line 1 column 2".to_owned()),
        ),
    ] {
        let mut decoder = decoder(Format::Raw, EventTime::Record, &[field]);
        assert_eq!(one(&mut decoder, &[field], value), expected);
    }
}

#[test]
fn fields_that_a_format_does_not_have_are_refused_with_those_it_has() {
    let properties = "$value, $key, $topic, $partition, $offset, $timestamp, $event_time";
    let log_fields = "host, ident, user, time, request, method, path, protocol, status, bytes, referer, user_agent";
    let long = vec!["a"; 65].join(".");
    for (format, declared, message) in [
        (
            Format::Json,
            "$nonsense: text",
            format!("records have no property $nonsense; there are {properties}"),
        ),
        (
            Format::Json,
            "$value: int64",
            "$value cannot be read as int64, only as bytes, text, json".to_owned(),
        ),
        (
            Format::Json,
            "a..b: text",
            "the path \"a..b\" has an empty part; write it like user.id".to_owned(),
        ),
        (
            Format::Json,
            ": text",
            "the path \"\" has an empty part; write it like user.id".to_owned(),
        ),
        (
            Format::Json,
            &format!("{long}: text"),
            format!("the path {long:?} has more than 64 parts"),
        ),
        (
            Format::AccessLog,
            "url: text",
            format!("access logs have no field \"url\"; there are {log_fields}"),
        ),
        (
            Format::AccessLog,
            "status: text",
            "the access log field status is int64, it cannot be read as text".to_owned(),
        ),
        (
            Format::Raw,
            "user: text",
            format!("raw records have no field \"user\"; there are {properties}"),
        ),
    ] {
        let error = Decoder::new(format, EventTime::Record, vec![field(declared)]).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    for (format, path, message) in [
        (
            Format::Json,
            "$timestamp",
            "the event time cannot be read from $timestamp; name a field, or take the record's timestamp",
        ),
        (
            Format::AccessLog,
            "status",
            "the event time of an access log is its field time, not \"status\"",
        ),
    ] {
        let path = path.to_owned();
        let unit = TimeUnit::Millis;
        let error = Decoder::new(format, EventTime::Field { path, unit }, vec![]).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn only_the_records_in_the_range_are_decoded_and_nothing_stays_from_before() {
    let batch = batch([Some(&b"{}"[..]), None, Some(b"{}"), Some(b"x"), Some(b"{}")]);
    let mut decoder = decoder(Format::Json, EventTime::Record, &["$offset: int64"]);
    let mut out = Decoded::new();
    decoder.decode(&batch, 0..5, &mut out);
    assert_eq!(out.source, [0, 2, 4]);
    decoder.decode(&batch, 2..4, &mut out);
    assert_eq!(
        (out.source.as_slice(), out.event_times.as_slice()),
        (&[2][..], &[TIMESTAMP][..])
    );
    assert_eq!(out.failures.iter().map(|f| f.row).collect::<Vec<_>>(), [3]);
    assert_eq!(show(&out.rows.columns[0], FieldType::Int64, 0), "72");
    decoder.decode(&batch, 5..5, &mut out);
    assert!(out.source.is_empty() && out.failures.is_empty() && out.rows.columns[0].is_empty());
}

/// The watermarks that records carry, and why those could not be read of which that is so.
fn marks(unit: TimeUnit, values: &[&str]) -> (Vec<Option<i64>>, Vec<(u32, String)>) {
    let decoder = Decoder::new(Format::Json, EventTime::Record, vec![]).unwrap();
    let mut decoder = decoder
        .with_watermarks("meta.low".to_owned(), unit)
        .unwrap();
    let decoded = decode(
        &mut decoder,
        &batch(values.iter().map(|text| Some(text.as_bytes()))),
    );
    let unread = decoded.unread_watermarks.into_iter();
    let marks = decoded.watermarks.into_iter();
    (
        marks.map(|mark| mark.map(|at| at.0)).collect(),
        unread
            .map(|failure| (failure.row, failure.reason))
            .collect(),
    )
}

#[test]
fn a_watermark_is_read_where_there_is_one_and_spoils_no_record() {
    let (read, unread) = marks(
        TimeUnit::Millis,
        &[
            r#"{"meta":{"low":7}}"#,
            "{}",
            r#"{"meta":{"low":null}}"#,
            r#"{"meta":3}"#,
            r#"{"meta":{"low":"soon"}}"#,
            "not json",
            r#"{"meta":{"low":-7}}"#,
        ],
    );
    assert_eq!(read, [Some(7), None, None, None, None, Some(-7)]);
    let [(4, reason)] = &unread[..] else {
        panic!("{unread:?}");
    };
    assert!(
        reason.contains("meta.low") && reason.contains("the watermark as"),
        "{reason}"
    );

    let (read, unread) = marks(
        TimeUnit::Seconds,
        &[r#"{"meta":{"low":1.5}}"#, r#"{"meta":{"low":null}}"#],
    );
    assert_eq!((read, unread), (vec![Some(1_500), None], vec![]));
    let (read, _) = marks(
        TimeUnit::Rfc3339,
        &[r#"{"meta":{"low":"1970-01-01T00:00:01Z"}}"#],
    );
    assert_eq!(read, [Some(1_000)]);
}

#[test]
fn watermarks_are_read_from_fields_of_json_alone() {
    for (format, path) in [
        (Format::Json, "$timestamp"),
        (Format::AccessLog, "time"),
        (Format::Raw, "low"),
    ] {
        let decoder = Decoder::new(format, EventTime::Record, vec![]).unwrap();
        let error = decoder.with_watermarks(path.to_owned(), TimeUnit::Millis);
        assert_eq!(
            error.unwrap_err().to_string(),
            format!("watermarks cannot be read from {path}; name a field of json records")
        );
    }
}
