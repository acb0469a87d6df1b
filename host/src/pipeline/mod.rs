//! Pipeline files, and the stages they become.

pub mod config;
