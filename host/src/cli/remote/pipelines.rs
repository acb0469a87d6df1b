//! `millstream pipelines`: the pipelines of a service.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::client::Client;
use super::{Service, reset};
use crate::cli::Failure;
use crate::cli::out::{self, Format};
use crate::server::PipelineList;
use crate::service::PipelineView;

/// Look after the pipelines of a running service
///
/// The token is that of the environment variable MILLSTREAM_TOKEN.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    service: Service,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all pipelines
    List,
    /// Show a pipeline
    Show(Named),
    /// Create a pipeline from a file, whose plugins are named as name@version
    Create(Create),
    /// Put another file in the place of a pipeline's; its state goes on, or it is refused
    Update(Update),
    /// Let a pipeline commit what is done and rest, also over restarts
    Pause(Named),
    /// Let a pipeline run again; one that waits after a failure is tried at once
    Resume(Named),
    /// Let a pipeline forget what it knows and begin elsewhere, and wait until it has
    Reset(reset::Args),
    /// Forget a pipeline; its topics, offsets and state stay in the log
    Delete(Named),
}

#[derive(Debug, clap::Args)]
struct Named {
    /// The pipeline
    name: PipelineName,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The pipeline file
    #[arg(value_name = "PIPELINE.toml")]
    file: PathBuf,
    /// Do not run it until it is resumed
    #[arg(long)]
    paused: bool,
}

#[derive(Debug, clap::Args)]
struct Update {
    /// The pipeline
    name: PipelineName,
    /// The pipeline file
    #[arg(value_name = "PIPELINE.toml")]
    file: PathBuf,
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let client = Client::new(&args.service)?;
    let format = args.service.output;
    let asked = |name: &PipelineName, what: &str| {
        client.post(
            &format!("/v1/pipelines/{name}/{what}"),
            "application/json",
            io::empty(),
            0,
        )
    };
    let view: PipelineView = match &args.command {
        Command::List => {
            let list: PipelineList = client.get("/v1/pipelines")?;
            return out::stdout(|out| show_list(&list.pipelines, format, out));
        }
        Command::Delete(named) => {
            return client.delete(&format!("/v1/pipelines/{}", named.name));
        }
        Command::Show(named) => client.get(&format!("/v1/pipelines/{}", named.name))?,
        Command::Pause(named) => asked(&named.name, "pause")?,
        Command::Resume(named) => asked(&named.name, "resume")?,
        Command::Reset(args) => return reset::run(args, &client, format),
        Command::Update(Update { name, file }) => {
            let path = format!("/v1/pipelines/{name}");
            client.put(&path, "application/toml", &read(file)?)?
        }
        Command::Create(args) => {
            let text = read(&args.file)?;
            let path = format!("/v1/pipelines?paused={}", args.paused);
            client.post(
                &path,
                "application/toml",
                text.as_slice(),
                text.len() as u64,
            )?
        }
    };
    out::stdout(|out| match format {
        Format::Text => show(&view, out),
        Format::Json => json(&view, out),
    })
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| {
        let file = file.display();
        Failure::Usage(format!("can't read the pipeline file {file}: {error}"))
    })
}

/// The name of a pipeline: it becomes a part of a path.
#[derive(Clone, Debug)]
pub(super) struct PipelineName(String);

impl FromStr for PipelineName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A file of the service's folder may have any name; one that can't be asked for is renamed.
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        if !text.is_empty() && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected letters, digits, hyphens and underscores")
        }
    }
}

impl fmt::Display for PipelineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One JSON value a line.
pub(super) fn json(value: &impl serde::Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

fn show_list(pipelines: &[PipelineView], format: Format, out: &mut dyn Write) -> io::Result<()> {
    let width = pipelines.iter().map(|view| view.name.len()).max();
    let width = width.unwrap_or_default();
    for view in pipelines {
        match format {
            Format::Json => json(view, out)?,
            Format::Text => {
                let lag = view
                    .lag_records
                    .map_or("?".to_owned(), |lag| lag.to_string());
                let why = view
                    .failure
                    .as_ref()
                    .map(|failure| failure.message.as_str());
                let why = why.and_then(|why| why.lines().next()).unwrap_or_default();
                let line = format!(
                    "{:width$}  {:<11}  records {}  results {}  lag {lag}  {why}",
                    view.name,
                    view.state.name(),
                    view.progress.records,
                    view.progress.results,
                );
                writeln!(out, "{}", line.trim_end())?;
            }
        }
    }
    Ok(())
}

fn show(view: &PipelineView, out: &mut dyn Write) -> io::Result<()> {
    let mut line = |what: &str, value: &str| writeln!(out, "{what:<14}{value}");
    line("name", &view.name)?;
    let state = view.state.name();
    match &view.detail {
        None => line("state", state)?,
        Some(detail) => line("state", &format!("{state}: {detail}"))?,
    }
    if let Some(failure) = &view.failure {
        line("failed", &failure.message)?;
        let again = failure
            .next_in_seconds
            .map_or(String::new(), |seconds| format!(", again in {seconds:.0}s"));
        line(
            "",
            &format!("at {}, {} in a row{again}", failure.at, failure.in_a_row),
        )?;
    }
    if let Some(refused) = &view.refused {
        line("refused", refused)?;
    }
    if let Some(reset) = &view.reset {
        let become_of_it = match (&reset.failure, reset.done) {
            (Some(failure), _) => failure,
            (None, true) => "done",
            (None, false) => "under way",
        };
        line("reset", &format!("to {}: {become_of_it}", reset.to))?;
    }
    for (at, step) in view.steps.iter().enumerate() {
        let what = if at == 0 { "steps" } else { "" };
        line(
            what,
            &format!(
                "{}: {} {} {}",
                step.name, step.kind, step.plugin, step.sha256
            ),
        )?;
    }
    if view.generation > 0 {
        line("generation", &view.generation.to_string())?;
    }
    let progress = &view.progress;
    line("records", &progress.records.to_string())?;
    line("results", &progress.results.to_string())?;
    line("windows", &progress.windows_fired.to_string())?;
    line("late", &progress.late.to_string())?;
    line("dead letters", &progress.dead_letters.to_string())?;
    line("commits", &progress.commits.to_string())?;
    if let Some(watermark) = &progress.watermark {
        line("watermark", watermark)?;
    }
    if let Some(lag) = view.lag_records {
        line("lag", &lag.to_string())?;
    }
    Ok(())
}
