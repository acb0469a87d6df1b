//! What may be asked of a service while it runs: by the API, from any thread.

use std::sync::Arc;

use super::dead_letters::{self, DeadLetter};
use super::entry::Entry;
use super::error::ServiceError;
use super::logs::on_log;
use super::machine::Wanted;
use super::record::{Desired, Record};
use super::replay::{self, ReplayRequest, ReplayView};
use super::results::{self, ResultsView, WantedResults};
use super::supervisor::{Inner, Service, entry, remove_if_over};
use super::view::PipelineView;
use crate::log::Offset;
use crate::pipeline::Pipeline;
use crate::pipeline::config::PipelineConfig;
use crate::plugin::Reference;
use crate::time::Clock as _;

impl Service {
    /// All pipelines, by name.
    pub fn pipelines(&self) -> Vec<PipelineView> {
        let now = self.clock.monotonic();
        let inner = self.lock();
        let entries = inner.entries.iter();
        entries.map(|(name, entry)| entry.view(name, now)).collect()
    }

    /// One pipeline.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn pipeline(&self, name: &str) -> Result<PipelineView, ServiceError> {
        let now = self.clock.monotonic();
        let inner = self.lock();
        let entry = inner.entries.get(name);
        entry
            .map(|entry| entry.view(name, now))
            .ok_or_else(|| ServiceError::Unknown(name.to_owned()))
    }

    /// Takes a pipeline file on. Compiles its components, and starts each function once, before it says yes.
    ///
    /// # Errors
    /// If the file is wrong, its components do not fit, or a pipeline has the name.
    pub fn create(
        self: &Arc<Self>,
        text: &str,
        wanted: Desired,
    ) -> Result<PipelineView, ServiceError> {
        let configured = self.configure_text(text).map_err(ServiceError::Invalid)?;
        let name = configured.config.name.clone();
        // Before the dear part; and again when that is done.
        may_take(&self.lock(), &name)?;
        let pipeline = Pipeline::prepare(configured.config.clone(), &self.engine)
            .map_err(|error| ServiceError::Invalid(error.to_string()))?;
        let mut inner = self.lock();
        may_take(&inner, &name)?;
        for reference in configured.plugins.keys() {
            self.still_there(reference)?;
        }
        let record = Record {
            wanted,
            text: Some(text.to_owned()),
            plugins: configured.plugins,
            reset: None,
        };
        self.records.write(&name, &record)?;
        let mut entry = Entry::new(None, record);
        entry.prepare(pipeline);
        inner.entries.insert(name.clone(), entry);
        tracing::info!(pipeline = name, "created");
        self.want(&mut inner, &name);
        self.shown(&inner, &name)
    }

    /// Lets a pipeline rest: its workers commit what is done and end. Does not wait for that. Once it rests, or is about to, asking
    /// again changes nothing.
    ///
    /// # Errors
    /// If there is none of that name, or the disk refuses.
    pub fn pause(self: &Arc<Self>, name: &str) -> Result<PipelineView, ServiceError> {
        self.ask(name, Desired::Paused)
    }

    /// Lets a pipeline run again, from where it had committed. One that waits after a failure is tried at once.
    ///
    /// # Errors
    /// If there is none of that name, or the disk refuses.
    pub fn resume(self: &Arc<Self>, name: &str) -> Result<PipelineView, ServiceError> {
        self.ask(name, Desired::Running)
    }

    /// Forgets a pipeline that came through the API; its workers commit what is done and end. What is in the log stays: its topics, its
    /// offsets and its state. Does not wait until it has ended.
    ///
    /// # Errors
    /// If there is none of that name, or it has a file in the folder of pipelines.
    pub fn delete(self: &Arc<Self>, name: &str) -> Result<(), ServiceError> {
        let mut inner = self.lock();
        let entry = entry(&mut inner, name)?;
        if let Some(file) = &entry.file {
            return Err(ServiceError::Conflict(format!(
                "{name} is a file of the service's folder of pipelines ({}): pause it, or remove the file",
                file.display()
            )));
        }
        self.records.remove(name)?;
        entry.is_deleted = true;
        self.engine.meters().forget(name);
        tracing::info!(pipeline = name, "deleted");
        let action = entry.machine.want(Wanted::Still, self.clock.monotonic());
        self.act(&mut inner, name, action);
        remove_if_over(&mut inner, name);
        Ok(())
    }

    /// The latest dead letters of a pipeline, at most so many, the latest first, without their values. Reads the log, which takes
    /// seconds if it is away.
    ///
    /// # Errors
    /// If there is no such pipeline, its file is wrong, or its log can't be read.
    pub fn dead_letters(&self, name: &str, most: usize) -> Result<Vec<DeadLetter>, ServiceError> {
        let config = self.config_of(name)?;
        let topic = &config.dead_letter_topic;
        let latest = on_log!(self, config, |log| {
            dead_letters::latest(log, topic, most, &self.clock)
        });
        Ok(latest?)
    }

    /// One dead letter of a pipeline, with its value. Reads the log, which takes seconds if it is away.
    ///
    /// # Errors
    /// If there is no such pipeline or dead letter, the pipeline's file is wrong, or its log can't be read.
    pub fn dead_letter(
        &self,
        name: &str,
        partition: i32,
        offset: Offset,
    ) -> Result<DeadLetter, ServiceError> {
        let config = self.config_of(name)?;
        let topic = &config.dead_letter_topic;
        let found = on_log!(self, config, |log| {
            dead_letters::one(log, topic, partition, offset, &self.clock)
        })?;
        found.ok_or_else(|| ServiceError::NoDeadLetter {
            pipeline: name.to_owned(),
            partition,
            offset: offset.0,
        })
    }

    /// The file of a pipeline, as it is written: what it takes from variables is not filled in.
    ///
    /// # Errors
    /// If there is none of that name, or its file can't be read.
    pub fn text(&self, name: &str) -> Result<String, ServiceError> {
        let (file, text) = {
            let mut inner = self.lock();
            let entry = entry(&mut inner, name)?;
            (entry.file.clone(), entry.record.text.clone())
        };
        match file {
            Some(file) => std::fs::read_to_string(&file)
                .map_err(|error| ServiceError::Conflict(format!("{}: {error}", file.display()))),
            None => Ok(text.unwrap_or_default()),
        }
    }

    /// What a pipeline has published of late. Reads the log, which takes seconds if it is away.
    ///
    /// # Errors
    /// If there is no such pipeline, its file is wrong, it has no such results, or its log can't be read.
    pub fn results(&self, name: &str, wanted: &WantedResults) -> Result<ResultsView, ServiceError> {
        let config = self.config_of(name)?;
        on_log!(self, config, |log| results::read(
            log,
            &config,
            wanted,
            &self.clock
        ))
    }

    /// Puts dead letters of a pipeline back into its source, each once however often it is asked. Reads and writes the log, for as long
    /// as a request may take; what is left is told.
    ///
    /// # Errors
    /// If there is no such pipeline or dead letter, its file is wrong, another replay was begun meanwhile, or its log does not answer.
    pub fn replay(&self, name: &str, request: &ReplayRequest) -> Result<ReplayView, ServiceError> {
        let wanted = request.wanted().map_err(ServiceError::Unfit)?;
        let config = self.config_of(name)?;
        on_log!(self, config, |log| replay::replay(
            log,
            &config,
            &wanted,
            &self.clock
        ))
    }

    pub(super) fn config_of(&self, name: &str) -> Result<PipelineConfig, ServiceError> {
        self.pipeline(name)?;
        let configured = self.configure(name);
        configured
            .map(|configured| configured.config)
            .map_err(|failure| ServiceError::Conflict(failure.message))
    }

    /// Takes a plugin away that no pipeline names.
    ///
    /// # Errors
    /// If there is none, or a pipeline names it.
    pub fn delete_plugin(&self, reference: &Reference) -> Result<(), ServiceError> {
        // Held until it is gone, so that no pipeline is created with it meanwhile.
        let inner = self.lock();
        let text = reference.to_string();
        let users: Vec<&str> = inner
            .entries
            .iter()
            .filter(|(_, entry)| entry.uses(&text))
            .map(|(name, _)| name.as_str())
            .collect();
        if !users.is_empty() {
            return Err(ServiceError::Conflict(format!(
                "{text} is a plugin of {}: delete the pipeline first",
                users.join(", ")
            )));
        }
        self.registry.delete(reference)?;
        tracing::info!(plugin = text, "deleted");
        Ok(())
    }

    fn ask(self: &Arc<Self>, name: &str, wanted: Desired) -> Result<PipelineView, ServiceError> {
        let mut inner = self.lock();
        if inner.is_ending {
            return Err(ServiceError::Ending);
        }
        let entry = entry(&mut inner, name)?;
        let record = Record {
            wanted,
            ..entry.record.clone()
        };
        self.records.write(name, &record)?;
        entry.record = record;
        tracing::info!(pipeline = name, ?wanted, "asked");
        self.want(&mut inner, name);
        self.shown(&inner, name)
    }

    pub(super) fn still_there(&self, reference: &str) -> Result<(), ServiceError> {
        let reference: Reference = reference
            .parse()
            .map_err(|error| ServiceError::Invalid(format!("{reference}: {error}")))?;
        self.registry.get(&reference)?;
        Ok(())
    }

    pub(super) fn shown(&self, inner: &Inner, name: &str) -> Result<PipelineView, ServiceError> {
        let entry = inner.entries.get(name);
        let entry = entry.ok_or_else(|| ServiceError::Unknown(name.to_owned()))?;
        Ok(entry.view(name, self.clock.monotonic()))
    }
}

/// Whether a pipeline of this name may be taken on.
fn may_take(inner: &Inner, name: &str) -> Result<(), ServiceError> {
    match inner.entries.get(name) {
        _ if inner.is_ending => Err(ServiceError::Ending),
        None => Ok(()),
        Some(entry) if entry.is_deleted => Err(ServiceError::Conflict(format!(
            "{name} is being deleted: try again in a moment"
        ))),
        Some(_) => Err(ServiceError::Conflict(format!(
            "there is a pipeline {name} already: delete it first, or give this one another name"
        ))),
    }
}
