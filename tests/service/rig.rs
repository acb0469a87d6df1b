//! A service as a process, and what it answers.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use ureq::Agent;

use crate::support::components;

/// What anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tokens of the tests, by role.
pub(crate) const VIEW: &str = "token-view";
pub(crate) const DEPLOY: &str = "token-deploy";
pub(crate) const ADMIN: &str = "token-admin";

/// A folder with a service's file in it.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// A service with tokens, and `more` in its file: top-level keys first, tables after them.
    pub(crate) fn new(more: &str) -> Self {
        let home = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        home.configure(more);
        home
    }

    pub(crate) fn configure(&self, more: &str) {
        let mut text = format!("data = \"data\"\nhttp.listen = \"127.0.0.1:0\"\n{more}\n");
        for (role, token) in [("view", VIEW), ("deploy", DEPLOY), ("admin", ADMIN)] {
            let sha256 = hex(&Sha256::digest(token));
            text.push_str(&format!(
                "[[token]]\nname = \"{role}\"\nrole = \"{role}\"\nsha256 = \"{sha256}\"\n"
            ));
        }
        std::fs::write(self.path("millstream.toml"), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the service; it listens when this returns.
    pub(crate) fn start(&self) -> Service {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millstream"))
            .args(["serve", "--log-format", "json", "--config"])
            .arg(self.path("millstream.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let mut all = String::new();
        let address = loop {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended: {all}");
            all.push_str(&line);
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            if said["message"] == "listening" {
                break said["address"].as_str().unwrap().to_owned();
            }
        };
        let said = Arc::new(Mutex::new(all));
        let reading = std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                let mut line = String::new();
                while stderr.read_line(&mut line).unwrap_or(0) > 0 {
                    said.lock().unwrap().push_str(&line);
                    line.clear();
                }
            }
        });
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        Service {
            child,
            address,
            said,
            reading: Some(reading),
            agent,
        }
    }
}

/// A running service; it does not outlive the test.
pub(crate) struct Service {
    child: Child,
    pub(crate) address: String,
    said: Arc<Mutex<String>>,
    reading: Option<std::thread::JoinHandle<()>>,
    agent: Agent,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media_type: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The problem, of this status and kind. Returns its detail.
    pub(crate) fn problem(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.media_type, "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], status, "{self:?}");
        assert_eq!(json["type"], format!("urn:millstream:problem:{kind}"));
        assert!(json["title"].is_string(), "{self:?}");
        json["detail"].as_str().unwrap().to_owned()
    }
}

impl Service {
    /// Asks with a token, or without one if it is empty.
    pub(crate) fn ask(&self, method: &str, path: &str, token: &str, body: &[u8]) -> Answer {
        self.ask_with(method, path, &[("authorization", token)], body)
    }

    /// The same with headers.
    pub(crate) fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            if *name == "authorization" && !value.is_empty() {
                request = request.header(*name, format!("Bearer {value}"));
            } else if !value.is_empty() {
                request = request.header(*name, *value);
            }
        }
        let mut answer = match body {
            [] if method == "GET" || method == "DELETE" => {
                self.agent.run(request.body(()).unwrap()).unwrap()
            }
            _ => self.agent.run(request.body(body).unwrap()).unwrap(),
        };
        let media_type = answer.headers().get("content-type");
        Answer {
            status: answer.status().as_u16(),
            media_type: media_type
                .map_or_else(String::new, |said| said.to_str().unwrap().to_owned()),
            body: answer.body_mut().read_to_string().unwrap(),
        }
    }

    /// The bytes at a path.
    pub(crate) fn bytes(&self, path: &str, token: &str) -> Vec<u8> {
        let url = format!("http://{}{path}", self.address);
        let request = self
            .agent
            .get(&url)
            .header("authorization", format!("Bearer {token}"));
        let mut answer = request.call().unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        answer.body_mut().read_to_vec().unwrap()
    }

    /// A pipeline, asked for until it is as wanted.
    pub(crate) fn pipeline_until(&self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        until(|| {
            let answer = self.ask("GET", &format!("/v1/pipelines/{name}"), VIEW, b"");
            assert_eq!(answer.status, 200, "{answer:?}");
            last = answer.json();
            is_it(&last)
        })
        .unwrap_or_else(|| panic!("it never was as wanted: {last}\n{}", self.said()));
        last
    }

    /// Pushes a component of the workspace; returns how it is named.
    pub(crate) fn push(&self, file: &str) -> String {
        let bytes = std::fs::read(components().join(file)).unwrap();
        let answer = self.push_bytes(&bytes);
        assert!(answer.status == 201 || answer.status == 200, "{answer:?}");
        answer.json()["reference"].as_str().unwrap().to_owned()
    }

    pub(crate) fn push_bytes(&self, bytes: &[u8]) -> Answer {
        let sha256 = hex(&Sha256::digest(bytes));
        self.ask(
            "POST",
            &format!("/v1/plugins?sha256={sha256}"),
            DEPLOY,
            bytes,
        )
    }

    /// A command of the client, with a token.
    pub(crate) fn client(&self, token: &str, arguments: &[&str]) -> Output {
        client(&format!("http://{}", self.address), token, arguments)
    }

    /// The same, which succeeds; what it prints.
    pub(crate) fn told(&self, token: &str, arguments: &[&str]) -> String {
        let output = self.client(token, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it has logged.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.process().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Ends it as its operator would, and returns what it has logged.
    pub(crate) fn end(mut self) -> String {
        self.signal("TERM");
        let code = self.child.wait().unwrap().code();
        self.reading.take().unwrap().join().unwrap();
        assert_eq!(code, Some(0), "{}", self.said());
        self.said()
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It has ended already in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn client(server: &str, token: &str, arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(arguments)
        .env("MILLSTREAM_SERVER", server)
        .env("MILLSTREAM_TOKEN", token)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut stdout)
        .unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stdout = stdout;
    output
}

/// Looks again and again until it is so; `None` if it never is.
pub(crate) fn until(mut is_it: impl FnMut() -> bool) -> Option<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if is_it() {
            return Some(());
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    None
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A pipeline of unique visitors, with its topics named after it.
pub(crate) fn pipeline(name: &str, log: &str, filter: &str, aggregate: &str) -> String {
    format!(
        r#"
        name = "{name}"
        source = {{ topic = "{name}-clicks", event_time = {{ field = "event_time", unit = "ms" }}, allowed_disorder = "5s" }}
        sink.topic = "{name}-visitors"
        dead_letters.topic = "{name}-dead"
        late.topic = "{name}-late"
        state.folder = "state"
        [log]
        {log}
        create_topics = true
        [[step]]
        filter = "{filter}"
        [[step]]
        aggregate = "{aggregate}"
        window = {{ tumbling = "1m" }}
        "#
    )
}

/// A component that does not give what the sample that it carries expects.
pub(crate) fn wrong_sample() -> Vec<u8> {
    let mut bytes = std::fs::read(components().join("unique-visitors.wasm")).unwrap();
    let expected = br#"{"unique_visitors": 4}"#;
    let at = bytes.windows(expected.len()).position(|at| at == expected);
    bytes[at.unwrap() + expected.len() - 2] = b'5';
    bytes
}

/// Opens a log in a folder that a service may still have open.
pub(crate) fn open_log(folder: &Path) -> millstream::log::embedded::EmbeddedLog {
    let mut log = None;
    until(|| {
        log = millstream::log::embedded::EmbeddedLog::open(folder).ok();
        log.is_some()
    })
    .expect("somebody keeps the log open");
    log.unwrap()
}
