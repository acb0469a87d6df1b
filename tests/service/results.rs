//! What a pipeline has published, asked of the service and of its client.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use millstream::log::Log;
use millstream::time::Timestamp;
use serde_json::Value;

use crate::life::visitors_plugins;
use crate::rig::{DEPLOY, Home, Service, VIEW, open_log, pipeline};
use crate::support::{ToWrite, create, kafka, unique, write};

pub(crate) fn click(user: &str, time: i64) -> ToWrite {
    let value =
        format!("{{\"user_id\":\"{user}\",\"user_agent\":\"Firefox\",\"event_time\":{time}}}");
    let key = Some(user.as_bytes().to_vec());
    (0, key, Some(value.into_bytes()), Timestamp(time))
}

/// A pipeline of visitors whose windows stay open for late rows, and its first clicks: one each half minute.
fn begun<L: Log>(place: &str, home: &Home, log: &L, name: &str) -> Service {
    let topic = format!("{name}-clicks");
    create(log, &topic, 1, &[]);
    let users = [
        "ada", "bob", "ada", "cem", "dan", "eve", "fay", "gil", "hal", "ivy",
    ];
    write(
        log,
        &topic,
        (0..).zip(users).map(|(n, user)| click(user, n * 30_000)),
    );
    let service = home.start();
    let (filter, aggregate) = visitors_plugins(&service);
    let text = pipeline(name, place, &filter, &aggregate).replace(
        "tumbling = \"1m\" }",
        "tumbling = \"1m\" }\nallowed_lateness = \"1h\"",
    );
    let created = service.ask("POST", "/v1/pipelines", DEPLOY, text.as_bytes());
    assert_eq!(created.status, 201, "{created:?}");
    service
}

/// Start of the window in minutes, visitors and revision.
fn shown(results: &[Value]) -> Vec<(i64, i64, i64)> {
    let number = |value: &Value, name: &str| value["value"][name].as_i64().unwrap();
    let one = |value: &Value| {
        let start = number(value, "window_start_ms") / 60_000;
        (
            start,
            number(value, "unique_visitors"),
            number(value, "revision"),
        )
    };
    results.iter().map(one).collect()
}

fn asked(service: &Service, name: &str, query: &str) -> Value {
    let path = format!("/v1/pipelines/{name}/results{query}");
    let answer = service.ask("GET", &path, VIEW, b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn list(view: &Value) -> Vec<(i64, i64, i64)> {
    shown(view["results"].as_array().unwrap())
}

/// Windows come with their newest revision, by range and by key, page by page, over a restart, and as they are written.
fn results<L: Log>(place: &str, home: &Home, open: impl Fn() -> L, may_write_meanwhile: bool) {
    let name = unique("shown");
    let topic = format!("{name}-clicks");
    let log = open();
    let service = begun(place, home, &log, &name);
    if !may_write_meanwhile {
        drop(log);
    }
    let fired = |view: &Value| view["progress"]["windows_fired"] == 4;
    service.pipeline_until(&name, fired);
    let view = asked(&service, &name, "");
    assert_eq!(list(&view), [(3, 2, 0), (2, 2, 0), (1, 2, 0), (0, 2, 0)]);
    assert_eq!(
        (&view["complete"], &view["next"]),
        (&true.into(), &Value::Null)
    );
    let after = view["after"].as_str().unwrap().to_owned();

    service.end();
    // A row of the first window that is late, and one that lets the last window fire.
    write(
        &open(),
        &topic,
        [click("zoe", 1_000), click("zoe", 310_000)],
    );
    let service = home.start();
    service.pipeline_until(&name, |view| view["progress"]["windows_fired"] == 2);
    let all = [(4, 2, 0), (3, 2, 0), (2, 2, 0), (1, 2, 0), (0, 3, 1)];
    assert_eq!(
        list(&asked(&service, &name, "")),
        all,
        "the newest revision, once"
    );
    let since = asked(&service, &name, &format!("?after={after}"));
    let mut since = list(&since);
    since.sort_unstable();
    assert_eq!(since, [(0, 3, 1), (4, 2, 0)], "what was written since");

    let first = asked(&service, &name, "?limit=3");
    let page = first["next"].as_str().unwrap();
    let second = asked(&service, &name, &format!("?limit=3&page={page}"));
    assert_eq!([list(&first), list(&second)].concat(), all);
    assert_eq!(second["next"], Value::Null);
    let short = asked(&service, &name, "?look_back=2");
    assert_eq!(short["complete"], false, "{short}");

    let range = [
        "results",
        &name,
        "--from",
        "1970-01-01T00:01:00Z",
        "--to",
        "1970-01-01T00:03:00Z",
    ];
    let told = service.told(VIEW, &[&range[..], &["--output", "json"]].concat());
    let told: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(shown(&told), [(2, 2, 0), (1, 2, 0)]);
    let key = ["results", &name, "--key", "1970-01-01T00:00:00Z"];
    let text = service.told(VIEW, &key);
    assert!(
        text.starts_with("window_start=1970-01-01T00:00:00Z  window_end="),
        "{text}"
    );
    assert!(
        text.contains("unique_visitors=3") && text.lines().count() == 1,
        "{text}"
    );

    for (query, part) in [
        ("?limit=0", "limit: "),
        ("?from=soon", "from: expected a time"),
        ("?page=1", "page: expected"),
        ("?after=x", "after: expected"),
        ("?look_back=0", "look_back: "),
    ] {
        let path = format!("/v1/pipelines/{name}/results{query}");
        let why = service
            .ask("GET", &path, VIEW, b"")
            .problem(400, "bad-request");
        assert!(why.starts_with(part), "{why}");
    }
    if may_write_meanwhile {
        follows(&service, &name, || {
            write(
                &open(),
                &topic,
                [click("yan", 61_000), click("zoe", 312_000)],
            )
        });
    }
    service.end();
}

/// What is written while it is followed comes.
fn follows(service: &Service, name: &str, write: impl Fn()) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args([
            "results", name, "--follow", "--output", "json", "--limit", "1",
        ])
        .env("MILLSTREAM_SERVER", format!("http://{}", service.address))
        .env("MILLSTREAM_TOKEN", VIEW)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        shown(&[line])[0]
    };
    assert_eq!(next(), (4, 2, 0), "the latest of what there is");
    write();
    assert_eq!(next(), (1, 3, 1), "and what comes");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn results_are_shown_on_the_embedded_log() {
    let home = Home::new("");
    std::fs::create_dir_all(home.path("data")).unwrap();
    let log = home.path("data/log");
    // The service has the log open, so nobody else writes to it meanwhile.
    results("embedded = \"log\"", &home, || open_log(&log), false);
}

#[test]
fn results_are_shown_on_kafka() {
    let Some(log) = kafka() else { return };
    let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    let place = format!("kafka = {{ \"bootstrap.servers\" = \"{address}\" }}");
    results(&place, &Home::new(""), || log.clone(), true);
}
