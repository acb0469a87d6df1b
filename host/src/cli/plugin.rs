//! `millstream plugin`: what a component says of itself, and whether it gives what its sample expects.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use indicatif::MultiProgress;

use super::{Failure, code, logs, out, signing};
use crate::pipeline::config::defaults;
use crate::plugin::Plugin;
use crate::rows::Field;
use crate::sample::{self, Run, Sample};

/// Look at a component, try it on its sample, or sign it
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Inspect(Inspect),
    Test(Test),
    Keygen(signing::Keygen),
    Sign(signing::Sign),
}

/// Show what a component is and which rows it takes and gives
///
/// The component is admitted as in a pipeline, so one that is shown here is one that loads.
#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
}

/// Run a component on its sample
///
/// Puts the records of the sample through the component, under the limits that a pipeline has where its file sets none, and
/// compares what comes out with what the sample expects. An aggregate is run twice: on all records at once, and in two
/// halves whose partials are merged. Exit code 0: as expected; 1: not, and each line that differs is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Test {
    /// The plugin's folder
    #[arg(value_name = "PATH")]
    folder: PathBuf,
    /// The component; by default the one named like the folder that `cargo xtask plugins` has built
    #[arg(long, value_name = "FILE.wasm")]
    component: Option<PathBuf>,
    /// The sample; by default `sample` in the plugin's folder
    #[arg(long, value_name = "DIR")]
    sample: Option<PathBuf>,
    /// Where components are looked for first
    #[arg(long, value_name = "DIR", env = "MILLSTREAM_PLUGINS")]
    plugins: Option<PathBuf>,
}

pub(super) fn run(
    command: &Command,
    logs: &logs::Options,
    code: &code::Options,
) -> Result<(), Failure> {
    logs::start(logs, &MultiProgress::new())?;
    match command {
        Command::Inspect(args) => inspect(args, code),
        Command::Test(args) => test(args, code),
        Command::Keygen(args) => signing::keygen(args),
        Command::Sign(args) => signing::sign(args, &code.engine()?),
    }
}

fn inspect(args: &Inspect, code: &code::Options) -> Result<(), Failure> {
    let engine = code.engine()?;
    let plugin = Plugin::load(&engine, &args.file, defaults::LIMITS.into())?;
    let size = std::fs::metadata(&args.file)?.len();
    out::stdout(|out| describe(&plugin, size, out))
}

fn describe(plugin: &Plugin, size: u64, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "name           {}", plugin.name())?;
    writeln!(out, "version        {}", plugin.version())?;
    writeln!(out, "kind           {}", plugin.kind().world())?;
    writeln!(out, "sha256         {}", plugin.digest())?;
    writeln!(out, "size           {size} bytes ({})", ByteSize(size))?;
    fields("reads", plugin.reads(), out)?;
    fields("produces", plugin.produces(), out)?;
    let versions = plugin.migrates_from();
    writeln!(
        out,
        "state version  {}",
        state_version(plugin.state_version(), versions)
    )
}

/// The version of an aggregate's partials, and those that it can migrate.
pub(super) fn state_version(own: u32, migrates_from: &[u32]) -> String {
    if migrates_from.is_empty() {
        return own.to_string();
    }
    let versions: Vec<String> = migrates_from.iter().map(u32::to_string).collect();
    format!("{own}, migrates from {}", versions.join(", "))
}

/// One field a line.
fn fields(what: &str, fields: &[Field], out: &mut dyn Write) -> io::Result<()> {
    if fields.is_empty() {
        return writeln!(out, "{what:<15}nothing");
    }
    for (at, field) in fields.iter().enumerate() {
        let what = if at == 0 { what } else { "" };
        writeln!(out, "{what:<15}{field}")?;
    }
    Ok(())
}

fn test(args: &Test, code: &code::Options) -> Result<(), Failure> {
    let folder = args
        .folder
        .canonicalize()
        .map_err(|error| Failure::Usage(format!("{}: {error}", args.folder.display())))?;
    let component = match &args.component {
        Some(file) => file.clone(),
        None => find_component(&folder, args.plugins.as_deref())?,
    };
    let sample = sample::load(args.sample.as_deref().unwrap_or(&folder.join("sample")))?;
    let engine = code.engine()?;
    let limits = defaults::LIMITS.into();
    let plugin = Plugin::load(&engine, &component, limits)?;
    let runs = sample::run(&engine, &plugin, limits, &sample)?;
    out::stdout(|out| {
        runs.iter()
            .try_for_each(|run| tell(&plugin, &sample, run, out))
    })?;
    let failed = |run: &&Run| run.outcome != sample.expected;
    match runs.iter().filter(failed).count() {
        0 => Ok(()),
        _ => Err(Failure::Other(anyhow::anyhow!(
            "{} does not give what its sample expects (- expected, + came)",
            component.display()
        ))),
    }
}

/// One line, and one more for each difference.
fn tell(plugin: &Plugin, sample: &Sample, run: &Run, out: &mut dyn Write) -> io::Result<()> {
    let differences = run.outcome.differences(&sample.expected);
    let verdict = if differences.is_empty() {
        "PASS"
    } else {
        "FAIL"
    };
    writeln!(
        out,
        "{verdict} {} {}: {} records in, {} rows out, {} refused",
        plugin.who(),
        run.way,
        sample.input.len(),
        run.outcome.rows.len(),
        run.outcome.refused.len()
    )?;
    differences
        .iter()
        .try_for_each(|line| writeln!(out, "  {line}"))
}

fn find_component(folder: &Path, plugins: Option<&Path>) -> Result<PathBuf, Failure> {
    let candidates = candidates(folder, plugins);
    let found = candidates.iter().find(|file| file.is_file());
    found.cloned().ok_or_else(|| {
        Failure::Usage(format!(
            "there is no component for {}: build it with `cargo xtask plugins`, or name it with --component",
            folder.display()
        ))
    })
}

/// Where the component of a plugin's folder may be: among the plugins named, or in `target/plugins` of a workspace
/// around the folder.
fn candidates(folder: &Path, plugins: Option<&Path>) -> Vec<PathBuf> {
    let Some(name) = folder.file_name() else {
        return Vec::new();
    };
    let built = folder.ancestors().map(|root| root.join("target/plugins"));
    plugins
        .map(Path::to_owned)
        .into_iter()
        .chain(built)
        .map(|plugins| {
            let mut file = name.to_owned();
            file.push(".wasm");
            plugins.join(file)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_looked_for_where_it_is_named_and_then_around_its_folder() {
        let folder = Path::new("/w/plugins/revenue");
        let named = candidates(folder, Some(Path::new("/elsewhere")));
        let expected = [
            "/elsewhere/revenue.wasm",
            "/w/plugins/revenue/target/plugins/revenue.wasm",
            "/w/plugins/target/plugins/revenue.wasm",
            "/w/target/plugins/revenue.wasm",
            "/target/plugins/revenue.wasm",
        ];
        assert_eq!(named, expected.map(PathBuf::from));
        assert_eq!(
            candidates(folder, None),
            expected[1..].iter().map(PathBuf::from).collect::<Vec<_>>()
        );
        assert!(candidates(Path::new("/"), None).is_empty());
    }
}
