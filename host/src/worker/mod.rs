//! The loop that runs a pipeline. Reading the files in this order tells the story of a record:
//!
//! - [`Worker`] (`run`): opens its store, joins the log, starts over after a failure, ends on request.
//! - `lane`: one membership in the group: polls, hands records on, goes back after an abort.
//! - `topology`: which tasks there are, and the host's own topics.
//! - `claiming`, with `claim` (decisions) and `restore`: how a task is taken over.
//! - `task`: one stage on one partition: its position, its watermark, its windows, and what it commits.
//! - `processing`, by what `quarantine` knows: records in portions, fewer and fewer where a function fails; `rolling_back`.
//! - `part`: some records on their way through all stages, decoding first.
//! - `judging`: time: rows from the far future, and the watermark that each row is judged by.
//! - `steps`: filters and maps.
//! - `gather`, by the rules of `windowing`: the pane and key of each row, and rows that come too late.
//! - `contents`: what is at hand of panes, in the guest or as rows; `cold`: of what the store has more.
//! - `owned`, with `layout` and `entries`: the windows of a task, and what is written of them.
//! - `firing`: what a lane does when windows fire; `timeline`: in which order things happen; `pending`: rows that have waited; `early`:
//!   results before the end.
//! - `pieces`, `produce`, `results`: what there is of a window and key, what the function makes of it, and what is published of that;
//!   `overlap`: what sliding windows have in common; `scene`: what all of these work with.
//! - `partials`: the first of two stages, which sends on what it accumulates.
//! - `pacing`, with `closing` and `ending`: silent partitions, partitions that are far ahead, and runs that have an end.
//! - `rollout`, with `trial` (decisions): which versions of the functions are to run; `mill`: a version at work; `following`: how a lane
//!   goes over to another, and `migrating`: how state does.
//! - `write`: results, dead letters and late rows as records.
//! - `committing`, with `commit` (the protocol): one transaction for all of it, and the store after it.
//! - [`Progress`]: what is counted on the way; [`Team`]: the workers of one process; `board`: what these tell each other.
//!
//! # What is committed, and what a restart does
//! Results, dead letters, late rows, changes of state, partials, and offsets with watermarks are committed in one transaction; the
//! local store follows it. A restart reads the offsets, brings the store up to the changelog, and goes on with the next row. `commit`
//! and `claim` tell what a crash at each point leaves.

mod board;
mod claim;
mod claiming;
mod closing;
mod cold;
mod commit;
mod committing;
mod contents;
mod early;
mod ending;
mod entries;
mod error;
mod firing;
mod following;
mod gather;
mod judging;
mod lane;
mod layout;
mod migrating;
mod mill;
mod overlap;
mod owned;
mod pacing;
mod part;
mod partials;
mod pending;
mod pieces;
mod processing;
mod produce;
mod progress;
mod quarantine;
mod restore;
mod results;
mod rolling_back;
mod rollout;
mod run;
mod scene;
mod sessions;
mod steps;
mod stores;
mod task;
mod team;
mod timeline;
mod topology;
mod trial;
mod windowing;
mod write;

pub use error::WorkerError;
pub use progress::{Progress, Snapshot, Status};
pub use rollout::{Report, Rollout, Running, Target, Trial, Version};
pub use run::{Identity, Stores, Worker};
pub use stores::WorkerFolder;
pub use team::Team;
pub use trial::{Tally, TrialLimits};
pub use windowing::keeps_results;
