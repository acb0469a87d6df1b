//! The pages keep their word: the README's function and pipeline are those that are shipped and tested, its walk-through runs, the
//! records in the pages are such as are written, and links lead somewhere.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::BTreeSet;
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

/// The commands of the page of figures are those of the walk-through, on a release build.
#[test]
fn the_page_of_figures_uses_commands_that_are_run() {
    let (figures, readme) = (page("docs/benchmarks.md"), page("README.md"));
    let walk = blocks(&readme, "sh").concat();
    let commands = blocks(&figures, "sh")[0].lines();
    for line in commands.filter(|line| line.contains("millstream ")) {
        let mut words = line.split("millstream ").nth(1).unwrap().split_whitespace();
        let (command, options): (&str, Vec<&str>) = (
            words.next().unwrap(),
            words.filter(|word| word.starts_with("--")).collect(),
        );
        let known = walk
            .lines()
            .find(|line| line.contains(&format!("millstream {command}")));
        let known = known.unwrap_or_else(|| panic!("{line}"));
        assert!(
            options.iter().all(|option| known.contains(option)),
            "{line}"
        );
    }
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
