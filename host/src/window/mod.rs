//! Event time, pure: which windows a row belongs to, how far time has come, and which contents are at hand.
//!
//! [`Assigner`] assigns rows to panes and panes to windows whose bounds are fixed, [`Sessions`] knows those that grow with their rows,
//! [`Watermarks`] tells how far event time has come in each partition, [`Slots`] under which numbers contents are at hand. Around them:
//! `horizon` refuses events from the far future, `idleness` says what silence means, `alignment` which partitions wait. Nothing here
//! knows of a log, a plugin, a thread or a clock. `docs/time.md` has the rules with pictures.
//!
//! # Rules
//! - Each partition has a watermark: its highest event time less the disorder allowed.
//! - A row is judged by the watermark of *its own* partition, as it was before the row. The order inside a partition is
//!   fixed by the log, so a replay judges every row the same, however partitions interleave.
//! - What is due at an instant happens when the lowest watermark of all partitions has reached it, and in the order of the instants.
//!   A window is due at its end: by then every partition would judge a further row late, so nothing is missed.
//! - A row that is late for a window and still counts is due right after the watermark that it was judged by. So it
//!   changes the window at the same place in the order of events wherever it was on its way.

mod alignment;
mod assign;
mod calendar;
mod horizon;
mod idleness;
mod pane;
mod sessions;
mod slots;
mod watermark;

pub use alignment::{slowest, waits};
pub use assign::{Assigner, Sliding, Tumbling};
pub use calendar::{Calendar, Unit};
pub use horizon::Horizon;
pub use idleness::{Reading, Silence, Standing, last_event, promise};
pub use pane::{Pane, Window};
pub use sessions::{Changed, Key, Publicity, Session, Sessions};
pub use slots::{KeySlot, Owner, Slot, Slots};
pub use watermark::{PartitionWatermark, Watermarks};
