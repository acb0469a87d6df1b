//! The service: many pipelines in one process, each with its own workers, none of which the others notice.
//!
//! - `machine` decides, without a clock or a thread, what becomes of a pipeline.
//! - `record` is what is remembered of it, so that the service comes back as it was.
//! - `prepare` makes a configuration of that; `work` is one run of it on its own thread.
//! - [`Service`] carries out what `machine` decides (`supervisor`) and what it is asked (`asked`, `deploys`, and `watched`, a folder of those); `reset` lets a pipeline
//!   begin anew, `change` replaces one by another, as the API or `folder`, the folder of pipelines, says. `view`, `dead_letters` and
//!   `results` are what it shows; `replay` puts dead letters back.
//! - [`ServiceConfig`] (`config`) is the service's own file.
//!
//! # What it promises
//! - What it was asked is on the disk before it answers: after a crash each pipeline is as it was last asked to be.
//! - A pipeline has one run at a time. One that fails is started again after a while, longer each time, and shows why.
//! - It ends in good order: every pipeline commits what is done, nothing is taken any more, then the process ends.
//!
//! # Files in its data folder
//! `lock`, held as long as it runs; `pipelines/`, see `record`; `plugins/`, see [`registry`](crate::registry); and the folders that
//! pipelines created through the API name, which are relative to it.

mod asked;
mod change;
mod config;
mod dead_letters;
mod deploys;
pub(crate) mod disk;
mod entry;
mod error;
mod folder;
mod lag;
mod logs;
mod machine;
mod prepare;
mod reading;
mod record;
mod replay;
mod reset;
mod results;
mod supervisor;
mod view;
mod watched;
mod work;

pub(crate) use config::digest_of_hex;
pub use config::{
    HttpConfig, Role, ServiceConfig, ServiceConfigError, TlsConfig, TokenConfig, load, parse,
};
pub use dead_letters::DeadLetter;
pub use deploys::{Component, DeployAsked};
pub use error::{ServiceError, StartError};
pub(crate) use lag::lag;
pub use machine::Backoff;
pub use record::Desired;
pub use replay::{LeftOut, ReplayRequest, ReplayView};
pub use results::{Cursor, Positions, ResultView, ResultsView, WantedResults};
pub use supervisor::Service;
pub use view::{
    FailureView, MoveView, Origin, PipelineView, ProgressView, ResetView, State, StepView,
};
