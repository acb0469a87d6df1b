//! Running copies of components, one type a kind.
//!
//! An instance belongs to one worker and is used from its thread only. After any [`GuestFailure`] it is of no more use and
//! must be dropped: its memory may be in any state.

use arrow_array::BinaryArray;
use wasmtime::Store;
use wasmtime::component::{Component, ComponentNamedList, Func, Instance, Lift, Lower};

use super::admission::{Kind, Plugin, failure};
use super::contract::{
    BatchIn, MappedOut, PLUGIN, ProducedOut, RowErrorsOut, SelectionOut, VERSION, VarValuesIn,
    VarValuesOut, WindowIn,
};
use super::engine::{PluginEngine, TICK};
use super::failure::fault_of;
use super::incoming::{self, Produced, RowErrors, Selection};
use super::outgoing::{Outgoing, rebased};
use super::sandbox::{Guest, Limits};
use super::{GuestFailure, GuestFault};
use crate::rows::{Field, Rows};

/// An instance of any kind, with what every call needs.
pub(super) struct Running {
    store: Store<Guest>,
    instance: Instance,
    digest: String,
    limits: Limits,
}

impl Running {
    /// Instantiates a component under limits.
    pub(super) fn start(
        engine: &PluginEngine,
        component: &Component,
        who: &str,
        digest: &str,
        limits: Limits,
    ) -> Result<Self, GuestFailure> {
        let mut store = Store::new(&engine.engine, Guest::new(who.to_owned(), limits));
        store.limiter(|guest| &mut guest.limiter);
        store.epoch_deadline_trap();
        store.set_epoch_deadline(ticks(limits));
        match engine.linker.instantiate(&mut store, component) {
            Ok(instance) => Ok(Self {
                store,
                instance,
                digest: digest.to_owned(),
                limits,
            }),
            Err(error) => {
                let refused = store.data().limiter.refused;
                let fault = fault_of(&error, refused, limits);
                Err(failure(who, digest, fault, store.data().stderr.take()))
            }
        }
    }

    /// A function of an exported interface.
    pub(super) fn function(&mut self, interface: &str, name: &str) -> Result<Func, GuestFailure> {
        let full = format!("{interface}@{VERSION}");
        self.instance
            .get_export_index(&mut self.store, None, &full)
            .and_then(|at| {
                self.instance
                    .get_export_index(&mut self.store, Some(&at), name)
            })
            .and_then(|at| self.instance.get_func(&mut self.store, at))
            .ok_or_else(|| {
                self.fail(GuestFault::Contract(format!(
                    "it does not export {full} {name}"
                )))
            })
    }

    /// Calls a function within the time limit.
    pub(super) fn call<P, R>(&mut self, function: &Func, params: P) -> Result<R, GuestFailure>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let typed = function.typed::<P, R>(&self.store).map_err(|error| {
            self.fail(GuestFault::Contract(format!(
                "a function has another type: {error}"
            )))
        })?;
        self.store.set_epoch_deadline(ticks(self.limits));
        self.store.data_mut().limiter.refused = None;
        typed.call(&mut self.store, params).map_err(|error| {
            let fault = fault_of(&error, self.store.data().limiter.refused, self.limits);
            self.fail(fault)
        })
    }

    pub(super) fn fail(&self, fault: GuestFault) -> GuestFailure {
        let guest = self.store.data();
        failure(&guest.who, &self.digest, fault, guest.stderr.take())
    }

    fn checked<T>(&self, result: Result<T, String>) -> Result<T, GuestFailure> {
        result.map_err(|what| self.fail(GuestFault::Contract(what)))
    }
}

/// A call's time in epochs. One more, since the running epoch is partly over.
fn ticks(limits: Limits) -> u64 {
    let ticks = limits.call.as_millis().div_ceil(TICK.as_millis());
    u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1)
}

/// A fresh instance of a plugin, initialised with its step's configuration.
fn start(
    engine: &PluginEngine,
    plugin: &Plugin,
    kind: Kind,
    config: &str,
    limits: Limits,
) -> Result<Running, GuestFailure> {
    let (who, digest) = (plugin.who(), plugin.digest());
    if plugin.kind() != kind {
        let what = format!(
            "it is of world {}, not {}",
            plugin.kind().world(),
            kind.world()
        );
        return Err(failure(
            &who,
            digest,
            GuestFault::Contract(what),
            String::new(),
        ));
    }
    let mut running = Running::start(engine, &plugin.component, &who, digest, limits)?;
    let init = running.function(PLUGIN, "init")?;
    let (result,) = running.call::<(&str,), (Result<(), String>,)>(&init, (config,))?;
    result.map_err(|why| running.fail(GuestFault::Refused(format!("its configuration: {why}"))))?;
    Ok(running)
}

/// A running filter.
pub struct FilterInstance {
    running: Running,
    filter: Func,
    reads: Vec<Field>,
}

impl FilterInstance {
    /// Starts and initialises an instance; `config` is a JSON object.
    ///
    /// # Errors
    /// If the plugin is of another kind, fails, or refuses its configuration.
    pub fn start(
        engine: &PluginEngine,
        plugin: &Plugin,
        config: &str,
        limits: Limits,
    ) -> Result<Self, GuestFailure> {
        let mut running = start(engine, plugin, Kind::Filter, config, limits)?;
        Ok(Self {
            filter: running.function(Kind::Filter.interface(), "filter")?,
            reads: plugin.reads().to_vec(),
            running,
        })
    }

    /// Judges rows; `select` names the column of each field that it reads.
    ///
    /// # Errors
    /// If the component fails; the instance is then of no more use.
    pub fn filter(&mut self, rows: &Rows, select: &[usize]) -> Result<Selection, GuestFailure> {
        let batch = Outgoing::new(rows, select, &self.reads);
        let (out,) = batch.lend(|batch| {
            self.running
                .call::<(BatchIn<'_>,), (SelectionOut,)>(&self.filter, (batch,))
        })?;
        self.running.checked(incoming::selection(out, rows.len))
    }
}

/// A running map.
pub struct MapInstance {
    running: Running,
    map: Func,
    reads: Vec<Field>,
    produces: Vec<Field>,
}

impl MapInstance {
    /// Starts and initialises an instance; `config` is a JSON object.
    ///
    /// # Errors
    /// If the plugin is of another kind, fails, or refuses its configuration.
    pub fn start(
        engine: &PluginEngine,
        plugin: &Plugin,
        config: &str,
        limits: Limits,
    ) -> Result<Self, GuestFailure> {
        let mut running = start(engine, plugin, Kind::Map, config, limits)?;
        Ok(Self {
            map: running.function(Kind::Map.interface(), "map")?,
            reads: plugin.reads().to_vec(),
            produces: plugin.produces().to_vec(),
            running,
        })
    }

    /// Maps rows; `select` names the column of each field that it reads.
    ///
    /// # Errors
    /// If the component fails; the instance is then of no more use.
    pub fn map(
        &mut self,
        rows: &Rows,
        select: &[usize],
    ) -> Result<(Produced, RowErrors), GuestFailure> {
        let batch = Outgoing::new(rows, select, &self.reads);
        let (out,) = batch.lend(|batch| {
            self.running
                .call::<(BatchIn<'_>,), (MappedOut,)>(&self.map, (batch,))
        })?;
        self.running
            .checked(incoming::mapped(out, rows.len, &self.produces))
    }
}

/// A running aggregate.
pub struct AggregateInstance {
    running: Running,
    accumulate: Func,
    merge: Func,
    take_deltas: Func,
    snapshot: Func,
    finish: Func,
    close: Func,
    reads: Vec<Field>,
    produces: Vec<Field>,
}

impl AggregateInstance {
    /// Starts and initialises an instance; `config` is a JSON object.
    ///
    /// # Errors
    /// If the plugin is of another kind, fails, or refuses its configuration.
    pub fn start(
        engine: &PluginEngine,
        plugin: &Plugin,
        config: &str,
        limits: Limits,
    ) -> Result<Self, GuestFailure> {
        let mut running = start(engine, plugin, Kind::Aggregate, config, limits)?;
        let interface = Kind::Aggregate.interface();
        Ok(Self {
            accumulate: running.function(interface, "accumulate")?,
            merge: running.function(interface, "merge")?,
            take_deltas: running.function(interface, "take-deltas")?,
            snapshot: running.function(interface, "snapshot")?,
            finish: running.function(interface, "finish")?,
            close: running.function(interface, "close")?,
            reads: plugin.reads().to_vec(),
            produces: plugin.produces().to_vec(),
            running,
        })
    }

    /// The bytes of memory that it has taken, and that it may take. What it has taken it keeps, used or not.
    pub fn memory(&self) -> (usize, usize) {
        let used = self.running.store.data().limiter.used();
        (used, self.running.limits.memory)
    }

    /// Adds each row to the accumulator in its slot; `select` names the column of each field that it reads.
    ///
    /// # Errors
    /// If the component fails; the instance is then of no more use.
    pub fn accumulate(
        &mut self,
        slots: &[u32],
        rows: &Rows,
        select: &[usize],
    ) -> Result<RowErrors, GuestFailure> {
        let batch = Outgoing::new(rows, select, &self.reads);
        let (out,) = batch.lend(|batch| {
            self.running
                .call::<(&[u32], BatchIn<'_>), (RowErrorsOut,)>(&self.accumulate, (slots, batch))
        })?;
        self.running.checked(incoming::row_errors(out, rows.len))
    }

    /// Merges partial `i` into `slots[i]`.
    ///
    /// # Errors
    /// If the component fails or refuses a partial; the instance is then of no more use.
    pub fn merge(&mut self, slots: &[u32], partials: &BinaryArray) -> Result<(), GuestFailure> {
        let (offsets, data) = rebased(partials.offsets(), partials.values());
        let values = VarValuesIn {
            offsets: &offsets,
            data: &data,
        };
        let (result,) = self
            .running
            .call::<(&[u32], VarValuesIn<'_>), (Result<(), String>,)>(
                &self.merge,
                (slots, values),
            )?;
        result.map_err(|why| {
            self.running
                .fail(GuestFault::Refused(format!("a partial: {why}")))
        })
    }

    /// For each slot what has come into it since the last call, as a partial.
    ///
    /// # Errors
    /// If the component fails; the instance is then of no more use.
    pub fn take_deltas(&mut self, slots: &[u32]) -> Result<BinaryArray, GuestFailure> {
        let function = self.take_deltas;
        self.partials(function, slots)
    }

    /// For each slot the whole accumulator, as a partial.
    ///
    /// # Errors
    /// If the component fails; the instance is then of no more use.
    pub fn snapshot(&mut self, slots: &[u32]) -> Result<BinaryArray, GuestFailure> {
        let function = self.snapshot;
        self.partials(function, slots)
    }

    fn partials(&mut self, function: Func, slots: &[u32]) -> Result<BinaryArray, GuestFailure> {
        let (out,) = self
            .running
            .call::<(&[u32],), (VarValuesOut,)>(&function, (slots,))?;
        self.running.checked(incoming::partials(out, slots.len()))
    }

    /// The results of the slots; their sources are indices into `slots`.
    ///
    /// # Errors
    /// If the component fails; the instance is then of no more use.
    pub fn finish(&mut self, slots: &[u32]) -> Result<Produced, GuestFailure> {
        let (out,) = self
            .running
            .call::<(&[u32],), (ProducedOut,)>(&self.finish, (slots,))?;
        self.running
            .checked(incoming::produced(out, slots.len(), &self.produces))
    }

    /// Ends the slots.
    ///
    /// # Errors
    /// If the component fails; the instance is then of no more use.
    pub fn close(&mut self, slots: &[u32]) -> Result<(), GuestFailure> {
        self.running.call::<(&[u32],), ()>(&self.close, (slots,))
    }
}

/// A window handed to a window-apply function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppliedWindow {
    /// Its first instant, in milliseconds since 1970.
    pub start: i64,
    /// The first instant after it.
    pub end: i64,
    /// Its key as text, where the step has one.
    pub key: Option<String>,
}

/// A running window-apply function.
pub struct WindowApplyInstance {
    running: Running,
    apply: Func,
    reads: Vec<Field>,
    produces: Vec<Field>,
}

impl WindowApplyInstance {
    /// Starts and initialises an instance; `config` is a JSON object.
    ///
    /// # Errors
    /// If the plugin is of another kind, fails, or refuses its configuration.
    pub fn start(
        engine: &PluginEngine,
        plugin: &Plugin,
        config: &str,
        limits: Limits,
    ) -> Result<Self, GuestFailure> {
        let mut running = start(engine, plugin, Kind::WindowApply, config, limits)?;
        Ok(Self {
            apply: running.function(Kind::WindowApply.interface(), "apply")?,
            reads: plugin.reads().to_vec(),
            produces: plugin.produces().to_vec(),
            running,
        })
    }

    /// Computes the results of some windows. The rows of window `i` are `bounds[i]..bounds[i + 1]`; the columns of `rows`
    /// are the fields that the function reads, in that order. Sources of the answer are indices into `windows`.
    ///
    /// # Errors
    /// If the component fails or refuses; the instance is then of no more use.
    pub fn apply(
        &mut self,
        windows: &[AppliedWindow],
        bounds: &[u32],
        rows: &Rows,
    ) -> Result<Produced, GuestFailure> {
        let lent: Vec<WindowIn<'_>> = windows
            .iter()
            .map(|window| WindowIn {
                start: window.start,
                end: window.end,
                key: window.key.as_deref(),
            })
            .collect();
        let select: Vec<usize> = (0..self.reads.len()).collect();
        let batch = Outgoing::new(rows, &select, &self.reads);
        let (result,) = batch.lend(|batch| {
            self.running
                .call::<(&[WindowIn<'_>], &[u32], BatchIn<'_>), (Result<ProducedOut, String>,)>(
                    &self.apply,
                    (&lent, bounds, batch),
                )
        })?;
        let out = result.map_err(|why| {
            self.running
                .fail(GuestFault::Refused(format!("a window: {why}")))
        })?;
        self.running
            .checked(incoming::produced(out, windows.len(), &self.produces))
    }
}

// TEMPORARY-MIGRATE
impl AggregateInstance {
    /// temp
    pub fn migrate(
        &mut self,
        _from: u32,
        partials: &BinaryArray,
    ) -> Result<BinaryArray, GuestFailure> {
        Ok(partials.clone())
    }
}
impl super::Plugin {
    /// temp
    pub fn migrates_from(&self, _from: u32) -> bool {
        false
    }
}
