//! The contract in `wit/` holds what was promised to components built against earlier copies of it.
//!
//! Each version of the contract is frozen in `tests/contract/<version>/`. The components of the `frozen-*` crates are
//! built from such copies, so a host that no longer runs them has broken a promise; this test says so earlier, and
//! of the text. `docs/contract.md` explains how the contract may grow.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The package line's beginning; the version and a semicolon follow.
const PACKAGE: &str = "package millstream:udf@";

/// The text of each file, by name.
type Contract = BTreeMap<String, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(folder: &Path) -> Contract {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(|entry| file(entry.unwrap())).collect()
}

fn current() -> Contract {
    read(&root().join("wit"))
}

/// The frozen contracts by version.
fn frozen() -> BTreeMap<String, Contract> {
    let entries = fs::read_dir(root().join("tests/contract")).unwrap();
    let version = |entry: fs::DirEntry| {
        let version = entry.file_name().into_string().unwrap();
        (version, read(&entry.path()))
    };
    entries.map(|entry| version(entry.unwrap())).collect()
}

/// The version that all files of a contract state.
fn version_of(contract: &Contract) -> &str {
    let mut versions = contract.iter().map(|(name, text)| {
        let line = text.lines().find_map(|line| line.strip_prefix(PACKAGE));
        let version = line.and_then(|rest| rest.strip_suffix(';'));
        version.unwrap_or_else(|| panic!("{name} lacks the line `{PACKAGE}...;`"))
    });
    let first = versions.next().expect("a contract has files");
    for version in versions {
        assert_eq!(version, first, "the files of a contract state one version");
    }
    first
}

/// The interfaces and worlds of a contract, without comments and layout, by kind and name.
fn items(contract: &Contract) -> BTreeMap<String, Vec<String>> {
    let mut items = BTreeMap::new();
    let mut open: Option<(String, Vec<String>)> = None;
    for line in contract.values().flat_map(|text| text.lines()) {
        let code = line.split("//").next().unwrap_or_default().trim();
        if code.is_empty() || code.starts_with("package ") {
            continue;
        }
        let (_, body) = open.get_or_insert_with(|| (code.to_owned(), Vec::new()));
        body.push(code.to_owned());
        if line.starts_with('}') {
            items.extend(open.take());
        }
    }
    assert!(open.is_none(), "an interface or world is not closed");
    items
}

/// The interfaces and worlds of the older contract that the newer one lacks or has changed.
fn broken(older: &Contract, newer: &Contract) -> Vec<String> {
    let newer = items(newer);
    let kept = |name: &String, body: &Vec<String>| newer.get(name) == Some(body);
    let broken = items(older)
        .into_iter()
        .filter(|(name, body)| !kept(name, body));
    broken.map(|(name, _)| name).collect()
}

/// Versions that a host speaks at once share this: `0.1` of `0.1.3`, and `2` of `2.1.3`.
fn line_of(version: &str) -> &str {
    let major = version.split('.').next().unwrap_or(version);
    if major != "0" {
        return major;
    }
    version.rsplit_once('.').map_or(version, |(line, _)| line)
}

#[test]
fn the_contract_is_frozen_under_its_version_byte_for_byte() {
    let current = current();
    let version = version_of(&current);
    let frozen = frozen();
    let Some(copy) = frozen.get(version) else {
        panic!(
            "wit/ states version {version}, which is not frozen: once it is settled, copy it to \
             tests/contract/{version}/"
        );
    };
    let names = |contract: &Contract| contract.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&current),
        names(copy),
        "the files of contract {version}"
    );
    for (name, text) in &current {
        assert!(
            *text == copy[name],
            "wit/{name} is not what components were built against: contract {version} is frozen in \
             tests/contract/{version}/{name}. Put it back; add what is new as interfaces beside the old ones, raise \
             the version in all of wit/, and freeze a copy under the new version"
        );
    }
}

#[test]
fn a_frozen_contract_states_the_version_that_its_folder_names() {
    for (version, contract) in frozen() {
        assert_eq!(version_of(&contract), version);
    }
}

#[test]
fn no_interface_changes_within_a_line_of_versions() {
    let current = current();
    let line = line_of(version_of(&current));
    let mut compared = 0;
    for (version, contract) in frozen() {
        if line_of(&version) == line {
            let broken = broken(&contract, &current);
            assert!(
                broken.is_empty(),
                "wit/ lacks or changes what contract {version} promised: {broken:?}. Put these back, and add what is \
                 new as interfaces beside them"
            );
            compared += 1;
        }
    }
    assert_ne!(compared, 0, "no frozen contract is of line {line}");
}

fn contract(text: &str) -> Contract {
    BTreeMap::from([("types.wit".to_owned(), format!("{PACKAGE}0.1.0;\n{text}"))])
}

const KIND: &str =
    "interface plugin {\n    enum kind {\n        /// Old.\n        filter,\n    }\n}\n";

#[test]
fn new_interfaces_and_better_comments_break_nothing() {
    let grown = format!(
        "{}\ninterface more {{\n}}\n",
        KIND.replace("Old.", "Better.")
    );
    assert_eq!(broken(&contract(KIND), &contract(&grown)), [""; 0]);
}

#[test]
fn a_new_case_in_an_old_interface_breaks_it() {
    let grown = KIND.replace("filter,", "filter,\n        sample,");
    assert_eq!(
        broken(&contract(KIND), &contract(&grown)),
        ["interface plugin {"]
    );
}

#[test]
fn an_interface_that_is_gone_is_broken() {
    assert_eq!(
        broken(&contract(KIND), &contract("")),
        ["interface plugin {"]
    );
}

#[test]
fn before_version_1_each_minor_version_is_a_line_of_its_own() {
    assert_eq!(line_of("0.1.3"), "0.1");
    assert_eq!(line_of("0.2.0"), "0.2");
    assert_eq!(line_of("2.1.3"), "2");
}
