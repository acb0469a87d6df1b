//! How many stages a pipeline's rows go through: decided from the pipeline file and the source's partitions alone.
//!
//! A window is settled by one task where all rows of its key come from one partition: the source has one partition only,
//! or the key is the record's own (`$key`), by which producers choose partitions. Every other window has two stages: the
//! *source* tasks accumulate what their partitions bring, and send partials to the *final* tasks, one for each
//! partition of the repartition topic, which merge and fire.

use super::config::{Output, PipelineConfig, RowStepKind};
use crate::state::Stages;

/// The record's own key, as a field.
const RECORD_KEY: &str = "$key";

/// The stages of a pipeline whose source topics have `partitions` partitions together.
pub fn stages(config: &PipelineConfig, partitions: usize) -> Stages {
    let Output::Windows(step) = &config.output else {
        return Stages::None;
    };
    let keeps_key = |kind: &RowStepKind| match kind {
        RowStepKind::Filter => true,
        RowStepKind::Map { keep } => keep.iter().any(|name| name == RECORD_KEY),
    };
    let by_record_key = config.source.topics.len() == 1
        && step.key.as_deref() == Some(RECORD_KEY)
        && config.steps.iter().all(|step| keeps_key(&step.kind));
    if partitions == 1 || by_record_key {
        Stages::One
    } else {
        Stages::Two
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use std::path::Path;

    use super::*;
    use crate::pipeline::config;

    fn of(step: &str, partitions: usize) -> Stages {
        let late = if step.contains("window =") {
            "late.topic = \"late\""
        } else {
            ""
        };
        let text = format!(
            r#"
            name = "p"
            log = {{ embedded = "unused" }}
            source.topic = "source"
            sink.topic = "sink"
            dead_letters.topic = "dead"
            {late}
            {step}
            "#
        );
        let none = |_: &str| None;
        let no_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        stages(&config::parse(&text, &none, &no_file).unwrap(), partitions)
    }

    const WINDOW: &str = "aggregate = \"a.wasm\"\nwindow = { tumbling = \"1m\" }";

    #[test]
    fn without_a_window_there_is_no_stage_to_choose() {
        assert_eq!(of("", 4), Stages::None);
    }

    #[test]
    fn one_partition_settles_its_windows_itself() {
        assert_eq!(of(&format!("[[step]]\n{WINDOW}"), 1), Stages::One);
        assert_eq!(of(&format!("[[step]]\n{WINDOW}"), 2), Stages::Two);
        let keyed = format!("[[step]]\nkey = \"country\"\n{WINDOW}");
        assert_eq!(of(&keyed, 2), Stages::Two);
    }

    #[test]
    fn the_records_own_key_stays_in_its_partition_as_long_as_no_map_replaces_it() {
        let keyed = format!("[[step]]\nkey = \"$key\"\n{WINDOW}");
        assert_eq!(of(&keyed, 4), Stages::One);
        let kept = format!("[[step]]\nmap = \"m.wasm\"\nkeep = [\"$key\"]\n{keyed}");
        assert_eq!(of(&kept, 4), Stages::One);
        let replaced = format!("[[step]]\nmap = \"m.wasm\"\n{keyed}");
        assert_eq!(of(&replaced, 4), Stages::Two);
    }
}
