//! What becomes of a pipeline that is made to begin anew, or to be another, by the API or by its file.

use millstream::log::Log;
use millstream::time::Timestamp;
use serde_json::json;

use crate::life::{copying, records, topic, visitors_plugins};
use crate::rig::{ADMIN, DEPLOY, Home, VIEW, open_log, pipeline, until};
use crate::support::{create, kafka, read_all, unique, write};

fn numbers(count: u8) -> impl Iterator<Item = crate::support::ToWrite> {
    (0..count).map(|n| {
        let value = format!("{{\"n\":{n}}}").into_bytes();
        (0, None, Some(value), Timestamp(i64::from(n)))
    })
}

/// A pipeline that copies records.
fn copy(name: &str, place: &str, sink: &str) -> String {
    format!(
        "name = \"{name}\"\nsource.topic = \"{name}-in\"\nsink.topic = \"{sink}\"\ndead_letters.topic = \"{name}-dead\"\n\
         state.folder = \"state\"\n[log]\n{place}\ncreate_topics = true\n"
    )
}

/// Reset at offsets, at a time, and as a wrong caller does; then another file takes the pipeline's place, and goes on where it stood.
fn reset_and_updated<L: Log>(place: &str, home: &Home, open: impl Fn() -> L) {
    let name = unique("anew");
    let (input, first, second) = (
        format!("{name}-in"),
        format!("{name}-first"),
        format!("{name}-second"),
    );
    let log = open();
    create(&log, &input, 1, &[]);
    write(&log, &input, numbers(10));
    drop(log);
    let service = home.start();
    let text = copy(&name, place, &first);
    let path = format!("/v1/pipelines/{name}");
    let created = service.ask("POST", "/v1/pipelines", DEPLOY, text.as_bytes());
    assert_eq!(created.status, 201, "{created:?}");
    service.pipeline_until(&name, |view| records(view) == 10);

    let said = service.told(ADMIN, &["pipelines", "reset", &name, "--to", "earliest"]);
    assert!(said.contains(&format!("{input}/0  10 -> 0\n")), "{said}");
    assert!(
        said.ends_with("done: it begins there, with nothing known\n"),
        "{said}"
    );
    service.pipeline_until(&name, |view| records(view) == 20);
    // The records' own times are their numbers.
    let time = "1970-01-01T00:00:00.008Z";
    service.told(ADMIN, &["pipelines", "reset", &name, "--to", time]);
    let view = service.pipeline_until(&name, |view| records(view) == 22);
    let moves = json!([{ "at": format!("{input}/0"), "from": 10, "to": 8 }]);
    assert_eq!(view["reset"]["moves"], moves, "{view}");

    // One that rests is reset, and rests on.
    service.told(DEPLOY, &["pipelines", "pause", &name]);
    service.pipeline_until(&name, |view| view["state"] == "paused");
    let offsets = format!("{input}/0=9");
    service.told(ADMIN, &["pipelines", "reset", &name, "--to", &offsets]);
    let view = service.pipeline_until(&name, |_| true);
    assert_eq!((&view["state"], records(&view)), (&"paused".into(), 22));

    let reset = |token: &str, body: &str| {
        let headers = [
            ("authorization", token),
            ("content-type", "application/json"),
        ];
        service.ask_with("POST", &format!("{path}/reset"), &headers, body.as_bytes())
    };
    reset(DEPLOY, "{\"to\":\"earliest\"}").problem(403, "forbidden");
    let why = reset(ADMIN, "{\"to\":\"soon\"}").problem(400, "bad-request");
    assert!(why.contains("to: \"soon\": expected `earliest`"), "{why}");
    let why = reset(ADMIN, &format!("{{\"to\":\"{input}/0=11\"}}")).problem(400, "bad-request");
    assert!(why.contains("from 0 up to 10"), "{why}");

    // While it rests, and while it runs.
    let file = home.path("other.toml");
    std::fs::write(&file, copy(&name, place, &second)).unwrap();
    let update = ["pipelines", "update", &name, file.to_str().unwrap()];
    service.told(DEPLOY, &update);
    service.told(DEPLOY, &["pipelines", "resume", &name]);
    service.pipeline_until(&name, |view| records(view) == 23);
    std::fs::write(&file, &text).unwrap();
    service.told(DEPLOY, &update);
    service.pipeline_until(&name, |view| view["state"] == "running");
    service.end();

    let log = open();
    let of = |topic: &str| read_all(&log, topic).len();
    assert_eq!((of(&first), of(&second)), (22, 1));
}

#[test]
fn a_pipeline_is_reset_and_updated_on_the_embedded_log() {
    let home = Home::new("");
    std::fs::create_dir_all(home.path("data")).unwrap();
    let log = home.path("data/log");
    reset_and_updated("embedded = \"log\"", &home, || open_log(&log));
}

#[test]
fn a_pipeline_is_reset_and_updated_on_kafka() {
    let Some(log) = kafka() else { return };
    let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    let place = format!("kafka = {{ \"bootstrap.servers\" = \"{address}\" }}");
    reset_and_updated(&place, &Home::new(""), || log.clone());
}

#[test]
fn a_reset_that_was_answered_is_done_after_a_crash() {
    let home = Home::new("pipelines = \"pipelines\"");
    let log = copying(&home, "copy");
    topic(&log, 5);
    let service = home.start();
    service.pipeline_until("copy", |view| records(view) == 5);
    service.end();
    // What a crash leaves between the answer and the reset.
    let record = home.path("data/pipelines/copy.json");
    let text = json!({ "version": 1, "wanted": "running", "plugins": {}, "reset": "earliest" });
    std::fs::write(&record, text.to_string()).unwrap();
    let service = home.start();
    let view = service.pipeline_until("copy", |view| records(view) == 5);
    assert_eq!(view["reset"]["done"], true, "{view}");
    service.kill();
    let service = home.start();
    service.pipeline_until("copy", |view| view["state"] == "running");
    service.end();
    assert_eq!(read_all(&open_log(&log), "out").len(), 10, "done once");
}

#[test]
fn an_update_is_refused_where_the_state_can_not_follow_and_disturbs_nobody() {
    let home = Home::new("");
    std::fs::create_dir_all(home.path("data")).unwrap();
    let name = unique("update");
    let log = open_log(&home.path("data/log"));
    let click = |n: i64| {
        let value = format!(
            "{{\"user_id\":\"u{n}\",\"user_agent\":\"Firefox\",\"event_time\":{}}}",
            n * 30_000
        );
        (0, None, Some(value.into_bytes()), Timestamp(n * 30_000))
    };
    create(&log, &format!("{name}-clicks"), 1, &[]);
    write(&log, &format!("{name}-clicks"), (0..10).map(click));
    drop(log);
    let service = home.start();
    let (filter, aggregate) = visitors_plugins(&service);
    let text = pipeline(&name, "embedded = \"log\"", &filter, &aggregate);
    let other = text.replace(&format!("name = \"{name}\""), "name = \"other\"");
    for text in [&text, &other] {
        let created = service.ask("POST", "/v1/pipelines", DEPLOY, text.as_bytes());
        assert_eq!(created.status, 201, "{created:?}");
    }
    for name in [name.as_str(), "other"] {
        service.pipeline_until(name, |view| view["progress"]["settled"] == true);
    }
    let path = format!("/v1/pipelines/{name}");
    let put = |text: &str| service.ask("PUT", &path, DEPLOY, text.as_bytes());
    let why = put(&text.replace("\"1m\"", "\"2m\"")).problem(409, "conflict");
    assert!(
        why.contains("tumbling 1m") && why.contains("tumbling 2m"),
        "{why}"
    );
    put(&other).problem(422, "invalid-pipeline");
    put("name").problem(422, "invalid-pipeline");
    let none = service.ask("PUT", "/v1/pipelines/none", DEPLOY, text.as_bytes());
    none.problem(404, "no-such-pipeline");
    let before = service.pipeline_until(&name, |_| true);
    assert_eq!(
        before["state"], "running",
        "what is refused changes nothing"
    );

    // What the state goes on with is taken: the rows are read no second time.
    let updated = put(&text.replace("5s", "7s"));
    assert_eq!(updated.status, 202, "{updated:?}");
    let after = service.pipeline_until(&name, |view| view["progress"]["settled"] == true);
    assert_eq!((records(&after), &after["restarts"]), (10, &0.into()));
    let other = service.pipeline_until("other", |_| true);
    assert_eq!((&other["state"], records(&other)), (&"running".into(), 10));
    service.end();
}

#[test]
fn files_that_come_change_and_go_are_seen_while_the_service_runs() {
    let home = Home::new("pipelines = \"pipelines\"");
    let first = copying(&home, "first");
    topic(&first, 3);
    let service = home.start();
    service.pipeline_until("first", |view| records(view) == 3);

    let second = copying(&home, "second");
    topic(&second, 4);
    until(|| service.ask("GET", "/v1/pipelines/second", VIEW, b"").status == 200).unwrap();
    service.pipeline_until("second", |view| records(view) == 4);

    // A file that is wrong is told, and its run goes on.
    let file = home.path("pipelines/first.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("sink", "snik")).unwrap();
    let refused = service.pipeline_until("first", |view| view["refused"].is_string());
    let why = refused["refused"].as_str().unwrap();
    assert!(
        why.contains("first.toml:3") && why.contains("did you mean `sink`"),
        "{why}"
    );
    assert_eq!(refused["state"], "running");
    let shown = service.told(VIEW, &["pipelines", "show", "first"]);
    assert!(
        shown.contains("refused       the file as it is now"),
        "{shown}"
    );

    std::fs::write(&file, text.replace("\"out\"", "\"elsewhere\"")).unwrap();
    service.pipeline_until("first", |view| view["refused"].is_null());

    std::fs::remove_file(home.path("pipelines/second.toml")).unwrap();
    until(|| service.ask("GET", "/v1/pipelines/second", VIEW, b"").status == 404).unwrap();
    let refused = service.ask("PUT", "/v1/pipelines/first", DEPLOY, text.as_bytes());
    refused.problem(409, "conflict");
    service.end();
    let log = open_log(&first);
    assert!(
        log.topic("elsewhere").unwrap().is_some(),
        "its new run writes there"
    );
}
