//! `millstream dead-letters replay`: puts dead letters back into the source of their pipeline, or runs one locally.

use std::io::{self, Write};
use std::path::PathBuf;

use super::client::Client;
use super::local;
use super::pipelines::{PipelineName, json};
use crate::cli::Failure;
use crate::cli::out::{self, Format};
use crate::service::{ReplayRequest, ReplayView};

/// Put dead letters back into the source of their pipeline, each once however often it is asked
///
/// The records go to the partitions that they came from, with their keys and times. With --local nothing is put back: the
/// record is run here, through the component that refused it, and what that says is shown. Exit code 0: it went through; 3: the
/// component failed or refused the record; 1: the record could not be decoded.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["offset", "reason", "all"]))]
pub(super) struct Args {
    /// The pipeline
    pipeline: PipelineName,
    /// The partition of the dead-letter topic
    #[arg(long, value_name = "P", requires = "offset", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// The offset there
    #[arg(long, value_name = "O", requires = "partition", value_parser = clap::value_parser!(i64).range(0..))]
    offset: Option<i64>,
    /// Those whose reason has this text in it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// All that there are
    #[arg(long)]
    all: bool,
    /// Put nothing back, and run the record here
    #[arg(long, requires = "offset")]
    local: bool,
    /// With --local: a component that the service's registry does not have; it is taken for the step whose digest it has
    #[arg(long, value_name = "FILE.wasm", requires = "local")]
    plugin: Vec<PathBuf>,
}

pub(super) fn run(args: &Args, client: &Client, format: Format) -> Result<(), Failure> {
    let name = &args.pipeline;
    let place = args.partition.zip(args.offset);
    if let Some((partition, offset)) = place.filter(|_| args.local) {
        return local::run(name, partition, offset, &args.plugin, client, format);
    }
    let mut request = ReplayRequest {
        at: place.map(|(partition, offset)| format!("{partition}/{offset}")),
        reason: args.reason.clone(),
        all: args.all,
        next: None,
    };
    let mut all = ReplayView::default();
    loop {
        let path = format!("/v1/pipelines/{name}/dead-letters/replay");
        let view: ReplayView = client.post_json(&path, &request)?;
        all.replayed += view.replayed;
        all.already += view.already;
        all.left_out += view.left_out;
        all.left_out_first.extend(view.left_out_first);
        match view.next {
            None => break,
            next => request.next = next,
        }
    }
    out::stdout(|out| match format {
        Format::Json => json(&all, out),
        Format::Text => show(&all, out),
    })
}

fn show(view: &ReplayView, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "put back  {}", view.replayed)?;
    writeln!(out, "before    {}", view.already)?;
    writeln!(out, "left out  {}", view.left_out)?;
    for left_out in &view.left_out_first {
        writeln!(out, "  {}: {}", left_out.at, left_out.why.escape_debug())?;
    }
    Ok(())
}
