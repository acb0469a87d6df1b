//! `millstream dead-letters replay --local`: the record of a dead letter, run here through its pipeline as it was: on a log in memory, with
//! the component that refused it. The same code decodes it, runs the steps and finds the row, so it says the same.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::client::Client;
use super::pipelines::{PipelineName, json};
use crate::cli::Failure;
use crate::cli::out::{self, Format};
use crate::format::hex;
use crate::log::embedded::EmbeddedLog;
use crate::log::{Fetched, Log as _, Outbox, Reader as _, RecordParts, TopicSpec, Writer as _};
use crate::pipeline::config::{self, OnError, PipelineConfig};
use crate::pipeline::{Pipeline, topics};
use crate::plugin::PluginEngine;
use crate::service::{DeadLetter, PipelineView};
use crate::state::InstanceFolder;
use crate::time::{SystemClock, Timestamp};
use crate::worker::{Rollout, Team};

/// How the run ended, for programs.
#[derive(serde::Serialize)]
struct Outcome {
    /// Whether the record was refused again.
    refused: bool,
    /// What was said when it was dead-lettered.
    then: String,
    /// What is said now.
    now: Option<String>,
}

pub(super) fn run(
    name: &PipelineName,
    partition: i32,
    offset: i64,
    files: &[PathBuf],
    client: &Client,
    format: Format,
) -> Result<(), Failure> {
    let pipeline = format!("/v1/pipelines/{name}");
    let letter: DeadLetter =
        client.get(&format!("{pipeline}/dead-letters/{partition}/{offset}"))?;
    let view: PipelineView = client.get(&pipeline)?;
    let text = client.bytes(&format!("{pipeline}/file"))?;
    let text = String::from_utf8_lossy(&text);
    let environment = |name: &str| std::env::var(name).ok();
    let mut config = config::parse(&text, &environment, &|file| std::fs::read_to_string(file))?;

    let folder = tempfile::tempdir()?;
    let components = Components {
        given: given(files)?,
        folder: folder.path(),
        client,
    };
    for function in config.functions_mut() {
        let step = view.steps.iter().find(|step| step.name == function.name);
        let (reference, sha256) = match (letter.step == function.name, step) {
            (true, _) => (letter.plugin.as_deref(), letter.sha256.as_deref()),
            (false, Some(step)) => (Some(&*step.plugin), Some(&*step.sha256)),
            (false, None) => (None, None),
        };
        let (Some(reference), Some(sha256)) = (reference, sha256) else {
            return Err(Failure::Usage(format!(
                "the service does not know the component of step {} yet: start the pipeline once",
                function.name
            )));
        };
        function.component = components.find(&function.name, reference, sha256)?;
        // However the pipeline goes on after it: here it is to be heard.
        function.on_error = OnError::DeadLetter;
    }
    if letter.step != "decode" && config.functions_mut().all(|step| step.name != letter.step) {
        return Err(Failure::Usage(format!(
            "the pipeline has no step {} any more: what refused the record is gone",
            letter.step
        )));
    }
    let now = rerun(config, &letter, folder.path())?;
    let outcome = Outcome {
        refused: now.is_some(),
        then: letter.reason.clone(),
        now: now.clone(),
    };
    out::stdout(|out| match format {
        Format::Json => json(&outcome, out),
        Format::Text => {
            writeln!(out, "then      {}", letter.reason.escape_debug())?;
            match &now {
                None => writeln!(out, "now       it goes through"),
                Some(now) => writeln!(out, "now       {}", now.escape_debug()),
            }
        }
    })?;
    match now {
        None => Ok(()),
        Some(why) if letter.step == "decode" => Err(Failure::Other(anyhow::anyhow!(why))),
        Some(why) => Err(Failure::Plugin(format!("step {}: {why}", letter.step))),
    }
}

/// Where components come from.
struct Components<'a> {
    /// Files by their digests.
    given: BTreeMap<String, PathBuf>,
    folder: &'a Path,
    client: &'a Client,
}

impl Components<'_> {
    /// The component of this digest: one that was given, or the registry's.
    fn find(&self, step: &str, reference: &str, sha256: &str) -> Result<PathBuf, Failure> {
        if let Some(file) = self.given.get(sha256) {
            return Ok(file.clone());
        }
        let advice = format!("give the one with sha256 {sha256} as --plugin FILE.wasm");
        let bytes = self
            .client
            .bytes(&format!("/v1/plugins/{reference}/component"))
            .map_err(|failure| match failure {
                Failure::Usage(why) => Failure::Usage(format!("step {step}: {why}; or {advice}")),
                other => other,
            })?;
        let came = hex(&Sha256::digest(&bytes));
        if came != sha256 {
            return Err(Failure::Usage(format!(
                "step {step}: {reference} of the registry is another component now (sha256 {came}): {advice}"
            )));
        }
        let file = self.folder.join(format!("{sha256}.wasm"));
        std::fs::write(&file, bytes)?;
        Ok(file)
    }
}

fn given(files: &[PathBuf]) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut given = BTreeMap::new();
    for file in files {
        let bytes = std::fs::read(file)
            .map_err(|error| Failure::Usage(format!("--plugin {}: {error}", file.display())))?;
        given.insert(hex(&Sha256::digest(&bytes)), file.clone());
    }
    Ok(given)
}

/// Runs the record through the pipeline. Returns why it was refused, if it was.
fn rerun(
    mut config: PipelineConfig,
    letter: &DeadLetter,
    folder: &Path,
) -> Result<Option<String>, Failure> {
    let source = letter
        .source
        .split('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let timestamp: jiff::Timestamp = letter.timestamp.parse().map_err(anyhow::Error::from)?;
    let bytes = |text: &Option<String>, base64: &Option<String>| match (text, base64) {
        (Some(text), _) => Ok(Some(text.clone().into_bytes())),
        (None, Some(base64)) => STANDARD.decode(base64).map(Some),
        (None, None) => Ok(None),
    };
    let key = bytes(&letter.key, &letter.key_base64).map_err(anyhow::Error::from)?;
    let value = bytes(&letter.value, &letter.value_base64).map_err(anyhow::Error::from)?;

    config.source.topics = vec![source.clone()];
    config.log.create_topics = Some(1);
    config.workers = 1;
    config.state.folder = folder.join("state");
    let log = EmbeddedLog::in_memory();
    log.create_topic(&TopicSpec {
        name: source.clone(),
        partitions: 1,
        settings: BTreeMap::new(),
    })?;
    topics::ensure(&config, &log)?;
    let mut outbox = Outbox::new();
    outbox.push(
        &source.into(),
        RecordParts {
            partition: Some(0),
            timestamp: Timestamp(timestamp.as_millisecond()),
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &[],
        },
    );
    log.writer()?.append(&outbox)?;
    let engine = PluginEngine::new()?;
    let pipeline = Pipeline::prepare(config, &engine)?;
    let config = pipeline.config();
    let claimed = InstanceFolder::claim(&config.state.folder, &config.name)?;
    let team = Team::new(1, Arc::new(AtomicBool::new(false))).until_end();
    team.run(
        &Rollout::fixed(pipeline.clone()),
        &engine,
        &log,
        &SystemClock::new(),
        &claimed,
        None,
    )?;

    let mut reader = log.reader(&config.dead_letter_topic, &[])?;
    let mut fetched = Fetched::new();
    reader.poll(&mut fetched, Duration::ZERO)?;
    let refused = fetched.batches().find(|batch| !batch.is_empty());
    let reason = refused.map(|batch| {
        let reason = batch
            .headers(0)
            .find(|header| header.name == "millstream.reason");
        reason.map_or_else(String::new, |reason| {
            String::from_utf8_lossy(reason.value).into_owned()
        })
    });
    Ok(reason)
}
