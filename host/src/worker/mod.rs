//! The loop that runs a pipeline. Reading the files in this order tells the story of a record:
//!
//! - [`Worker`] (`run`): joins the log, starts over after a failure, ends on request.
//! - `lane`: one membership in the group: polls, hands records on, commits, recovers.
//! - `part`: some records on their way through all stages, decoding first.
//! - `task`: one source partition: its position, its watermark, and what it commits.
//! - `steps`: filters and maps.
//! - `windows`, `contents`: gather rows in windows and fire them.
//! - `write`: results, dead letters and late rows as records.
//! - [`Progress`]: what is counted on the way.
//!
//! # What is committed, and what a restart does
//! Outputs, dead letters, late rows and offsets are committed in one transaction. The contents of open windows are not
//! yet kept anywhere but in memory. So the offset that is committed for a partition is that of the first
//! row that an open window needs, and beside it stands how far the partition had been read, and up to which watermark
//! windows had fired. A restart reads again from the first, writes nothing that was written before the second,
//! and fires nothing that had fired.

mod contents;
mod error;
mod lane;
mod part;
mod progress;
mod run;
mod steps;
mod task;
mod windows;
mod write;

pub use error::WorkerError;
pub use progress::{Progress, Snapshot, Status};
pub use run::Worker;
