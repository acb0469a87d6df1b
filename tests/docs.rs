//! The pages keep their word: the README's function and pipeline are those that are shipped and tested, its walk-through runs, the
//! records in the pages are such as are written, and links lead somewhere.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use millstream::log::{Fetched, Log, Reader};
use support::{components, kafka};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The blocks of a page in one language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

/// Code without comments, attributes of visibility and blank lines: what a page may leave out.
fn bare(code: &str) -> Vec<String> {
    let lines = code
        .lines()
        .map(|line| line.trim().replace("pub struct", "struct"));
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .collect()
}

#[test]
fn the_readmes_function_is_the_one_that_is_shipped() {
    let readme = page("README.md");
    let shown = bare(blocks(&readme, "rust")[0]);
    let shipped = page("plugins/unique-visitors/src/lib.rs");
    let shipped = bare(shipped.split("#[cfg(test)]").next().unwrap());
    assert_eq!(shown, shipped);
}

#[test]
fn the_readmes_pipeline_is_the_example() {
    let readme = page("README.md");
    let shown = blocks(&readme, "toml")[0].replace(
        "../../target/plugins",
        "${MILLSTREAM_PLUGINS:-../../target/plugins}",
    );
    let example = page("examples/unique-visitors/pipeline.toml");
    let parse = |text: &str| {
        let none = |_: &str| None;
        let no_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        millstream::pipeline::config::parse(text, &none, &no_file).unwrap()
    };
    let (shown, example) = (parse(&shown), parse(&example));
    assert_eq!(shown.source, example.source);
    assert_eq!(shown.output, example.output);
    assert_eq!(shown.sink_topic, example.sink_topic);
    assert_eq!(shown.dead_letter_topic, example.dead_letter_topic);
    assert_eq!(shown.log, example.log);
}

/// Runs the README's walk-through on the broker of the tests, in one shell, as it is written; only the lines that xtask does
/// for the tests are left out, `run` is ended with SIGTERM once results are there, and the topics get names of their own.
#[test]
fn the_readmes_walk_through_runs() {
    let Some(log) = kafka() else { return };
    let readme = page("README.md");
    let walk = blocks(&readme, "sh")
        .into_iter()
        .find(|block| block.contains("generate"))
        .unwrap();
    let suffix = support::unique("readme");
    let example = page("examples/unique-visitors/pipeline.toml")
        .replace("\"unique-visitors\"", &format!("\"{suffix}\""))
        .replace("web_clicks", &format!("web_clicks_{suffix}"))
        .replace(
            "visitors_per_minute",
            &format!("visitors_per_minute_{suffix}"),
        );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipeline.toml");
    std::fs::write(&file, example).unwrap();

    let mut said = String::new();
    let mut commands = 0;
    for line in walk.lines().filter(|line| line.starts_with("millstream ")) {
        let line = line.split(" #").next().unwrap();
        let line = line
            .replace(
                "examples/unique-visitors/pipeline.toml",
                file.to_str().unwrap(),
            )
            .replace("web_clicks", &format!("web_clicks_{suffix}"))
            .replace(
                "visitors_per_minute",
                &format!("visitors_per_minute_{suffix}"),
            )
            .replace(
                "millstream ",
                &format!("exec {} ", env!("CARGO_BIN_EXE_millstream")),
            );
        let mut child = Command::new("sh")
            .args(["-c", line.trim()])
            .current_dir(root())
            .env(
                "MILLSTREAM_KAFKA",
                std::env::var("MILLSTREAM_TEST_KAFKA").unwrap(),
            )
            .env("MILLSTREAM_PLUGINS", components())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        if line.contains(" run ") {
            let topic = format!("visitors_per_minute_{suffix}");
            while log.topic(&topic).unwrap().is_none() {
                assert!(child.try_wait().unwrap().is_none(), "run ended by itself");
                std::thread::park_timeout(Duration::from_millis(50));
            }
            let mut reader = log.reader(&topic, &[]).unwrap();
            let mut fetched = Fetched::new();
            while fetched.is_empty() {
                reader.poll(&mut fetched, Duration::from_secs(1)).unwrap();
            }
            let id = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args(["-s", "TERM", &id])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{line}");
        said.push_str(&String::from_utf8(output.stdout).unwrap());
        commands += 1;
    }
    assert_eq!(commands, 4, "generate, check, run, tail");
    assert!(said.contains("\"unique_visitors\":"), "{said}");
}

/// The members of the results shown in the pages are those that the worker writes (which other tests check).
#[test]
fn the_records_in_the_pages_have_the_members_that_are_written() {
    for name in ["README.md", "docs/records.md"] {
        let text = page(name);
        for block in blocks(&text, "json") {
            let record: serde_json::Value = serde_json::from_str(block).unwrap();
            let members: BTreeSet<&str> = record
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            let mut known = BTreeSet::from(millstream::pipeline::plan::RESULT_FIELDS);
            known.insert("unique_visitors");
            // What depends on the kind of window and on the step's keys may be there or not.
            let always = BTreeSet::from([
                "window_start",
                "window_end",
                "window_start_ms",
                "window_end_ms",
                "unique_visitors",
                "revision",
            ]);
            assert!(
                members.is_superset(&always) && members.is_subset(&known),
                "{name}: {members:?}"
            );
        }
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages: Vec<PathBuf> = Vec::new();
    for folder in ["", "docs", "examples", "plugins"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 8);
    for path in pages {
        let text = std::fs::read_to_string(&path).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
        {
            let file = target.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                let found = path.parent().unwrap().join(file).exists();
                assert!(found, "{}: {target}", path.display());
            }
        }
    }
}

/// Every folder and file that the map names is there.
#[test]
fn the_map_names_what_exists() {
    for part in page("ARCHITECTURE.md").split('`') {
        let is_path = [
            "host/",
            "guest-sdk/",
            "plugins/",
            "wit/",
            "tests/",
            "examples/",
        ]
        .iter()
        .any(|folder| part.starts_with(folder));
        if is_path && !part.contains(char::is_whitespace) {
            assert!(root().join(part).exists(), "{part}");
        }
    }
}

/// The commands of the service's page run one after the other, as they are written, on the example's own files: only the address and the
/// folder are the test's. No broker is needed: a pipeline whose broker is away can be looked after all the same.
#[test]
fn the_services_page_runs() {
    let text = page("docs/service.md");
    let shells = blocks(&text, "sh");
    let folder = tempfile::tempdir().unwrap();
    let config = page("examples/service/millstream.toml")
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("requests_per_second = 50", "requests_per_second = 500");
    let file = folder.path().join("millstream.toml");
    std::fs::write(&file, config).unwrap();
    let serve = shells[0].lines().last().unwrap();
    let millstream = env!("CARGO_BIN_EXE_millstream");
    let serve = serve
        .replace("examples/service/millstream.toml", file.to_str().unwrap())
        .replace("millstream serve", &format!("exec {millstream} serve"));
    let mut service = Command::new("sh")
        .args(["-c", &serve])
        .env("MILLSTREAM_KAFKA", "127.0.0.1:9")
        .env("MILLSTREAM_LOG_FORMAT", "json")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stderr.take().unwrap()).lines();
    let address = lines.by_ref().find_map(|line| {
        let said: serde_json::Value = serde_json::from_str(&line.unwrap()).ok()?;
        let is_it = said["message"] == "listening";
        is_it.then(|| said["address"].as_str().unwrap().to_owned())
    });
    let address = address.unwrap();
    // What it says from now on is read by nobody, and must not hold it up.
    let reading = std::thread::spawn(move || lines.count());

    let mut said = String::new();
    let mut run = |line: &str| {
        let line = line
            .replace("target/plugins", components().to_str().unwrap())
            .replace("http://127.0.0.1:8080", &format!("http://{address}"))
            .replace("millstream p", &format!("{millstream} p"));
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(root())
            .env("MILLSTREAM_TOKEN", "example")
            .env("MILLSTREAM_SERVER", format!("http://{address}"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {told}");
        said.push_str(&String::from_utf8(output.stdout).unwrap());
    };
    let commands: Vec<&str> = shells[1]
        .lines()
        .filter(|line| line.starts_with("millstream "))
        .collect();
    assert_eq!(commands.len(), 10);
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    let asked = shells.iter().find(|block| block.starts_with("curl"));
    let asked = asked.unwrap().lines().filter(|_| has_curl);
    for line in commands.into_iter().chain(asked) {
        run(line);
    }
    assert!(said.contains("bot-filter@0.1.0"), "{said}");
    assert!(said.contains("\"name\":\"unique-visitors\""), "{said}");
    let id = service.id().to_string();
    let sent = Command::new("kill").args(["-s", "TERM", &id]).status();
    assert!(sent.unwrap().success());
    assert!(service.wait().unwrap().success());
    reading.join().unwrap();
}

/// The words of a command line, as a shell would part them.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    parts
        .flat_map(|(at, part)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// Every command of the service's page and of the reference is one that the command line takes. What each does is tested with it.
#[test]
fn the_commands_of_the_pages_are_understood() {
    use clap::Parser as _;
    let mut count = 0;
    for name in [
        "docs/service.md",
        "docs/cli.md",
        "docs/state.md",
        "docs/deploys.md",
    ] {
        let text = page(name);
        for line in blocks(&text, "sh").into_iter().flat_map(str::lines) {
            let line = line.split(['>', '|', '#']).next().unwrap().trim();
            if line.starts_with("millstream ") {
                let parsed = millstream::cli::Cli::try_parse_from(words(line));
                assert!(parsed.is_ok(), "{name}: {line}: {}", parsed.unwrap_err());
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count}");
}

/// Every path and state of the page is one that the service knows, and the other way round.
#[test]
fn the_services_page_names_every_path_and_state() {
    let text = page("docs/service.md");
    let metrics = page("host/src/server/metrics.rs");
    let states = page("host/src/service/view.rs");
    let names = states.split("=> \"").skip(1);
    let names: Vec<&str> = names.map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(names.len(), 10);
    for name in names {
        assert!(text.contains(&format!("| `{name}` |")), "{name}");
    }
    assert!(metrics.contains("millstream_pipeline_state"));
    let parts = [
        "pipelines",
        "deploys",
        "dead_letters",
        "results",
        "plugins",
        "health",
    ];
    for name in parts {
        let code = page(&format!("host/src/server/{name}.rs"));
        for rest in code.split("path = \"").skip(1) {
            let path = rest.split('"').next().unwrap();
            let path = path.replace("{reference}", "{name@version}");
            assert!(text.contains(&path), "{path}");
        }
    }
}

/// The unit is one that systemd takes, where there is a systemd to ask.
#[test]
fn the_systemd_unit_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("millstream.service");
    let unit = page("examples/service/millstream.service");
    let unit = unit.replace(
        "/usr/local/bin/millstream",
        env!("CARGO_BIN_EXE_millstream"),
    );
    std::fs::write(&file, unit).unwrap();
    let Ok(verified) = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&file)
        .output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
}
