//! Random pipelines and random text.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{
    CommitConfig, Delivery, Early, FunctionConfig, FunctionSettings, KafkaSettings, Limits,
    LogConfig, LogPlace, OnError, OnExhausted, Output, PipelineConfig, RowStep, RowStepKind,
    SourceConfig, Start, StateConfig, Updates, Window, WindowStep, WindowStepKind,
};
use super::{ROWS, parse_here};
use crate::decode::{EventTime, Format, TimeUnit};

fn duration(millis: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    millis.prop_map(Duration::from_millis)
}

/// Text that a value may hold, quotes, dollars and line ends included.
fn text() -> impl Strategy<Value = String> {
    "[ -~\\n\\t\u{e4}]{0,12}"
}

fn field() -> impl Strategy<Value = String> {
    "[a-z$_]{1,6}(\\.[a-z0-9]{1,4}){0,2}"
}

fn log() -> impl Strategy<Value = LogConfig> {
    let kafka = vec(("x\\.[a-z.]{1,8}", text()), 0..4).prop_map(|more| {
        let brokers = ("bootstrap.servers".to_owned(), "b:9092".to_owned());
        LogPlace::Kafka(more.into_iter().chain([brokers]).collect::<KafkaSettings>())
    });
    let embedded = "[a-z/.]{1,12}".prop_map(|path| LogPlace::Embedded(PathBuf::from(path)));
    (prop_oneof![kafka, embedded], option::of(1..i32::MAX)).prop_map(|(place, create_topics)| {
        LogConfig {
            place,
            create_topics,
        }
    })
}

fn source(topics: Vec<String>) -> impl Strategy<Value = SourceConfig> {
    let unit = prop_oneof![
        Just(TimeUnit::Millis),
        Just(TimeUnit::Seconds),
        Just(TimeUnit::Rfc3339)
    ];
    let of_field = (field(), unit).prop_map(|(path, unit)| EventTime::Field { path, unit });
    (
        prop_oneof![
            Just(Format::Json),
            Just(Format::AccessLog),
            Just(Format::Raw)
        ],
        prop_oneof![Just(EventTime::Record), of_field],
        prop_oneof![
            duration(0..1 << 40).prop_map(Ok),
            field().prop_map(Err::<Duration, String>),
        ],
        option::of(duration(0..1 << 40)),
        [(); 3].map(|()| option::of(duration(1..1 << 40))),
        prop_oneof![Just(Start::Earliest), Just(Start::Latest)],
    )
        .prop_map(
            move |(format, event_time, watermark, max_future, limits, start)| SourceConfig {
                topics: topics.clone(),
                format,
                event_time,
                allowed_disorder: watermark.clone().unwrap_or_default(),
                watermark_field: watermark.err(),
                max_future,
                idle_after: limits[0],
                close_idle_after: limits[1],
                max_drift: limits[2],
                start,
            },
        )
}

fn limits() -> impl Strategy<Value = Limits> {
    let count = || 1..=i32::MAX.unsigned_abs();
    (
        (64u64 << 10)..=(4 << 30),
        duration(1..1 << 30),
        any::<u32>(),
        [count(), count(), count(), count(), count()],
        (4u64 << 10)..=(1 << 30),
        1..=u64::MAX >> 1,
    )
        .prop_map(
            |(memory, call, failures, counts, log_bytes, output_bytes)| Limits {
                memory: ByteSize::b(memory),
                call,
                failures_per_minute: failures,
                table_entries: counts[0],
                core_instances: counts[1],
                host_calls: counts[2],
                log_messages_per_second: counts[3],
                log_bytes_per_second: ByteSize::b(log_bytes),
                output_rows: counts[4],
                output_bytes: ByteSize::b(output_bytes),
            },
        )
}

fn function(name: String) -> impl Strategy<Value = FunctionConfig> {
    (
        "[a-z/]{1,8}\\.wasm",
        vec(("[a-z]{1,4}", text()), 0..3),
        limits(),
        select(vec![OnError::DeadLetter, OnError::Skip, OnError::Fail]),
        select(vec![OnExhausted::Stop, OnExhausted::Previous]),
    )
        .prop_map(
            move |(component, settings, limits, on_error, on_exhausted)| FunctionConfig {
                name: name.clone(),
                component: PathBuf::from(component),
                settings: FunctionSettings(
                    settings.into_iter().map(|(k, v)| (k, v.into())).collect(),
                ),
                limits,
                on_error,
                on_exhausted,
            },
        )
}

fn row_steps() -> impl Strategy<Value = Vec<RowStep>> {
    let kind = prop_oneof![
        Just(RowStepKind::Filter),
        btree_set(field(), 0..3).prop_map(|keep| RowStepKind::Map {
            keep: keep.into_iter().collect()
        }),
    ];
    vec((kind, function(String::new())), 0..4).prop_map(|steps| {
        let named = |(i, (kind, function)): (usize, (RowStepKind, FunctionConfig))| RowStep {
            kind,
            function: FunctionConfig {
                name: format!("step-{i}"),
                ..function
            },
        };
        steps.into_iter().enumerate().map(named).collect()
    })
}

/// `updates` says something only where windows are published again.
fn late_and_early() -> impl Strategy<Value = (Duration, Updates, Option<Early>)> {
    let updates = prop_oneof![
        Just(Updates::Accumulating),
        Just(Updates::Retracting),
        Just(Updates::Discarding)
    ];
    let early = prop_oneof![
        Just(Early::OnUpdate),
        duration(1..1 << 30).prop_map(Early::Every)
    ];
    (duration(0..1 << 30), updates, option::of(early)).prop_map(|(lateness, updates, early)| {
        let repeats = !lateness.is_zero() || early.is_some();
        let updates = if repeats {
            updates
        } else {
            Updates::Accumulating
        };
        (lateness, updates, early)
    })
}

fn output(late_topic: String) -> impl Strategy<Value = Output> {
    let size_and_offset =
        (1u64..1 << 40).prop_flat_map(|size| (duration(size..size + 1), duration(0..size)));
    let windows = (
        prop_oneof![
            Just(WindowStepKind::Aggregate),
            Just(WindowStepKind::WindowApply)
        ],
        function("window".to_owned()),
        option::of(field()),
        size_and_offset,
        late_and_early(),
    )
        .prop_map(
            move |(kind, function, key, (size, offset), (allowed_lateness, updates, early))| {
                Output::Windows(Box::new(WindowStep {
                    kind,
                    function,
                    key,
                    window: Window::Tumbling { size, offset },
                    allowed_lateness,
                    updates,
                    early,
                    late_topic: late_topic.clone(),
                }))
            },
        );
    let rows = option::of(field()).prop_map(|key| Output::Rows { key });
    prop_oneof![rows, windows]
}

fn commit() -> impl Strategy<Value = CommitConfig> {
    let delivery = prop_oneof![Just(Delivery::ExactlyOnce), Just(Delivery::AtLeastOnce)];
    (duration(1..1 << 30), 1u32..1 << 30, 1u64..1 << 50, delivery).prop_map(
        |(interval, max_rows, max_bytes, delivery)| CommitConfig {
            interval,
            max_rows,
            max_bytes: ByteSize::b(max_bytes),
            delivery,
        },
    )
}

fn state() -> impl Strategy<Value = StateConfig> {
    "[a-z/.]{1,12}".prop_map(|folder| StateConfig {
        folder: PathBuf::from(folder),
    })
}

fn pipeline() -> impl Strategy<Value = PipelineConfig> {
    btree_set("[a-zA-Z0-9._-]{3,20}", 4..8).prop_flat_map(|topics| {
        let mut topics: Vec<String> = topics.into_iter().collect();
        let mut role = || topics.pop().expect("there are at least four topics");
        let (sink_topic, dead_letter_topic, late_topic) = (role(), role(), role());
        (
            ("[a-z0-9-]{1,64}", 1usize..=256, 1usize..=65_536),
            log(),
            source(topics),
            row_steps(),
            output(late_topic),
            (state(), commit()),
        )
            .prop_map(
                move |(
                    (name, workers, batch_rows),
                    log,
                    source,
                    steps,
                    output,
                    (state, commit),
                )| {
                    PipelineConfig {
                        name,
                        workers,
                        batch_rows,
                        log,
                        source,
                        steps,
                        output,
                        sink_topic: sink_topic.clone(),
                        dead_letter_topic: dead_letter_topic.clone(),
                        state,
                        commit,
                    }
                },
            )
    })
}

/// Text as a TOML string that no substitution changes.
fn quoted(text: &str) -> String {
    toml::Value::from(text.replace('$', "$$")).to_string()
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

fn table<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let entries: Vec<String> = entries
        .map(|(key, value)| format!("{} = {}", toml::Value::from(key), quoted(value)))
        .collect();
    format!("{{ {} }}", entries.join(", "))
}

fn millis(duration: Duration) -> String {
    format!("\"{}ms\"", duration.as_millis())
}

fn limits_toml(limits: &Limits) -> String {
    format!(
        "{{ memory = \"{}B\", call = {}, failures_per_minute = {}, table_entries = {}, core_instances = {}, \
         host_calls = {}, log_messages_per_second = {}, log_bytes_per_second = \"{}B\", output_rows = {}, \
         output_bytes = \"{}B\" }}",
        limits.memory.as_u64(),
        millis(limits.call),
        limits.failures_per_minute,
        limits.table_entries,
        limits.core_instances,
        limits.host_calls,
        limits.log_messages_per_second,
        limits.log_bytes_per_second.as_u64(),
        limits.output_rows,
        limits.output_bytes.as_u64(),
    )
}

fn step_toml(kind: &str, function: &FunctionConfig) -> String {
    let settings = &function.settings.0;
    let settings = settings
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str().unwrap()));
    format!(
        "[[step]]\n{kind} = {}\nname = {}\nconfig = {}\nlimits = {}\non_error = \"{}\"\non_exhausted = \"{}\"\n",
        quoted(function.component.to_str().unwrap()),
        quoted(&function.name),
        table(settings),
        limits_toml(&function.limits),
        match function.on_error {
            OnError::DeadLetter => "dead-letter",
            OnError::Skip => "skip",
            OnError::Fail => "fail",
        },
        match function.on_exhausted {
            OnExhausted::Stop => "stop",
            OnExhausted::Previous => "previous",
        },
    )
}

/// The pipeline as a file with every key that it can have.
fn to_toml(config: &PipelineConfig) -> String {
    let mut toml = format!(
        "name = {}\nworkers = {}\nbatch_rows = {}\n[log]\n",
        quoted(&config.name),
        config.workers,
        config.batch_rows
    );
    let mut line = |text: String| {
        toml.push_str(&text);
        toml.push('\n');
    };
    line(match &config.log.place {
        LogPlace::Kafka(settings) => format!("kafka = {}", table(settings.iter())),
        LogPlace::Embedded(path) => format!("embedded = {}", quoted(path.to_str().unwrap())),
    });
    line(match config.log.create_topics {
        Some(partitions) => format!("create_topics = true\npartitions = {partitions}"),
        None => "create_topics = false".to_owned(),
    });
    let source = &config.source;
    line(match &source.topics[..] {
        [topic] => format!("[source]\ntopic = {}", quoted(topic)),
        topics => format!("[source]\ntopics = {}", list(topics)),
    });
    line(format!(
        "format = \"{}\"",
        match source.format {
            Format::Json => "json",
            Format::AccessLog => "access-log",
            Format::Raw => "raw",
        }
    ));
    line(match &source.event_time {
        EventTime::Record => "event_time = \"record\"".to_owned(),
        EventTime::Field { path, unit } => {
            let unit = match unit {
                TimeUnit::Millis => "ms",
                TimeUnit::Seconds => "s",
                TimeUnit::Rfc3339 => "rfc3339",
            };
            format!(
                "event_time = {{ field = {}, unit = \"{unit}\" }}",
                quoted(path)
            )
        }
    });
    line(match &source.watermark_field {
        None => format!("allowed_disorder = {}", millis(source.allowed_disorder)),
        Some(field) => format!("watermark_field = {}", quoted(field)),
    });
    for (key, duration) in [
        ("max_future", source.max_future),
        ("idle_after", source.idle_after),
        ("close_idle_after", source.close_idle_after),
        ("max_drift", source.max_drift),
    ] {
        duration
            .iter()
            .for_each(|duration| line(format!("{key} = {}", millis(*duration))));
    }
    line(format!(
        "start = \"{}\"",
        match source.start {
            Start::Earliest => "earliest",
            Start::Latest => "latest",
        }
    ));
    for step in &config.steps {
        match &step.kind {
            RowStepKind::Filter => line(step_toml("filter", &step.function)),
            RowStepKind::Map { keep } => {
                line(step_toml("map", &step.function));
                line(format!("keep = {}", list(keep)));
            }
        }
    }
    let sink = format!("[sink]\ntopic = {}", quoted(&config.sink_topic));
    match &config.output {
        Output::Rows { key } => {
            line(sink);
            key.iter()
                .for_each(|key| line(format!("key = {}", quoted(key))));
        }
        Output::Windows(step) => {
            line(step_toml(
                match step.kind {
                    WindowStepKind::Aggregate => "aggregate",
                    WindowStepKind::WindowApply => "window_apply",
                },
                &step.function,
            ));
            step.key
                .iter()
                .for_each(|key| line(format!("key = {}", quoted(key))));
            let Window::Tumbling { size, offset } = step.window else {
                panic!("only tumbling windows are drawn");
            };
            let (size, offset) = (millis(size), millis(offset));
            line(format!(
                "window = {{ tumbling = {size}, offset = {offset} }}"
            ));
            let lateness = millis(step.allowed_lateness);
            line(format!("allowed_lateness = {lateness}"));
            let updates = format!("{:?}", step.updates).to_lowercase();
            line(format!("updates = \"{updates}\""));
            match step.early {
                None => {}
                Some(Early::OnUpdate) => line("emit_on_update = true".to_owned()),
                Some(Early::Every(every)) => line(format!("emit_every = {}", millis(every))),
            }
            line(sink);
            line(format!("[late]\ntopic = {}", quoted(&step.late_topic)));
        }
    }
    line(format!(
        "[dead_letters]\ntopic = {}",
        quoted(&config.dead_letter_topic)
    ));
    let folder = config.state.folder.to_str().unwrap();
    line(format!("[state]\nfolder = {}", quoted(folder)));
    let commit = &config.commit;
    line(format!(
        "[commit]\ninterval = {}\nmax_rows = {}\nmax_bytes = \"{}B\"\ndelivery = \"{}\"",
        millis(commit.interval),
        commit.max_rows,
        commit.max_bytes.as_u64(),
        match commit.delivery {
            Delivery::ExactlyOnce => "exactly-once",
            Delivery::AtLeastOnce => "at-least-once",
        },
    ));
    toml
}

proptest! {
    #[test]
    fn a_pipeline_written_as_a_file_is_read_as_the_same(config in pipeline()) {
        let text = to_toml(&config);
        match parse_here(&text) {
            Ok(read) => prop_assert_eq!(read, config),
            Err(error) => prop_assert!(false, "{}\n{}", error, text),
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        prop_assert!(parse_here(&text).is_err());
    }

    /// Whole words of the format get further than arbitrary letters.
    #[test]
    fn arbitrary_words_of_the_format_never_panic(words in vec(prop_oneof![
        Just("\n"), Just("="), Just("["), Just("]"), Just("{"), Just("}"), Just("\""), Just("${"), Just("$$"),
        Just("."), Just(","), Just("[[step]]\n"), Just("[log]\n"), Just("[source]\n"), Just("[late]\n"),
        Just("kafka"), Just("topic"), Just("map"), Just("keep"), Just("window"), Just("\"1m\""), Just("1"), Just("\u{e4}"),
    ], 0..40)) {
        let text = words.concat();
        if let Err(error) = parse_here(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    /// A file with one stretch replaced is either still good or refused with a place inside it.
    #[test]
    fn a_damaged_file_is_refused_at_a_place_in_it(
        start in 0..ROWS.len(), length in 0usize..20, damage in "\\PC{0,5}",
    ) {
        let end = (start + length).min(ROWS.len());
        let text = format!("{}{damage}{}", &ROWS[..start], &ROWS[end..]);
        if let Err(super::super::ConfigError::Mistakes { mistakes, .. }) = parse_here(&text) {
            let lines = text.split('\n').count();
            prop_assert!(!mistakes.is_empty());
            prop_assert!(mistakes.iter().all(|mistake| (1..=lines).contains(&mistake.position.line)));
        }
    }
}
