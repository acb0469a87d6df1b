//! Components that mean harm, or that nobody could tell from such: each is refused or stopped with a reason that its operator can read,
//! the host goes on, and what others do is not touched. `docs/security.md` has them in a table.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod answers;
mod calls;
mod files;
mod floods;
mod guest;
mod pipelines;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow_array::{BinaryArray, Int64Array};
use guest::Guest;
use millstream::pipeline::config::defaults;
use millstream::plugin::{
    AggregateInstance, AppliedWindow, FilterInstance, GuestFailure, Limits, MapInstance, Plugin,
    PluginEngine, WindowApplyInstance,
};
use millstream::rows::Rows;

/// The host: one engine for the whole program, as in a service. Were one guest to break it, all tests after would fail.
fn engine() -> &'static PluginEngine {
    static ENGINE: OnceLock<PluginEngine> = OnceLock::new();
    ENGINE.get_or_init(|| PluginEngine::new().unwrap())
}

fn limits() -> Limits {
    Limits {
        call: Duration::from_millis(100),
        ..defaults::LIMITS.into()
    }
}

/// Why a file of these bytes is refused, or the plugin.
fn load_bytes(bytes: &[u8]) -> Result<Plugin, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hostile.wasm");
    fs::write(&file, bytes).unwrap();
    Plugin::load(engine(), &file, limits()).map_err(|error| {
        let told = error.to_string();
        assert!(told.starts_with(&file.display().to_string()), "{told}");
        told
    })
}

/// Three rows.
fn rows() -> Rows {
    Rows::new(3, vec![Arc::new(Int64Array::from(vec![1, 2, 3]))])
}

/// Calls every export of a component once, in the order of its life. What the first call that fails says.
fn live(guest: &Guest) -> Result<(), GuestFailure> {
    live_within(guest, limits())
}

fn live_within(guest: &Guest, limits: Limits) -> Result<(), GuestFailure> {
    let plugin = load_bytes(&guest.build()).unwrap_or_else(|told| panic!("{told}"));
    let engine = engine();
    match plugin.kind().world() {
        "filter" => {
            let mut filter = FilterInstance::start(engine, &plugin, "{}", limits)?;
            filter.filter(&rows(), &[0]).map(drop)
        }
        "map" => {
            let mut map = MapInstance::start(engine, &plugin, "{}", limits)?;
            map.map(&rows(), &[0]).map(drop)
        }
        "window-apply" => {
            let mut apply = WindowApplyInstance::start(engine, &plugin, "{}", limits)?;
            let window = AppliedWindow {
                start: 0,
                end: 1,
                key: Some("k".to_owned()),
            };
            apply.apply(&[window], &[0, 3], &rows()).map(drop)
        }
        _ => {
            let mut aggregate = AggregateInstance::start(engine, &plugin, "{}", limits)?;
            let partials = BinaryArray::from_vec(vec![b"x"]);
            aggregate.accumulate(&[0, 0, 0], &rows(), &[0])?;
            aggregate.merge(&[0], &partials)?;
            aggregate.take_deltas(&[0])?;
            aggregate.snapshot(&[0])?;
            aggregate.finish(&[0])?;
            aggregate.migrate(1, &partials)?;
            aggregate.close(&[0])
        }
    }
}

/// A harmless component of each kind still loads and runs: the host is alive.
#[track_caller]
fn host_is_alive() {
    for kind in ["filter", "map", "aggregate", "window-apply"] {
        live(&Guest::new(kind)).unwrap_or_else(|failure| panic!("{kind}: {failure}"));
    }
}

#[track_caller]
fn assert_says(case: &str, told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "{case}: {word:?} is not in: {told}");
    }
    assert!(
        told.len() < 8_192,
        "{case}: {} bytes are no message",
        told.len()
    );
}

#[test]
fn harmless_guests_run() {
    host_is_alive();
}
