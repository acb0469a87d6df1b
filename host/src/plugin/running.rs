//! A running copy of a component, whatever its kind: how it is started and called, within its limits.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Component, ComponentNamedList, Func, Instance, Lift, Lower};

use super::admission::{Kind, Plugin, failure};
use super::contract::{PLUGIN, VERSION};
use super::engine::{PluginEngine, TICK};
use super::failure::fault_of;
use super::meter::Meter;
use super::sandbox::{Guest, Limits};
use super::{GuestFailure, GuestFault};

/// An instance of any kind, with what every call needs.
pub(super) struct Running {
    store: Store<Guest>,
    instance: Instance,
    limits: Limits,
}

impl Running {
    /// Instantiates a component under limits.
    pub(super) fn start(
        engine: &PluginEngine,
        component: &Component,
        meter: &Arc<Meter>,
        digest: &str,
        limits: Limits,
    ) -> Result<Self, GuestFailure> {
        let mut store = Store::new(
            &engine.engine,
            Guest::new(Arc::clone(meter), digest, limits),
        );
        store.limiter(|guest| &mut guest.limiter);
        store.epoch_deadline_trap();
        store.set_epoch_deadline(ticks(limits));
        store.set_hostcall_fuel(limits.output_bytes);
        match engine.linker.instantiate(&mut store, component) {
            Ok(instance) => Ok(Self {
                store,
                instance,
                limits,
            }),
            Err(error) => {
                let refused = store.data().limiter.refused;
                let fault = fault_of(&error, refused, limits);
                Err(failure(
                    meter.who(),
                    digest,
                    fault,
                    store.data().stderr.take(),
                ))
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
        self.store.data_mut().begin_call();
        typed.call(&mut self.store, params).map_err(|error| {
            let fault = fault_of(&error, self.store.data().limiter.refused, self.limits);
            self.fail(fault)
        })
    }

    pub(super) fn fail(&self, fault: GuestFault) -> GuestFailure {
        let guest = self.store.data();
        failure(guest.meter.who(), &guest.digest, fault, guest.stderr.take())
    }

    /// The bytes of memory that it has taken, and that it may take.
    pub(super) fn memory(&self) -> (usize, usize) {
        (self.store.data().limiter.used(), self.limits.memory)
    }

    /// How many rows a call may return.
    pub(super) fn output_rows(&self) -> usize {
        self.limits.output_rows
    }

    pub(super) fn checked<T>(&self, result: Result<T, String>) -> Result<T, GuestFailure> {
        result.map_err(|what| self.fail(GuestFault::Contract(what)))
    }
}

/// A call's time in epochs. One more, since the running epoch is partly over.
fn ticks(limits: Limits) -> u64 {
    let ticks = limits.call.as_millis().div_ceil(TICK.as_millis());
    u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1)
}

/// A fresh instance of a plugin, initialised with its step's configuration.
pub(super) fn start(
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
    let Some(component) = plugin.component() else {
        let fault = GuestFault::Contract("it is Rust, and no component".to_owned());
        return Err(failure(&who, digest, fault, String::new()));
    };
    let mut running = Running::start(engine, component, plugin.meter(), digest, limits)?;
    let init = running.function(PLUGIN, "init")?;
    let (result,) = running.call::<(&str,), (Result<(), String>,)>(&init, (config,))?;
    result.map_err(|why| running.fail(GuestFault::Refused(format!("its configuration: {why}"))))?;
    Ok(running)
}
