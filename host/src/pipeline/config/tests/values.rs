//! What the keys mean.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde_json::json;

use super::super::{
    Delivery, KafkaSettings, LogPlace, Output, PipelineConfig, RowStepKind, Start, Window,
    WindowStep, WindowStepKind, defaults,
};
use super::{ROWS, WINDOW, parse_here, rows_with};
use crate::decode::{EventTime, Format, TimeUnit};

fn windowed(config: PipelineConfig) -> WindowStep {
    match config.output {
        Output::Windows(step) => *step,
        Output::Rows { .. } => panic!("there is a window"),
    }
}

fn kafka(table: &str) -> (PipelineConfig, KafkaSettings) {
    let log = format!("kafka = {{ \"bootstrap.servers\" = \"b:9092\", {table} }}");
    let config = parse_here(&rows_with("embedded = \"data/log\"", &log)).unwrap();
    match config.log.place.clone() {
        LogPlace::Kafka(settings) => (config, settings),
        LogPlace::Embedded(_) => panic!("the log is Kafka"),
    }
}

#[test]
fn a_pipeline_without_steps_copies_records() {
    let config = parse_here(ROWS).unwrap();
    assert_eq!(config.name, "rows");
    assert_eq!(
        config.log.place,
        LogPlace::Embedded(PathBuf::from("data/log"))
    );
    assert_eq!(config.source.topics, ["in"]);
    assert!(config.steps.is_empty());
    assert_eq!(config.output, Output::Rows { key: None });
    assert_eq!(config.sink_topic, "out");
    assert_eq!(config.dead_letter_topic, "dead");
    assert_eq!(config.commit, defaults::COMMIT);
    assert_eq!((config.workers, config.batch_rows), (1, 1_024));
    assert_eq!(config.state.folder, PathBuf::from(".millstream"));
}

#[test]
fn the_source_is_read_as_told() {
    let source = r#"
        topics = ["b", "a"]
        format = "access-log"
        event_time = { field = "sent.at", unit = "s" }
        allowed_disorder = "0s"
        start = "latest"
    "#;
    let source = parse_here(&rows_with("topic = \"in\"", source))
        .unwrap()
        .source;
    assert_eq!(source.topics, ["b", "a"]);
    assert_eq!(source.format, Format::AccessLog);
    let event_time = EventTime::Field {
        path: "sent.at".to_owned(),
        unit: TimeUnit::Seconds,
    };
    assert_eq!(source.event_time, event_time);
    assert_eq!(source.allowed_disorder, Duration::ZERO);
    assert_eq!(source.start, Start::Latest);
}

#[test]
fn time_comes_from_records_alone_unless_told_otherwise() {
    let source = parse_here(ROWS).unwrap().source;
    assert_eq!(source.watermark_field, None);
    let limits = [
        source.max_future,
        source.idle_after,
        source.close_idle_after,
        source.max_drift,
    ];
    assert_eq!(limits, [None; 4]);
    let told = r#"
        topic = "in"
        watermark_field = "meta.wm"
        max_future = "0s"
        idle_after = "30s"
        close_idle_after = "5m"
        max_drift = "10m"
    "#;
    let source = parse_here(&rows_with("topic = \"in\"", told))
        .unwrap()
        .source;
    assert_eq!(source.watermark_field.as_deref(), Some("meta.wm"));
    assert_eq!(source.allowed_disorder, Duration::ZERO);
    assert_eq!(source.max_future, Some(Duration::ZERO));
    assert_eq!(source.idle_after, Some(Duration::from_secs(30)));
    assert_eq!(source.close_idle_after, Some(Duration::from_secs(300)));
    assert_eq!(source.max_drift, Some(Duration::from_secs(600)));
}

#[test]
fn steps_keep_their_order_and_their_settings() {
    let steps = r#"
        [[step]]
        map = "dir/page_view.wasm"
        keep = ["user_id", "a.b"]
        limits = { call = "20ms" }
        [[step]]
        filter = "bots.wasm"
        name = "no-bots"
        config = { patterns = ["x"], depth = 2, share = 0.5, since = 2026-01-02, deep = { on = true } }
    "#;
    let config = parse_here(&format!("{ROWS}{steps}")).unwrap();
    let [map, filter] = &config.steps[..] else {
        panic!("there are two steps");
    };
    let keep = vec!["user_id".to_owned(), "a.b".to_owned()];
    assert_eq!(map.kind, RowStepKind::Map { keep });
    assert_eq!(map.function.name, "page_view");
    assert_eq!(map.function.component, PathBuf::from("dir/page_view.wasm"));
    assert_eq!(map.function.settings.to_json(), "{}");
    assert_eq!(map.function.limits.call, Duration::from_millis(20));
    assert_eq!(map.function.limits.memory, defaults::LIMITS.memory);
    assert_eq!(filter.kind, RowStepKind::Filter);
    assert_eq!(filter.function.name, "no-bots");
    let expected = json!({
        "patterns": ["x"], "depth": 2, "share": 0.5, "since": "2026-01-02", "deep": { "on": true },
    });
    let given: serde_json::Value =
        serde_json::from_str(&filter.function.settings.to_json()).unwrap();
    assert_eq!(given, expected);
}

#[test]
fn a_window_comes_with_its_key_and_its_late_topic() {
    let step = windowed(parse_here(&format!("{ROWS}{WINDOW}")).unwrap());
    assert_eq!(step.kind, WindowStepKind::Aggregate);
    assert_eq!(step.key, None);
    assert_eq!(step.late_topic, "late");
    let minute = Window::Tumbling {
        size: Duration::from_secs(60),
        offset: Duration::ZERO,
    };
    assert_eq!(step.window, minute);

    let keyed = WINDOW
        .replace("aggregate", "key = \"user.country\"\nwindow_apply")
        .replace("\"1m\"", "\"24h\", offset = \"22h\"");
    let step = windowed(parse_here(&format!("{ROWS}{keyed}")).unwrap());
    assert_eq!(step.kind, WindowStepKind::WindowApply);
    assert_eq!(step.key.as_deref(), Some("user.country"));
    let day = Window::Tumbling {
        size: Duration::from_secs(24 * 3600),
        offset: Duration::from_secs(22 * 3600),
    };
    assert_eq!(step.window, day);
}

#[test]
fn results_without_a_window_may_have_a_key_of_their_own() {
    let text = rows_with("topic = \"out\"", "topic = \"out\"\nkey = \"user_id\"");
    let key = Some("user_id".to_owned());
    assert_eq!(parse_here(&text).unwrap().output, Output::Rows { key });
}

#[test]
fn the_embedded_log_creates_topics_and_kafka_does_not() {
    let create = |text: &str| parse_here(text).unwrap().log.create_topics;
    assert_eq!(create(ROWS), Some(1));
    assert_eq!(kafka("").0.log.create_topics, None);
    let told = "kafka = { \"bootstrap.servers\" = \"b\" }\ncreate_topics = true\npartitions = 4";
    assert_eq!(create(&rows_with("embedded = \"data/log\"", told)), Some(4));
    let never = "embedded = \"data/log\"\ncreate_topics = false";
    assert_eq!(create(&rows_with("embedded = \"data/log\"", never)), None);
}

#[test]
fn kafka_settings_of_every_type_become_text() {
    let (_, settings) = kafka(
        "\"linger.ms\" = 0.5, \"queued.min.messages\" = 1000, \"socket.keepalive.enable\" = true",
    );
    let all: Vec<_> = settings.iter().collect();
    assert_eq!(
        all,
        [
            ("bootstrap.servers", "b:9092"),
            ("linger.ms", "0.5"),
            ("queued.min.messages", "1000"),
            ("socket.keepalive.enable", "true"),
        ]
    );
}

#[test]
fn secrets_reach_the_client_and_no_log() {
    let (config, settings) = kafka(
        "\"sasl.username\" = \"${PASSWORD}\", \"client.id\" = \"x-${file:secret.txt}\", \
         \"sasl.password\" = \"hunter2\", \"client.rack\" = \"$$5\"",
    );
    assert_eq!(settings.get("sasl.username"), Some("hunter2"));
    assert_eq!(settings.get("client.id"), Some("x-hunter2"));
    assert_eq!(settings.get("client.rack"), Some("$5"));
    for shown in [format!("{config:?}"), settings.to_string()] {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("$5"), "{shown}");
    }
}

#[test]
fn a_secret_in_the_config_of_a_step_reaches_the_function_and_no_log() {
    let step = "[[step]]\nfilter = \"a.wasm\"\nconfig = { tokens = [\"${PASSWORD}\"] }";
    let config = parse_here(&format!("{ROWS}{step}")).unwrap();
    assert_eq!(
        config.steps[0].function.settings.to_json(),
        r#"{"tokens":["hunter2"]}"#
    );
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("hunter2") && shown.contains("tokens"),
        "{shown}"
    );
}

#[test]
fn a_variable_can_not_smuggle_in_keys() {
    let environment = |_: &str| Some("out\"\nkey = \"x".to_owned());
    let text = rows_with("topic = \"out\"", "topic = \"${INJECTION}\"");
    let error = super::parse(&text, &environment, &|_| Ok(String::new())).unwrap_err();
    assert!(
        error.to_string().contains("sink.topic: expected"),
        "{error}"
    );
}

#[test]
fn commits_are_due_as_told() {
    let commit = "[commit]\ninterval = \"2s\"\nmax_rows = 5\nmax_bytes = \"1kB\"\ndelivery = \"at-least-once\"";
    let commit = parse_here(&format!("{ROWS}{commit}")).unwrap().commit;
    assert_eq!(commit.interval, Duration::from_secs(2));
    assert_eq!(commit.max_rows, 5);
    assert_eq!(commit.max_bytes, ByteSize::kb(1));
    assert_eq!(commit.delivery, Delivery::AtLeastOnce);
}

#[test]
fn a_pipeline_runs_on_as_many_workers_and_keeps_state_where_it_is_told() {
    let workers = rows_with(
        "name = \"rows\"",
        "name = \"rows\"\nworkers = 256\nbatch_rows = 1",
    );
    let config = parse_here(&format!("{workers}[state]\nfolder = \"/var/lib/mill\"")).unwrap();
    assert_eq!((config.workers, config.batch_rows), (256, 1));
    assert_eq!(config.state.folder, PathBuf::from("/var/lib/mill"));
}
