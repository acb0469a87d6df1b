//! How many stages a pipeline has, and which of its tasks own state.
//!
//! A task is one stage on one partition. Windows can be settled where rows are read only if all rows of a window and key
//! come from one partition. Otherwise each source task sums up what it has read, and sends that on to the tasks that settle
//! windows: two stages.

use super::config::{Output, PipelineConfig, RowStepKind, Trigger, Window};
use crate::state::Stages;

/// The property of a record that says which partition it is in.
const PARTITION_KEY: &str = "$key";

/// The stages of a pipeline whose source topics have so many partitions, all together.
pub fn stages(config: &PipelineConfig, source_partitions: i32) -> Stages {
    let Output::Windows(step) = &config.output else {
        return Stages::None;
    };
    let maps = |kind: &RowStepKind| matches!(kind, RowStepKind::Map { .. });
    // A map may give a row another key than its record has, and topics need not share rows out alike.
    let by_partition = step.key.as_deref() == Some(PARTITION_KEY)
        && config.source.topics.len() == 1
        && !config.steps.iter().any(|step| maps(&step.kind));
    if source_partitions <= 1 || by_partition {
        Stages::One
    } else {
        Stages::Two
    }
}

/// Why a pipeline can't run with these stages, if it can't.
pub fn refusal(config: &PipelineConfig, stages: Stages) -> Option<String> {
    let Output::Windows(step) = &config.output else {
        return None;
    };
    let counts_rows = matches!(
        step.window,
        Window::Count { .. } | Window::Global(Trigger::Rows(_))
    );
    (counts_rows && stages == Stages::Two).then(|| {
        format!(
            "windows of so many rows need rows in one order, and rows of several partitions have none: gather them by the records' own key \
             (key = \"{PARTITION_KEY}\" in step {}, without a map before it), or read a topic of one partition",
            step.function.name
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;
    use crate::pipeline::config;

    fn of(topics: &str, steps: &str, partitions: i32) -> Stages {
        config_of(topics, steps, partitions).1
    }

    fn config_of(topics: &str, steps: &str, partitions: i32) -> (PipelineConfig, Stages) {
        let text = format!(
            r#"
            name = "p"
            log = {{ embedded = "log" }}
            source = {{ topics = {topics} }}
            sink = {{ topic = "out" }}
            dead_letters = {{ topic = "dead" }}
            {steps}
            "#
        );
        let none = |_: &str| None;
        let no_file = |_: &std::path::Path| Ok(String::new());
        let config = config::parse(&text, &none, &no_file).unwrap();
        let stages = stages(&config, partitions);
        (config, stages)
    }

    fn window(key: &str) -> String {
        let step = format!("[[step]]\naggregate = \"a\"\n{key}\nwindow = {{ tumbling = \"1m\" }}");
        format!("late = {{ topic = \"late\" }}\n{step}")
    }

    #[test]
    fn without_a_window_there_is_no_state() {
        assert_eq!(of("[\"in\"]", "", 4), Stages::None);
    }

    #[test]
    fn rows_are_counted_only_where_they_have_an_order() {
        let refused = |key: &str, partitions| {
            let text = window(key).replace("tumbling = \"1m\"", "count = 10");
            let (config, stages) = config_of("[\"in\"]", &text, partitions);
            refusal(&config, stages)
        };
        assert_eq!(refused("", 1), None);
        assert_eq!(refused("key = \"$key\"", 4), None);
        let why = refused("", 4).unwrap();
        assert!(why.contains("key = \"$key\" in step a"), "{why}");
    }

    #[test]
    fn one_partition_settles_its_windows_itself() {
        assert_eq!(of("[\"in\"]", &window(""), 1), Stages::One);
        assert_eq!(of("[\"in\"]", &window(""), 2), Stages::Two);
    }

    #[test]
    fn rows_gathered_by_what_parts_them_into_partitions_need_no_second_stage() {
        let by_record_key = window("key = \"$key\"");
        assert_eq!(of("[\"in\"]", &by_record_key, 4), Stages::One);
        assert_eq!(of("[\"in\", \"more\"]", &by_record_key, 4), Stages::Two);
        let by_field = window("key = \"user\"");
        assert_eq!(of("[\"in\"]", &by_field, 4), Stages::Two);
        let mapped = by_record_key.replacen("[[step]]", "[[step]]\nmap = \"m\"\n[[step]]", 1);
        assert_eq!(of("[\"in\"]", &mapped, 4), Stages::Two);
        let filtered = by_record_key.replacen("[[step]]", "[[step]]\nfilter = \"f\"\n[[step]]", 1);
        assert_eq!(of("[\"in\"]", &filtered, 4), Stages::One);
    }
}
