//! Running copies of components, one type a kind.
//!
//! An instance belongs to one worker and is used from its thread only. After any [`GuestFailure`] it is of no more use and
//! must be dropped: its memory may be in any state.

use arrow_array::BinaryArray;
use wasmtime::component::Func;

use super::admission::{Kind, Plugin};
use super::contract::{
    BatchIn, MIGRATION, MappedOut, ProducedOut, RowErrorsOut, SelectionOut, VarValuesIn,
    VarValuesOut, WindowIn,
};
use super::engine::PluginEngine;
use super::incoming::{self, Produced, RowErrors, Selection};
use super::outgoing::{Outgoing, rebased};
use super::running::{Running, start};
use super::sandbox::Limits;
use super::{GuestFailure, GuestFault};
use crate::rows::{Field, Rows};

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
        self.running.checked(incoming::mapped(
            out,
            rows.len,
            &self.produces,
            self.running.output_rows(),
        ))
    }
}

/// A running component that is an aggregate.
pub(super) struct ComponentAggregate {
    running: Running,
    accumulate: Func,
    merge: Func,
    take_deltas: Func,
    snapshot: Func,
    finish: Func,
    close: Func,
    /// What turns partials of other versions into its own, and of which versions.
    migrate: Option<(Func, Vec<u32>)>,
    reads: Vec<Field>,
    produces: Vec<Field>,
}

impl ComponentAggregate {
    pub(super) fn start(
        engine: &PluginEngine,
        plugin: &Plugin,
        config: &str,
        limits: Limits,
    ) -> Result<Self, GuestFailure> {
        let mut running = start(engine, plugin, Kind::Aggregate, config, limits)?;
        let interface = Kind::Aggregate.interface();
        let migrate = match plugin.migrates_from() {
            [] => None,
            versions => Some((running.function(MIGRATION, "migrate")?, versions.to_vec())),
        };
        Ok(Self {
            migrate,
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
    pub(super) fn memory(&self) -> (usize, usize) {
        self.running.memory()
    }

    pub(super) fn accumulate(
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

    pub(super) fn merge(
        &mut self,
        slots: &[u32],
        partials: &BinaryArray,
    ) -> Result<(), GuestFailure> {
        let (offsets, data) = rebased(partials.offsets(), partials.values());
        let values = var_values(&offsets, &data);
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

    pub(super) fn take_deltas(&mut self, slots: &[u32]) -> Result<BinaryArray, GuestFailure> {
        let function = self.take_deltas;
        self.partials(function, slots)
    }

    pub(super) fn snapshot(&mut self, slots: &[u32]) -> Result<BinaryArray, GuestFailure> {
        let function = self.snapshot;
        self.partials(function, slots)
    }

    pub(super) fn migrate(
        &mut self,
        from: u32,
        partials: &BinaryArray,
    ) -> Result<BinaryArray, GuestFailure> {
        let known = self.migrate.as_ref();
        let Some((function, _)) = known.filter(|(_, versions)| versions.contains(&from)) else {
            let what = format!("it does not migrate state version {from}");
            return Err(self.running.fail(GuestFault::Contract(what)));
        };
        let (offsets, data) = rebased(partials.offsets(), partials.values());
        let values = var_values(&offsets, &data);
        let (result,) = self
            .running
            .call::<(u32, VarValuesIn<'_>), (Result<VarValuesOut, String>,)>(
                function,
                (from, values),
            )?;
        let out = result.map_err(|why| {
            self.running
                .fail(GuestFault::Refused(format!("a partial: {why}")))
        })?;
        self.running.checked(incoming::migrated(out, partials))
    }

    fn partials(&mut self, function: Func, slots: &[u32]) -> Result<BinaryArray, GuestFailure> {
        let (out,) = self
            .running
            .call::<(&[u32],), (VarValuesOut,)>(&function, (slots,))?;
        self.running.checked(incoming::partials(out, slots.len()))
    }

    pub(super) fn finish(&mut self, slots: &[u32]) -> Result<Produced, GuestFailure> {
        let (out,) = self
            .running
            .call::<(&[u32],), (ProducedOut,)>(&self.finish, (slots,))?;
        self.running.checked(incoming::produced(
            out,
            slots.len(),
            &self.produces,
            self.running.output_rows(),
        ))
    }

    pub(super) fn close(&mut self, slots: &[u32]) -> Result<(), GuestFailure> {
        self.running.call::<(&[u32],), ()>(&self.close, (slots,))
    }
}

fn var_values<'a>(offsets: &'a [i32], data: &'a [u8]) -> VarValuesIn<'a> {
    VarValuesIn { offsets, data }
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
        self.running.checked(incoming::produced(
            out,
            windows.len(),
            &self.produces,
            self.running.output_rows(),
        ))
    }
}
