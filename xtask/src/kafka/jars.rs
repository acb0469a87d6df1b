//! Kafka's jars, by Maven: it knows which ones a release needs and where they come from.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell::Shell;

/// Fills `libs` with what `pom` names, unless an earlier call with the same pom did.
pub(crate) fn fetch(pom: &Path, libs: &Path, shell: &Shell) -> Result<()> {
    let wanted = fs::read(pom).with_context(|| format!("cannot read {}", pom.display()))?;
    // Written last, so that it stands for a whole set of jars.
    let mark = libs.join("pom.xml");
    if fs::read(&mark).is_ok_and(|fetched| fetched == wanted) {
        return Ok(());
    }
    shell.check()?;
    if libs.exists() {
        fs::remove_dir_all(libs).with_context(|| format!("cannot clear {}", libs.display()))?;
    }
    eprintln!("fetching Apache Kafka by Maven");
    let output = Command::new("mvn")
        .args(["--batch-mode", "--quiet", "-Dstyle.color=never", "--file"])
        .arg(pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", libs.display()))
        .stdin(Stdio::null())
        .output()
        .context("cannot run Maven (mvn); `cargo xtask doctor` says how to install it")?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        bail!("Maven could not fetch Kafka: {}", reason(&text));
    }
    fs::write(&mark, wanted).with_context(|| format!("cannot write {}", mark.display()))
}

/// The reason in Maven's output: its first lines of errors, without the advice on Maven's own switches that follows.
fn reason(output: &str) -> String {
    let errors = output
        .lines()
        .filter_map(|line| line.strip_prefix("[ERROR]"))
        .map(str::trim)
        .take_while(|line| !line.is_empty());
    let errors: Vec<_> = errors.collect();
    if errors.is_empty() {
        output.trim().to_owned()
    } else {
        errors.join("\n")
    }
}

/// The class path that holds every jar of a folder, as Java reads it.
pub(crate) fn class_path(libs: &Path) -> Result<String> {
    match libs.to_str() {
        Some(path) if !path.contains(':') => Ok(format!("{path}/*")),
        _ => bail!(
            "{} cannot be in a Java class path: it must be UTF-8 and have no colon",
            libs.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_class_path_names_the_folder_of_the_jars() {
        let path = class_path(Path::new("/w/target/kafka/libs")).unwrap();
        assert_eq!(path, "/w/target/kafka/libs/*");
        assert!(class_path(Path::new("/w/a:b")).is_err());
    }

    #[test]
    fn the_reason_of_a_failure_is_kept_and_the_advice_on_maven_left_out() {
        let output = "\
[ERROR] Failed to execute goal on project kafka-for-tests: cannot find org.apache.kafka:kafka_2.13:jar:9.9
[ERROR] 
[ERROR] To see the full stack trace of the errors, re-run Maven with the -e switch.
";
        assert_eq!(
            reason(output),
            "Failed to execute goal on project kafka-for-tests: cannot find org.apache.kafka:kafka_2.13:jar:9.9"
        );
        assert_eq!(reason("no java\n"), "no java");
    }

    #[test]
    fn jars_fetched_for_the_same_pom_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (pom, libs) = (folder.path().join("pom.xml"), folder.path().join("libs"));
        fs::create_dir(&libs).unwrap();
        fs::write(&pom, "one").unwrap();
        fs::write(libs.join("pom.xml"), "one").unwrap();
        fs::write(libs.join("kafka.jar"), "").unwrap();
        fetch(&pom, &libs, &Shell::new().unwrap()).unwrap();
        assert!(libs.join("kafka.jar").exists());
    }
}
