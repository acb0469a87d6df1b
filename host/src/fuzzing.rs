//! The ways in of tests/fuzz to readers that are private. Each returns whether what it was given has been taken.

pub use crate::control::fuzzing::control_topic;
pub use crate::plugin::fuzzing::{compiled_code, returned};
