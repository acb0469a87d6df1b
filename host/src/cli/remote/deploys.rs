//! `millstream deploy`, `deploys` and `rollback`: other components for the steps of pipelines that run.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Service;
use super::client::Client;
use super::pipelines::{PipelineName, json};
use super::plugins::{Component, Told};
use crate::cli::Failure;
use crate::cli::out::{self, Format};
use crate::control::{DeployView, Outcome};
use crate::plugin::Reference;
use crate::server::{DeployList, Kind, Manner, NewDeploy};
use crate::time::{Clock as _, SystemClock};

/// How often a file is looked at that is watched.
const LOOK: Duration = Duration::from_millis(200);
/// How often a deploy is asked after.
const ASK: Duration = Duration::from_millis(250);

/// Deploy a component into a pipeline that runs
///
/// It takes the place of the step's component at a commit: each row goes through one version, and nothing is lost or counted
/// twice. For a while afterwards it is watched, and taken back by itself if it fails. The token is that of the environment
/// variable MILLSTREAM_TOKEN.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    service: Service,
    /// The pipeline
    pipeline: PipelineName,
    /// The step whose component is to be another
    step: String,
    /// A component file, or a plugin that was pushed, as name@version
    #[arg(value_name = "FILE.wasm|NAME@VERSION")]
    component: PathBuf,
    /// Let it have this share of the partitions first, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=99), conflicts_with = "shadow")]
    canary: Option<u8>,
    /// After so long a canary takes all
    #[arg(long = "for", value_name = "SECONDS", requires = "canary")]
    seconds: Option<u64>,
    /// After so many rows a canary takes all
    #[arg(long, value_name = "N", requires = "canary")]
    rows: Option<u64>,
    /// Run it beside the one that runs first, and only compare what comes of it
    #[arg(long)]
    shadow: bool,
    /// After so many equal windows in a row a shadow takes the place
    #[arg(long, value_name = "N", requires = "shadow")]
    windows: Option<u64>,
    /// For how many seconds it is watched once it is in place [default: 60]
    #[arg(long, value_name = "SECONDS")]
    watch_for: Option<u64>,
    /// How much larger the share of rows in error may be than before [default: 0.01]
    #[arg(long, value_name = "SHARE")]
    more_errors: Option<f64>,
    /// How many times as long a row may take [default: 5]
    #[arg(long, value_name = "TIMES")]
    slower: Option<f64>,
    /// At how many rows it may trap or exceed its limits while it is watched [default: 0]
    #[arg(long, value_name = "N")]
    failures: Option<u32>,
    /// Do not wait until it is in place
    #[arg(long)]
    no_wait: bool,
    /// Deploy the file again whenever it changes, until Ctrl-C
    #[arg(long, conflicts_with = "no_wait")]
    watch: bool,
}

/// Look after the deploys of a pipeline
///
/// The token is that of the environment variable MILLSTREAM_TOKEN.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DeploysArgs {
    #[command(flatten)]
    service: Service,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all deploys of a pipeline, the latest first
    List {
        /// The pipeline
        pipeline: PipelineName,
    },
    /// Show a deploy
    Show(One),
    /// Show a deploy again whenever something has become of it, until nothing more can
    Watch(One),
    /// Let a canary or shadow take the place
    Promote(One),
    /// Take a deploy back that is under way or being watched
    Abort(One),
}

#[derive(Debug, clap::Args)]
struct One {
    /// The pipeline
    pipeline: PipelineName,
    /// The deploy's number
    id: u64,
}

/// Put back what a step had before the last deploy
///
/// As a deploy like any other. The token is that of the environment variable MILLSTREAM_TOKEN.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RollbackArgs {
    #[command(flatten)]
    service: Service,
    /// The pipeline
    pipeline: PipelineName,
    /// The step
    step: String,
}

impl One {
    fn path(&self) -> String {
        format!("/v1/pipelines/{}/deploys/{}", self.pipeline, self.id)
    }
}

pub(in crate::cli) fn deploy(args: &Args) -> Result<(), Failure> {
    let client = Client::new(&args.service)?;
    if !args.watch {
        return deploy_once(&client, args);
    }
    let mut seen = None;
    loop {
        let now = changed(&args.component)?;
        if seen == Some(now) {
            SystemClock::new().pause(LOOK);
            continue;
        }
        seen = Some(now);
        // Whoever watches mends the file and saves again.
        if let Err(failure) = deploy_once(&client, args) {
            out::error(&failure);
        }
    }
}

/// When a file was last written, and how long it is.
fn changed(file: &Path) -> Result<(SystemTime, u64), Failure> {
    let told = |error: io::Error| Failure::Usage(format!("{}: {error}", file.display()));
    let about = std::fs::metadata(file).map_err(told)?;
    Ok((about.modified().map_err(told)?, about.len()))
}

fn deploy_once(client: &Client, args: &Args) -> Result<(), Failure> {
    let manner = Manner {
        strategy: match (args.canary, args.shadow) {
            (Some(_), _) => Kind::Canary,
            (None, true) => Kind::Shadow,
            (None, false) => Kind::Immediate,
        },
        percent: args.canary,
        seconds: args.seconds,
        rows: args.rows,
        windows: args.windows,
        watch_seconds: args.watch_for,
        more_errors: args.more_errors,
        slower: args.slower,
        failures: args.failures,
    };
    let view = match Reference::of_component(&args.component) {
        Some(reference) => {
            let new = NewDeploy {
                step: args.step.clone(),
                plugin: reference.to_string(),
                manner,
            };
            let body = serde_json::to_vec(&new).map_err(|error| Failure::Other(error.into()))?;
            let path = format!("/v1/pipelines/{}/deploys", args.pipeline);
            client.post(
                &path,
                "application/json",
                body.as_slice(),
                body.len() as u64,
            )?
        }
        None => send(client, args, &manner).map_err(|error| match error {
            Told::File(error) => Failure::Usage(format!("{}: {error}", args.component.display())),
            Told::Failure(failure) => failure,
        })?,
    };
    let format = args.service.output;
    let is_in_place = |view: &DeployView| view.outcome == Outcome::OnTrial;
    if args.no_wait || is_in_place(&view) || view.outcome.is_over() {
        return shown(&view, format);
    }
    let one = One {
        pipeline: args.pipeline.clone(),
        id: view.id,
    };
    follow(client, &one, format, is_in_place)
}

fn send(client: &Client, args: &Args, manner: &Manner) -> Result<DeployView, Told> {
    let component = Component::open(&args.component).map_err(Told::File)?;
    let query = serde_urlencoded::to_string(manner)
        .map_err(|error| Told::Failure(Failure::Other(error.into())))?;
    let path = format!(
        "/v1/pipelines/{}/steps/{}/component?sha256={}&{query}",
        args.pipeline, args.step, component.sha256
    );
    component.post(client, &path).map_err(Told::Failure)
}

pub(in crate::cli) fn deploys(args: &DeploysArgs) -> Result<(), Failure> {
    let client = Client::new(&args.service)?;
    let format = args.service.output;
    let view: DeployView = match &args.command {
        Command::List { pipeline } => {
            let list: DeployList = client.get(&format!("/v1/pipelines/{pipeline}/deploys"))?;
            return out::stdout(|out| {
                list.deploys
                    .iter()
                    .try_for_each(|view| line(view, format, out))
            });
        }
        Command::Watch(one) => return follow(&client, one, format, |_| false),
        Command::Show(one) => client.get(&one.path())?,
        Command::Promote(one) => asked(&client, &format!("{}/promote", one.path()))?,
        Command::Abort(one) => asked(&client, &format!("{}/abort", one.path()))?,
    };
    shown(&view, format)
}

pub(in crate::cli) fn rollback(args: &RollbackArgs) -> Result<(), Failure> {
    let client = Client::new(&args.service)?;
    let path = format!(
        "/v1/pipelines/{}/steps/{}/rollback",
        args.pipeline, args.step
    );
    shown(&asked(&client, &path)?, args.service.output)
}

fn asked(client: &Client, path: &str) -> Result<DeployView, Failure> {
    client.post(path, "application/json", io::empty(), 0)
}

/// Shows a deploy whenever something has become of it, until nothing more can or `is_enough`. One that was taken back fails.
fn follow(
    client: &Client,
    one: &One,
    format: Format,
    is_enough: impl Fn(&DeployView) -> bool,
) -> Result<(), Failure> {
    let mut last = None;
    loop {
        let view: DeployView = client.get(&one.path())?;
        if last != Some(view.outcome) {
            out::stdout(|out| line(&view, format, out))?;
            last = Some(view.outcome);
        }
        if view.outcome.is_over() || is_enough(&view) {
            return verdict(&view);
        }
        SystemClock::new().pause(ASK);
    }
}

/// One that did not stay in place is a failure of the plugin.
fn verdict(view: &DeployView) -> Result<(), Failure> {
    match view.outcome {
        Outcome::RolledBack | Outcome::Refused => Err(Failure::Plugin(format!(
            "deploy {} of {} was taken back: {}",
            view.id,
            view.to.plugin,
            view.reason.as_deref().unwrap_or("nobody said why")
        ))),
        _ => Ok(()),
    }
}

fn shown(view: &DeployView, format: Format) -> Result<(), Failure> {
    out::stdout(|out| line(view, format, out))
}

fn line(view: &DeployView, format: Format, out: &mut dyn Write) -> io::Result<()> {
    if let Format::Json = format {
        return json(view, out);
    }
    let short = |sha256: &str| sha256.get(..12).unwrap_or(sha256).to_owned();
    let outcome = serde_json::to_value(view.outcome)?;
    let what = if view.is_rollback {
        "rollback"
    } else {
        "deploy"
    };
    let line = format!(
        "{what} {}  {}  {} {} -> {} {}  {}  by {} at {}  {}",
        view.id,
        view.step,
        view.from.plugin,
        short(&view.from.sha256),
        view.to.plugin,
        short(&view.to.sha256),
        outcome.as_str().unwrap_or_default(),
        view.by,
        view.at,
        view.reason.as_deref().unwrap_or_default(),
    );
    writeln!(out, "{}", line.trim_end())
}
