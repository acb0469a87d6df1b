//! Dead letters that are put back, and run locally.

use millstream::log::Log;
use millstream::time::Timestamp;
use serde_json::Value;

use crate::results::click;
use crate::rig::{DEPLOY, Home, Service, VIEW, open_log};
use crate::support::{ToWrite, components, create, kafka, read_all, unique, write};

fn replayed(service: &Service, arguments: &[&str]) -> (i64, i64, i64) {
    let told = service.told(
        DEPLOY,
        &[
            &["dead-letters", "replay"],
            arguments,
            &["--output", "json"],
        ]
        .concat(),
    );
    let view: Value = serde_json::from_str(&told).unwrap();
    let number = |name: &str| view[name].as_i64().unwrap();
    (number("replayed"), number("already"), number("left_out"))
}

/// Dead letters of a function with a bug are shown to fail again, then put back once it is mended, each once.
fn replay<L: Log>(place: &str, home: &Home, open: impl Fn() -> L) {
    let name = unique("replay");
    let topic = format!("{name}-in");
    let log = open();
    create(&log, &topic, 2, &[]);
    let on = |partition: i32, (_, key, value, at): ToWrite| (partition, key, value, at);
    let broken = || Some(b"no json".to_vec());
    write(
        &log,
        &topic,
        [
            on(0, click("ada", 1)),
            on(0, click("poison", 2)),
            on(1, click("poison", 3)),
            (1, None, broken(), Timestamp(4)),
            on(1, click("bob", 5)),
        ],
    );
    drop(log);
    let service = home.start();
    let poison = service.push("fixtures/poison.wasm");
    let copy = format!(
        "name = \"{name}\"\nsource.topic = \"{topic}\"\nsink.topic = \"{name}-out\"\ndead_letters.topic = \"{name}-dead\"\n\
         state.folder = \"state\"\n[log]\n{place}\ncreate_topics = true\n"
    );
    let text = format!("{copy}[[step]]\nname = \"check\"\nfilter = \"{poison}\"\n");
    let created = service.ask("POST", "/v1/pipelines", DEPLOY, text.as_bytes());
    assert_eq!(created.status, 201, "{created:?}");
    let dead = |count: i64| move |view: &Value| view["progress"]["dead_letters"] == count;
    service.pipeline_until(&name, dead(3));

    let letters = service.told(VIEW, &["dead-letters", "list", &name, "--output", "json"]);
    let letters: Vec<Value> = letters
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |step: &str| {
        letters
            .iter()
            .find(|letter| letter["step"] == step)
            .unwrap()
            .clone()
    };
    locally(
        &service,
        &name,
        &of("check"),
        Some(3),
        "this row was not foreseen",
    );
    locally(
        &service,
        &name,
        &of("decode"),
        Some(1),
        "not one JSON object",
    );

    // Put back while the bug is still there: they fail again, under places of their own.
    let by_reason = [&name, "--reason", "not foreseen"];
    assert_eq!(replayed(&service, &by_reason), (2, 0, 0));
    service.pipeline_until(&name, dead(5));
    let (partition, offset) = (
        of("check")["partition"].to_string(),
        of("check")["offset"].to_string(),
    );
    let one = [&*name, "--partition", &partition, "--offset", &offset];
    assert_eq!(
        replayed(&service, &one),
        (0, 1, 0),
        "it was put back before"
    );
    service.kill();

    // Mended: without the step, whatever is JSON goes through.
    let service = home.start();
    let updated = service.ask(
        "PUT",
        &format!("/v1/pipelines/{name}"),
        DEPLOY,
        copy.as_bytes(),
    );
    assert_eq!(updated.status, 202, "{updated:?}");
    service.pipeline_until(&name, |view| {
        view["state"] == "running" && view["steps"] == serde_json::json!([])
    });
    assert_eq!(replayed(&service, &[&name, "--all"]), (3, 2, 0));
    // What is no JSON still fails, and may be put back in its turn.
    service.pipeline_until(&name, dead(1));
    assert_eq!(replayed(&service, &[&name, "--all"]), (1, 5, 0));
    service.pipeline_until(&name, |view| view["progress"]["records"] == 4);
    let gone = [
        "dead-letters",
        "replay",
        &name,
        "--partition",
        "0",
        "--offset",
        "999",
    ];
    let output = service.client(DEPLOY, &gone);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("there is no dead letter"), "{said}");
    let path = format!("/v1/pipelines/{name}/dead-letters/replay");
    let ask = |token: &str, body: &str| {
        let headers = [
            ("authorization", token),
            ("content-type", "application/json"),
        ];
        service.ask_with("POST", &path, &headers, body.as_bytes())
    };
    ask(VIEW, "{\"all\":true}").problem(403, "forbidden");
    ask(DEPLOY, "{}").problem(400, "bad-request");
    ask(DEPLOY, "{\"all\":true,\"next\":\"5\"}").problem(400, "bad-request");
    service.end();

    let log = open();
    let out = read_all(&log, &format!("{name}-out"));
    let mut users: Vec<String> = out
        .iter()
        .map(|record| record.json()["user_id"].to_string())
        .collect();
    users.sort();
    assert_eq!(users, ["\"ada\"", "\"bob\"", "\"poison\"", "\"poison\""]);
    let back = read_all(&log, &topic);
    let back: Vec<_> = back
        .iter()
        .filter(|record| !record.headers.is_empty())
        .collect();
    assert_eq!(back.len(), 6);
    for record in back {
        let of = record.header("millstream.replay_of");
        assert!(of.starts_with(&format!("{name}-dead/")), "{of}");
        let at = record.timestamp.0;
        assert!((2..5).contains(&at), "the time that it had: {at}");
        assert_eq!(
            record.partition,
            if at == 2 { 0 } else { 1 },
            "where it came from"
        );
    }
}

/// A dead letter that is run here says what it said, with the component from the registry or from a file.
fn locally(service: &Service, name: &str, letter: &Value, code: Option<i32>, part: &str) {
    let (partition, offset) = (
        letter["partition"].to_string(),
        letter["offset"].to_string(),
    );
    let run = |more: &[&str]| {
        let one = [
            "dead-letters",
            "replay",
            name,
            "--local",
            "--partition",
            &partition,
            "--offset",
            &offset,
        ];
        let output = service.client(DEPLOY, &[&one[..], more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            said,
        )
    };
    let file = components().join("fixtures/poison.wasm");
    for more in [&[][..], &["--plugin", file.to_str().unwrap()]] {
        let (ended, told, said) = run(more);
        assert_eq!(ended, code, "{told} {said}");
        let reason = letter["reason"].as_str().unwrap().lines().next().unwrap();
        assert_eq!(
            told.matches(reason.split(" at ").next().unwrap()).count(),
            2,
            "then and now: {told}"
        );
        assert!(said.contains(part), "{said}");
    }
    let (ended, told, _) = run(&["--output", "json"]);
    assert_eq!(ended, code);
    let outcome: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(outcome["refused"], true, "{outcome}");
    assert_eq!(outcome["then"], outcome["now"], "word for word");
}

#[test]
fn dead_letters_are_replayed_on_the_embedded_log() {
    let home = Home::new("");
    std::fs::create_dir_all(home.path("data")).unwrap();
    let log = home.path("data/log");
    replay("embedded = \"log\"", &home, || open_log(&log));
}

#[test]
fn dead_letters_are_replayed_on_kafka() {
    let Some(log) = kafka() else { return };
    let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    let place = format!("kafka = {{ \"bootstrap.servers\" = \"{address}\" }}");
    replay(&place, &Home::new(""), || log.clone());
}

#[test]
fn a_pipelines_file_and_a_plugins_component_come_back_as_they_were_sent() {
    let home = Home::new("");
    let service = home.start();
    let reference = service.push("bot-filter.wasm");
    let name = unique("file");
    let text = format!(
        "name = \"{name}\"\nsource.topic = \"in\"\nsink.topic = \"out\"\ndead_letters.topic = \"dead\"\n\
         # as it is written\n[log]\nembedded = \"log\"\n[[step]]\nfilter = \"{reference}\"\n"
    );
    let created = service.ask("POST", "/v1/pipelines?paused=true", DEPLOY, text.as_bytes());
    assert_eq!(created.status, 201, "{created:?}");
    let path = format!("/v1/pipelines/{name}/file");
    service
        .ask("GET", &path, VIEW, b"")
        .problem(403, "forbidden");
    let file = service.ask("GET", &path, DEPLOY, b"");
    assert_eq!((&*file.media_type, file.body), ("application/toml", text));
    let path = format!("/v1/plugins/{reference}/component");
    let sent = std::fs::read(components().join("bot-filter.wasm")).unwrap();
    assert_eq!(service.bytes(&path, DEPLOY), sent);
    service.end();
}
