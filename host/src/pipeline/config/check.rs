//! The rules that concern several keys, and the step from the file's tables to the model.
//!
//! Every rule is applied and every breach is reported. A part that can't be made leaves `None` and a finding; nothing
//! leaves this module while there are findings.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Spanned;

use super::defaults;
use super::error::Finding;
use super::kafka::KafkaSettings;
use super::model::{
    CommitConfig, LogConfig, LogPlace, Output, PipelineConfig, SourceConfig, StateConfig,
    WindowStep,
};
use super::steps::{self, WindowedFunction};
use super::tables::{
    At, CommitTable, EventTimeValue, LateTable, LogTable, PipelineTable, SourceTable, StateTable,
};
use super::variables::Substituted;
use super::written::{FieldPath, PositiveDuration, TopicName, Written};
use crate::decode::EventTime;
use crate::pipeline::topics;

/// The pipeline that the file describes.
pub(super) fn pipeline(
    table: PipelineTable,
    substituted: &Substituted,
) -> Result<PipelineConfig, Vec<Finding>> {
    let mut findings = Vec::new();
    topics_have_one_role(&table, &mut findings);
    let log = log(table.log, substituted, &mut findings);
    let source = source(table.source, &mut findings);
    // Whether `[late]` and `sink.key` are in order depends on the steps, and can't be told where those are not.
    let (steps, output) = match steps::steps(table.step, &mut findings) {
        Some((steps, windowed)) => {
            let output = output(windowed, table.late, table.sink.key, &mut findings);
            (steps, output)
        }
        None => (Vec::new(), None),
    };
    match (log, source, output) {
        (Some(log), Some(source), Some(output)) if findings.is_empty() => Ok(PipelineConfig {
            name: table.name.0.0,
            workers: table.workers.map_or(defaults::WORKERS, |workers| workers.0),
            batch_rows: table.batch_rows.map_or(defaults::BATCH_ROWS, |rows| rows.0),
            log,
            source,
            steps,
            output,
            sink_topic: table.sink.topic.into_inner().0.0,
            dead_letter_topic: table.dead_letters.topic.into_inner().0.0,
            state: state(table.state),
            commit: commit(&table.commit),
        }),
        _ => Err(findings),
    }
}

/// A topic is read or written for one purpose: a sink that is also a source would feed the pipeline its own results, and
/// what Millstream keeps for itself is nobody else's.
fn topics_have_one_role(table: &PipelineTable, findings: &mut Vec<Finding>) {
    let source = table.source.get_ref();
    let listed = source.topics.iter().flat_map(|list| list.get_ref());
    let late = table.late.iter().map(|late| &late.get_ref().topic);
    let all = source
        .topic
        .iter()
        .map(|topic| ("source.topic", topic))
        .chain(listed.map(|topic| ("source.topics", topic)))
        .chain([
            ("sink.topic", &table.sink.topic),
            ("dead_letters.topic", &table.dead_letters.topic),
        ])
        .chain(late.map(|topic| ("late.topic", topic)));

    let own = topics::own(&table.name.0.0);
    let mut first_key: BTreeMap<&str, &str> = BTreeMap::new();
    for (key, topic) in all {
        let name = topic.get_ref().0.0.as_str();
        if own.iter().any(|own| own == name) {
            findings.push(
                Finding::new(
                    topic.span(),
                    "this topic is one that Millstream keeps for the pipeline itself",
                )
                .hint("give the topic another name, or the pipeline"),
            );
            continue;
        }
        match first_key.get(name) {
            None => {
                first_key.insert(name, key);
            }
            Some(first) => findings.push(
                Finding::new(
                    topic.span(),
                    format!("this topic is named in `{first}` already"),
                )
                .hint("each topic of a pipeline is named once, for one purpose"),
            ),
        }
    }
}

fn log(
    table: Spanned<LogTable>,
    substituted: &Substituted,
    findings: &mut Vec<Finding>,
) -> Option<LogConfig> {
    let span = table.span();
    let table = table.into_inner();
    let (place, creates_by_default) = match (table.kafka, table.embedded) {
        (Some(kafka), None) => {
            let settings = KafkaSettings::of_table(kafka, substituted, findings);
            (LogPlace::Kafka(settings), defaults::CREATE_TOPICS_ON_KAFKA)
        }
        (None, Some(folder)) => (
            LogPlace::Embedded(folder.0),
            defaults::CREATE_TOPICS_ON_EMBEDDED,
        ),
        (None, None) => {
            findings.push(
                Finding::new(span, "missing key `kafka` or `embedded`")
                    .hint("write `embedded = \"data/log\"` for a log in a folder of its own"),
            );
            return None;
        }
        (Some(_), Some(_)) => {
            findings.push(Finding::new(
                span,
                "only one of `kafka` and `embedded` can be given",
            ));
            return None;
        }
    };
    let creates = table.create_topics.unwrap_or(creates_by_default);
    let partitions = match table.partitions {
        None => defaults::PARTITIONS,
        Some(partitions) => {
            if !creates {
                findings.push(
                    Finding::new(
                        partitions.span(),
                        "it is for topics that Millstream creates, and it creates none",
                    )
                    .hint("set `create_topics = true`, or leave out `partitions`"),
                );
            }
            partitions.into_inner().0
        }
    };
    Some(LogConfig {
        place,
        create_topics: creates.then_some(partitions),
    })
}

fn source(table: Spanned<SourceTable>, findings: &mut Vec<Finding>) -> Option<SourceConfig> {
    let span = table.span();
    let table = table.into_inner();
    let topics = match (table.topic, table.topics) {
        (Some(topic), None) => vec![topic],
        (None, Some(topics)) if topics.get_ref().is_empty() => {
            findings.push(Finding::new(topics.span(), "expected at least one topic"));
            return None;
        }
        (None, Some(topics)) => topics.into_inner(),
        (None, None) => {
            findings.push(Finding::new(span, "missing key `topic` or `topics`"));
            return None;
        }
        (Some(_), Some(_)) => {
            findings.push(Finding::new(
                span,
                "only one of `topic` and `topics` can be given",
            ));
            return None;
        }
    };
    let name = |topic: At<TopicName>| topic.into_inner().0.0;
    let event_time = match table.event_time {
        None => defaults::EVENT_TIME,
        Some(EventTimeValue::Record) => EventTime::Record,
        Some(EventTimeValue::Field(table)) => EventTime::Field {
            path: table.field.0.0,
            unit: table.unit.0,
        },
    };
    if let (Some(field), Some(_)) = (&table.watermark_field, &table.allowed_disorder) {
        findings.push(
            Finding::new(
                field.span(),
                "with a field that says how far time has come no disorder is allowed for",
            )
            .hint("leave out `allowed_disorder`, or `watermark_field`"),
        );
    }
    let disorder = match (&table.watermark_field, table.allowed_disorder) {
        (Some(_), _) => Duration::ZERO,
        (None, None) => defaults::ALLOWED_DISORDER,
        (None, Some(disorder)) => disorder.into_inner().0,
    };
    let positive = |value: Option<Written<PositiveDuration>>| value.map(|duration| duration.0.0);
    Some(SourceConfig {
        topics: topics.into_iter().map(name).collect(),
        format: table.format.map_or(defaults::FORMAT, |format| format.0),
        event_time,
        allowed_disorder: disorder,
        watermark_field: table.watermark_field.map(|field| field.into_inner().0.0),
        max_future: table.max_future.map(|future| future.0),
        idle_after: positive(table.idle_after),
        close_idle_after: positive(table.close_idle_after),
        max_drift: positive(table.max_drift),
        start: table.start.map_or(defaults::START, |start| start.0),
    })
}

/// Windows, a late topic and keys of one's own depend on each other.
fn output(
    windowed: Option<WindowedFunction>,
    late: Option<Spanned<LateTable>>,
    sink_key: Option<At<FieldPath>>,
    findings: &mut Vec<Finding>,
) -> Option<Output> {
    match (windowed, late) {
        (Some(windowed), Some(late)) => {
            if let Some(key) = sink_key {
                findings.push(
                    Finding::new(
                        key.span(),
                        "results of a window are keyed by the window's key",
                    )
                    .hint("leave it out, or write `key` in the step with the window"),
                );
            }
            Some(Output::Windows(Box::new(WindowStep {
                kind: windowed.kind,
                function: windowed.function,
                key: windowed.key,
                window: windowed.windows.window,
                allowed_lateness: windowed.windows.allowed_lateness,
                updates: windowed.windows.updates,
                early: windowed.windows.early,
                late_topic: late.into_inner().topic.into_inner().0.0,
            })))
        }
        (Some(windowed), None) => {
            findings.push(
                Finding::new(
                    windowed.at,
                    "a pipeline with a window needs a topic for rows that come too late",
                )
                .hint("add a table `[late]` with a `topic`"),
            );
            None
        }
        (None, Some(late)) => {
            findings.push(
                Finding::new(late.span(), "without a window no row is late")
                    .hint("leave the table `[late]` out"),
            );
            None
        }
        (None, None) => Some(Output::Rows {
            key: sink_key.map(|key| key.into_inner().0.0),
        }),
    }
}

fn state(table: StateTable) -> StateConfig {
    StateConfig {
        folder: table
            .folder
            .map_or_else(|| defaults::STATE_FOLDER.into(), |folder| folder.0),
    }
}

fn commit(table: &CommitTable) -> CommitConfig {
    let defaults = defaults::COMMIT;
    CommitConfig {
        interval: table.interval.as_ref().map_or(defaults.interval, |i| i.0.0),
        max_rows: table
            .max_rows
            .as_ref()
            .map_or(defaults.max_rows, |rows| rows.0.unsigned_abs()),
        max_bytes: table.max_bytes.as_ref().map_or(defaults.max_bytes, |b| b.0),
        delivery: table.delivery.as_ref().map_or(defaults.delivery, |d| d.0),
    }
}
