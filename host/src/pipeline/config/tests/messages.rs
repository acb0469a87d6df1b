//! What is said of files that are refused.

use super::{ROWS, WINDOW, refusal, rows_with};

/// That `text` is refused with a message that has this in it.
#[track_caller]
fn refused(text: &str, with: &str) {
    let message = refusal(text);
    assert!(message.contains(with), "expected {with:?} in:\n{message}");
}

/// That [`ROWS`] with these lines after it is refused.
#[track_caller]
fn added(lines: &str, with: &str) {
    refused(&format!("{ROWS}{lines}"), with);
}

#[test]
fn unknown_keys_come_with_the_nearest_known_one() {
    added(
        "[[step]]\naggregate = \"a.wasm\"\nwidnow = { tumbling = \"1m\" }",
        "line 13, column 1: step.widnow: unknown key `widnow`, did you mean `window`?",
    );
    added("[[steps]]", "unknown key `steps`, did you mean `step`?");
    added(
        "[[step]]\nwindow-apply = \"a\"",
        "did you mean `window_apply`?",
    );
    added(
        "[[step]]\nfilter = \"a\"\nlimits = { mem = \"1MiB\" }",
        "step.limits.mem: unknown key `mem`, did you mean `memory`?",
    );
    added(
        "[[step]]\naggregate = \"a\"\nwindow = { sliding_by = \"1m\" }",
        "unknown key `sliding_by`, did you mean `sliding`?",
    );
}

#[test]
fn a_name_of_any_letters_is_shown_on_one_line() {
    added(
        "\"a`, expected \\n\\u001b[31m\" = 1",
        "unknown key `a`, expected \\n\\u{1b}[31m`",
    );
}

#[test]
fn missing_keys_come_with_their_table() {
    refused("", "line 1, column 1: missing key `name`");
    refused(
        &rows_with("[dead_letters]\ntopic = \"dead\"", ""),
        "missing key `dead_letters`",
    );
    refused(
        &rows_with("topic = \"out\"", ""),
        "line 7, column 1: sink: missing key `topic`",
    );
    refused(
        &rows_with("topic = \"in\"", ""),
        "source: missing key `topic` or `topics`",
    );
    refused(
        &rows_with("embedded = \"data/log\"", ""),
        "log: missing key `kafka` or `embedded`",
    );
    refused(
        &rows_with("embedded = \"data/log\"", "kafka = { debug = \"all\" }"),
        "log.kafka: missing key `bootstrap.servers`",
    );
    let time = "topic = \"in\"\nevent_time = { field = \"at\" }";
    refused(
        &rows_with("topic = \"in\"", time),
        "line 7, column 14: source.event_time: missing key `unit`",
    );
}

#[test]
fn wrong_types_say_what_was_expected_and_found() {
    added(
        "[commit]\ninterval = 100",
        "line 12, column 12: commit.interval: expected a duration above zero with its unit, \
         such as \"100ms\"",
    );
    added("[commit]\ninterval = 100", "found an integer");
    added(
        "[commit]\nmax_rows = \"5\"",
        "whole number from 1 to 2147483647, found a string",
    );
    added("[commit]\nmax_rows = 1.5", "found a float");
    added(
        "[commit]\nmax_bytes = true",
        "commit.max_bytes: expected a size",
    );
    added("[commit]\nmax_bytes = []", "found an array");
    refused(
        &rows_with("[sink]\ntopic = \"out\"", "[sink]\ntopic = {}"),
        "found a table",
    );
    refused(
        &rows_with("name = \"rows\"", "name = \"rows\"\ncommit = 1"),
        "commit: expected a table",
    );
    refused(
        &rows_with(
            "embedded = \"data/log\"",
            "kafka = { bootstrap.servers = \"b\" }",
        ),
        "line 4, column 11: log.kafka: expected a string, number or boolean (a name with dots needs quotes",
    );
}

#[test]
fn bad_values_say_what_a_good_one_is() {
    refused(
        &rows_with("\"rows\"", "\"Rows\""),
        "name: expected 1 to 64 lower-case letters",
    );
    refused(
        &rows_with("\"out\"", "\"o/t\""),
        "sink.topic: expected the name of a topic",
    );
    let source = |key: &str| rows_with("topic = \"in\"", &format!("topic = \"in\"\n{key}"));
    refused(
        &source("format = \"jsn\""),
        "source.format: expected one of \"json\", \"access-log\", \"raw\"",
    );
    refused(
        &source("allowed_disorder = \"5 parsecs\""),
        "expected a duration",
    );
    refused(
        &source("start = \"middle\""),
        "expected one of \"earliest\", \"latest\"",
    );
    refused(
        &source("event_time = \"now\""),
        "source.event_time: expected \"record\" or a table",
    );
    refused(
        &source("event_time = { field = \"at\", unit = \"us\" }"),
        "source.event_time.unit: expected one of \"ms\", \"s\", \"rfc3339\"",
    );
    added("[commit]\nmax_rows = 0", "expected a whole number from 1");
    added("[commit]\nmax_rows = -1", "expected a whole number from 1");
    added(
        "[commit]\nmax_bytes = \"16\"",
        "expected a size above zero with its unit",
    );
    added(
        "[commit]\ndelivery = \"once\"",
        "commit.delivery: expected one of \"exactly-once\", \"at-least-once\"",
    );
    for workers in ["0", "-1", "257", "9223372036854775807"] {
        refused(
            &rows_with(
                "name = \"rows\"",
                &format!("name = \"rows\"\nworkers = {workers}"),
            ),
            "workers: expected a whole number from 1 to 256",
        );
    }
    refused(
        &rows_with("name = \"rows\"", "name = \"rows\"\nbatch_rows = 65537"),
        "batch_rows: expected a whole number from 1 to 65536",
    );
    added("[state]\nfolder = \"\"", "state.folder: expected a path");
    added(
        "[[step]]\nfilter = \"a\"\nconfig = { x = inf }",
        "step.config: it is handed over as JSON",
    );
    added("[[step]]\nfilter = \"\"", "step.filter: expected a path");
}

#[test]
fn exactly_one_of_two_is_exactly_one() {
    refused(
        &rows_with("embedded", "kafka = {}\nembedded"),
        "log: only one of `kafka` and `embedded`",
    );
    refused(
        &rows_with("topic = \"in\"", "topic = \"in\"\ntopics = [\"b\"]"),
        "source: only one of `topic` and `topics`",
    );
    refused(
        &rows_with("topic = \"in\"", "topics = []"),
        "source.topics: expected at least one",
    );
    added("[[step]]\nname = \"a\"", "step: a step needs a component");
    added(
        "[[step]]\nfilter = \"a\"\nmap = \"b\"",
        "step.map: a step has one component only",
    );
}

#[test]
fn a_topic_has_one_role() {
    refused(
        &rows_with("topic = \"in\"", "topics = [\"a\", \"a\"]"),
        "line 6, column 16: source.topics: this topic is named in `source.topics` already",
    );
    refused(
        &rows_with("\"out\"", "\"in\""),
        "sink.topic: this topic is named in `source.topic` already",
    );
    refused(
        &rows_with("\"dead\"", "\"out\""),
        "dead_letters.topic: this topic is named in `sink.topic` already",
    );
    added(
        &WINDOW.replace("\"late\"", "\"dead\""),
        "late.topic: this topic is named in `dead_letters.topic` already",
    );
}

#[test]
fn a_topic_that_millstream_keeps_for_the_pipeline_is_no_other_ones() {
    for own in ["rows-changelog", "rows-repartition", "rows-members"] {
        refused(
            &rows_with("\"out\"", &format!("\"{own}\"")),
            "sink.topic: this topic is one that Millstream keeps for the pipeline itself",
        );
    }
}

#[test]
fn windows_bring_their_own_rules() {
    added(
        "[late]\ntopic = \"late\"",
        "late: without a window no row is late",
    );
    added(
        &WINDOW.replace("[late]\ntopic = \"late\"", ""),
        "step.aggregate: a pipeline with a window needs a topic",
    );
    added(
        &WINDOW.replace("window =", "#"),
        "step: missing key `window`",
    );
    added(
        &format!("{WINDOW}[[step]]\nfilter = \"b\"\n[[step]]\nfilter = \"c\""),
        "step: no step can follow the one with the window",
    );
    added(
        &format!("{WINDOW}[[step]]\nwindow_apply = \"b\"\nwindow = {{ tumbling = \"1m\" }}"),
        "step: no step can follow the one with the window",
    );
    added(
        &WINDOW.replace("\"1m\"", "\"1m\", offset = \"60s\""),
        "step.window.offset: expected less than the size of the window",
    );
    added(
        &WINDOW.replace("\"1m\"", "\"0m\""),
        "step.window.tumbling: expected a duration above",
    );
    let keyed = rows_with("\"out\"", "\"out\"\nkey = \"user\"");
    refused(
        &format!("{keyed}{WINDOW}"),
        "sink.key: results of a window are keyed by the window's key",
    );
}

#[test]
fn a_mistake_in_the_windowed_step_does_not_make_the_late_topic_one() {
    let text = format!("{ROWS}{}", WINDOW.replace("window =", "#"));
    assert_eq!(refusal(&text).matches("line ").count(), 1);
}

#[test]
fn keys_go_with_the_kind_of_step() {
    for kind in ["filter", "map"] {
        added(
            &format!("[[step]]\n{kind} = \"a\"\nkey = \"b\""),
            "step.key: only a step of kind",
        );
    }
    added(
        "[[step]]\nfilter = \"a\"\nkeep = [\"b\"]",
        "step.keep: only a step of kind `map`",
    );
    added(
        &format!("{WINDOW}keep = []"),
        "step.keep: only a step of kind `map`",
    );
    added(
        "[[step]]\nmap = \"a\"\nkeep = [\"b\", \"b\"]",
        "this field is listed already",
    );
}

#[test]
fn names_of_steps_are_unique() {
    added(
        "[[step]]\nfilter = \"a.wasm\"\n[[step]]\nfilter = \"old/a.wasm\"",
        "line 14, column 10: step.filter: an earlier step has the same name",
    );
    added(
        "[[step]]\nfilter = \"a.wasm\"\n[[step]]\nfilter = \"b.wasm\"\nname = \"a\"",
        "step.name: an earlier step has the same name",
    );
    added(
        "[[step]]\nfilter = \"page view.wasm\"",
        "hint: give the step a `name`",
    );
}

#[test]
fn settings_that_are_millstreams_own_are_refused_with_the_reason() {
    let owned = [
        "group.id",
        "transactional.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "isolation.level",
        "enable.idempotence",
        "auto.offset.reset",
    ];
    for name in owned {
        let log = format!("kafka = {{ \"bootstrap.servers\" = \"b\", \"{name}\" = \"x\" }}");
        let text = rows_with("embedded = \"data/log\"", &log);
        refused(&text, &format!("log.kafka: `{name}` can't be set: "));
    }
}

#[test]
fn partitions_without_topics_to_create_are_refused() {
    let log = "embedded = \"a\"\ncreate_topics = false\npartitions = 2";
    refused(
        &rows_with("embedded = \"data/log\"", log),
        "log.partitions: it is for topics that Millstream creates",
    );
}

#[test]
fn everything_from_outside_that_is_missing_is_reported_at_once() {
    let text = rows_with("\"out\"", "\"${SINK}\"").replace("\"dead\"", "\"${file:dead.txt}\"");
    let message = refusal(&text);
    assert!(
        message
            .contains("line 8, column 9: sink.topic: the environment variable `SINK` is not set"),
        "{message}"
    );
    assert!(
        message.contains(
            "line 10, column 9: dead_letters.topic: can't read the secret file `dead.txt`"
        ),
        "{message}"
    );
}

#[test]
fn no_message_repeats_a_value_from_outside() {
    let places = [
        "name = \"rows\"",
        "embedded = \"data/log\"",
        "topic = \"in\"",
        "topic = \"out\"",
        "topic = \"dead\"",
    ];
    for place in places {
        let key = place.split(' ').next().unwrap_or_default();
        for table in [
            "create_topics = \"${PASSWORD}\"",
            "format = \"${PASSWORD}\"",
            "start = \"${PASSWORD}\"",
            "key = [\"${PASSWORD}\"]",
            &format!("{key}s = \"${{PASSWORD}}\""),
        ] {
            let message = refusal(&rows_with(place, &format!("{place}\n{table}")));
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
    let same_twice = rows_with("\"out\"", "\"${PASSWORD}\"").replace("\"dead\"", "\"${PASSWORD}\"");
    assert!(!refusal(&same_twice).contains("hunter2"));
}

#[test]
fn text_that_is_not_toml_is_refused_where_it_breaks() {
    refused("name = \"a\"\nlog = [", "line 2, column");
    refused("name = \"a\"\nlog = [", "not valid TOML: ");
    refused(
        "name = \"a\"\nname = \"b\"",
        "line 2, column 1: not valid TOML: duplicate key",
    );
    refused("# ä\n\u{e4} = 1", "line 2, column 1");
    refused(&"a = [".repeat(10_000), "not valid TOML");
    refused(&format!("[{}a]", "a.".repeat(100_000)), "not valid TOML");
    refused(&format!("a = {}", "[".repeat(100_000)), "not valid TOML");
    refused(&format!("a = {}", "{a=".repeat(100_000)), "not valid TOML");
}

#[test]
fn a_field_that_says_how_far_time_has_come_leaves_no_disorder_to_allow_for() {
    let both = "topic = \"in\"\nwatermark_field = \"wm\"\nallowed_disorder = \"0s\"";
    refused(
        &rows_with("topic = \"in\"", both),
        "source.watermark_field: with a field that says how far time has come",
    );
}
