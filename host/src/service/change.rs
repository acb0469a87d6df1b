//! A pipeline of the service becomes another: by a new text through the API, or by its file in the folder of pipelines. The new one is
//! admitted as when it is created, and its run takes the place of the old one's after a commit.

use std::sync::Arc;

use super::entry::Entry;
use super::error::ServiceError;
use super::folder::{self, Change};
use super::logs::on_log;
use super::machine::{Phase, Wanted};
use super::prepare::{self, Configured};
use super::record::Record;
use super::supervisor::{Inner, Service, aside, caught, entry, remove_if_over};
use super::view::PipelineView;
use crate::log::{Log, LogError};
use crate::outside::Standing;
use crate::pipeline::Pipeline;
use crate::pipeline::shape::shape;
use crate::state::{Committed, Shape};
use crate::time::Clock;

impl Service {
    /// Replaces the text of a pipeline that came through the API. Compiles its components and asks the log whether the state can follow.
    /// The run that goes on commits and ends; the new one begins where it stood. Does not wait for that.
    ///
    /// # Errors
    /// If there is no such pipeline, it has a file in the folder, the text is wrong or has another name, the state can't follow, or the
    /// log does not say.
    pub fn update(self: &Arc<Self>, name: &str, text: &str) -> Result<PipelineView, ServiceError> {
        self.may_update(&mut self.lock(), name)?;
        let configured = self.configure_text(text).map_err(ServiceError::Invalid)?;
        if configured.config.name != name {
            return Err(ServiceError::Invalid(format!(
                "name: the pipeline is called {}, and {name} is to be replaced: give it that name, or create another pipeline",
                configured.config.name
            )));
        }
        let pipeline = self.follows(&configured)?;
        let mut inner = self.lock();
        self.may_update(&mut inner, name)?;
        for reference in configured.plugins.keys() {
            self.still_there(reference)?;
        }
        let entry = entry(&mut inner, name)?;
        let record = Record {
            text: Some(text.to_owned()),
            plugins: configured.plugins,
            ..entry.record.clone()
        };
        self.records.write(name, &record)?;
        entry.record = record;
        tracing::info!(pipeline = name, "updated");
        self.replace(&mut inner, name, pipeline);
        self.shown(&inner, name)
    }

    fn may_update(&self, inner: &mut Inner, name: &str) -> Result<(), ServiceError> {
        if inner.is_ending {
            return Err(ServiceError::Ending);
        }
        let entry = entry(inner, name)?;
        match &entry.file {
            None => Ok(()),
            Some(file) => Err(ServiceError::Conflict(format!(
                "{name} is a file of the service's folder of pipelines ({}): change the file",
                file.display()
            ))),
        }
    }

    /// A pipeline that is admitted, and for which the state goes on that is there.
    fn follows(&self, configured: &Configured) -> Result<Pipeline, ServiceError> {
        let pipeline = Pipeline::prepare(configured.config.clone(), &self.engine)
            .map_err(|error| ServiceError::Invalid(error.to_string()))?;
        let config = &configured.config;
        let differ = on_log!(self, config, |log| differences(&pipeline, log, &self.clock))?;
        if differ.is_empty() {
            return Ok(pipeline);
        }
        Err(ServiceError::Conflict(format!(
            "the state of {} can't follow: {}: take that back, give the pipeline another name, or reset it after it was deleted \
             and created anew",
            configured.config.name,
            differ.join("; ")
        )))
    }

    /// Lets a pipeline's next run be this one, soon.
    fn replace(self: &Arc<Self>, inner: &mut Inner, name: &str, pipeline: Pipeline) {
        let Some(entry) = inner.entries.get_mut(name) else {
            return;
        };
        entry.refused = None;
        entry.prepare(pipeline);
        let action = entry.machine.restart(self.clock.monotonic());
        self.act(inner, name, action);
    }

    /// Looks at the folder of pipelines, if it is time, and takes what has changed.
    pub(super) fn look_at_folder(self: &Arc<Self>, inner: &mut Inner) {
        let now = self.clock.monotonic();
        let Some(folder) = &self.config.pipelines else {
            return;
        };
        if now < inner.look_at {
            return;
        }
        inner.look_at = now + folder::LOOK;
        let found = match folder::look(folder) {
            Ok(found) => found,
            // What was there is not given up for that.
            Err(error) => return tracing::warn!(%error, "the folder of pipelines can't be read"),
        };
        for change in inner.watch.changes(found) {
            match change {
                Change::Added(name) => self.added(inner, &name),
                Change::Changed(name) => self.file_changed(inner, &name),
                Change::Removed(name) => self.removed(inner, &name),
            }
        }
    }

    fn added(self: &Arc<Self>, inner: &mut Inner, name: &str) {
        let Some(folder) = &self.config.pipelines else {
            return;
        };
        match inner.entries.get_mut(name) {
            Some(entry) if entry.is_deleted => inner.watch.put_back(name),
            Some(entry) => {
                let why = "there is a file of this name in the folder of pipelines too: delete this one, or give the file another \
                           name";
                if entry.refused.is_none() {
                    tracing::error!(pipeline = name, "{why}");
                }
                entry.refused = Some(why.to_owned());
                inner.watch.put_back(name);
            }
            None => match self.records.read(name) {
                Ok(record) => {
                    let file = folder::file_of(folder, name);
                    let entry = Entry::new(Some(file), record.unwrap_or_default());
                    inner.entries.insert(name.to_owned(), entry);
                    tracing::info!(pipeline = name, "its file is new");
                    self.begin(inner, name);
                }
                Err(error) => {
                    tracing::error!(pipeline = name, %error, "its file is new, and not taken");
                    inner.watch.put_back(name);
                }
            },
        }
    }

    /// The run goes on until the new file is known to be right.
    fn file_changed(self: &Arc<Self>, inner: &mut Inner, name: &str) {
        let Some(Entry {
            file: Some(file), ..
        }) = inner.entries.get(name)
        else {
            return;
        };
        let (service, file, owned) = (Arc::clone(self), file.clone(), name.to_owned());
        let checked = aside(format!("check-{name}"), move || {
            let pipeline = caught(|| {
                let configured = prepare::from_file(&file, &owned, &service.registry)?;
                let pipeline = service.follows(&configured);
                pipeline.map_err(|error| format!("{}: {error}", file.display()))
            });
            let mut inner = service.lock();
            match pipeline.unwrap_or_else(Err) {
                Ok(pipeline) => {
                    tracing::info!(pipeline = owned, "its file has changed");
                    service.replace(&mut inner, &owned, pipeline);
                }
                Err(why) => refuse(&mut inner, &owned, why),
            }
        });
        if let Err(why) = checked {
            refuse(inner, name, why);
        }
    }

    fn removed(self: &Arc<Self>, inner: &mut Inner, name: &str) {
        let Some(entry) = inner.entries.get_mut(name) else {
            return;
        };
        if entry.file.is_none() {
            entry.refused = None;
            return;
        }
        tracing::info!(pipeline = name, "its file is gone");
        entry.is_deleted = true;
        let action = entry.machine.want(Wanted::Still, self.clock.monotonic());
        self.act(inner, name, action);
        remove_if_over(inner, name);
    }
}

/// Notes that a changed file is not taken. One that waits after a failure shows it with its next start anyway.
fn refuse(inner: &mut Inner, name: &str, why: String) {
    tracing::error!(
        pipeline = name,
        error = why,
        "its file has changed, and is not taken"
    );
    if let Some(entry) = inner.entries.get_mut(name)
        && matches!(entry.machine.phase(), Phase::Working { .. } | Phase::Idle)
    {
        entry.refused = Some(format!("the file as it is now is not taken: {why}"));
    }
}

/// What differs between a pipeline and what the state in the log was made with.
fn differences<L: Log>(
    pipeline: &Pipeline,
    log: &L,
    clock: &impl Clock,
) -> Result<Vec<String>, LogError> {
    let standing = match Standing::read(pipeline.config(), log, clock) {
        // It has never run, and its next run says so.
        Err(LogError::NoTopic(_)) => return Ok(Vec::new()),
        read => read?,
    };
    let marks = standing.tasks().filter_map(|task| match task.mark() {
        Some(Ok(Committed::Mark(mark))) => Some(mark.shape),
        _ => None,
    });
    let made: Vec<Shape> = marks.collect();
    // Where no task has state yet, as many will have it as had.
    let partitions = match standing.stateful().len() {
        0 => made.first().map_or(0, |shape| shape.partitions),
        tasks => i32::try_from(tasks).unwrap_or(i32::MAX),
    };
    let now = shape(pipeline, standing.stages, partitions);
    let mut all: Vec<String> = made
        .iter()
        .flat_map(|shape| shape.differences(&now))
        .collect();
    all.sort();
    all.dedup();
    Ok(all)
}
