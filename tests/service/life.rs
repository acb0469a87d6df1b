//! What becomes of pipelines: created, paused, resumed, killed with the service, restarted, failing, deleted.

use std::collections::BTreeMap;

use millstream::generate::{ClickConfig, Clicks, Oracle};
use millstream::log::Log;
use millstream::log::embedded::EmbeddedLog;
use millstream::time::Timestamp;
use serde_json::Value;

use crate::rig::{ADMIN, DEPLOY, Home, Service, VIEW, open_log, pipeline};
use crate::support::{ToWrite, components, create, ends, kafka, read_all, unique, write};

/// Clicks, and the right count of visitors of each minute that is over.
fn clicks(events: u64) -> (Vec<ToWrite>, BTreeMap<i64, u64>) {
    let config = ClickConfig {
        events,
        partitions: 4,
        seed: 5,
        ..ClickConfig::default()
    };
    let mut oracle = Oracle::new(config.window, config.disorder, 4).unwrap();
    let records = Clicks::new(config)
        .unwrap()
        .inspect(|click| oracle.observe(click))
        .map(|click| {
            let timestamp = Timestamp(click.timestamp);
            (click.partition, Some(click.key), click.value, timestamp)
        })
        .collect();
    let windows = oracle.expected().windows;
    let right = windows
        .iter()
        .map(|window| (window.start, window.unique_visitors))
        .collect();
    (records, right)
}

fn visitors<L: Log>(log: &L, topic: &str) -> BTreeMap<i64, u64> {
    let mut visitors = BTreeMap::new();
    for record in read_all(log, topic) {
        let json = record.json();
        let start = json["window_start_ms"].as_i64().unwrap();
        let twice = visitors.insert(start, json["unique_visitors"].as_u64().unwrap());
        assert_eq!(twice, None, "the window at {start} came twice");
    }
    visitors
}

/// Whether a pipeline has read its source to these ends, fired what that lets fire, and committed it.
fn has_done(view: &Value, ends: &BTreeMap<String, i64>) -> bool {
    let read = |(at, end): (&String, &i64)| view["positions"][at].as_i64() == Some(*end);
    view["progress"]["settled"] == true && ends.iter().all(read)
}

pub(crate) fn records(view: &Value) -> u64 {
    view["progress"]["records"].as_u64().unwrap()
}

/// Create through the client, load, pause, more load, resume, kill -9, restart: every window is right, and came once.
fn a_day_in_the_life<L: Log>(place: &str, home: &Home, open: impl Fn() -> L) {
    let name = unique("day");
    let topic = format!("{name}-clicks");
    let (mut load, right) = clicks(60_000);
    let rest = load.split_off(20_000);
    let log = open();
    create(&log, &topic, 4, &[]);
    write(&log, &topic, load);
    drop(log);

    let service = home.start();
    let file = |name: &str| components().join(name).to_str().unwrap().to_owned();
    service.told(DEPLOY, &["plugins", "push", &file("bot-filter.wasm")]);
    let pushed = service.told(
        DEPLOY,
        &[
            "plugins",
            "push",
            &file("unique-visitors.wasm"),
            "--output",
            "json",
        ],
    );
    let pushed: Value = serde_json::from_str(&pushed).unwrap();
    let aggregate = pushed["reference"].as_str().unwrap().to_owned();
    let version = aggregate.split('@').nth(1).unwrap();
    let text = pipeline(&name, place, &format!("bot-filter@{version}"), &aggregate);
    let path = home.path("pipeline.toml");
    std::fs::write(&path, text).unwrap();
    let created = service.told(DEPLOY, &["pipelines", "create", path.to_str().unwrap()]);
    assert!(
        created.starts_with(&format!("name          {name}")),
        "{created}"
    );
    service.pipeline_until(&name, |view| records(view) >= 20_000);

    service.told(DEPLOY, &["pipelines", "pause", &name]);
    let paused = service.pipeline_until(&name, |view| view["state"] == "paused");
    assert_eq!(records(&paused), 20_000, "what was counted stays");
    let metrics = service.ask("GET", "/metrics", VIEW, b"").body;
    let counted = format!("millstream_records_total{{pipeline=\"{name}\"}} 20000\n");
    assert!(metrics.contains(&counted), "{metrics}");
    let log = open();
    write(&log, &topic, rest);
    let ends: BTreeMap<String, i64> = ends(&log, &topic)
        .into_iter()
        .map(|(at, end)| (at.to_string(), end.0))
        .collect();
    drop(log);

    service.told(DEPLOY, &["pipelines", "resume", &name]);
    service.pipeline_until(&name, |view| records(view) > 20_000);
    service.kill();

    let service = home.start();
    let done = service.pipeline_until(&name, |view| has_done(view, &ends));
    assert_eq!(done["state"], "running");
    assert_eq!(
        done["steps"][1]["sha256"], pushed["sha256"],
        "the same component as before"
    );
    looks_at_dead_letters(&service, &name, &topic);
    let said = service.end();
    assert!(said.contains("ending: every pipeline commits"), "{said}");
    assert_eq!(visitors(&open(), &format!("{name}-visitors")), right);
}

/// The list has the latest first, each says where it comes from, and one is shown with its bytes.
fn looks_at_dead_letters(service: &Service, name: &str, topic: &str) {
    let list = [
        "dead-letters",
        "list",
        name,
        "--limit",
        "5",
        "--output",
        "json",
    ];
    let list = service.told(VIEW, &list);
    let letters: Vec<Value> = list
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(letters.len(), 5, "{list}");
    let latest = &letters[0];
    assert_eq!(latest["step"], "decode");
    assert!(
        latest["source"].as_str().unwrap().starts_with(topic),
        "{latest}"
    );
    assert!(
        latest["value"].is_null() && latest["value_base64"].is_null(),
        "{latest}"
    );
    let at = format!("{}/{}", latest["partition"], latest["offset"]);
    let shown = service.told(VIEW, &["dead-letters", "show", name, &at]);
    assert!(shown.contains("value"), "{shown}");
    let none = service.ask(
        "GET",
        &format!("/v1/pipelines/{name}/dead-letters/0/999999"),
        VIEW,
        b"",
    );
    none.problem(404, "no-such-dead-letter");
    let many = service.ask(
        "GET",
        &format!("/v1/pipelines/{name}/dead-letters?limit=0"),
        VIEW,
        b"",
    );
    many.problem(400, "bad-request");
}

#[test]
fn a_day_in_the_life_on_the_embedded_log() {
    let home = Home::new("");
    let log = home.path("data/log");
    std::fs::create_dir_all(home.path("data")).unwrap();
    a_day_in_the_life("embedded = \"log\"", &home, || open_log(&log));
}

#[test]
fn a_day_in_the_life_on_kafka() {
    let Some(log) = kafka() else { return };
    let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    let place = format!("kafka = {{ \"bootstrap.servers\" = \"{address}\" }}");
    a_day_in_the_life(&place, &Home::new(""), || log.clone());
}

/// A file of a service's folder that copies records, in a log of its own.
pub(crate) fn copying(home: &Home, name: &str) -> std::path::PathBuf {
    let folder = home.path("pipelines");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "name = \"{name}\"\nsource.topic = \"in\"\nsink.topic = \"out\"\ndead_letters.topic = \"dead\"\n\
         [log]\nembedded = \"{name}-log\"\n"
    );
    std::fs::write(folder.join(format!("{name}.toml")), text).unwrap();
    folder.join(format!("{name}-log"))
}

pub(crate) fn topic(log: &std::path::Path, records: u8) {
    let log = EmbeddedLog::open(log).unwrap();
    create(&log, "in", 1, &[]);
    let record = |n| {
        (
            0,
            None,
            Some(format!("{{\"n\":{n}}}").into_bytes()),
            Timestamp(0),
        )
    };
    write(&log, "in", (0..records).map(record));
}

#[test]
fn a_pipeline_that_fails_says_why_is_tried_again_and_disturbs_nobody() {
    let home = Home::new(
        "pipelines = \"pipelines\"\nrestart = { first = \"100ms\", longest = \"200ms\" }",
    );
    let good = copying(&home, "good");
    topic(&good, 10);
    let bad = copying(&home, "bad");
    let service = home.start();
    service.pipeline_until("good", |view| records(view) == 10);
    let failed = service.pipeline_until("bad", |view| {
        view["state"] == "failed" && view["failure"]["in_a_row"].as_u64() > Some(1)
    });
    let why = failed["failure"]["message"].as_str().unwrap();
    assert!(
        why.contains("in") && why.contains("does not exist"),
        "{why}"
    );
    let list = service.told(VIEW, &["pipelines", "list"]);
    assert!(
        list.contains("bad   failed") && list.contains("does not exist"),
        "{list}"
    );

    // Mended meanwhile, while it waits.
    let log = open_log(&bad);
    create(&log, "in", 1, &[]);
    drop(log);
    let mended = service.pipeline_until("bad", |view| view["state"] == "running");
    assert!(mended["failure"].is_null(), "{mended}");
    assert!(mended["restarts"].as_u64() > Some(1), "{mended}");
    let good = service.pipeline_until("good", |_| true);
    assert_eq!(
        (&good["state"], &good["restarts"]),
        (&"running".into(), &0.into())
    );
    service.end();
}

#[test]
fn a_file_that_is_wrong_is_shown_and_read_again() {
    let home = Home::new(
        "pipelines = \"pipelines\"\nrestart.first = \"100ms\"\nrestart.longest = \"200ms\"",
    );
    let log = copying(&home, "copy");
    topic(&log, 3);
    let file = home.path("pipelines/copy.toml");
    let right = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, right.replace("sink", "snik")).unwrap();
    let service = home.start();
    let failed = service.pipeline_until("copy", |view| view["state"] == "failed");
    let why = failed["failure"]["message"].as_str().unwrap();
    assert!(
        why.contains("copy.toml:3") && why.contains("did you mean `sink`"),
        "{why}"
    );
    let ready = service.ask("GET", "/health/ready", "", b"");
    assert_eq!(ready.status, 200, "one bad pipeline is not the service's");
    std::fs::write(&file, right).unwrap();
    service.pipeline_until("copy", |view| records(view) == 3);
    service.end();
}

#[test]
fn what_is_paused_stays_paused_when_the_service_comes_back() {
    let home = Home::new("pipelines = \"pipelines\"");
    for name in ["still", "busy"] {
        let log = copying(&home, name);
        topic(&log, 3);
    }
    let service = home.start();
    service.pipeline_until("busy", |view| records(view) == 3);
    service.told(DEPLOY, &["pipelines", "pause", "still"]);
    // What was asked is on the disk before the answer.
    service.kill();
    let service = home.start();
    service.pipeline_until("busy", |view| view["state"] == "running");
    let still = service.pipeline_until("still", |_| true);
    assert_eq!(
        (&still["state"], &still["wanted"]),
        (&"paused".into(), &"paused".into())
    );
    let refused = service.ask("DELETE", "/v1/pipelines/still", ADMIN, b"");
    let why = refused.problem(409, "conflict");
    assert!(why.contains("still.toml"), "{why}");
    service.end();
}

#[test]
fn a_plugin_stays_as_long_as_a_pipeline_names_it() {
    let home = Home::new("");
    let service = home.start();
    let (filter, aggregate) = visitors_plugins(&service);
    let name = unique("kept");
    let text = pipeline(&name, "embedded = \"log\"", &filter, &aggregate);
    let created = service.ask("POST", "/v1/pipelines?paused=true", DEPLOY, text.as_bytes());
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.json()["state"], "paused");
    let again = service.ask("POST", "/v1/pipelines", DEPLOY, text.as_bytes());
    again.problem(409, "conflict");

    let plugin = format!("/v1/plugins/{filter}");
    let why = service
        .ask("DELETE", &plugin, ADMIN, b"")
        .problem(409, "conflict");
    assert!(why.contains(&name), "{why}");
    service.told(ADMIN, &["pipelines", "delete", &name]);
    let gone = service.ask("GET", &format!("/v1/pipelines/{name}"), VIEW, b"");
    gone.problem(404, "no-such-pipeline");
    service.told(ADMIN, &["plugins", "delete", &filter]);
    service
        .ask("GET", &plugin, VIEW, b"")
        .problem(404, "no-such-plugin");
    service.kill();

    let service = home.start();
    let list = service.told(VIEW, &["pipelines", "list"]);
    assert_eq!(list, "", "what is deleted stays so");
    let plugins = service.told(VIEW, &["plugins", "list"]);
    assert!(
        plugins.starts_with(&aggregate) && plugins.lines().count() == 1,
        "{plugins}"
    );
    service.end();
}

#[test]
fn a_component_that_was_changed_on_the_disk_is_not_run() {
    let home = Home::new("restart.first = \"100ms\"");
    let service = home.start();
    let (filter, aggregate) = visitors_plugins(&service);
    let name = unique("changed");
    let text = pipeline(&name, "embedded = \"log\"", &filter, &aggregate);
    let created = service.ask("POST", "/v1/pipelines?paused=true", DEPLOY, text.as_bytes());
    assert_eq!(created.status, 201, "{created:?}");
    let info = service
        .ask("GET", &format!("/v1/plugins/{filter}"), VIEW, b"")
        .json();
    let blob = format!(
        "data/plugins/blobs/{}.wasm",
        info["sha256"].as_str().unwrap()
    );
    std::fs::copy(components().join("revenue.wasm"), home.path(&blob)).unwrap();
    service.told(DEPLOY, &["pipelines", "resume", &name]);
    let failed = service.pipeline_until(&name, |view| view["state"] == "failed");
    let why = failed["failure"]["message"].as_str().unwrap();
    assert!(
        why.contains(&blob[19..]) || why.contains("changed on the disk"),
        "{why}"
    );
    service.end();
}

#[test]
fn two_services_do_not_share_a_data_folder() {
    let home = Home::new("");
    let service = home.start();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["serve", "--config"])
        .arg(home.path("millstream.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(
        said.contains("another service uses this data folder"),
        "{said}"
    );
    service.end();
}

/// Pushes what a pipeline of visitors needs.
pub(crate) fn visitors_plugins(service: &Service) -> (String, String) {
    (
        service.push("bot-filter.wasm"),
        service.push("unique-visitors.wasm"),
    )
}
