//! The reference file, the page about pipeline files, and reading from disk.

use std::path::Path;

use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use super::super::{
    ConfigError, LogPlace, Output, PipelineConfig, load, parse,
    tables::{
        CommitTable, DeadLettersTable, EventTimeTable, LateTable, LimitsTable, LogTable,
        PipelineTable, SinkTable, SourceTable, StateTable, StepTable, TriggerTable, WindowTable,
    },
};
use super::ROWS;

const REFERENCE: &str = include_str!("../../../../../examples/reference.toml");
const PAGE: &str = include_str!("../../../../../docs/pipeline-file.md");

/// Parses with no environment and no files: what is documented works anywhere.
fn parse_bare(text: &str) -> Result<PipelineConfig, ConfigError> {
    parse(text, &|_| None, &|_| Ok("from a file".to_owned()))
}

#[test]
fn the_optional_keys_of_the_reference_show_their_defaults() {
    let required_only = r#"
        name = "unique-visitors"
        [log]
        kafka = { "bootstrap.servers" = "localhost:9092" }
        [source]
        topic = "web_clicks"
        [[step]]
        filter = "bot-filter.wasm"
        [[step]]
        map = "page-view.wasm"
        [[step]]
        aggregate = "unique-visitors.wasm"
        window = { tumbling = "1m" }
        [sink]
        topic = "visitors_per_minute"
        [dead_letters]
        topic = "web_clicks.dead"
        [late]
        topic = "web_clicks.late"
    "#;
    assert_eq!(
        parse_bare(REFERENCE).unwrap(),
        parse_bare(required_only).unwrap()
    );
}

#[test]
fn the_alternatives_in_the_reference_are_accepted() {
    let lines: Vec<&str> = REFERENCE.lines().collect();
    let is_alternative =
        |line: &str| line.starts_with('#') && line.len() > 1 && !line.starts_with("# ");
    let mut tried = 0;
    for (i, line) in lines.iter().enumerate().filter(|(_, l)| is_alternative(l)) {
        let replaced = (0..i).rfind(|j| !lines[*j].starts_with('#')).unwrap();
        let mut changed = lines.clone();
        changed[replaced] = line.strip_prefix('#').unwrap();
        parse_bare(&changed.join("\n")).expect(line);
        tried += 1;
    }
    assert!(tried >= 6, "only {tried} alternatives found");
}

#[test]
fn every_key_is_in_the_reference() {
    let tables: [(&str, Vec<&str>); 13] = [
        ("", keys_of::<PipelineTable>()),
        ("[log]", keys_of::<LogTable>()),
        ("[source]", keys_of::<SourceTable>()),
        ("[source]", keys_of::<EventTimeTable>()),
        ("[[step]]", keys_of::<StepTable>()),
        ("[step.limits]", keys_of::<LimitsTable>()),
        ("[[step]]", keys_of::<WindowTable>()),
        ("[[step]]", keys_of::<TriggerTable>()),
        ("[sink]", keys_of::<SinkTable>()),
        ("[dead_letters]", keys_of::<DeadLettersTable>()),
        ("[late]", keys_of::<LateTable>()),
        ("[state]", keys_of::<StateTable>()),
        ("[commit]", keys_of::<CommitTable>()),
    ];
    for (header, keys) in tables {
        assert!(!keys.is_empty(), "{header}");
        let section = section(header);
        for key in keys {
            let as_key = section
                .split_whitespace()
                .zip(section.split_whitespace().skip(1));
            let shown = as_key
                .map(|(word, next)| (word.trim_start_matches(['#', '`']), next))
                .any(|pair| pair == (key, "="));
            let as_table = header.is_empty()
                && (REFERENCE.contains(&format!("\n[{key}]\n"))
                    || REFERENCE.contains(&format!("\n[[{key}]]\n")));
            let within = header.trim_matches(['[', ']']);
            let as_inner = REFERENCE.contains(&format!("\n[{within}.{key}]\n"));
            assert!(
                shown || as_table || as_inner,
                "`{key}` is missing in `{header}`"
            );
        }
    }
}

/// The lines of the reference under all headers that read so; those before any header for the empty one.
fn section(header: &str) -> String {
    let mut current = "";
    let mut section = String::new();
    for line in REFERENCE.lines() {
        if line.starts_with('[') {
            current = line;
        } else if current == header {
            section.push_str(line);
            section.push('\n');
        }
    }
    section
}

/// The names of the fields that a table asks serde for.
fn keys_of<'de, T: Deserialize<'de>>() -> Vec<&'static str> {
    struct Ask<'a>(&'a mut Vec<&'static str>);

    impl<'de> Deserializer<'de> for Ask<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            self.0.extend(fields);
            Err(Error::custom("only the names were wanted"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut keys = Vec::new();
    let value = T::deserialize(Ask(&mut keys));
    assert!(value.is_err(), "a value was made of nothing");
    keys
}

#[test]
fn the_snippets_of_the_page_are_accepted() {
    let mut tried = 0;
    for snippet in blocks("toml") {
        // A snippet shows some tables; the others are those of the smallest pipeline.
        let mut whole: toml::Table = ROWS.parse().unwrap();
        whole.extend(snippet.parse::<toml::Table>().expect(snippet));
        parse_bare(&whole.to_string()).expect(snippet);
        tried += 1;
    }
    assert!(tried >= 6, "only {tried} snippets found");
}

#[test]
fn the_messages_of_the_page_are_what_is_said() {
    let wrong: Vec<&str> = blocks("toml mistakes").collect();
    let said: Vec<&str> = blocks("text").collect();
    assert!(wrong.len() >= 2 && wrong.len() == said.len());
    for (wrong, said) in wrong.into_iter().zip(said) {
        let error = parse_bare(wrong).unwrap_err();
        let shown = error.in_file(Path::new("pipeline.toml")).to_string();
        assert_eq!(shown, said.trim_end());
    }
}

/// The fenced blocks of the page with exactly this after the fence.
fn blocks(info: &str) -> impl Iterator<Item = &'static str> {
    let opening = format!("\n```{info}\n");
    let mut rest = PAGE;
    std::iter::from_fn(move || {
        let (_, opened) = rest.split_once(&opening)?;
        let (block, after) = opened.split_once("```")?;
        rest = after;
        Some(block)
    })
}

#[test]
fn paths_are_relative_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipeline.toml");
    std::fs::create_dir(folder.path().join("run")).unwrap();
    std::fs::write(folder.path().join("run/name"), "out-of-file\n").unwrap();
    let text = r#"
        name = "paths"
        log = { embedded = "data/log" }
        source = { topic = "in" }
        sink = { topic = "${file:run/name}" }
        dead_letters = { topic = "dead" }
        late = { topic = "late" }
        [[step]]
        filter = "plugins/a.wasm"
        [[step]]
        filter = "/opt/b.wasm"
        [[step]]
        aggregate = "plugins/c.wasm"
        window = { tumbling = "1m" }
    "#;
    std::fs::write(&file, text).unwrap();

    let config = load(&file).unwrap();
    assert_eq!(config.sink_topic, "out-of-file");
    let LogPlace::Embedded(log) = config.log.place else {
        panic!("the log is embedded");
    };
    assert_eq!(log, folder.path().join("data/log"));
    assert_eq!(config.state.folder, folder.path().join(".millstream"));
    let components: Vec<_> = config.steps.iter().map(|s| &s.function.component).collect();
    assert_eq!(
        components,
        [
            &folder.path().join("plugins/a.wasm"),
            Path::new("/opt/b.wasm")
        ]
    );
    let Output::Windows(step) = config.output else {
        panic!("there is a window");
    };
    assert_eq!(
        step.function.component,
        folder.path().join("plugins/c.wasm")
    );
}

#[test]
fn a_file_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gone.toml");
    let error = load(&file).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }));
    assert!(error.to_string().contains("gone.toml"), "{error}");
}

#[test]
fn a_mistake_in_a_file_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipeline.toml");
    std::fs::write(&file, format!("{ROWS}\nsinc = 1\n")).unwrap();
    let message = load(&file).unwrap_err().to_string();
    let place = format!("{}:12:1: ", file.display());
    assert!(message.starts_with(&place), "{message}");
}
