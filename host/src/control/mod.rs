//! Deploys: other components for the steps of a pipeline that runs, with nothing lost and nothing counted twice.
//!
//! - `message`: what is said about deploys, on the pipeline's control topic; `topic`: how it stands there, components too.
//! - `history`: what all of it comes to. Pure: every host that reads the same topic comes to the same.
//! - [`Control`]: what a process knows of a pipeline's deploys, and how it is asked for one.
//! - `follower`: the thread that reads the topic, prepares versions (`prepared`), writes what is `asked`, lets the workers have them
//!   ([`Rollout`](crate::worker::Rollout)), and says what becomes of those on trial.
//! - `fit`: whether a component may take the place of another.
//! - `shadow`: a version that runs beside the one in place; `compare`: what comes of the two.
//!
//! # What is promised
//! - **One order.** Deploys take effect in the order of the topic. One that another has overtaken is refused by every host alike.
//! - **One version a row.** Workers go over at a commit; what is committed says by which version.
//! - **A component is known by its digest**, and travels in the topic itself: every host runs the same bytes.
//! - **A bad version goes by itself.** One that is on trial and fails, or does much worse than the one before, is taken
//!   back by the process that sees it, for all.

mod asked;
mod begin;
mod compare;
mod fit;
mod follower;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod handle;
mod history;
mod message;
mod prepared;
mod shadow;
mod topic;

pub use begin::{FollowError, Followed, catch_up};
pub use compare::{Comparison, Difference};
pub use follower::Follower;
pub use handle::{Asked, Control, DeployError, DeployView, Outcome};
pub use message::{PluginRef, Strategy, TrialSpec};
