//! The cache of compiled code, as somebody at the command line meets it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Looks at a component with `--code-cache`. Standard error is what the log says.
fn inspect(cache: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["plugin", "inspect", "--log-level", "debug", "--code-cache"])
        .arg(cache)
        .arg(support::components().join("bot-filter.wasm"))
        .output()
        .unwrap()
}

/// The same where it must succeed: returns whether it was compiled, and the log.
fn inspected(cache: &Path) -> (bool, String) {
    let output = inspect(cache);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("bot-filter"));
    (log.contains("\"compiled\""), log)
}

fn files(cache: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(cache).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn a_component_is_compiled_once() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    assert!(inspected(&cache).0);
    let [file] = &files(&cache)[..] else {
        panic!("{:?}", files(&cache));
    };
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&cache), mode(file)), (0o700, 0o600));
    let (compiled, log) = inspected(&cache);
    assert!(!compiled, "{log}");
}

#[test]
fn code_that_was_changed_or_that_others_may_write_is_compiled_again_and_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    inspected(&cache);
    let file = files(&cache).remove(0);

    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let (compiled, log) = inspected(&cache);
    assert!(compiled && log.contains("it is damaged"), "{log}");
    assert!(!inspected(&cache).0, "it was put right");

    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let (compiled, log) = inspected(&cache);
    assert!(compiled && log.contains("others may write"), "{log}");
    assert!(!inspected(&cache).0, "it was put right");
}

#[test]
fn a_cache_can_be_turned_off_and_one_that_can_not_be_used_ends_the_command() {
    let (compiled, log) = inspected(Path::new("off"));
    assert!(!compiled && !Path::new("off").exists(), "{log}");

    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let output = inspect(folder.path());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("--code-cache") && told.contains("chmod go-w"));
}
