//! What functions count for themselves, in `/metrics`. Their names are values of a label, so that no function can take the name of another
//! metric; the meters bound how many there are.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::plugin::{BUCKETS, Histogram, Lost, Place, Reading};

/// What stands on the meters of all functions.
#[derive(Debug)]
pub(super) struct FunctionMetrics(pub(super) Vec<(Place, Reading)>);

/// What was left out: the metric, what it counts, and where it is.
type Loss = (&'static str, &'static str, fn(&Lost) -> u64);

const LOSSES: [Loss; 3] = [
    (
        "millstream_plugin_lost_messages",
        "Messages to the log that were left out, because a plugin writes too many",
        |lost| lost.messages,
    ),
    (
        "millstream_plugin_lost_measurements",
        "Measurements of plugins that were left out, because of too many names, a name or a value",
        |lost| lost.measures,
    ),
    (
        "millstream_plugin_lost_calls",
        "Calls of log and metrics that were left out, because one call of a plugin made too many",
        |lost| lost.calls,
    ),
];

fn labels(place: &Place) -> Vec<(&'static str, String)> {
    vec![
        ("pipeline", place.pipeline.clone()),
        ("step", place.step.clone()),
        ("plugin", place.plugin.clone()),
    ]
}

fn named(place: &Place, name: &str) -> Vec<(&'static str, String)> {
    let mut labels = labels(place);
    labels.push(("name", name.to_owned()));
    labels
}

impl Collector for FunctionMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let help = "What plugins count";
        let mut family = encoder.encode_descriptor(
            "millstream_plugin_count",
            help,
            None,
            MetricType::Counter,
        )?;
        for (place, reading) in &self.0 {
            for (name, count) in &reading.counters {
                family
                    .encode_family(&named(place, name))?
                    .encode_counter::<NoLabelSet, _, u64>(count, None)?;
            }
        }
        let help = "Values that plugins observe";
        let kind = MetricType::Histogram;
        let mut family = encoder.encode_descriptor("millstream_plugin_value", help, None, kind)?;
        for (place, reading) in &self.0 {
            for (name, histogram) in &reading.histograms {
                let count = histogram.counts.iter().sum();
                family
                    .encode_family(&named(place, name))?
                    .encode_histogram::<NoLabelSet>(
                        histogram.sum,
                        count,
                        &buckets(histogram),
                        None,
                    )?;
            }
        }
        for (name, help, lost) in LOSSES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (place, reading) in &self.0 {
                family
                    .encode_family(&labels(place))?
                    .encode_counter::<NoLabelSet, _, u64>(&lost(&reading.lost), None)?;
            }
        }
        Ok(())
    }
}

/// The buckets with their bounds, the last without one. They are added up where they are written.
fn buckets(histogram: &Histogram) -> Vec<(f64, u64)> {
    let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
    bounds.zip(histogram.counts).collect()
}
