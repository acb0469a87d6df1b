//! Test data whose right answer is known: clicks and orders that are a function of a seed, and the oracle
//! that says what a pipeline must make of the clicks.
//!
//! All of it is pure: no log, no clock, no files. The same configuration gives the same bytes in every
//! run and release, which the golden tests pin.
//!
//! ```
//! use millstream::generate::{ClickConfig, Clicks, Oracle};
//!
//! let config = ClickConfig { events: 120_000, ..ClickConfig::default() };
//! let mut oracle = Oracle::new(config.window, config.disorder, config.partitions)?;
//! for click in Clicks::new(config)? {
//!     oracle.observe(&click);
//! }
//! let expected = oracle.expected();
//! assert_eq!(expected.rows, 120_000);
//! assert!(expected.windows[0].unique_visitors > 0);
//! # Ok::<(), millstream::generate::ConfigError>(())
//! ```

mod access_log;
mod clicks;
mod config;
mod json;
mod malformed;
mod oracle;
mod orders;
mod partition;
mod timeline;
mod visitors;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

pub use clicks::{Click, Clicks, Truth};
pub use config::{ClickConfig, ConfigError, Rendering};
pub use malformed::Malformed;
pub use oracle::{Expected, ExpectedWindow, Oracle, Place};
pub use orders::{Order, OrderConfig, Orders};
