//! Event time, pure: which window a row belongs to, how far time has come, and which windows are open.
//!
//! Three things, kept apart: [`Tumbling`] assigns rows to windows, [`Watermarks`] tells how far event time has come in each
//! partition, [`Slots`] knows the windows whose contents are at hand, and under which numbers. Nothing here knows of a log, a plugin, a thread or a clock.
//! Around them: `horizon` refuses events from the far future, `idleness` says what silence means, `alignment` which partitions wait.
//!
//! # Rules
//! - Each partition has a watermark: its highest event time less the disorder allowed.
//! - A row is late when the watermark of *its own* partition, as it was before the row, has reached the end of its
//!   window. The order inside a partition is fixed by the log, so a replay judges every row the same,
//!   however partitions interleave.
//! - A window fires when the lowest watermark of all partitions has reached its end. By then every partition would
//!   judge a further row late, so nothing is missed.

mod alignment;
mod assign;
mod horizon;
mod idleness;
mod slots;
mod watermark;

pub use alignment::{slowest, waits};
pub use assign::{Tumbling, Window};
pub use horizon::Horizon;
pub use idleness::{Reading, Silence, Standing, last_event, promise};
pub use slots::{KeySlot, Owner, Slot, Slots};
pub use watermark::{PartitionWatermark, Watermarks};
