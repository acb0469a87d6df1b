//! Messages to the operator: to the host's log from a component, to standard error in native tests.
//!
//! ```
//! use millstream_sdk::log;
//!
//! log::info!("{} patterns", 3);
//! log::warn!("no pattern: every row is kept");
//! ```

use std::fmt;

#[doc(inline)]
pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_warn as warn,
};

pub use crate::bindings::common::millstream::udf::log::Level;

/// Writes a message; the macros of this module are the usual way to it.
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    #[cfg(target_family = "wasm")]
    crate::bindings::common::millstream::udf::log::write(level, &message.to_string());
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?}: {message}");
}

/// Writes a message for the plugin's author; takes what [`format!`] takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, ::std::format_args!($($message)+))
    };
}

/// Writes a message about something normal; takes what [`format!`] takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Info, ::std::format_args!($($message)+))
    };
}

/// Writes a message about something odd that the function coped with; takes what [`format!`] takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, ::std::format_args!($($message)+))
    };
}

/// Writes a message about something that went wrong; takes what [`format!`] takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Error, ::std::format_args!($($message)+))
    };
}
