//! What the derives of rows and outputs promise, seen from the crate of an author.

use std::borrow::Cow;

use millstream_sdk::expanded::wire::FieldType;
use millstream_sdk::prelude::*;
use millstream_sdk::testing::{self, json};

#[derive(Row)]
struct Everything<'a> {
    flag: bool,
    count: i64,
    ratio: f64,
    at: Timestamp,
    name: &'a str,
    blob: &'a [u8],
    extra: Json<'a>,
    maybe_flag: Option<bool>,
    maybe_count: Option<i64>,
    maybe_ratio: Option<f64>,
    maybe_at: Option<Timestamp>,
    maybe_name: Option<&'a str>,
    maybe_blob: Option<&'a [u8]>,
    maybe_extra: Option<Json<'a>>,
}

#[derive(Output)]
struct Same<'a> {
    flag: bool,
    count: i64,
    ratio: f64,
    at: Timestamp,
    name: &'a str,
    blob: &'a [u8],
    extra: Json<'a>,
    maybe_flag: Option<bool>,
    maybe_count: Option<i64>,
    maybe_ratio: Option<f64>,
    maybe_at: Option<Timestamp>,
    maybe_name: Option<&'a str>,
    maybe_blob: Option<&'a [u8]>,
    maybe_extra: Option<Json<'a>>,
}

#[derive(Default)]
struct Copy;

#[map]
impl Map for Copy {
    type Row<'a> = Everything<'a>;
    type Output<'a> = Same<'a>;

    fn map<'a>(&'a self, row: Everything<'a>, out: &mut Collector<Same<'a>>) -> RowResult {
        out.push(Same {
            flag: row.flag,
            count: row.count,
            ratio: row.ratio,
            at: row.at,
            name: row.name,
            blob: row.blob,
            extra: row.extra,
            maybe_flag: row.maybe_flag,
            maybe_count: row.maybe_count,
            maybe_ratio: row.maybe_ratio,
            maybe_at: row.maybe_at,
            maybe_name: row.maybe_name,
            maybe_blob: row.maybe_blob,
            maybe_extra: row.maybe_extra,
        });
        Ok(())
    }
}

#[test]
fn every_type_passes_through_with_and_without_a_value() {
    let full = json!({
        "flag": true, "count": -7, "ratio": 0.25, "at": -1, "name": "Grüße",
        "blob": [0, 255], "extra": {"a": [1, null]},
        "maybe_flag": false, "maybe_count": i64::MAX, "maybe_ratio": -1.5, "maybe_at": 0,
        "maybe_name": "", "maybe_blob": [128], "maybe_extra": 3,
    });
    let bare = json!({
        "flag": false, "count": 0, "ratio": 0.0, "at": 0, "name": "",
        "blob": "text", "extra": "text",
        "maybe_flag": null, "maybe_count": null, "maybe_ratio": null, "maybe_at": null,
        "maybe_name": null, "maybe_blob": null, "maybe_extra": null,
    });
    // More than eight rows, so that bits fill more than a byte.
    let rows: Vec<_> = [&full, &bare]
        .into_iter()
        .cycle()
        .take(19)
        .cloned()
        .collect();
    let outcome = testing::map::<Copy>(json!({}), &rows);
    assert_eq!(outcome.errors, []);
    assert_eq!(outcome.rows, rows);
}

#[derive(Row)]
struct Named<'a> {
    #[row(path = "user.id")]
    user: &'a str,
    #[row(default = 1)]
    quantity: i64,
    #[row(path = "unit", default = "piece")]
    unit: &'a str,
    #[row(path = "$event_time")]
    at: Timestamp,
    r#type: Option<&'a str>,
}

#[derive(Output)]
struct Renamed<'a> {
    #[output(name = "who")]
    user: Cow<'a, str>,
    quantity: u32,
    unit: String,
    r#type: Option<Vec<u8>>,
    details: serde_json::Value,
}

#[derive(Default)]
struct Rename;

#[map]
impl Map for Rename {
    type Row<'a> = Named<'a>;
    type Output<'a> = Renamed<'a>;

    fn map<'a>(&'a self, row: Named<'a>, out: &mut Collector<Renamed<'a>>) -> RowResult {
        let quantity = u32::try_from(row.quantity)?;
        out.extend((0..quantity.min(2)).map(|copy| Renamed {
            user: row.user.into(),
            quantity,
            unit: row.unit.to_owned(),
            r#type: row.r#type.map(|name| name.as_bytes().to_vec()),
            details: json!({"at": row.at.as_millis(), "copy": copy}),
        }));
        if row.user == "mallory" {
            return Err("mallory is not served".into());
        }
        Ok(())
    }
}

#[test]
fn paths_defaults_and_names_are_those_of_the_attributes() {
    let rows = [
        json!({"user": {"id": "ada"}, "$event_time": 5, "type": "x"}),
        json!({"user": {"id": "bob"}, "$event_time": 6, "quantity": 2, "unit": "kg"}),
    ];
    let outcome = testing::map::<Rename>(json!({}), &rows);
    let bob = |copy| json!({"who": "bob", "quantity": 2, "unit": "kg", "type": null, "details": {"at": 6, "copy": copy}});
    let ada = json!({"who": "ada", "quantity": 1, "unit": "piece", "type": "x", "details": {"at": 5, "copy": 0}});
    assert_eq!(outcome.rows, [ada, bob(0), bob(1)]);
}

#[test]
fn a_row_in_error_produces_nothing_of_what_it_pushed() {
    let row =
        |user, quantity| json!({"user": {"id": user}, "$event_time": 0, "quantity": quantity});
    let rows = [
        row("ada", 1),
        row("mallory", 2),
        row("bob", -1),
        row("eve", 0),
        row("zoe", 1),
    ];
    let outcome = testing::map::<Rename>(json!({}), &rows);
    let users: Vec<_> = outcome.rows.iter().map(|row| row["who"].clone()).collect();
    assert_eq!(users, ["ada", "zoe"]);
    let (rows, messages): (Vec<_>, Vec<_>) = outcome.errors.into_iter().unzip();
    assert_eq!(rows, [1, 2]);
    assert_eq!(messages[0], "mallory is not served");
    assert!(messages[1].contains("out of range"), "{}", messages[1]);
}

#[test]
fn fields_are_described_as_the_structs_have_them() {
    let describe = |fields: &[millstream_sdk::expanded::FieldSpec]| {
        let describe =
            |field: &millstream_sdk::expanded::FieldSpec| (field.name, field.ty, field.optional);
        fields.iter().map(describe).collect::<Vec<_>>()
    };
    assert_eq!(
        describe(<Named<'_> as Row<'_>>::FIELDS),
        [
            ("user.id", FieldType::Text, false),
            ("quantity", FieldType::Int64, true),
            ("unit", FieldType::Text, true),
            ("$event_time", FieldType::Timestamp, false),
            ("type", FieldType::Text, true),
        ]
    );
    assert_eq!(
        describe(<Renamed<'_> as Output>::FIELDS),
        [
            ("who", FieldType::Text, false),
            ("quantity", FieldType::Int64, false),
            ("unit", FieldType::Text, false),
            ("type", FieldType::Bytes, true),
            ("details", FieldType::Json, false),
        ]
    );
}

#[test]
#[should_panic(expected = "row 0 lacks `user.id`")]
fn a_test_row_that_the_host_would_not_hand_over_is_refused() {
    testing::map::<Rename>(json!({}), &[json!({"$event_time": 0})]);
}

#[test]
#[should_panic(expected = "row 0: `quantity` should be FieldType::Int64, not \"2\"")]
fn a_test_row_of_another_type_is_refused() {
    let row = json!({"user": {"id": "ada"}, "$event_time": 0, "quantity": "2"});
    testing::map::<Rename>(json!({}), &[row]);
}

#[derive(Row)]
struct Anything {}

#[derive(Default)]
struct KeepNone;

#[filter]
impl Filter for KeepNone {
    type Row<'a> = Anything;

    fn keep(&self, _: Anything) -> RowResult<bool> {
        Ok(false)
    }

    fn judge<'a>(
        &'a self,
        mut rows: Rows<'a, Anything>,
    ) -> impl FnMut(Anything) -> RowResult<bool> {
        assert_eq!(rows.len(), 3);
        assert!(rows.next_back().is_some());
        assert_eq!(rows.len(), 2);
        |row| self.keep(row)
    }
}

#[test]
fn a_row_without_fields_still_counts() {
    let rows = [json!({}), json!({}), json!({})];
    assert_eq!(
        testing::filter::<KeepNone>(json!({}), &rows).kept,
        [0usize; 0]
    );
}
