//! The commands on the pages are run as they are written.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::job::Job;
use crate::worked::{source, worked};

const PAGES: [&str; 2] = [
    include_str!("../../docs/state.md"),
    include_str!("../../docs/cli.md"),
];

/// The lines with commands on state, and on where a run begins.
fn commands() -> Vec<&'static str> {
    let blocks = PAGES.iter().flat_map(|page| page.split("```sh\n").skip(1));
    let lines = blocks.flat_map(|rest| rest.split("```").next().unwrap().lines());
    let ours = |line: &&str| line.starts_with("millstream state ") || line.contains(" --from ");
    lines
        .filter(ours)
        .filter(|line| !line.contains(" topic "))
        .collect()
}

#[test]
fn the_commands_of_the_pages_do_what_they_say() {
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    for line in commands {
        let job = Job::named("unique-visitors", "web_clicks");
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        match words[..2] {
            ["run", _] => {
                source(&job, &job.embedded());
                begins(&job, &words);
            }
            ["state", "import"] => {
                worked(&job, &job.embedded());
                job.said(&["state", "export", "FILE", words[3]]);
                job.said(&words);
            }
            _ => {
                worked(&job, &job.embedded());
                job.said(&words);
            }
        }
    }
}

/// Runs until it has said where each partition begins.
fn begins(job: &Job, words: &[&str]) {
    let mut child = job
        .command(words)
        .args(["--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap()).lines();
    let begun = said
        .map(Result::unwrap)
        .filter(|line| line.contains("beginning here"))
        .take(2)
        .count();
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", "TERM", &id]).status();
    assert!(sent.unwrap().success());
    child.wait().unwrap();
    assert_eq!(begun, 2, "{words:?}");
}
