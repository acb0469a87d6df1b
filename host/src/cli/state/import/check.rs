//! Whether a pipeline can go on from what was taken. Pure.

use super::taken::Taken;
use crate::outside::Standing;
use crate::state::{Committed, Shape};

/// Why not, each a sentence; empty if it can. `now` is the shape of the pipeline.
pub(super) fn refusals(taken: &Taken, standing: &Standing, now: &Shape) -> Vec<String> {
    let mut refused = taken.header.shape.differences(now);
    let marks = taken.offsets.values().map(|(_, mark)| mark);
    let differs = |mark: &Committed| match mark {
        Committed::Mark(mark) => !mark.shape.differences(&taken.header.shape).is_empty(),
        Committed::Start => false,
        Committed::Importing => true,
    };
    if marks.chain(taken.finals.values()).any(differs) {
        refused.push("not all of its marks are of the shape in its header".to_owned());
    }
    for (topic, was) in &taken.header.sources {
        let is = partitions(standing, topic);
        if is != *was {
            refused.push(format!("{topic} had {was} partitions, now {is}"));
        }
    }
    for task in &standing.sources {
        let topic = &*task.at.topic;
        if task.at.partition == 0 && !taken.header.sources.contains_key(topic) {
            refused.push(format!(
                "{topic} was not read by the pipeline that was exported"
            ));
        }
        let at = (topic.to_owned(), task.at.partition);
        let Some((offset, _)) = taken.offsets.get(&at) else {
            continue;
        };
        let bounds = task.bounds;
        if *offset < bounds.start {
            refused.push(format!(
                "{}: the records from {offset} up to {} have been deleted",
                task.at, bounds.start
            ));
        } else if *offset > bounds.end {
            refused.push(format!(
                "{}: it ends at {}, before {offset}: it is not the topic that was read",
                task.at, bounds.end
            ));
        }
    }
    let changelog = i32::try_from(standing.changelog.len()).unwrap_or(i32::MAX);
    if !standing.changelog.is_empty() && changelog != now.partitions {
        refused.push(format!(
            "the changelog has {changelog} partitions, and {} tasks have state",
            now.partitions
        ));
    }
    refused
}

fn partitions(standing: &Standing, topic: &str) -> i32 {
    let of_topic = standing
        .sources
        .iter()
        .filter(|task| *task.at.topic == *topic);
    i32::try_from(of_topic.count()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;
    use crate::cli::state::file::{Counts, Header};
    use crate::log::{Bounds, Offset, TopicPartition};
    use crate::outside::Task;
    use crate::state::{Mark, Stages};
    use crate::time::Timestamp;

    fn shape(window: &str) -> Shape {
        Shape {
            stages: Stages::One,
            partitions: 1,
            kind: "aggregate".to_owned(),
            function: "visitors".to_owned(),
            window: window.to_owned(),
            ..Shape::default()
        }
    }

    fn taken(offset: i64) -> Taken {
        let shape = shape("tumbling 1m");
        let mark = Mark {
            watermark: Timestamp(7),
            highest: Timestamp(9),
            shape: shape.clone(),
            state: None,
            generation: 0,
        };
        let sources = [("in".to_owned(), 1)].into();
        Taken {
            header: Header::new("p".to_owned(), String::new(), sources, shape),
            offsets: [(
                ("in".to_owned(), 0),
                (Offset(offset), Committed::Mark(mark)),
            )]
            .into(),
            finals: [].into(),
            counts: Counts::default(),
        }
    }

    fn standing(topic: &str, partitions: i32, changelog: usize) -> Standing {
        let bounds = Bounds {
            start: Offset(10),
            end: Offset(20),
            written: Offset(20),
        };
        let task = |partition| Task {
            at: TopicPartition::new(topic, partition),
            bounds,
            committed: None,
        };
        Standing {
            group: "p".to_owned(),
            stages: Stages::One,
            members: Vec::new(),
            sources: (0..partitions).map(task).collect(),
            finals: Vec::new(),
            changelog: vec![bounds; changelog],
        }
    }

    fn refused(taken: &Taken, standing: &Standing, window: &str) -> String {
        refusals(taken, standing, &shape(window)).join("; ")
    }

    #[test]
    fn the_same_pipeline_goes_on_as_long_as_the_source_has_what_comes_next() {
        let here = standing("in", 1, 1);
        for good in [10, 15, 20] {
            assert_eq!(refused(&taken(good), &here, "tumbling 1m"), "");
        }
        assert_eq!(
            refused(&taken(15), &standing("in", 1, 0), "tumbling 1m"),
            ""
        );
        assert_eq!(
            refused(&taken(9), &here, "tumbling 1m"),
            "in/0: the records from 9 up to 10 have been deleted"
        );
        let beyond = refused(&taken(21), &here, "tumbling 1m");
        assert!(
            beyond.starts_with("in/0: it ends at 20, before 21"),
            "{beyond}"
        );
    }

    #[test]
    fn another_window_and_other_partitions_are_refused() {
        let why = refused(&taken(15), &standing("in", 1, 1), "tumbling 5m");
        assert_eq!(why, "the window was tumbling 1m, now tumbling 5m");
        let why = refused(&taken(15), &standing("in", 2, 1), "tumbling 1m");
        assert_eq!(why, "in had 1 partitions, now 2");
        let why = refused(&taken(15), &standing("other", 1, 1), "tumbling 1m");
        assert!(why.contains("in had 1 partitions, now 0"), "{why}");
        assert!(why.contains("other was not read"), "{why}");
        let why = refused(&taken(15), &standing("in", 1, 3), "tumbling 1m");
        assert!(why.contains("the changelog has 3 partitions"), "{why}");
    }

    #[test]
    fn marks_that_differ_from_the_header_are_refused() {
        let mut taken = taken(15);
        taken.header.shape = shape("tumbling 5m");
        let why = refused(&taken, &standing("in", 1, 1), "tumbling 5m");
        assert!(why.contains("not all of its marks"), "{why}");
    }
}
