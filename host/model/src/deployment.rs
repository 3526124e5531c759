//! A deployment and its steps: one immutable attempt to make one version live in one environment.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::id::{DeploymentId, Digest, EnvironmentName, ProcessName, ProjectName};
use crate::plan::{
    BuildPlan, Detection, HealthPolicy, Migration, Observation, ProcessKind, RunConfig, Toolchain,
};
use crate::queue::{MigrationBetween, Pause};
use crate::settings::Settings;
use crate::webhook::Trigger;

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

/// A step of a deployment. Its log is a file, its output lies in [`Outputs`].
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

/// The commit or archive that a deployment was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Fetched {
    /// Full commit id; absent for archives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// First line of the commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Author's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Digest of the whole tree: a Git tree id, or a digest over the unpacked files.
    pub tree: Digest,
    /// Files in the tree.
    pub files: u64,
    /// Bytes in the tree.
    pub bytes: u64,
    /// Whether it was given to anyone who asks: no token or key went along.
    #[serde(default)]
    pub anonymous: bool,
    /// The image, where the source is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<FetchedImage>,
}

/// An image that was looked up, or unpacked from its archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FetchedImage {
    /// Its name with the digest that the tag meant.
    pub reference: String,
    /// The first port that it says it listens on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Which plugin decided, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Chosen {
    /// Name of the plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Digest of its file.
    pub digest: Digest,
    /// The detection.
    pub detection: Detection,
    /// The others that matched, strongest first.
    #[serde(default)]
    pub others: Vec<String>,
}

/// One output of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ArtifactOutput {
    /// Name in the plan.
    pub name: String,
    /// Name of the committed snapshot that holds it.
    pub snapshot: String,
    /// What it is.
    pub kind: ArtifactKind,
}

/// What an output of an artifact is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum ArtifactKind {
    /// A root file system; instances start straight on the snapshot.
    Image {
        /// How it is run.
        config: RunConfig,
    },
    /// A static tree, exported below the data directory for the proxy.
    StaticTree {
        /// Digest of the tree: its folder's name.
        tree: Digest,
        /// Single-page fallback.
        spa_fallback: Option<String>,
        /// Page served with status 404.
        not_found: Option<String>,
        /// Files in it.
        files: u64,
        /// Bytes in it.
        bytes: u64,
    },
}

/// A process of an artifact, with its settings applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ArtifactProcess {
    /// Its name.
    pub name: ProcessName,
    /// The output it runs from.
    pub output: String,
    /// Its kind.
    pub kind: ProcessKind,
    /// The whole command; empty takes the output's own.
    pub argv: Vec<String>,
    /// The port that it is told in `PORT`, for a web process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What a build yields. Also written to containerd's content store, where it is the root that keeps
/// its snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Artifact {
    /// Digest of this record as it lies in the content store.
    pub digest: Digest,
    /// The outputs.
    pub outputs: Vec<ArtifactOutput>,
    /// The processes.
    pub processes: Vec<ArtifactProcess>,
    /// Bases it was built on: reference and digest.
    pub bases: Vec<(String, Digest)>,
    /// Exact versions of the toolchains.
    pub toolchains: Vec<Toolchain>,
    /// Of the plan it was built from.
    pub plan: Digest,
}

impl Artifact {
    /// The output of this name.
    pub fn output(&self, name: &str) -> Option<&ArtifactOutput> {
        self.outputs.iter().find(|output| output.name == name)
    }

    /// The web process that is not a static tree, if there is one.
    pub fn web(&self) -> Option<&ArtifactProcess> {
        self.processes.iter().find(|process| process.kind == ProcessKind::Web)
    }

    /// The static output that the proxy serves, if no web process answers.
    pub fn static_output(&self) -> Option<&ArtifactOutput> {
        let is_static =
            |output: &&ArtifactOutput| matches!(output.kind, ArtifactKind::StaticTree { .. });
        self.outputs.iter().find(is_static)
    }
}

/// One running container of one process of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Instance {
    /// Name of the container: derived from the deployment, the process and the ordinal.
    pub id: String,
    /// Its process.
    pub process: ProcessName,
    /// 0, 1, ...
    pub ordinal: u32,
    /// Its address in the environment's network.
    pub address: Ipv4Addr,
    /// Its port, for a web process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Process id of its first process on the host.
    pub pid: u32,
    /// When it was started.
    pub started_at: Timestamp,
}

/// What became of the migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MigrationRecord {
    /// What was decided.
    pub migration: Migration,
    /// Name of its container, set before it is created: what is recorded and missing is never run
    /// again.
    pub container: String,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// Typed output of the steps, filled in as they succeed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Outputs {
    /// Of fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Fetched>,
    /// Of preflight: `windlass.toml` as it was in force, or of the deployment that is rolled back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// Of detect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// Of plan: the plan, stored under its digest because plans can be large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
    /// Of build, also of one that failed: the bases that it came to, reference and digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<(String, Digest)>,
    /// Of build, or of the deployment that is rolled back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Of migrate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationRecord>,
    /// Of start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Instance>,
    /// Of check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthRecord>,
    /// Of switch: the published generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The last generation that led to it, once it was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_generation: Option<u64>,
    /// Which deployment the switch replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<DeploymentId>,
    /// Of provision: what `network.allow` was resolved to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<std::net::SocketAddrV4>,
    /// Of start: the output that instances of its name start from, where commands before the switch
    /// have written into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<ArtifactOutput>,
    /// Variables (as digests) and plugins as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<crate::changes::MadeWith>,
}

/// What a health check asked and saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HealthRecord {
    /// Plugin that gave the policy and judged.
    pub plugin: String,
    /// The policy.
    pub policy: HealthPolicy,
    /// The last observations.
    pub seen: Vec<Observation>,
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
