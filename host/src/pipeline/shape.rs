//! What a pipeline's state depends on, from what the pipeline is.

use super::Pipeline;
use super::config::{Output, WindowStep, WindowStepKind};
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
        window: step.window.to_string(),
        key: key(step, &pipeline.plan().output),
        reads: match step.kind {
            // An aggregate keeps what it made of the rows.
            WindowStepKind::Aggregate => String::new(),
            WindowStepKind::WindowApply => list(plugin.reads()),
        },
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
