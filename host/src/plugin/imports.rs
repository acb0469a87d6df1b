//! What a component may call in the host: `log` and `metrics`.
//!
//! Neither tells the guest anything, so a replay is not led astray by what was left out. In one call of its own a guest makes at most
//! `host_calls` of these; a message is read only when it will be written, and only as far as it is kept.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmStr};

use super::contract::{LOG, Level, METRICS, VERSION};
use super::meter::{MAX_NAME_BYTES, Measure};
use super::sandbox::{Guest, LOG_BYTES, clip};

/// Offers the contract's imports to components.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance(&format!("{LOG}@{VERSION}"))?.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, Guest>, (level, message): (Level, WasmStr)| {
            if !store.data_mut().may_call() {
                return Ok(());
            }
            let message = clip(&message.to_str(&store)?, LOG_BYTES).to_owned();
            store.data().log(level, &message);
            Ok(())
        },
    )?;
    let mut metrics = linker.instance(&format!("{METRICS}@{VERSION}"))?;
    metrics.func_wrap(
        "count",
        |store: StoreContextMut<'_, Guest>, (name, by): (WasmStr, u64)| {
            measure(store, &name, Measure::Count(by))
        },
    )?;
    metrics.func_wrap(
        "observe",
        |store: StoreContextMut<'_, Guest>, (name, value): (WasmStr, f64)| {
            measure(store, &name, Measure::Observe(value))
        },
    )
}

fn measure(
    mut store: StoreContextMut<'_, Guest>,
    name: &WasmStr,
    measure: Measure,
) -> wasmtime::Result<()> {
    if store.data_mut().may_call() {
        // One byte more than a name has, so that one that is too long is not taken for another.
        let name = clip(&name.to_str(&store)?, MAX_NAME_BYTES + 1).to_owned();
        store.data().meter.measure(&name, measure);
    }
    Ok(())
}
