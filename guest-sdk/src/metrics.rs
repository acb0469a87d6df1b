//! Numbers for the operator: counters and histograms beside the host's own metrics.
//!
//! They show with the host's metrics, labelled with the pipeline, the step and the plugin. A name is 1 to 64 lower-case letters,
//! digits and underscores and begins with a letter; make it a constant, never part of a row, since a plugin may have a few dozen
//! of them only. What the host can't take it leaves out and counts. Each call leaves the component, so
//! in a busy function add up first and count once a batch.
//!
//! Rows that come again after a failure are counted again: these numbers describe the work done, not the results.
//!
//! ```
//! use millstream_sdk::metrics;
//!
//! metrics::count("carts_without_items", 1);
//! metrics::observe("cart_items", 3.0);
//! ```
//!
//! Natively, in tests, they go nowhere.

/// Adds to a counter, which begins at 0.
pub fn count(name: &str, by: u64) {
    #[cfg(target_family = "wasm")]
    crate::bindings::common::millstream::udf::metrics::count(name, by);
    #[cfg(not(target_family = "wasm"))]
    let _ = (name, by);
}

/// Adds a value to a histogram.
pub fn observe(name: &str, value: f64) {
    #[cfg(target_family = "wasm")]
    crate::bindings::common::millstream::udf::metrics::observe(name, value);
    #[cfg(not(target_family = "wasm"))]
    let _ = (name, value);
}
