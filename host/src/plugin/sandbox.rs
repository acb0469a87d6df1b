//! What a guest lives in: its limits, and a world in which nothing is granted.
//!
//! A component gets no file, socket, environment or argument. Its clocks stand still at 1970-01-01T00:00:00Z and its
//! random numbers are the same in each instance, so that rows that come again after a failure meet the same function. What
//! it prints goes nowhere, except that the end of its standard error is kept for the message of a trap.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use wasmtime::ResourceLimiter;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, ResourceTable, WasiCtx, WasiCtxView, WasiView,
};

use super::contract::Level;
use super::meter::{Loss, Meter};

/// What one instance of a component may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of linear memory, all memories of the component together.
    pub memory: usize,
    /// How long one call may take, to a precision of 10 ms.
    pub call: Duration,
    /// Entries of tables, all tables of the component together. An entry is a function that can be called indirectly.
    pub table_entries: usize,
    /// Core instances in the component, and as many memories and tables. A component of a Rust plugin has four or five.
    pub core_instances: usize,
    /// Calls of `log` and `metrics` that one call may make.
    pub host_calls: u32,
    /// Messages that it may write to the log in a second.
    pub log_messages: NonZeroU32,
    /// Bytes of messages that it may write to the log in a second.
    pub log_bytes: NonZeroU32,
    /// Rows that one call may return.
    pub output_rows: usize,
    /// Bytes that one call may return.
    pub output_bytes: usize,
}

/// How much of a guest's standard error is kept.
const STDERR_BYTES: usize = 4_096;
/// How long a guest's message to the log may be.
pub(super) const LOG_BYTES: usize = 4_096;

/// The data of a guest's store.
pub(super) struct Guest {
    /// Who it is, and what it counts.
    pub(super) meter: Arc<Meter>,
    /// SHA-256 of its component, in hexadecimal.
    pub(super) digest: String,
    pub(super) limiter: Limiter,
    pub(super) stderr: Stderr,
    /// Calls of the host that the call under way may still make.
    calls_left: u32,
    calls: u32,
    messages: DefaultDirectRateLimiter,
    message_bytes: DefaultDirectRateLimiter,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Guest {
    pub(super) fn new(meter: Arc<Meter>, digest: &str, limits: Limits) -> Self {
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
            meter,
            digest: digest.to_owned(),
            limiter: Limiter {
                limits,
                memory: 0,
                table_entries: 0,
                refused: None,
            },
            stderr,
            calls_left: limits.host_calls,
            calls: limits.host_calls,
            messages: RateLimiter::direct(Quota::per_second(limits.log_messages)),
            message_bytes: RateLimiter::direct(Quota::per_second(limits.log_bytes)),
            wasi,
            table: ResourceTable::new(),
        }
    }

    /// A call begins: nothing has been refused in it, and it has called nothing.
    pub(super) fn begin_call(&mut self) {
        self.limiter.refused = None;
        self.calls_left = self.calls;
    }

    /// Whether the call under way may call the host once more; what it may not is counted.
    pub(super) fn may_call(&mut self) -> bool {
        let left = self.calls_left.checked_sub(1);
        self.calls_left = left.unwrap_or(0);
        if left.is_none() {
            self.meter.lose(Loss::Call);
        }
        left.is_some()
    }

    /// Passes on a message of the guest, or notes that it writes too many.
    pub(super) fn log(&self, level: Level, message: &str) {
        let bytes = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let bytes = NonZeroU32::new(bytes).unwrap_or(NonZeroU32::MIN);
        let has_room = self.messages.check().is_ok()
            && matches!(self.message_bytes.check_n(bytes), Ok(Ok(())));
        if !has_room {
            self.meter.lose(Loss::Message);
            return;
        }
        let (plugin, digest) = (self.meter.who(), self.digest.as_str());
        let place = self.meter.place();
        let pipeline = place.map(|place| place.pipeline.as_str());
        let step = place.map(|place| place.step.as_str());
        match level {
            Level::Debug => {
                tracing::debug!(target: "plugin", pipeline, step, plugin, digest, "{message}");
            }
            Level::Info => {
                tracing::info!(target: "plugin", pipeline, step, plugin, digest, "{message}");
            }
            Level::Warn => {
                tracing::warn!(target: "plugin", pipeline, step, plugin, digest, "{message}");
            }
            Level::Error => {
                tracing::error!(target: "plugin", pipeline, step, plugin, digest, "{message}");
            }
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
    limits: Limits,
    /// Bytes of all memories together: a component may have several.
    memory: usize,
    /// Entries of all tables together.
    table_entries: usize,
    /// What was refused last in the call under way.
    pub(super) refused: Option<Refused>,
}

/// Growth that was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    /// So many bytes of memory were asked for.
    Memory(usize),
    /// So many entries of tables were asked for.
    Table(usize),
}

impl Limiter {
    /// Bytes of all memories together.
    pub(super) fn used(&self) -> usize {
        self.memory
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_add(desired.saturating_sub(current));
        let granted = wanted <= self.limits.memory;
        if granted {
            self.memory = wanted;
        } else {
            self.refused = Some(Refused::Memory(wanted));
        }
        Ok(granted)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let wanted = self.table_entries.saturating_add(more);
        let granted = wanted <= self.limits.table_entries;
        if granted {
            self.table_entries = wanted;
        } else {
            self.refused = Some(Refused::Table(wanted));
        }
        Ok(granted)
    }

    fn instances(&self) -> usize {
        self.limits.core_instances
    }

    fn tables(&self) -> usize {
        self.limits.core_instances
    }

    fn memories(&self) -> usize {
        self.limits.core_instances
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
