//! What is said on a pipeline's control topic.

use serde::{Deserialize, Serialize};

use crate::worker::TrialLimits;

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// A message, as the value of a record.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) v: u32,
    pub(super) message: Message,
}

/// What is said.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Message {
    /// A component is to take another's place.
    Deploy(Box<Deploy>),
    /// A canary or shadow has done well: its component takes the place.
    Promote {
        /// The deploy's number.
        deploy: u64,
    },
    /// A deploy that is under way, or on trial, is taken back.
    Abort {
        /// The deploy's number.
        deploy: u64,
        /// Why, for people.
        reason: String,
        /// Whether a host has decided it.
        automatic: bool,
    },
    /// A deploy has passed its trial.
    Settle {
        /// The deploy's number.
        deploy: u64,
    },
}

/// A component is to take another's place in a step.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deploy {
    /// Made up by who asks, to know it by.
    pub(super) token: String,
    /// The step.
    pub(super) step: String,
    /// The component that the pipeline's file has: where it names another some day, the file counts.
    pub(super) base: String,
    /// The one that runs: where another does by then, the deploy has been overtaken.
    pub(super) from: PluginRef,
    /// The one to run.
    pub(super) to: PluginRef,
    /// How.
    pub(super) strategy: Strategy,
    /// How it is watched afterwards; `None` if it is not.
    pub(super) trial: Option<TrialSpec>,
    /// Whether it puts back what was there before.
    pub(super) is_rollback: bool,
    /// Who asked: the name of a token, or what did it by itself.
    pub(super) by: String,
    /// When, in milliseconds since 1970.
    pub(super) at: i64,
    /// Which of the processes that run the pipeline was asked: it runs a shadow.
    pub(super) host: String,
    /// The component's signature, where it has one, for processes that ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<String>,
}

/// A component.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginRef {
    /// `name@version`, as it describes itself.
    pub plugin: String,
    /// SHA-256 of its file, in hexadecimal.
    pub sha256: String,
}

/// How a component takes another's place.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Strategy {
    /// At the next commit.
    #[default]
    Immediate,
    /// In some partitions first.
    Canary {
        /// In which share of them, in percent.
        percent: u8,
        /// For so long, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
        /// Or for so many rows. With neither it stays a canary until somebody promotes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<u64>,
    },
    /// Beside the one that runs, on the same rows, with results that are only compared.
    Shadow {
        /// After so many windows in a row whose results are equal it takes the place; `None` if somebody has to say so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        windows: Option<u64>,
    },
}

/// How a version is watched.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrialSpec {
    /// For how long, in seconds.
    pub seconds: u64,
    /// What it may not exceed.
    pub limits: TrialLimits,
}

impl Default for TrialSpec {
    fn default() -> Self {
        Self {
            seconds: 60,
            limits: TrialLimits::default(),
        }
    }
}
