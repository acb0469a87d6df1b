//! Pipeline files, and the stages they become.

pub mod config;
pub mod plan;
