//! `/metrics`: what pipelines count, as Prometheus reads it. Names end in their unit; times are seconds.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::function_metrics::FunctionMetrics;
use crate::plugin::{Place, Reading};
use crate::service::{PipelineView, ProgressView, State};

/// The media type of the text.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

const STATES: [State; 10] = [
    State::Starting,
    State::Waiting,
    State::Restoring,
    State::Running,
    State::Unavailable,
    State::Stopping,
    State::Resetting,
    State::Paused,
    State::Failed,
    State::Deleting,
];

/// A counter: its name, what it counts, and where it is.
type Counted = (&'static str, &'static str, fn(&ProgressView) -> u64);

const COUNTERS: [Counted; 11] = [
    ("millstream_records", "Records read", |p| p.records),
    ("millstream_dead_letters", "Records dead-lettered", |p| {
        p.dead_letters
    }),
    (
        "millstream_skipped_records",
        "Records left out because their step says so",
        |p| p.skipped,
    ),
    (
        "millstream_filtered_rows",
        "Rows that a filter did not keep",
        |p| p.filtered,
    ),
    (
        "millstream_late_rows",
        "Rows that came after their windows were over",
        |p| p.late,
    ),
    (
        "millstream_behind_rows",
        "Rows that came after a window of theirs had been published and still counted",
        |p| p.behind,
    ),
    ("millstream_results", "Result records written", |p| {
        p.results
    }),
    (
        "millstream_windows_fired",
        "Windows fired, each key counted",
        |p| p.windows_fired,
    ),
    ("millstream_commits", "Transactions committed", |p| {
        p.commits
    }),
    ("millstream_aborts", "Transactions aborted", |p| p.aborts),
    (
        "millstream_function_failures",
        "Calls of functions that failed",
        |p| p.failures,
    ),
];

/// What these pipelines, and their functions for themselves, count, as text.
///
/// # Errors
/// If the text can't be written.
pub(super) fn text(
    pipelines: &[PipelineView],
    functions: Vec<(Place, Reading)>,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(FunctionMetrics(functions)));
    let labels = |view: &PipelineView| -> Labels { vec![("pipeline", view.name.clone())] };
    for (name, help, count) in COUNTERS {
        let family = Family::<Labels, Counter>::default();
        for view in pipelines {
            family
                .get_or_create(&labels(view))
                .inc_by(count(&view.progress));
        }
        registry.register(name, help, family);
    }
    let restarts = Family::<Labels, Counter>::default();
    let states = Family::<Labels, Gauge>::default();
    let lag = Family::<Labels, Gauge>::default();
    let watermark = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    let tasks = Family::<Labels, Gauge>::default();
    let generation = Family::<Labels, Gauge>::default();
    for view in pipelines {
        let labels = labels(view);
        restarts.get_or_create(&labels).inc_by(view.restarts);
        for state in STATES {
            let mut of_state = labels.clone();
            of_state.push(("state", state.name().to_owned()));
            states
                .get_or_create(&of_state)
                .set((view.state == state).into());
        }
        if let Some(records) = view.lag_records {
            let records = i64::try_from(records).unwrap_or(i64::MAX);
            lag.get_or_create(&labels).set(records);
        }
        if let Some(ms) = view.progress.watermark_ms {
            watermark.get_or_create(&labels).set(ms as f64 / 1_000.0);
        }
        let running = i64::try_from(view.progress.tasks).unwrap_or(i64::MAX);
        tasks.get_or_create(&labels).set(running);
        let deployed = i64::try_from(view.generation).unwrap_or(i64::MAX);
        generation.get_or_create(&labels).set(deployed);
    }
    registry.register(
        "millstream_restarts",
        "Runs started again after a failure",
        restarts,
    );
    registry.register(
        "millstream_pipeline_state",
        "1 for the state that a pipeline is in",
        states,
    );
    registry.register(
        "millstream_lag_records",
        "Records that have not been read",
        lag,
    );
    registry.register(
        "millstream_watermark_timestamp_seconds",
        "The lowest watermark by which windows fire, since 1970",
        watermark,
    );
    registry.register("millstream_tasks", "Tasks that run", tasks);
    registry.register(
        "millstream_generation",
        "The generation that every worker has come to; 0 where nothing has been deployed",
        generation,
    );
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;
    use crate::plugin::{BUCKETS, Histogram};
    use crate::service::{Desired, Origin};

    #[test]
    fn a_pipeline_is_told_in_base_units_and_its_name_is_escaped() {
        let view = PipelineView {
            refused: None,
            reset: None,
            name: "a\"b".to_owned(),
            origin: Origin::Api,
            wanted: Desired::Running,
            state: State::Running,
            detail: None,
            failure: None,
            restarts: 2,
            steps: Vec::new(),
            generation: 12,
            progress: ProgressView {
                records: 7,
                watermark_ms: Some(1_500),
                ..ProgressView::default()
            },
            lag_records: None,
            positions: Default::default(),
        };
        let place = Place {
            pipeline: "a\"b".to_owned(),
            step: "s".to_owned(),
            plugin: "p@1".to_owned(),
        };
        let mut reading = Reading::default();
        reading.counters.insert("hits".to_owned(), 3);
        reading.lost.messages = 4;
        let mut histogram = Histogram {
            sum: 8.5,
            ..Histogram::default()
        };
        histogram.counts[0] = 1;
        histogram.counts[BUCKETS.len() - 1] = 2;
        histogram.counts[BUCKETS.len()] = 1;
        reading.histograms.insert("size".to_owned(), histogram);
        let text = text(&[view], vec![(place, reading)]).unwrap();
        for line in [
            r#"millstream_records_total{pipeline="a\"b"} 7"#,
            r#"millstream_restarts_total{pipeline="a\"b"} 2"#,
            r#"millstream_generation{pipeline="a\"b"} 12"#,
            r#"millstream_pipeline_state{pipeline="a\"b",state="running"} 1"#,
            r#"millstream_pipeline_state{pipeline="a\"b",state="failed"} 0"#,
            r#"millstream_watermark_timestamp_seconds{pipeline="a\"b"} 1.5"#,
            r#"millstream_plugin_count_total{pipeline="a\"b",step="s",plugin="p@1",name="hits"} 3"#,
            r#"millstream_plugin_lost_messages_total{pipeline="a\"b",step="s",plugin="p@1"} 4"#,
            r#"millstream_plugin_value_sum{pipeline="a\"b",step="s",plugin="p@1",name="size"} 8.5"#,
            r#"millstream_plugin_value_count{pipeline="a\"b",step="s",plugin="p@1",name="size"} 4"#,
            r#"millstream_plugin_value_bucket{le="0.001",pipeline="a\"b",step="s",plugin="p@1",name="size"} 1"#,
            r#"millstream_plugin_value_bucket{le="1000000.0",pipeline="a\"b",step="s",plugin="p@1",name="size"} 3"#,
            r#"millstream_plugin_value_bucket{le="+Inf",pipeline="a\"b",step="s",plugin="p@1",name="size"} 4"#,
        ] {
            assert!(text.lines().any(|said| said == line), "{line}\n{text}");
        }
        assert!(!text.contains("lag_records{"), "it is not known");
        assert!(text.ends_with("# EOF\n"));
    }
}
