//! What belongs to waiting, halting, going back and keeping: plain data of the queue and the history.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deployment::StepName;
use crate::id::{DeploymentId, EnvironmentName};

/// A migration that was run after the version that is gone back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MigrationBetween {
    /// The deployment that ran it.
    pub deployment: DeploymentId,
    /// Its number.
    pub number: u64,
    /// Name of the tool, as its plugin gives it.
    pub tool: String,
    /// Its command.
    pub command: Vec<String>,
    /// How it ended; absent when that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// A deployment halted between two steps by a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pause {
    /// Who.
    pub actor: String,
    /// Since when.
    pub at: Timestamp,
    /// The step that comes next.
    pub before: StepName,
}

/// That a deployment's record, logs and artifact are never pruned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pin {
    /// Which.
    pub deployment: DeploymentId,
    /// Who pinned it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

/// `POST …/promote`: what is live in another environment goes live in this one.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePromotion {
    /// The environment whose live deployment is taken over.
    pub from: EnvironmentName,
}
