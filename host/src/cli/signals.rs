//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::Failure;

/// The exit code of a process that a second signal has ended.
const ENDED_AT_ONCE: i32 = 130;

/// A flag that the first signal sets.
///
/// # Errors
/// If the handlers can't be installed.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: at the first signal the flag is not set yet, so only the second ends the process.
        signal_hook::flag::register_conditional_shutdown(signal, ENDED_AT_ONCE, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
