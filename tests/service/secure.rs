//! TLS.

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::rig::{Home, VIEW, client};

#[test]
fn the_api_speaks_tls_with_a_certificate_that_the_client_trusts() {
    let home = Home::new("http.tls = { certificate = \"cert.pem\", key = \"key.pem\" }");
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(home.path("cert.pem"), cert.pem()).unwrap();
    std::fs::write(home.path("key.pem"), signing_key.serialize_pem()).unwrap();
    let service = home.start();
    let port = service.address.rsplit_once(':').unwrap().1;
    let server = format!("https://localhost:{port}");
    let certificate = home.path("cert.pem");
    let trusting = client(
        &server,
        VIEW,
        &["pipelines", "list", "--ca", certificate.to_str().unwrap()],
    );
    let said = String::from_utf8_lossy(&trusting.stderr);
    assert!(trusting.status.success(), "{said}");
    let wary = client(&server, VIEW, &["pipelines", "list"]);
    let said = String::from_utf8_lossy(&wary.stderr);
    assert_eq!(wary.status.code(), Some(1), "{said}");
    service.end();

    std::fs::write(home.path("key.pem"), "no key").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["serve", "--config"])
        .arg(home.path("millstream.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("http.tls.key: ") && said.contains("key.pem"),
        "{said}"
    );
}
