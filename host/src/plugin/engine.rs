//! The engine that compiles and runs components, and the ticking by which a call's time is measured.

use std::time::Duration;

use wasmtime::component::{Linker, Resource};
use wasmtime::{Config, Engine};
use wasmtime_wasi::p2::DynPollable;

use super::imports;
use super::meter::Meters;
use super::sandbox::Guest;

/// How often the engine's epoch advances: the precision of a call's time limit.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// The clock's interface, at the version that wasmtime-wasi implements; guests may ask for earlier ones.
const WASI_CLOCK: &str = "wasi:clocks/monotonic-clock@0.2.12";

/// Compiles components and links them to what they may import. One for the whole process; cheap to clone.
#[derive(Clone)]
pub struct PluginEngine {
    pub(super) engine: Engine,
    pub(super) linker: std::sync::Arc<Linker<Guest>>,
    meters: Meters,
}

impl PluginEngine {
    /// Starts an engine and the thread that measures its calls; the thread ends with the engine.
    ///
    /// # Errors
    /// If the machine can't run WebAssembly natively, or no thread can be started.
    #[expect(
        clippy::disallowed_methods,
        reason = "the thread is the clock by which calls are measured"
    )]
    pub fn new() -> anyhow::Result<Self> {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            // Nothing in the contract is asynchronous, and without it a call costs a fraction.
            .concurrency_support(false)
            // The same bits on every machine, so that a replay elsewhere gives the same answer.
            .cranelift_nan_canonicalization(true)
            .wasm_relaxed_simd(false)
            .wasm_memory64(false);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
        refuse_to_sleep(&mut linker)?;
        imports::add_to_linker(&mut linker)?;

        let weak = engine.weak();
        std::thread::Builder::new()
            .name("plugin-clock".to_owned())
            .spawn(move || {
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            })?;
        Ok(Self {
            engine,
            linker: std::sync::Arc::new(linker),
            meters: Meters::default(),
        })
    }

    /// What the functions of this process count.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }
}

/// Waiting happens in the host, where no epoch ends it: a guest that slept would hold up its worker for as long as it liked.
/// So the functions by which one begins to wait trap.
fn refuse_to_sleep(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut clock = linker.instance(WASI_CLOCK)?;
    for name in ["subscribe-duration", "subscribe-instant"] {
        clock.func_wrap(
            name,
            |_: wasmtime::StoreContextMut<'_, Guest>,
             _: (u64,)|
             -> wasmtime::Result<(Resource<DynPollable>,)> {
                wasmtime::bail!(
                    "a plugin may not sleep: it holds up every row behind the one it sleeps on"
                )
            },
        )?;
    }
    linker.allow_shadowing(false);
    Ok(())
}
