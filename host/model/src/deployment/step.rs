//! The steps of a deployment: their names, in the order of the pipeline's table, and how they stand.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A row of the pipeline table, in table order.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum StepName {
    /// Source to a read-only workspace at an exact commit.
    Fetch,
    /// Refuse early: settings, variables, services, disk, memory.
    Preflight,
    /// What is this application?
    Detect,
    /// How is it built?
    Plan,
    /// Services that the environment needs.
    Provision,
    /// Plan to artifact.
    Build,
    /// In the artifact's network: services resolve and answer.
    Validate,
    /// Once, under a lock.
    Migrate,
    /// New instances beside the old.
    Start,
    /// Probe, and let the plugin judge.
    Check,
    /// Publish the next generation.
    Switch,
    /// Live; the old one drains.
    Finish,
}

impl StepName {
    /// All steps, in table order.
    pub const ALL: [Self; 12] = [
        Self::Fetch,
        Self::Preflight,
        Self::Detect,
        Self::Plan,
        Self::Provision,
        Self::Build,
        Self::Validate,
        Self::Migrate,
        Self::Start,
        Self::Check,
        Self::Switch,
        Self::Finish,
    ];

    /// Name as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Preflight => "preflight",
            Self::Detect => "detect",
            Self::Plan => "plan",
            Self::Provision => "provision",
            Self::Build => "build",
            Self::Validate => "validate",
            Self::Migrate => "migrate",
            Self::Start => "start",
            Self::Check => "check",
            Self::Switch => "switch",
            Self::Finish => "finish",
        }
    }

    /// Whether a deployment can still be cancelled in this step.
    pub fn cancellable(self) -> bool {
        self < Self::Switch
    }
}

impl std::fmt::Display for StepName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for StepName {
    type Err = crate::id::InvalidId;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|step| step.as_str() == s).ok_or_else(|| crate::id::InvalidId {
            what: "step",
            given: s.to_owned(),
            rule: "one of fetch, preflight, detect, plan, provision, build, validate, migrate, \
                       start, check, switch, finish",
        })
    }
}

/// Status of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// Begun.
    Running,
    /// Done.
    Succeeded,
    /// Done by looking it up.
    Cached,
    /// Failed.
    Failed,
    /// Not needed.
    Skipped,
    /// Not reached, because of a failure or a cancellation.
    Cancelled,
}

impl StepStatus {
    /// Whether the pipeline goes on behind a step of this status.
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Succeeded | Self::Cached | Self::Skipped)
    }
}

/// A step of a deployment. Its log is a file, its output lies in [`Outputs`](super::Outputs).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Step {
    /// Which.
    pub name: StepName,
    /// How it stands.
    pub status: StepStatus,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// One line for people: `Node.js, 92% sure`, `3 steps, 2 from the cache`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_can_be_cancelled_until_the_switch_begins() {
        for step in StepName::ALL {
            let expected = !matches!(step, StepName::Switch | StepName::Finish);
            assert_eq!(step.cancellable(), expected, "{step}");
        }
    }

    #[test]
    fn step_names_round_trip() {
        for step in StepName::ALL {
            assert_eq!(step.as_str().parse::<StepName>().unwrap(), step);
        }
    }
}
