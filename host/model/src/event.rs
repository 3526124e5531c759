//! What happened on a host: one record for each change that a person may want to know of.

use serde::{Deserialize, Serialize};

use crate::{DeploymentId, EnvironmentName, ProjectName, StepName, Timestamp};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Event {
    /// 1, 2, ... on this host: where to go on.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What, as `deployment.live`, `step.failed`, `session.begun`.
    pub kind: String,
    /// Project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// Deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepName>,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// A line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Event {
    /// An event of now; its id is given when it is recorded.
    pub fn now(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            id: 0,
            at: Timestamp::now(),
            kind: kind.into(),
            project: None,
            environment: None,
            deployment: None,
            number: None,
            step: None,
            actor: None,
            message: message.into(),
        }
    }
}
