//! libFuzzer, on the target that `MILLSTREAM_FUZZ_TARGET` names. `cargo xtask fuzz` builds this with coverage of the host's
//! own code and runs each target in turn; built in any other way it runs, but blindly.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use millstream_fuzz::TARGETS;

/// The target's function.
static TARGET: LazyLock<fn(&[u8]) -> bool> = LazyLock::new(|| {
    let wanted = std::env::var("MILLSTREAM_FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|(name, _)| *name == wanted);
    let names = TARGETS.map(|(name, _)| name).join(", ");
    target
        .unwrap_or_else(|| panic!("MILLSTREAM_FUZZ_TARGET is {wanted:?}: set it to one of {names}"))
        .1
});

fuzz_target!(|bytes: &[u8]| {
    TARGET(bytes);
});
