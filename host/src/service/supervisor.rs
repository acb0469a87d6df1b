//! The service itself: it remembers what it is asked, and starts and stops runs as `machine` decides.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::config::ServiceConfig;
use super::disk;
use super::entry::Entry;
use super::error::{ServiceError, StartError};
use super::folder::{self, Watch};
use super::logs::Logs;
use super::machine::{Action, End, Phase, Wanted};
use super::prepare::{self, Configured};
use super::record::{Desired, Record, Records};
use super::view::ResetView;
use super::work::{Failure, Run};
use crate::pipeline::Pipeline;
use crate::plugin::PluginEngine;
use crate::registry::Registry;
use crate::time::{Clock, SystemClock};

/// How often the service looks at the time, and whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// Many pipelines in one process. Its methods may be called from any thread; those that compile components, or wait for the disk,
/// say so.
pub struct Service {
    pub(super) config: ServiceConfig,
    pub(super) engine: PluginEngine,
    pub(super) registry: Registry,
    pub(super) records: Records,
    pub(super) logs: Arc<Logs>,
    pub(super) clock: SystemClock,
    inner: Mutex<Inner>,
    /// Told whenever a run has ended.
    changed: Condvar,
    /// Held as long as the service lives.
    _lock: File,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) entries: BTreeMap<String, Entry>,
    /// What is known of the folder of pipelines.
    pub(super) watch: Watch,
    /// When the folder is looked at next.
    pub(super) look_at: Duration,
    /// Whether every pipeline that was wanted at the start has been started.
    pub(super) is_ready: bool,
    /// Whether nothing is started any more.
    pub(super) is_ending: bool,
}

impl Service {
    /// A service with all pipelines that it remembers and finds in its folder. Nothing runs before [`Service::run`].
    ///
    /// # Errors
    /// If another service has the data folder, or something in it or in the folder of pipelines can't be read.
    pub fn open(config: ServiceConfig, engine: PluginEngine) -> Result<Arc<Self>, StartError> {
        disk::make_folder(&config.data)?;
        if let Some(folder) = &config.deploys {
            fs::read_dir(folder).map_err(|error| disk::at(folder, &error))?;
        }
        let lock = lock(&config.data)?;
        let registry = Registry::open(&config.data.join("plugins"), config.trust.clone())?;
        let records = Records::open(&config.data)?;
        let mut remembered = records.read_all()?;
        let mut entries = BTreeMap::new();
        let mut watch = Watch::default();
        if let Some(folder) = &config.pipelines {
            let found = folder::look(folder)?;
            for name in found.keys() {
                let record = remembered.remove(name).unwrap_or_default();
                let file = folder::file_of(folder, name);
                if record.text.is_some() {
                    return Err(StartError::Twice(file.display().to_string()));
                }
                entries.insert(name.clone(), Entry::new(Some(file), record));
            }
            watch = Watch::new(found);
        }
        for (name, record) in remembered {
            // One of the folder whose file is away just now is remembered, and not run.
            if record.text.is_some() {
                entries.insert(name, Entry::new(None, record));
            }
        }
        Ok(Arc::new(Self {
            config,
            engine,
            registry,
            records,
            logs: Arc::new(Logs::default()),
            clock: SystemClock::new(),
            inner: Mutex::new(Inner {
                entries,
                watch,
                ..Inner::default()
            }),
            changed: Condvar::new(),
            _lock: lock,
        }))
    }

    /// Runs until `stop` is set: starts what is wanted, starts again what has failed. Returns when every pipeline has committed and
    /// ended. Called once; blocks its thread.
    pub fn run(self: &Arc<Self>, stop: &AtomicBool) {
        std::thread::scope(|scope| {
            if let Some(folder) = &self.config.deploys {
                scope.spawn(|| self.watch_deploys(folder, stop));
            }
            self.supervise(stop);
        });
    }

    fn supervise(self: &Arc<Self>, stop: &AtomicBool) {
        let mut inner = self.lock();
        let names: Vec<String> = inner.entries.keys().cloned().collect();
        for name in names {
            self.begin(&mut inner, &name);
        }
        inner.is_ready = true;
        while !stop.load(Ordering::Relaxed) {
            self.look_at_folder(&mut inner);
            let now = self.clock.monotonic();
            let due: Vec<(String, Action)> = inner
                .entries
                .iter_mut()
                .map(|(name, entry)| (name.clone(), entry.machine.time(now)))
                .collect();
            for (name, action) in due {
                self.act(&mut inner, &name, action);
            }
            inner = self.wait(inner);
        }
        inner.is_ending = true;
        tracing::info!("ending: every pipeline commits what is done");
        let now = self.clock.monotonic();
        let all: Vec<(String, Action)> = inner
            .entries
            .iter_mut()
            .map(|(name, entry)| {
                // It is remembered, and done at the next start.
                entry.machine.postpone_reset();
                (name.clone(), entry.machine.want(Wanted::Still, now))
            })
            .collect();
        for (name, action) in all {
            self.act(&mut inner, &name, action);
        }
        let is_idle = |entry: &Entry| entry.machine.phase() == Phase::Idle;
        while !inner.entries.values().all(is_idle) {
            inner = self.wait(inner);
        }
    }

    /// What the service was told.
    pub fn config(&self) -> &ServiceConfig {
        &self.config
    }

    /// The plugins.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What compiles and runs components.
    pub fn engine(&self) -> &PluginEngine {
        &self.engine
    }

    /// Whether it has started what it was to start, and is not about to end.
    pub fn is_ready(&self) -> bool {
        let inner = self.lock();
        inner.is_ready && !inner.is_ending
    }

    /// A pipeline that the service has found, or comes back with: what was begun is finished, and it is as it was last wanted.
    pub(super) fn begin(self: &Arc<Self>, inner: &mut Inner, name: &str) {
        let resume = |entry: &mut Entry| {
            let to = entry.record.reset.clone()?;
            entry.reset = Some(ResetView::begun(to));
            Some(entry.machine.reset())
        };
        if let Some(action) = inner.entries.get_mut(name).and_then(resume) {
            self.act(inner, name, action);
        }
        self.want(inner, name);
    }

    /// Tells the machine what its record says is wanted.
    pub(super) fn want(self: &Arc<Self>, inner: &mut Inner, name: &str) {
        let Some(entry) = inner.entries.get_mut(name) else {
            return;
        };
        let wanted = match entry.record.wanted {
            Desired::Running => Wanted::Running,
            Desired::Paused => Wanted::Still,
        };
        let action = entry.machine.want(wanted, self.clock.monotonic());
        self.act(inner, name, action);
    }

    /// Carries out what a pipeline's machine has decided.
    pub(super) fn act(self: &Arc<Self>, inner: &mut Inner, name: &str, action: Action) {
        let Some(entry) = inner.entries.get_mut(name) else {
            return;
        };
        match action {
            Action::Nothing => {}
            Action::Stop => {
                if let Some(run) = &entry.run {
                    run.stop();
                }
            }
            Action::Start => {
                let run = entry.begin();
                let prepared = entry.prepared.take();
                let (service, owned) = (Arc::clone(self), name.to_owned());
                let started = aside(format!("pipeline-{name}"), move || {
                    // A panic of one pipeline is its own failure, and nobody else's.
                    let ended = caught(|| service.work(&owned, &run, prepared))
                        .unwrap_or_else(|bug| Err(Failure::new(bug)));
                    service.ended(&owned, ended);
                });
                if let Err(why) = started {
                    self.note_end(inner, name, Err(Failure::new(why)));
                }
            }
            Action::Reset => {
                let (service, owned) = (Arc::clone(self), name.to_owned());
                let started = aside(format!("reset-{name}"), move || {
                    let moves = caught(|| service.make_reset(&owned)).unwrap_or_else(Err);
                    service.was_reset(&mut service.lock(), &owned, moves);
                    service.changed.notify_all();
                });
                if let Err(why) = started {
                    self.was_reset(inner, name, Err(why));
                }
            }
        }
    }

    /// One run, on its own thread.
    fn work(&self, name: &str, run: &Run, prepared: Option<Pipeline>) -> Result<(), Failure> {
        tracing::info!(pipeline = name, "starting");
        let configured = self.configure(name)?;
        run.work(
            configured,
            prepared,
            &self.engine,
            &self.config.trust,
            &self.logs,
        )
    }

    /// The configuration of a pipeline now, and its plugins remembered.
    pub(super) fn configure(&self, name: &str) -> Result<Configured, Failure> {
        let (file, record) = {
            let mut inner = self.lock();
            let entry = entry(&mut inner, name).map_err(Failure::new)?;
            (entry.file.clone(), entry.record.clone())
        };
        let configured = match (&file, &record.text) {
            (Some(file), _) => prepare::from_file(file, name, &self.registry),
            (None, Some(text)) => self.configure_text(text),
            (None, None) => Err("a bug in the host: the pipeline has no file".to_owned()),
        }
        .map_err(Failure::new)?;
        for (reference, digest) in &configured.plugins {
            let known = record.plugins.get(reference);
            if known.is_some_and(|known| known != digest) {
                return Err(Failure::new(format!(
                    "{reference} is another component than the one that the pipeline ran with (sha256 {digest}): push that one \
                     under its own version, or delete the pipeline and create it again"
                )));
            }
        }
        if configured.plugins != record.plugins {
            let mut inner = self.lock();
            let entry = entry(&mut inner, name).map_err(Failure::new)?;
            if !entry.is_deleted {
                let record = Record {
                    plugins: configured.plugins.clone(),
                    ..entry.record.clone()
                };
                self.records.write(name, &record).map_err(Failure::new)?;
                entry.record = record;
            }
        }
        Ok(configured)
    }

    pub(super) fn configure_text(&self, text: &str) -> Result<Configured, String> {
        let (data, variables) = (&self.config.data, &self.config.variables);
        prepare::from_text(text, data, variables, &self.registry)
    }

    /// A run has ended, and let go of its log and its state. The last thing that its thread does.
    fn ended(self: &Arc<Self>, name: &str, ended: Result<(), Failure>) {
        let mut inner = self.lock();
        self.note_end(&mut inner, name, ended);
        self.changed.notify_all();
    }

    fn note_end(self: &Arc<Self>, inner: &mut Inner, name: &str, ended: Result<(), Failure>) {
        let Some(entry) = inner.entries.get_mut(name) else {
            return;
        };
        let failure = ended.err();
        match &failure {
            None => tracing::info!(pipeline = name, "stopped"),
            Some(failure) => tracing::error!(pipeline = name, error = failure.message, "failed"),
        }
        entry.finish(failure.as_ref(), self.clock.now().to_string());
        let end = failure.map_or(End::Done, |failure| failure.end);
        let now = self.clock.monotonic();
        let action = entry.machine.ended(end, now, &self.config.restart);
        self.act(inner, name, action);
        remove_if_over(inner, name);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        let waited = self.changed.wait_timeout(inner, LOOK);
        waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }
}

/// A pipeline that is not deleted.
pub(super) fn entry<'a>(inner: &'a mut Inner, name: &str) -> Result<&'a mut Entry, ServiceError> {
    let found = inner.entries.get_mut(name);
    found
        .filter(|entry| !entry.is_deleted)
        .ok_or_else(|| ServiceError::Unknown(name.to_owned()))
}

/// Removes a pipeline that is deleted and has ended.
pub(super) fn remove_if_over(inner: &mut Inner, name: &str) {
    let is_over = |entry: &Entry| entry.is_deleted && entry.machine.phase() == Phase::Idle;
    if inner.entries.get(name).is_some_and(is_over) {
        inner.entries.remove(name);
    }
}

/// Takes the data folder.
fn lock(data: &Path) -> Result<File, StartError> {
    let path = data.join("lock");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    let file = options
        .open(&path)
        .map_err(|error| disk::at(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Busy(data.display().to_string())),
        Err(TryLockError::Error(error)) => Err(disk::at(&path, &error).into()),
    }
}

/// Does something on a thread of its own.
///
/// # Errors
/// If no thread can be started: why.
pub(super) fn aside(name: String, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let started = std::thread::Builder::new().name(name).spawn(work);
    started
        .map(drop)
        .map_err(|error| format!("no thread can be started: {error}"))
}

/// Does something that may have a bug.
///
/// # Errors
/// If it panics: what it said.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| format!("a bug in the host: {}", said(&*panic)))
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}
