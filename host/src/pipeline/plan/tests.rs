//! Plans of small pipelines, and what is told where steps do not fit.

use super::*;
use crate::pipeline::config;

fn field(text: &str) -> Field {
    let (name, ty) = text.split_once(": ").expect("name: type");
    let (ty, optional) = match ty.strip_prefix("option<") {
        Some(inner) => (inner.trim_end_matches('>'), true),
        None => (ty, false),
    };
    let ty = match ty {
        "int64" => FieldType::Int64,
        "json" => FieldType::Json,
        "float64" => FieldType::Float64,
        _ => FieldType::Text,
    };
    Field {
        name: name.to_owned(),
        ty,
        optional,
    }
}

fn signature(reads: &[&str], produces: &[&str]) -> Signature {
    Signature {
        reads: reads.iter().map(|text| field(text)).collect(),
        produces: produces.iter().map(|text| field(text)).collect(),
    }
}

fn planned(steps: &str, signatures: &[Signature]) -> Result<Plan, PlanError> {
    let text = format!(
        "name = \"p\"\nlog.embedded = \"log\"\nsource.topic = \"in\"\nsink.topic = \"out\"\n\
             dead_letters.topic = \"dead\"\n{steps}"
    );
    let none = |_: &str| None;
    let no_file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let config = config::parse(&text, &none, &no_file).expect("the file is right");
    plan(&config, signatures)
}

const WINDOW: &str = "late.topic = \"late\"\n";

#[test]
fn a_field_read_twice_is_decoded_once_and_required_if_any_step_requires_it() {
    let plan = planned(
            &format!(
                "{WINDOW}[[step]]\nfilter = \"f.wasm\"\n[[step]]\naggregate = \"a.wasm\"\nwindow.tumbling = \"1m\"\n"
            ),
            &[
                signature(&["agent: option<text>", "user: option<text>"], &[]),
                signature(&["user: text"], &["n: int64"]),
            ],
        )
        .expect("it fits");
    assert_eq!(
        plan.decoded,
        [field("agent: option<text>"), field("user: text")]
    );
    assert_eq!(plan.steps, [StepPlan::Filter { select: vec![0, 1] }]);
    let OutputPlan::Windows { select, key, .. } = plan.output else {
        panic!("a window step")
    };
    assert_eq!((select, key), (vec![1], None));
}

#[test]
fn a_kept_field_travels_past_two_maps() {
    let plan = planned(
            &format!(
                "{WINDOW}[[step]]\nmap = \"m.wasm\"\nkeep = [\"user\"]\n[[step]]\nmap = \"o.wasm\"\nkeep = [\"user\"]\n\
                 [[step]]\naggregate = \"a.wasm\"\nkey = \"user\"\nwindow.tumbling = \"1m\"\n"
            ),
            &[
                signature(&["url: text"], &["path: text", "query: option<text>"]),
                signature(&["path: text"], &["section: text"]),
                signature(&["section: text"], &["n: int64"]),
            ],
        )
        .expect("it fits");
    assert_eq!(plan.decoded, [field("url: text"), field("user: text")]);
    assert_eq!(
        plan.steps,
        [
            StepPlan::Map {
                select: vec![0],
                keep: vec![1]
            },
            StepPlan::Map {
                select: vec![0],
                keep: vec![2]
            },
        ]
    );
    let OutputPlan::Windows { select, key, .. } = plan.output else {
        panic!("a window step")
    };
    assert_eq!((select, key), (vec![0], Some((1, FieldType::Text))));
}

#[test]
fn a_field_that_a_map_does_not_let_through_is_named_with_what_to_do() {
    let steps = format!(
        "{WINDOW}[[step]]\nmap = \"m.wasm\"\n[[step]]\naggregate = \"a.wasm\"\nwindow.tumbling = \"1m\"\n"
    );
    let map = || signature(&["url: text"], &["path: text"]);
    let missing = planned(&steps, &[map(), signature(&["user: text"], &[])]);
    let told = missing.expect_err("user is lost").to_string();
    assert!(
        told.contains("step a wants user: text") && told.contains("keep of m"),
        "{told}"
    );
    let wrong = planned(&steps, &[map(), signature(&["path: int64"], &[])]);
    let told = wrong.expect_err("path is text").to_string();
    assert!(
        told.contains("wants path: int64") && told.contains("produces path: text"),
        "{told}"
    );
}

#[test]
fn the_sink_gets_what_a_map_produces_and_keeps() {
    let plan = planned(
        "sink.key = \"user\"\n[[step]]\nmap = \"m.wasm\"\nkeep = [\"user\", \"extra\"]\n",
        &[signature(&["url: text", "user: text"], &["path: text"])],
    )
    .expect("it fits");
    assert_eq!(
        plan.decoded,
        [
            field("url: text"),
            field("user: text"),
            field("extra: option<json>")
        ]
    );
}

#[test]
fn a_copy_decodes_nothing() {
    let plan = planned("", &[]).expect("it fits");
    assert_eq!(plan.decoded, []);
    assert_eq!(plan.output, OutputPlan::Records { key: None });
}

#[test]
fn names_of_the_host_and_types_that_make_no_key_are_refused() {
    let window = format!(
        "{WINDOW}[[step]]\naggregate = \"a.wasm\"\nkey = \"price\"\nwindow.tumbling = \"1m\"\n"
    );
    let reserved = planned(&window, &[signature(&[], &["revision: int64"])]);
    assert!(matches!(reserved, Err(PlanError::Reserved { .. })));
    let key = planned(&window, &[signature(&["price: float64"], &[])]);
    assert!(matches!(key, Err(PlanError::KeyType { .. })));
}
