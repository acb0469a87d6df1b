//! The engine that compiles and runs components, and the ticking by which a call's time is measured.

use std::hash::{Hash as _, Hasher};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, Linker, Resource};
use wasmtime::{Config, Engine};
use wasmtime_wasi::p2::DynPollable;

use super::cache::{CodeCache, Key};
use super::imports;
use super::meter::Meters;
use super::sandbox::Guest;
use crate::format::hex;

/// How often the engine's epoch advances: the precision of a call's time limit.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// The clock's interface, at the version that wasmtime-wasi implements; guests may ask for earlier ones.
const WASI_CLOCK: &str = "wasi:clocks/monotonic-clock@0.2.12";

/// Compiles components and links them to what they may import. One for the whole process; cheap to clone.
#[derive(Clone)]
pub struct PluginEngine {
    pub(super) engine: Engine,
    pub(super) linker: Arc<Linker<Guest>>,
    /// What has been compiled before, on this machine.
    cache: Option<Arc<CodeCache>>,
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
            linker: Arc::new(linker),
            cache: None,
            meters: Meters::default(),
        })
    }

    /// What the functions of this process count.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The same engine, which takes code from a cache where it is there, and puts it there where not.
    #[must_use]
    pub fn with_cache(self, cache: CodeCache) -> Self {
        Self {
            cache: Some(Arc::new(cache)),
            ..self
        }
    }

    /// Compiles a component, whose SHA-256 is `digest`, or takes the code that came of it before.
    pub(super) fn compile(&self, bytes: &[u8], digest: [u8; 32]) -> wasmtime::Result<Component> {
        let Some(cache) = &self.cache else {
            return Component::from_binary(&self.engine, bytes);
        };
        let key = Key {
            component: digest,
            engine: fingerprint(&self.engine),
        };
        if let Some(component) = cache.load(&key, |code| self.deserialize(code)) {
            return Ok(component);
        }
        let component = Component::from_binary(&self.engine, bytes)?;
        tracing::debug!(sha256 = hex(&digest), "compiled");
        cache.keep(&key, &component.serialize()?);
        Ok(component)
    }

    #[expect(
        unsafe_code,
        reason = "compiled code is executed as it is; the cache answers for where it comes from"
    )]
    fn deserialize(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the bytes must be what `Component::serialize` has returned, and must not be changed. Only `compile` calls this, with what
        // `CodeCache::load` hands out. That was written by `CodeCache::keep`, which gets nothing but what `serialize` returned for
        // this component and an engine of the same fingerprint: nobody but this user could have written the file or put
        // another in its place (`cache::folder`), who may make this process run whatever they like anyhow; and a SHA-256 over all of
        // it shows that it has not changed since (`cache::header`). `code` is a copy in our memory, so what was checked is what
        // is loaded, and the engine makes another copy of its own.
        unsafe { Component::deserialize(&self.engine, code) }
    }
}

/// What compiled code depends on besides the component: wasmtime's release and settings, and the processor's abilities.
fn fingerprint(engine: &Engine) -> [u8; 32] {
    struct Digest(Sha256);
    impl Hasher for Digest {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            let digest: [u8; 32] = self.0.clone().finalize().into();
            digest
                .first_chunk()
                .map_or(0, |first| u64::from_be_bytes(*first))
        }
    }
    let mut digest = Digest(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut digest);
    digest.0.finalize().into()
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
