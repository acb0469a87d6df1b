//! How the API says yes and no.

use std::process::Command;

use crate::rig::{ADMIN, DEPLOY, Home, VIEW, client, until, wrong_sample};
use crate::support::components;

#[test]
fn a_role_may_do_what_it_may_and_no_more() {
    let home = Home::new("");
    let service = home.start();
    let status =
        |method: &str, path: &str, token: &str| service.ask(method, path, token, b"").status;
    for path in ["/health/live", "/v1/openapi.json"] {
        assert_eq!(status("GET", path, ""), 200, "{path} is for everybody");
    }
    for path in ["/v1/pipelines", "/v1/plugins", "/metrics"] {
        let answer = service.ask("GET", path, "", b"");
        let why = answer.problem(401, "unauthorized");
        assert!(why.contains("Bearer"), "{why}");
        assert_eq!(status("GET", path, "wrong"), 401, "{path}");
        for token in [VIEW, DEPLOY, ADMIN] {
            assert_eq!(status("GET", path, token), 200, "{path}");
        }
    }
    for (method, path) in [
        ("POST", "/v1/pipelines/x/pause"),
        ("POST", "/v1/pipelines/x/resume"),
    ] {
        let why = service
            .ask(method, path, VIEW, b"")
            .problem(403, "forbidden");
        assert!(
            why.contains("role view") && why.contains("needs deploy"),
            "{why}"
        );
        assert_eq!(status(method, path, DEPLOY), 404);
    }
    for path in ["/v1/pipelines/x", "/v1/plugins/x@1"] {
        service
            .ask("DELETE", path, DEPLOY, b"")
            .problem(403, "forbidden");
        assert_eq!(status("DELETE", path, ADMIN), 404);
    }
    service
        .ask("POST", "/v1/plugins?sha256=00", VIEW, b"x")
        .problem(403, "forbidden");

    // A component is larger than what a socket takes at once: it is refused before it is sent.
    let revenue = components().join("revenue.wasm");
    let denied = service.client("wrong", &["plugins", "push", revenue.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&denied.stderr);
    assert!(
        said.contains("the token is not one that this service knows"),
        "{said}"
    );
    let denied = service.client("", &["pipelines", "list"]);
    let said = String::from_utf8_lossy(&denied.stderr);
    assert_eq!(denied.status.code(), Some(1), "{said}");
    assert!(said.contains("set MILLSTREAM_TOKEN"), "{said}");
    service.end();
}

#[test]
fn whatever_goes_wrong_is_told_as_a_problem() {
    let home = Home::new("http.body_limit = \"16KiB\"\nhttp.plugin_limit = \"1MiB\"");
    let service = home.start();
    let ask = |method: &str, path: &str, body: &[u8]| service.ask(method, path, ADMIN, body);
    ask("GET", "/v1/nothing", b"").problem(404, "not-found");
    ask("PUT", "/v1/pipelines", b"x").problem(405, "method-not-allowed");
    ask("GET", "/v1/pipelines/none", b"").problem(404, "no-such-pipeline");
    ask("GET", "/v1/plugins/none@1", b"").problem(404, "no-such-plugin");
    ask("GET", "/v1/plugins/none", b"").problem(400, "bad-request");
    ask("POST", "/v1/pipelines?pausd=true", b"x").problem(400, "bad-request");
    ask("POST", "/v1/pipelines", &vec![b'#'; 20 << 10]).problem(413, "payload-too-large");
    ask("POST", "/v1/pipelines", &[0xff, 0xfe]).problem(400, "bad-request");

    let unknown = b"name = \"p\"\nsuorce.topic = \"x\"";
    let why = ask("POST", "/v1/pipelines", unknown).problem(422, "invalid-pipeline");
    assert!(
        why.contains("line 2, column 1: unknown key `suorce`, did you mean `source`?"),
        "{why}"
    );

    let core = b"\0asm\x01\0\0\0";
    let why = service.push_bytes(core).problem(422, "plugin-refused");
    for part in [
        "the plugin is refused",
        "8 bytes",
        "core WebAssembly module",
        "imports",
        "worlds",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let why = service
        .push_bytes(&wrong_sample())
        .problem(422, "plugin-refused");
    assert!(why.contains("+ row 1: {\"unique_visitors\":4}"), "{why}");
    service
        .push_bytes(&vec![0; 2 << 20])
        .problem(413, "plugin-too-large");
    let announced = format!("/v1/plugins?sha256={}", "0".repeat(64));
    ask("POST", &announced, core).problem(400, "digest-differs");
    ask("POST", "/v1/plugins?sha256=zz", core).problem(400, "bad-request");
    ask("POST", "/v1/plugins", core).problem(400, "bad-request");
    let incoming = home.path("data/plugins/incoming");
    until(|| std::fs::read_dir(&incoming).unwrap().count() == 0).expect("uploads are left over");

    let refused = service.client(DEPLOY, &["plugins", "push", "Cargo.toml"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("not WebAssembly"), "{said}");
    service.end();
}

#[test]
fn one_client_may_not_ask_for_ever() {
    let home = Home::new("http.requests_per_second = 2");
    let service = home.start();
    let mut last = None;
    until(|| {
        let answer = service.ask("GET", "/v1/pipelines", VIEW, b"");
        let is_over = answer.status == 429;
        last = Some(answer);
        is_over
    })
    .expect("there is no limit");
    let why = last.unwrap().problem(429, "too-many-requests");
    assert!(why.contains("2 requests a second"), "{why}");
    service.end();
}

#[test]
fn this_machines_programs_are_let_in_where_the_file_says_so_and_web_pages_are_not() {
    let home = Home::new("http.open_to_loopback = true");
    let service = home.start();
    let status = |headers: &[(&str, &str)]| {
        service
            .ask_with("GET", "/v1/pipelines", headers, b"")
            .status
    };
    assert_eq!(status(&[]), 200);
    assert_eq!(status(&[("origin", "https://example.com")]), 401);
    assert_eq!(status(&[("host", "example.com")]), 401);
    assert_eq!(status(&[("authorization", "wrong")]), 401);
    service.end();
}

#[test]
fn a_plugin_is_pushed_once_and_a_version_stays_what_it_is() {
    let home = Home::new("");
    let service = home.start();
    let bytes = std::fs::read(components().join("bot-filter.wasm")).unwrap();
    let first = service.push_bytes(&bytes);
    assert_eq!(first.status, 201, "{first:?}");
    let again = service.push_bytes(&bytes);
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(first.json(), again.json());
    let info = first.json();
    assert_eq!(info["kind"], "filter");
    assert!(info["reads"][0]["name"].is_string(), "{info}");

    // The same component with a section that means nothing: another digest, the same name and version.
    let mut other = bytes.clone();
    other.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    let why = service.push_bytes(&other).problem(409, "version-taken");
    assert!(why.contains(info["sha256"].as_str().unwrap()), "{why}");

    let reference = info["reference"].as_str().unwrap();
    let shown = service.told(VIEW, &["plugins", "show", reference]);
    assert!(shown.contains("kind           filter"), "{shown}");
    let list = service.told(VIEW, &["plugins", "list", "--output", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(listed, info);
    service.end();
}

#[test]
fn the_description_and_the_metrics_are_served() {
    let home = Home::new("");
    let service = home.start();
    let api = service.ask("GET", "/v1/openapi.json", "", b"").json();
    assert_eq!(api["openapi"], "3.1.0");
    assert_eq!(
        api["paths"]["/health/live"]["get"]["security"],
        serde_json::json!([{}])
    );
    let metrics = service.ask("GET", "/metrics", VIEW, b"");
    assert!(
        metrics
            .media_type
            .starts_with("application/openmetrics-text"),
        "{metrics:?}"
    );
    assert!(metrics.body.ends_with("# EOF\n"), "{metrics:?}");
    until(|| service.ask("GET", "/health/ready", "", b"").status == 200).expect("never ready");
    service.end();
}

#[test]
fn a_wrong_file_is_refused_with_its_place_and_key() {
    let home = Home::new("http.listn = \"x\"");
    let serve = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
            .args(["serve", "--config"])
            .arg(home.path("millstream.toml"))
            .args(more)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = serve(&[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains(
            "millstream.toml:3:6: http.listn: unknown key `listn`, did you mean `listen`?"
        ),
        "{said}"
    );
    home.configure("");
    assert_eq!(serve(&["--check"]).0, Some(0));
}

#[test]
fn a_service_that_is_not_there_is_told_with_what_to_do() {
    // The discard service's port: nothing listens.
    let output = client("http://127.0.0.1:9", "", &["pipelines", "list"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("does not answer") && said.contains("--server"),
        "{said}"
    );
}

#[test]
fn a_new_token_opens_the_service_that_has_its_lines() {
    let printed = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["token", "--name", "ci \"x\"", "--role", "view"])
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let token = printed.lines().last().unwrap();
    let token = token.strip_prefix("export MILLSTREAM_TOKEN=").unwrap();
    assert!(token.len() >= 64, "{token}");
    let lines: Vec<&str> = printed
        .lines()
        .filter(|line| !line.starts_with("export"))
        .collect();
    let home = Home::new(&lines.join("\n"));
    let service = home.start();
    assert_eq!(service.ask("GET", "/v1/pipelines", token, b"").status, 200);
    let said = service.end();
    assert!(!said.contains(token), "a token is never logged");
}
