//! A day with deploys, on Kafka: a version that fails, one that is first a shadow, one rolled back, and a crash in between; under load
//! all the time, and every window is right.

use serde_json::Value;

use crate::load::{Load, PARTITIONS, file, judge, settle, version};
use crate::rig::{DEPLOY, Home, Service, VIEW};
use crate::support::{create, kafka, unique};

fn deploys(service: &Service, name: &str) -> Vec<Value> {
    let list = ["deploys", "list", name, "--output", "json"];
    let list = service.told(VIEW, &list);
    list.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_day_with_deploys() {
    let Some(log) = kafka() else { return };
    let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    let (home, name) = (Home::new(""), unique("deploys"));
    let topic = format!("{name}-numbers");
    create(&log, &topic, PARTITIONS, &[]);
    let mut load = Load::default();
    load.write(&log, &topic, 300);

    let service = home.start();
    service.push("fixtures/marked.wasm");
    let path = home.path("pipeline.toml");
    std::fs::write(&path, file(&name, &address)).unwrap();
    service.told(DEPLOY, &["pipelines", "create", path.to_str().unwrap()]);
    service.pipeline_until(&name, |view| view["progress"]["results"] != 0);

    // A version that traps: it is in place, fails, and is taken back.
    let bad = version(&home, b'3', b't');
    load.while_doing(&log, &topic, || {
        service.told(DEPLOY, &["deploy", &name, "sum", &bad]);
        let watched = service.client(VIEW, &["deploys", "watch", &name, &id(&service, &name)]);
        let said = String::from_utf8_lossy(&watched.stderr).into_owned();
        assert_eq!(watched.status.code(), Some(3), "{said}");
        assert!(said.contains("this version has a bug"), "{said}");
    });
    assert_eq!(deploys(&service, &name)[0]["outcome"], "rolled-back");

    // One that differs is a shadow until it has shown that it does not.
    let good = version(&home, b'0', b'-');
    load.while_doing(&log, &topic, || {
        let shadow = ["deploy", &name, "sum", &good, "--shadow", "--windows", "3"];
        let said = service.told(DEPLOY, &shadow);
        assert!(
            said.contains("shadow") && said.contains("on-trial"),
            "{said}"
        );
    });
    let last = deploys(&service, &name).remove(0);
    assert_eq!(last["outcome"], "on-trial");
    let now = service.pipeline_until(&name, |view| {
        view["steps"][0]["sha256"] == last["to"]["sha256"]
    });
    assert_eq!(now["steps"][0]["plugin"], "marked@0.1.0");

    // Events tell of it, as they do of what has happened before.
    let events = format!(
        "/v1/pipelines/{name}/deploys/{}/events",
        deploys(&service, &name)[1]["id"]
    );
    let events = service.ask("GET", &events, VIEW, b"");
    assert!(
        events.media_type.starts_with("text/event-stream"),
        "{events:?}"
    );
    assert!(
        events.body.contains("\"outcome\":\"rolled-back\""),
        "{events:?}"
    );

    let canary = version(&home, b'1', b'.');
    load.while_doing(&log, &topic, || {
        let canary = [
            "deploy", &name, "sum", &canary, "--canary", "25", "--rows", "100",
        ];
        service.told(DEPLOY, &canary);
        service.told(DEPLOY, &["rollback", &name, "sum"]);
    });
    let last = deploys(&service, &name).remove(0);
    assert_eq!(
        (&last["is_rollback"], &last["by"]),
        (&true.into(), &"deploy".into())
    );
    service.kill();
    load.write(&log, &topic, 200);

    let service = home.start();
    load.while_doing(&log, &topic, || {
        service.pipeline_until(&name, |view| {
            view["state"] == "running" && view["steps"][0]["sha256"] == last["to"]["sha256"]
        });
    });
    settle(&service, &log, &name);
    service.end();
    judge(&log, &name, &load);
}

fn id(service: &Service, name: &str) -> String {
    deploys(service, name)[0]["id"].to_string()
}

#[test]
fn a_deploy_that_can_not_be_is_told_why() {
    let home = Home::new("");
    std::fs::create_dir_all(home.path("data")).unwrap();
    let log = crate::rig::open_log(&home.path("data/log"));
    let name = unique("refused");
    create(&log, &format!("{name}-clicks"), 1, &[]);
    drop(log);
    let service = home.start();
    let [filter, aggregate] =
        ["bot-filter.wasm", "unique-visitors.wasm"].map(|file| service.push(file));
    let text = crate::rig::pipeline(&name, "embedded = \"log\"", &filter, &aggregate);
    let path = home.path("pipeline.toml");
    std::fs::write(&path, text).unwrap();
    service.told(DEPLOY, &["pipelines", "create", path.to_str().unwrap()]);
    service.pipeline_until(&name, |view| view["state"] == "running");
    let post = |path: &str, body: &str| {
        let path = format!("/v1/pipelines/{path}");
        let headers = [
            ("authorization", DEPLOY),
            ("content-type", "application/json"),
        ];
        service.ask_with("POST", &path, &headers, body.as_bytes())
    };
    let deploy = |step: &str, plugin: &str, more: &str| {
        let body = format!(r#"{{"step":"{step}","plugin":"{plugin}"{more}}}"#);
        post(&format!("{name}/deploys"), &body)
    };
    let why = deploy("bot-filter", &aggregate, "").problem(422, "component-refused");
    assert!(why.contains("is a aggregate component"), "{why}");
    let wrong = home.path("wrong.wasm");
    std::fs::write(&wrong, crate::rig::wrong_sample()).unwrap();
    let deployed = ["deploy", &name, "unique-visitors", wrong.to_str().unwrap()];
    let refused = service.client(DEPLOY, &deployed);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("+ row 1: {\"unique_visitors\":4}"), "{said}");
    let why = deploy("bots", &filter, "").problem(404, "no-such-step");
    assert!(why.contains("bot-filter, unique-visitors"), "{why}");
    deploy("bot-filter", "bots@9", "").problem(404, "no-such-plugin");
    let why = deploy("bot-filter", &filter, r#","percent":5"#).problem(400, "bad-request");
    assert!(why.starts_with("percent"), "{why}");
    post("none/deploys", "{}").problem(422, "unprocessable-entity");
    let why = post(&format!("{name}/steps/bot-filter/rollback"), "").problem(409, "conflict");
    assert!(why.contains("nothing was deployed"), "{why}");
    let path = format!("/v1/pipelines/{name}/deploys/7");
    service
        .ask("GET", &path, VIEW, b"")
        .problem(404, "no-such-deploy");
    let viewer = service.client(VIEW, &["deploy", &name, "bot-filter", &filter]);
    assert!(String::from_utf8_lossy(&viewer.stderr).contains("role view"));

    service.told(DEPLOY, &["pipelines", "pause", &name]);
    service.pipeline_until(&name, |view| view["state"] == "paused");
    let why = deploy("bot-filter", &filter, "").problem(409, "conflict");
    assert!(why.contains("does not run just now"), "{why}");
    service.end();
}

/// A component that is put into the folder is deployed; the same again after a restart is not.
#[test]
fn a_folder_of_deploys_is_watched() {
    let Some(log) = kafka() else { return };
    let address = std::env::var("MILLSTREAM_TEST_KAFKA").unwrap();
    let (home, name) = (Home::new("deploys = \"deploys\""), unique("watched"));
    std::fs::create_dir_all(home.path(&format!("deploys/{name}"))).unwrap();
    create(&log, &format!("{name}-numbers"), PARTITIONS, &[]);
    let service = home.start();
    service.push("fixtures/marked.wasm");
    let path = home.path("pipeline.toml");
    std::fs::write(&path, file(&name, &address)).unwrap();
    service.told(DEPLOY, &["pipelines", "create", path.to_str().unwrap()]);
    service.pipeline_until(&name, |view| view["state"] == "running");
    let put = |from: &str| {
        std::fs::copy(from, home.path(&format!("deploys/{name}/sum.wasm"))).unwrap();
    };
    put(&version(&home, b'1', b'.'));
    let last = |service: &Service| deploys(service, &name).first().cloned().unwrap_or_default();
    crate::rig::until(|| last(&service)["outcome"] == "on-trial").unwrap();
    let first = last(&service);
    assert_eq!(first["by"], "the folder of deploys");
    service.told(DEPLOY, &["rollback", &name, "sum"]);
    service.kill();

    let service = home.start();
    service.pipeline_until(&name, |view| view["state"] == "running");
    put(&version(&home, b'2', b'.'));
    crate::rig::until(|| last(&service)["to"]["sha256"] != first["from"]["sha256"]).unwrap();
    assert_eq!(
        deploys(&service, &name).len(),
        3,
        "what was rolled back did not come again"
    );
    service.end();
}
