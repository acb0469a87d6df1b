//! The demo from end to end, on the embedded log.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["demo", "--plugins"])
        .arg(support::components())
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn every_window_agrees_with_the_generator_and_the_demo_says_so() {
    let output = demo(&["--seconds", "8", "--window", "2s"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}{errors}");
    assert!(shown.contains("All agreed"), "{shown}");
    assert!(!shown.contains('✗'), "{shown}");
    // Three lines of the summary, and the windows: seven seconds after the start hold two whole ones at least.
    assert!(shown.matches('✓').count() >= 5, "{shown}");
    assert_eq!(errors, "");
}

#[test]
fn a_demo_too_short_for_a_window_to_close_is_refused() {
    let output = demo(&["--seconds", "5", "--window", "5s"]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("take at least 8"), "{errors}");
}
