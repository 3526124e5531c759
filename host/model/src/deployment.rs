//! A deployment and its steps: one immutable attempt to make one version live in one environment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::id::{DeploymentId, Digest, EnvironmentName, ProjectName};
use crate::plan::BuildPlan;
use crate::queue::{MigrationBetween, Pause};
use crate::webhook::Trigger;

mod artifact;
mod outputs;
mod step;

pub use artifact::{Artifact, ArtifactKind, ArtifactOutput, ArtifactProcess};
pub use outputs::{
    Chosen, Fetched, FetchedImage, HealthRecord, Instance, MigrationRecord, Outputs,
};
pub use step::{Step, StepName, StepStatus};

/// Status of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentStatus {
    /// Waits for a runner.
    Queued,
    /// A runner works on it.
    Running,
    /// Halted between two steps by a person.
    Paused,
    /// It serves.
    Live,
    /// Superseded; its last requests are being finished.
    Draining,
    /// Superseded and gone; its artifact may be retained.
    Retired,
    /// It was to be built only, and was.
    Built,
    /// It failed; nothing of it serves.
    Failed,
    /// A person or a newer deployment ended it.
    Cancelled,
    /// It was live, and a person stopped it.
    Stopped,
    /// Its clean-up failed; a person is needed.
    Stuck,
}

impl DeploymentStatus {
    /// Whether nothing more happens to it by itself.
    pub const fn is_settled(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Draining)
    }

    /// Whether who waits for it need not wait any longer: it is settled, and not only halted.
    pub const fn is_over(self) -> bool {
        self.is_settled() && !matches!(self, Self::Paused)
    }

    /// Name as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Retired => "retired",
            Self::Built => "built",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Stopped => "stopped",
            Self::Stuck => "stuck",
        }
    }
}

impl std::fmt::Display for DeploymentStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a deployment's source comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Source {
    /// A Git repository. The token, if any, is a secret of the project and not part of this.
    Git {
        /// Address: https, ssh, git or file.
        url: String,
        /// Branch, tag or commit; the remote's default branch when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// An uploaded archive of the source.
    Archive {
        /// Digest of the archive; it is kept under that name.
        digest: Digest,
        /// File name it was uploaded under, or the folder's name.
        name: String,
    },
    /// An image of a registry. The login, if any, is a secret of the project and not part of this.
    Image {
        /// `name:tag` or `name@sha256:…`; a tag is looked up anew by every deployment.
        reference: String,
    },
    /// An uploaded archive of an image: an OCI layout, or what `docker save` writes.
    ImageArchive {
        /// Digest of the archive; it is kept under that name.
        digest: Digest,
        /// File name it was uploaded under.
        name: String,
    },
    /// An uploaded bundle of finished files that the proxy serves as they are.
    Static {
        /// Digest of the archive; it is kept under that name.
        digest: Digest,
        /// File name it was uploaded under, or the folder's name.
        name: String,
        /// Whether unknown paths are answered with the index page.
        #[serde(default)]
        spa: bool,
    },
}

/// Why there is a deployment. All kinds run through the same pipeline; some enter it later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Kind {
    /// From its source.
    Deploy,
    /// The same source again; a branch is looked up anew.
    Redeploy {
        /// Which deployment it repeats.
        of: DeploymentId,
    },
    /// A retained artifact, with the environment's present variables. Migrations are never run again.
    Rollback {
        /// Which deployment it goes back to.
        to: DeploymentId,
        /// With the variables that the deployment had, instead of the present ones.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        with_its_env: bool,
        /// Its exact version is built again, because its artifact was pruned.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        rebuild: bool,
    },
    /// Back to a commit that no kept deployment has: it is built, and migrations are not run.
    RollbackToCommit {
        /// The full commit id.
        commit: String,
    },
    /// Only built, and never deployed: it ends behind the step `build`.
    Build {
        /// Name that the artifact is kept under as an image of this host; empty: the newest build
        /// without a name is kept.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        image: String,
    },
    /// The artifact that is live in another environment, with this environment's variables.
    Promote {
        /// The deployment whose artifact it is.
        from: DeploymentId,
        /// Its environment.
        environment: EnvironmentName,
    },
}

impl Kind {
    /// Whether it takes its artifact over from another deployment, and so builds nothing: which one.
    pub const fn artifact_of(&self) -> Option<&DeploymentId> {
        match self {
            Self::Rollback { to, rebuild: false, .. } => Some(to),
            Self::Promote { from, .. } => Some(from),
            Self::Deploy
            | Self::Build { .. }
            | Self::Redeploy { .. }
            | Self::Rollback { .. }
            | Self::RollbackToCommit { .. } => None,
        }
    }

    /// Whether it ends with its build.
    pub const fn is_build(&self) -> bool {
        matches!(self, Self::Build { .. })
    }

    /// Of a build, the name that its artifact is kept under.
    pub fn image(&self) -> Option<&str> {
        match self {
            Self::Build { image } => Some(image),
            _ => None,
        }
    }

    /// Whether it goes back in time: migrations are never run then.
    pub const fn goes_back(&self) -> bool {
        matches!(self, Self::Rollback { .. } | Self::RollbackToCommit { .. })
    }
}

/// Something worth saying that stopped nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Warning {
    /// Stable, dot-separated.
    pub code: String,
    /// What, and what to do about it.
    pub message: String,
}

/// Why a deployment was cancelled, or is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum CancelReason {
    /// A person asked.
    Person {
        /// Who.
        actor: String,
    },
    /// A newer deployment of the environment took its place.
    Superseded {
        /// Which.
        by: DeploymentId,
    },
}

/// One attempt to make one version live in one environment. Only the runner writes it; handlers store
/// intents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// Project.
    pub project: ProjectName,
    /// Environment.
    pub environment: EnvironmentName,
    /// 1, 2, ... within the project: what people say.
    pub number: u64,
    /// Why it exists.
    pub kind: Kind,
    /// Where its source comes from.
    pub source: Source,
    /// Who asked for it.
    pub actor: String,
    /// Status.
    pub status: DeploymentStatus,
    /// The steps, in table order.
    pub steps: Vec<Step>,
    /// What the steps yielded.
    #[serde(default)]
    pub outputs: Outputs,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When a runner took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it went live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_at: Option<Timestamp>,
    /// When it settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it failed or is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// While it is stuck: why it had failed before. It is `failure` again once it is cleaned up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_with: Option<Failure>,
    /// What changed since the last deployment of the environment that went live; known when this one
    /// failed or went live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<crate::changes::Changes>,
    /// Why it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<CancelReason>,
    /// What was worth saying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Whether its artifact was pruned, so that a rollback to it means building it again.
    #[serde(default)]
    pub artifact_pruned: bool,
    /// The push or pull request that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// Of one that goes back: the migrations that were run since the version it goes back to, oldest
    /// first. They stay in the database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations_between: Vec<MigrationBetween>,
    /// Of a rollback: where its source comes from when it is looked up anew. `source` is of one commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_again: Option<Source>,
    /// While it is paused: who halted it, and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Whether every step of its build is carried out although its result is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_cache: bool,
}

impl Deployment {
    /// A new, queued deployment.
    pub fn queued(
        project: ProjectName,
        environment: EnvironmentName,
        number: u64,
        kind: Kind,
        source: Source,
        actor: String,
    ) -> Self {
        let pending = |name| Step {
            name,
            status: StepStatus::Pending,
            started_at: None,
            ended_at: None,
            summary: String::new(),
        };
        Self {
            id: DeploymentId::generate(),
            project,
            environment,
            number,
            kind,
            source,
            actor,
            status: DeploymentStatus::Queued,
            steps: StepName::ALL.into_iter().map(pending).collect(),
            outputs: Outputs::default(),
            created_at: Timestamp::now(),
            started_at: None,
            live_at: None,
            ended_at: None,
            changes: None,
            failure: None,
            failed_with: None,
            cancelled: None,
            warnings: Vec::new(),
            artifact_pruned: false,
            trigger: None,
            migrations_between: Vec::new(),
            source_again: None,
            paused: None,
            no_cache: false,
        }
    }

    /// Where its source comes from, to be looked up anew: the branch, where it was made for the push of
    /// one, and where it went back to an earlier commit of one.
    pub fn source_again(&self) -> Source {
        if let Some(again) = &self.source_again {
            return again.clone();
        }
        match (&self.source, self.trigger.as_ref().and_then(|trigger| trigger.branch.clone())) {
            (Source::Git { url, .. }, Some(branch)) if !self.is_of_pull_request() => {
                Source::Git { url: url.clone(), reference: Some(branch) }
            }
            _ => self.source.clone(),
        }
    }

    fn is_of_pull_request(&self) -> bool {
        self.trigger.as_ref().is_some_and(|trigger| trigger.pull_request.is_some())
    }

    /// The step of this name.
    pub fn step(&self, name: StepName) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The step of this name, to change it.
    pub fn step_mut(&mut self, name: StepName) -> Option<&mut Step> {
        self.steps.iter_mut().find(|step| step.name == name)
    }

    /// The step that is running, or comes next.
    pub fn current_step(&self) -> Option<StepName> {
        self.steps.iter().find(|step| !step.status.is_done()).map(|step| step.name)
    }
}

/// A plan as it is stored, with what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StoredPlan {
    /// Plugin that made it.
    pub plugin: String,
    /// The plan.
    pub plan: BuildPlan,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_step_is_the_first_that_is_not_done() {
        let mut deployment = Deployment::queued(
            "shop".parse().unwrap(),
            EnvironmentName::production(),
            1,
            Kind::Deploy,
            Source::Git { url: "file:///x".into(), reference: None },
            "test".into(),
        );
        assert_eq!(deployment.current_step(), Some(StepName::Fetch));
        deployment.steps[0].status = StepStatus::Succeeded;
        deployment.steps[1].status = StepStatus::Skipped;
        assert_eq!(deployment.current_step(), Some(StepName::Detect));
    }
}
