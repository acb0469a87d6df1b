//! The command line as its users meet it: the binary, its output and its exit codes.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory;
use millstream::cli::Cli;
use millstream::generate::{ClickConfig, Clicks, Expected, Oracle};
use serde_json::Value;

const PAGE: &str = include_str!("../docs/cli.md");

/// Runs `millstream` with these arguments, apart from whatever the environment says.
fn millstream(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(arguments)
        .env_remove("MILLSTREAM_KAFKA")
        .env_remove("MILLSTREAM_LOG")
        .env_remove("MILLSTREAM_LOG_FORMAT")
        .output()
        .unwrap()
}

/// What it prints when all is well.
fn printed(arguments: &[&str]) -> Vec<u8> {
    let output = millstream(arguments);
    let troubles = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {troubles}");
    output.stdout
}

/// What it prints, as text.
fn text(arguments: &[&str]) -> String {
    String::from_utf8(printed(arguments)).unwrap()
}

/// What it says when it fails with this exit code.
fn refusal(code: i32, arguments: &[&str]) -> String {
    let output = millstream(arguments);
    let troubles = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {troubles}"
    );
    troubles
}

/// The records of a topic, as `topic tail` shows them.
fn tail(folder: &Path, topic: &str, options: &[&str]) -> Vec<Value> {
    let fixed = ["topic", "tail", topic, "--output", "json", "--embedded"];
    let lines = text(&[&fixed[..], &[folder.to_str().unwrap()], options].concat());
    let record = |line| serde_json::from_str(line).unwrap();
    lines.lines().map(record).collect()
}

/// The words of every command, such as `topic tail`.
fn commands(of: &clap::Command, words: &[String], into: &mut Vec<Vec<String>>) {
    for command in of.get_subcommands() {
        let words = [words, &[command.get_name().to_owned()]].concat();
        commands(command, &words, into);
        into.push(words);
    }
}

fn all_commands() -> Vec<Vec<String>> {
    let mut all = Vec::new();
    commands(&Cli::command(), &[], &mut all);
    assert!(all.len() > 5, "{all:?}");
    all
}

#[test]
fn every_command_has_help() {
    for words in all_commands() {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = text(&arguments);
        let usage = format!("Usage: millstream {}", words.join(" "));
        assert!(help.contains(&usage), "{help}");
    }
}

#[test]
fn the_page_has_an_example_of_every_command() {
    for command in Cli::command().get_subcommands() {
        let heading = format!("## `millstream {}`", command.get_name());
        assert!(PAGE.contains(&heading), "no {heading}");
    }
    let leaves = all_commands();
    for words in &leaves {
        let is_group = leaves
            .iter()
            .any(|other| other.len() > words.len() && other.starts_with(words));
        let example = format!("\nmillstream {} ", words.join(" "));
        assert!(
            is_group || PAGE.contains(&example),
            "no example of {words:?}"
        );
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let refused = refusal(2, &["generate", "clicks", "--evnets", "3"]);
    assert!(refused.contains("--events"), "{refused}");
    refusal(2, &["generate", "clicks", "--bot-share", "2"]);
    refusal(2, &["generate", "clicks", "--expect", "-"]);
    refusal(2, &["topic", "list"]);
    refusal(2, &["check", "there-is-no-such-file.toml"]);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for stream in ["clicks", "orders"] {
        let generate = |seed| printed(&["generate", stream, "--events", "500", "--seed", seed]);
        assert_eq!(generate("7"), generate("7"));
        assert_ne!(generate("7"), generate("8"));
    }
}

#[test]
fn standard_output_has_a_line_for_each_click() {
    let written = printed(&["generate", "clicks", "--events", "5000"]);
    let config = ClickConfig {
        events: 5_000,
        ..ClickConfig::default()
    };
    let lines = Clicks::new(config).unwrap().flat_map(|click| {
        let mut line = click.value.unwrap_or_default();
        line.push(b'\n');
        line
    });
    assert!(written == lines.collect::<Vec<u8>>());
}

#[test]
fn what_is_expected_is_what_the_oracle_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("expected.json");
    let options = "--events 60000 --window 30s --allowed-disorder 2s --partitions 3 --expect";
    let mut arguments = vec!["generate", "clicks"];
    arguments.extend(options.split(' '));
    arguments.push(file.to_str().unwrap());
    printed(&arguments);
    let written: Expected = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();

    let config = ClickConfig {
        events: 60_000,
        window: "30s".parse().unwrap(),
        partitions: 3,
        ..ClickConfig::default()
    };
    let mut oracle = Oracle::new(config.window, "2s".parse().unwrap(), 3).unwrap();
    Clicks::new(config)
        .unwrap()
        .for_each(|click| oracle.observe(&click));
    assert_eq!(written, oracle.expected());
    assert!(written.windows.len() > 1 && written.late > 0);
}

#[test]
fn clicks_in_a_topic_are_listed_and_shown_where_the_generator_put_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let path = log.to_str().unwrap();
    let into = "--events 3000 --partitions 3 --topic clicks --create-topic --embedded";
    let generate: Vec<&str> = ["generate", "clicks"]
        .into_iter()
        .chain(into.split(' '))
        .chain([path])
        .collect();
    assert_eq!(text(&generate), "");
    assert_eq!(
        text(&["topic", "list", "--embedded", path]),
        "clicks  3 partitions\n"
    );

    let config = ClickConfig {
        events: 3_000,
        partitions: 3,
        ..ClickConfig::default()
    };
    let clicks: Vec<_> = Clicks::new(config).unwrap().collect();
    let records = tail(&log, "clicks", &[]);
    assert_eq!(records.len(), clicks.len());
    for partition in 0..3 {
        let expected = clicks.iter().filter(|click| click.partition == partition);
        let shown = records
            .iter()
            .filter(|record| record["partition"] == partition);
        for (offset, (click, record)) in expected.zip(shown).enumerate() {
            assert_eq!(record["offset"], offset);
            assert_eq!(record["timestamp"], click.timestamp);
            assert_eq!(record["key"].as_str().unwrap().as_bytes(), click.key);
            match click.value.as_deref().map(str::from_utf8) {
                None => assert!(record["value"].is_null()),
                Some(Ok(text)) => assert_eq!(record["value"], text),
                Some(Err(_)) => assert!(record["value_base64"].is_string()),
            }
        }
    }
    let kinds = |name| {
        records
            .iter()
            .filter(|record| record.get(name).is_some())
            .count()
    };
    assert!(
        kinds("value_base64") > 0,
        "bytes that are not UTF-8 are among them"
    );
    assert!(
        records
            .iter()
            .any(|record| record.get("value") == Some(&Value::Null))
    );
}

#[test]
fn a_tail_begins_and_ends_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let into = "--events 100 --partitions 1 --topic orders --create-topic --embedded";
    let generate = ["generate", "orders"]
        .into_iter()
        .chain(into.split(' '))
        .chain([path]);
    printed(&generate.collect::<Vec<_>>());

    let offsets = |options: &[&str]| -> Vec<i64> {
        let records = tail(folder.path(), "orders", options);
        let offset = |record: &Value| record["offset"].as_i64().unwrap();
        records.iter().map(offset).collect()
    };
    assert_eq!(offsets(&["--count", "2"]), [0, 1]);
    assert_eq!(offsets(&["--from", "98"]), [98, 99]);
    assert_eq!(offsets(&["--from", "97", "--count", "1", "--follow"]), [97]);
    assert_eq!(offsets(&["--from", "latest"]), [0; 0]);
    let shown = text(&[
        "topic",
        "tail",
        "orders",
        "--count",
        "1",
        "--embedded",
        path,
    ]);
    assert!(shown.starts_with("0:0 2026-01-01T00:00:00Z u-"), "{shown}");
}

#[test]
fn a_topic_that_does_not_exist_ends_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let refused = refusal(4, &["topic", "tail", "nothing", "--embedded", path]);
    assert!(refused.contains("nothing"), "{refused}");
    refusal(
        4,
        &[
            "generate",
            "orders",
            "--topic",
            "nothing",
            "--embedded",
            path,
        ],
    );
}

#[test]
fn a_log_named_on_the_command_line_goes_before_the_environments() {
    let folder = tempfile::tempdir().unwrap();
    let list = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["topic", "list", "--embedded"])
        .arg(folder.path())
        .env("MILLSTREAM_KAFKA", "unused:1")
        .output()
        .unwrap();
    assert!(list.status.success(), "{list:?}");
}

#[test]
fn shells_can_complete_every_command() {
    let completions = text(&["completions", "bash"]);
    for words in all_commands() {
        assert!(completions.contains(words.last().unwrap()), "{words:?}");
    }
}
