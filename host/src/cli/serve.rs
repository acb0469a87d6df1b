//! `millstream serve`: many pipelines, and an HTTP API to look after them.

use std::path::PathBuf;

use indicatif::MultiProgress;

use super::{Failure, code, logs, signals};
use crate::server::Server;
use crate::service::{self, Service};

/// Run many pipelines as a service, with an HTTP API
///
/// Runs the pipeline files of a folder and those created through the API, each with workers of its own. One that fails is started
/// again after a while. What was asked for survives a restart. SIGTERM or Ctrl-C: every pipeline commits what is done, and the
/// process ends with code 0. A second signal ends it at once; nothing is lost either way.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service's file
    #[arg(long, value_name = "MILLSTREAM.toml")]
    config: PathBuf,
    /// Deploy components that are put into this folder as PIPELINE/STEP.wasm
    #[arg(long, value_name = "FOLDER")]
    watch: Option<PathBuf>,
    /// Only check the file
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &Args, logs: &logs::Options, code: &code::Options) -> Result<(), Failure> {
    // First of all, so that a signal while the service starts is an orderly end too.
    let stop = signals::stop_flag()?;
    logs::start(logs, &MultiProgress::new())?;
    let mut config = service::load(&args.config)?;
    if let Some(folder) = &args.watch {
        config.deploys = Some(folder.clone());
    }
    if args.check {
        return Ok(());
    }
    let engine = code.engine_or(Some(&config.data.join("code")))?;
    let service = Service::open(config, engine)?;
    let server = Server::start(&service)?;
    tracing::info!(address = %server.address(), "listening");
    service.run(&stop);
    // Until here it told that it is not ready.
    server.stop();
    tracing::info!("ended");
    Ok(())
}
