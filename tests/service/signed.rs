//! Signed plugins: a service that takes no others, from the key to the pipeline.

use std::path::Path;

use crate::rig::{ADMIN, DEPLOY, Home, VIEW, client, pipeline};
use crate::support::components;

/// A command that needs no service.
fn told(arguments: &[&str]) -> String {
    let output = client("http://127.0.0.1:1", "", arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_service_that_requires_signatures_takes_and_runs_only_what_a_trusted_key_has_signed() {
    let home = Home::new("");
    let component = components().join("bot-filter.wasm");
    let (component, key, stranger) = (text(&component), home.path("ci.key"), home.path("x.key"));
    let lines = told(&["plugin", "keygen", text(&key), "--name", "ci"]);
    let strangers = told(&["plugin", "keygen", text(&stranger), "--name", "x"]);
    let again = client("", "", &["plugin", "keygen", text(&key), "--name", "ci"]);
    assert_eq!(again.status.code(), Some(2), "a key is not overwritten");

    let sign = |key: &Path, to: &Path| {
        let arguments = ["plugin", "sign", component, "--key", text(key), "--to"];
        let said = told(&[&arguments[..], &[text(to)]].concat());
        assert!(said.contains("signed bot-filter@"), "{said}");
    };
    let (signed, by_stranger) = (home.path("ci.sig"), home.path("x.sig"));
    sign(&key, &signed);
    sign(&stranger, &by_stranger);

    home.configure(&format!("plugins.require_signature = true\n{lines}"));
    let service = home.start();
    let push = |signature: Option<&Path>| {
        let mut arguments = vec!["plugins", "push", component];
        if let Some(file) = signature {
            arguments.extend(["--signature", text(file)]);
        }
        let output = service.client(DEPLOY, &arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.success() {
            true => Ok(()),
            false => Err(said),
        }
    };
    let why = push(None).unwrap_err();
    assert!(why.contains("is not signed"), "{why}");
    let why = push(Some(&by_stranger)).unwrap_err();
    assert!(
        why.contains("none of the keys") && why.contains("(ci)"),
        "{why}"
    );
    assert!(service.told(VIEW, &["plugins", "list"]).is_empty());
    push(Some(&signed)).unwrap();
    let shown = service.told(VIEW, &["plugins", "list", "--output", "json"]);
    let info: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let kept = std::fs::read_to_string(&signed).unwrap();
    assert_eq!(info["signature"], kept.trim());
    service.end();

    // The key is trusted no more: what it has signed does not run from now on.
    home.configure(&format!("plugins.require_signature = true\n{strangers}"));
    let service = home.start();
    let reference = info["reference"].as_str().unwrap();
    let text = pipeline("clicks", "embedded = \"log\"", reference, "none@1.0.0");
    let answer = service.ask("POST", "/v1/pipelines", ADMIN, text.as_bytes());
    assert!(answer.status >= 400, "{answer:?}");
    assert!(answer.body.contains("none of the keys"), "{answer:?}");

    // Signed by somebody who is, it is taken again.
    let signature = std::fs::read_to_string(&by_stranger).unwrap();
    let sha256 = info["sha256"].as_str().unwrap();
    let path = format!("/v1/plugins?sha256={sha256}&signature={}", signature.trim());
    let answer = service.ask("POST", &path, DEPLOY, &std::fs::read(component).unwrap());
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = service.ask("POST", "/v1/pipelines", ADMIN, text.as_bytes());
    assert!(answer.body.contains("no plugin none@1.0.0"), "{answer:?}");
    let wrong = format!("/v1/plugins?sha256={sha256}&signature=00");
    service
        .ask("POST", &wrong, DEPLOY, b"x")
        .problem(400, "bad-request");
    service.end();
}
