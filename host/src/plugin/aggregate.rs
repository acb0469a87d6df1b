//! A running aggregate: a component, or Rust of the program that embeds the host.

use arrow_array::BinaryArray;

use super::admission::{Plugin, failure};
use super::engine::PluginEngine;
use super::incoming::{Produced, RowErrors};
use super::instance::ComponentAggregate;
use super::native::NativeAggregate;
use super::sandbox::Limits;
use super::{GuestFailure, GuestFault};
use crate::rows::Rows;

/// A running aggregate.
pub struct AggregateInstance(Code);

enum Code {
    Component(Box<ComponentAggregate>),
    Native(Box<dyn NativeAggregate>, Plugin),
}

impl AggregateInstance {
    /// Starts and initialises an instance; `config` is a JSON object, of which Rust is told nothing.
    ///
    /// # Errors
    /// If the plugin is of another kind, fails, or refuses its configuration.
    pub fn start(
        engine: &PluginEngine,
        plugin: &Plugin,
        config: &str,
        limits: Limits,
    ) -> Result<Self, GuestFailure> {
        Ok(Self(match plugin.rust() {
            Some(function) => Code::Native((function.start)(), plugin.clone()),
            None => {
                let started = ComponentAggregate::start(engine, plugin, config, limits)?;
                Code::Component(Box::new(started))
            }
        }))
    }

    /// The bytes of memory that it has taken, and that it may take. What it has taken it keeps, used or not. Of Rust nobody knows.
    pub fn memory(&self) -> (usize, usize) {
        match &self.0 {
            Code::Component(component) => component.memory(),
            Code::Native(..) => (0, usize::MAX),
        }
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
        match &mut self.0 {
            Code::Component(component) => component.accumulate(slots, rows, select),
            Code::Native(rust, _) => Ok(rust.accumulate(slots, rows, select)),
        }
    }

    /// Merges partial `i` into `slots[i]`.
    ///
    /// # Errors
    /// If the component fails or refuses a partial; the instance is then of no more use.
    pub fn merge(&mut self, slots: &[u32], partials: &BinaryArray) -> Result<(), GuestFailure> {
        match &mut self.0 {
            Code::Component(component) => component.merge(slots, partials),
            Code::Native(rust, plugin) => rust.merge(slots, partials).map_err(|why| {
                let fault = GuestFault::Refused(format!("a partial: {why}"));
                failure(&plugin.who(), plugin.digest(), fault, String::new())
            }),
        }
    }

    /// For each slot what has come into it since the last call, as a partial.
    ///
    /// # Errors
    /// If the component fails; the instance is then of no more use.
    pub fn take_deltas(&mut self, slots: &[u32]) -> Result<BinaryArray, GuestFailure> {
        match &mut self.0 {
            Code::Component(component) => component.take_deltas(slots),
            Code::Native(rust, _) => Ok(rust.take_deltas(slots)),
        }
    }

    /// For each slot the whole accumulator, as a partial.
    ///
    /// # Errors
    /// If the component fails; the instance is then of no more use.
    pub fn snapshot(&mut self, slots: &[u32]) -> Result<BinaryArray, GuestFailure> {
        match &mut self.0 {
            Code::Component(component) => component.snapshot(slots),
            Code::Native(rust, _) => Ok(rust.snapshot(slots)),
        }
    }

    /// Turns partials of another version of the function's state into its own, one for each; slots are not touched.
    /// [`Plugin::migrates_from`] says which versions it takes.
    ///
    /// # Errors
    /// If it does not take that version, fails, or refuses a partial; the instance is then of no more use.
    pub fn migrate(
        &mut self,
        from: u32,
        partials: &BinaryArray,
    ) -> Result<BinaryArray, GuestFailure> {
        match &mut self.0 {
            Code::Component(component) => component.migrate(from, partials),
            Code::Native(_, plugin) => {
                let fault =
                    GuestFault::Contract(format!("it does not migrate state version {from}"));
                Err(failure(
                    &plugin.who(),
                    plugin.digest(),
                    fault,
                    String::new(),
                ))
            }
        }
    }

    /// The results of the slots; their sources are indices into `slots`.
    ///
    /// # Errors
    /// If the component fails; the instance is then of no more use.
    pub fn finish(&mut self, slots: &[u32]) -> Result<Produced, GuestFailure> {
        match &mut self.0 {
            Code::Component(component) => component.finish(slots),
            Code::Native(rust, _) => Ok(rust.finish(slots)),
        }
    }

    /// Ends the slots.
    ///
    /// # Errors
    /// If the component fails; the instance is then of no more use.
    pub fn close(&mut self, slots: &[u32]) -> Result<(), GuestFailure> {
        match &mut self.0 {
            Code::Component(component) => component.close(slots),
            Code::Native(rust, _) => {
                rust.close(slots);
                Ok(())
            }
        }
    }
}
