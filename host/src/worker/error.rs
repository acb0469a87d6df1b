//! Why a worker ended, by whose fault it is.

use std::time::Duration;

use crate::log::{LogError, Offset, TopicPartition};
use crate::plugin::GuestFailure;
use crate::state::{StoreError, TaskId};

/// Why a worker ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A function failed: the plugin is at fault.
    #[error("step {step} at {at}, offsets {from} to {to}: {source}")]
    Plugin {
        /// The step.
        step: String,
        /// The partition whose rows it was given, or whose rows made its windows fire.
        at: TopicPartition,
        /// The first offset of the batch.
        from: Offset,
        /// The last offset of the batch.
        to: Offset,
        /// What happened.
        source: Box<GuestFailure>,
    },
    /// A function failed at more rows within a minute than its step allows.
    #[error(
        "a function failed at more than {budget} rows within a minute, and is stopped: put another version in place, or raise the step's \
         limits.failures_per_minute; the last one: {last}"
    )]
    Budget {
        /// How many the step allows.
        budget: u32,
        /// The last failure.
        last: Box<WorkerError>,
    },
    /// A step could not process a row, and says `on_error = "fail"`.
    #[error(
        "step {step} could not process the record at {at}, offset {offset}: {reason}; the step says on_error = \"fail\""
    )]
    Row {
        /// The step.
        step: String,
        /// The partition of the row.
        at: TopicPartition,
        /// Its offset.
        offset: Offset,
        /// What the step said.
        reason: String,
    },
    /// A function did not start again.
    #[error("step {step}: {source}")]
    Start {
        /// The step.
        step: String,
        /// What happened.
        source: Box<GuestFailure>,
    },
    /// The log refused.
    #[error(transparent)]
    Log(LogError),
    /// The log, or the local disk, stayed away for longer than the worker was told to wait.
    #[error("gave up after {}s: {last}", .waited.as_secs())]
    GaveUp {
        /// How long it waited.
        waited: Duration,
        /// What was wrong last.
        last: Box<WorkerError>,
    },
    /// Another process runs the pipeline now.
    #[error("another process runs this pipeline now, and has fenced this one: {0}")]
    Fenced(String),
    /// The windows of the pipeline can't be settled over the partitions of its source.
    #[error("{0}")]
    Windows(String),
    /// The log refused a commit, and would again.
    #[error("the log refused a commit: {0}")]
    Commit(String),
    /// What the group has committed can't be understood.
    #[error("{at}: {what}")]
    Committed {
        /// The partition.
        at: TopicPartition,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// The pipeline is not the one that its state was made with.
    #[error(
        "the pipeline's state can't follow it: {}; run it as it was, give it another name, or begin anew with `millstream state reset`",
        .0.join("; ")
    )]
    Shape(
        /// What differs, each a sentence.
        Vec<String>,
    ),
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the local store has of a task can't be understood.
    #[error("the local state of {task}: {what}")]
    Damaged {
        /// The task.
        task: TaskId,
        /// What is wrong with it.
        what: String,
    },
    /// Rows could not be put together: a bug of the host's.
    #[error("a bug in the host: {0}")]
    Bug(String),
}

impl From<LogError> for WorkerError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Fenced(why) => WorkerError::Fenced(why),
            other => WorkerError::Log(other),
        }
    }
}
