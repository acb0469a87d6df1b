//! What a pipeline's state depends on, from what the pipeline is.

use jiff::SignedDuration;

use super::Pipeline;
use super::config::{Output, Window, WindowStep, WindowStepKind};
use super::plan::OutputPlan;
use crate::rows::Field;
use crate::state::{Shape, Stages};

/// The shape of a pipeline with these stages, of whose tasks so many have state.
pub fn shape(pipeline: &Pipeline, stages: Stages, partitions: i32) -> Shape {
    let (Output::Windows(step), Some(function)) =
        (&pipeline.config().output, pipeline.functions().last())
    else {
        return Shape::default();
    };
    let plugin = function.plugin();
    Shape {
        stages,
        partitions,
        kind: plugin.kind().world().to_owned(),
        function: plugin.name().to_owned(),
        state_version: plugin.state_version(),
        window: window(step.window),
        key: key(step, &pipeline.plan().output),
        reads: match step.kind {
            // An aggregate keeps what it made of the rows.
            WindowStepKind::Aggregate => String::new(),
            WindowStepKind::WindowApply => list(plugin.reads()),
        },
    }
}

/// `tumbling 1m`, `tumbling 24h offset 22h`: the same text for the same windows, however the file writes them.
fn window(window: Window) -> String {
    let Window::Tumbling { size, offset } = window;
    let shown = |duration| match SignedDuration::try_from(duration) {
        Ok(duration) => format!("{duration:#}"),
        Err(_) => format!("{duration:?}"),
    };
    if offset.is_zero() {
        format!("tumbling {}", shown(size))
    } else {
        format!("tumbling {} offset {}", shown(size), shown(offset))
    }
}

/// With its type: the same value as another type is another key.
fn key(step: &WindowStep, plan: &OutputPlan) -> String {
    match (&step.key, plan) {
        (
            Some(name),
            OutputPlan::Windows {
                key: Some((_, ty)), ..
            },
        ) => format!("{name}: {ty}"),
        (name, _) => name.clone().unwrap_or_default(),
    }
}

fn list(fields: &[Field]) -> String {
    let fields: Vec<String> = fields.iter().map(Field::to_string).collect();
    fields.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn windows_have_one_text_however_long_they_are() {
        let tumbling = |size, offset| {
            window(Window::Tumbling {
                size: Duration::from_millis(size),
                offset: Duration::from_millis(offset),
            })
        };
        assert_eq!(tumbling(60_000, 0), "tumbling 1m");
        assert_eq!(tumbling(90_000, 0), "tumbling 1m 30s");
        assert_eq!(tumbling(1, 0), "tumbling 1ms");
        let day = 24 * 3_600_000;
        assert_eq!(tumbling(day, day - 7_200_000), "tumbling 24h offset 22h");
    }
}
