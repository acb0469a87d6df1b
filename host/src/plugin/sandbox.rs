//! What a guest lives in: its limits, and a world in which nothing is granted.
//!
//! A component gets no file, socket, environment or argument. Its clocks stand still at 1970-01-01T00:00:00Z and its
//! random numbers are the same in each instance, so that rows that come again after a failure meet the same function. What
//! it prints goes nowhere, except that the end of its standard error is kept for the message of a trap.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use wasmtime::ResourceLimiter;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, ResourceTable, WasiCtx, WasiCtxView, WasiView,
};

/// What one instance of a component may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of linear memory, all memories of the component together.
    pub memory: usize,
    /// How long one call may take, to a precision of 10 ms.
    pub call: Duration,
}

/// Entries that the tables of an instance may have. A table entry is a function that can be called indirectly.
const TABLE_ENTRIES: usize = 100_000;
/// Core instances, memories and tables of one component. A component of a Rust plugin has four or five.
const PARTS: usize = 32;
/// How much of a guest's standard error is kept.
const STDERR_BYTES: usize = 4_096;
/// How long a guest's message to the log may be.
const LOG_BYTES: usize = 4_096;

/// The data of a guest's store.
pub(super) struct Guest {
    /// `name@version`, for messages.
    pub(super) who: String,
    pub(super) limiter: Limiter,
    pub(super) stderr: Stderr,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Guest {
    pub(super) fn new(who: String, limits: Limits) -> Self {
        let stderr = Stderr::default();
        let random = || ChaCha8Rng::seed_from_u64(0);
        let wasi = WasiCtx::builder()
            .stderr(stderr.clone())
            .wall_clock(StoppedClock)
            .monotonic_clock(StoppedClock)
            .secure_random(random())
            .insecure_random(random())
            .insecure_random_seed(0)
            .allow_tcp(false)
            .allow_udp(false)
            .build();
        Self {
            who,
            limiter: Limiter {
                memory: limits.memory,
                used: 0,
                refused: None,
            },
            stderr,
            wasi,
            table: ResourceTable::new(),
        }
    }

    /// Passes on a message of the guest.
    pub(super) fn log(&self, level: super::contract::Level, message: &str) {
        use super::contract::Level;
        let plugin = self.who.as_str();
        let message = clip(message, LOG_BYTES);
        match level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, "{message}"),
        }
    }
}

/// The first `most` bytes of a text, cut between characters.
pub(super) fn clip(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Refuses growth beyond the limits, and remembers that it did: the guest itself only sees an allocation fail.
pub(super) struct Limiter {
    memory: usize,
    /// Bytes of all memories together: a component may have several.
    used: usize,
    /// How many bytes were asked for when memory was refused.
    pub(super) refused: Option<usize>,
}

impl Limiter {
    /// Bytes of all memories together.
    pub(super) fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        let granted = wanted <= self.memory;
        if granted {
            self.used = wanted;
        } else {
            self.refused = Some(wanted);
        }
        Ok(granted)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ENTRIES)
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

/// A clock that stands still.
struct StoppedClock;

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Keeps the last bytes written to it.
#[derive(Clone, Default)]
pub(super) struct Stderr(Arc<Mutex<Vec<u8>>>);

impl Stderr {
    /// Takes what has been written, as text.
    pub(super) fn take(&self) -> String {
        let mut bytes = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        String::from_utf8_lossy(&std::mem::take(&mut *bytes))
            .trim()
            .to_owned()
    }
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only components of WASI 0.3 ask for it, and none is admitted.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Stderr {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        let mut kept = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let tail = &bytes[bytes.len().saturating_sub(STDERR_BYTES)..];
        let excess = (kept.len() + tail.len()).saturating_sub(STDERR_BYTES);
        kept.drain(..excess);
        kept.extend_from_slice(tail);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(STDERR_BYTES)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_error_keeps_its_end() {
        let mut stderr = Stderr::default();
        stderr
            .write(vec![b'a'; 10 * STDERR_BYTES].into())
            .expect("it never fails");
        stderr.write("the end".into()).expect("it never fails");
        let kept = stderr.take();
        assert_eq!(kept.len(), STDERR_BYTES);
        assert!(kept.ends_with("athe end"));
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        assert_eq!(clip("aäb", 2), "a");
        assert_eq!(clip("aäb", 3), "aä");
        assert_eq!(clip("aäb", 300), "aäb");
    }
}
