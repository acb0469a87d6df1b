//! Whether a component may take another's place in a pipeline that runs: what is there must make sense to it. Pure.

use crate::pipeline::Pipeline;
use crate::pipeline::config::Output;
use crate::pipeline::shape::shape;
use crate::state::Stages;
use crate::worker::keeps_results;

/// How state gets from one version to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fit {
    /// Whether it has to be carried over to another version of the function's state.
    pub(super) migrates: bool,
    /// Whether the version before could go on with it afterwards.
    pub(super) can_return: bool,
}

/// Whether `new` can go on where `running` is.
///
/// # Errors
/// What differs, each a sentence for who deploys.
pub(super) fn fit(running: &Pipeline, new: &Pipeline) -> Result<Fit, Vec<String>> {
    // How many stages and tasks there are depends on the file and the source alone.
    let of = |pipeline: &Pipeline| shape(pipeline, Stages::One, 1);
    let (was, mut is) = (of(running), of(new));
    let last = |pipeline: &Pipeline| {
        let function = pipeline.functions().last();
        function.map(|function| function.plugin().clone())
    };
    let (Output::Windows(step), Some(old), Some(fresh)) =
        (&running.config().output, last(running), last(new))
    else {
        return Ok(Fit {
            migrates: false,
            can_return: true,
        });
    };
    let migrates = was.state_version != is.state_version;
    if migrates && fresh.migrates_from().contains(&was.state_version) {
        is.state_version = was.state_version;
    }
    let mut differences = was.differences(&is);
    if migrates && is.state_version != was.state_version {
        differences.push(format!(
            "{} does not say how state of version {} is carried over: give it a `migrate`",
            fresh.who(),
            was.state_version
        ));
    }
    if keeps_results(step) && old.produces() != fresh.produces() {
        let list = |fields: &[crate::rows::Field]| {
            let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
            fields.join(", ")
        };
        differences.push(format!(
            "results of this step may be revised, and had the fields {}, now {}",
            list(old.produces()),
            list(fresh.produces())
        ));
    }
    match differences.is_empty() {
        false => Err(differences),
        true => Ok(Fit {
            migrates,
            can_return: !migrates || old.migrates_from().contains(&fresh.state_version()),
        }),
    }
}
