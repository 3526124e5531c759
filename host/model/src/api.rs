//! Bodies of the HTTP API. Every type here is a promise: fields are only ever added.
//!
//! Paths are under `/v1`; the daemon's `api` module holds the routes, and `/v1/openapi.json` is
//! generated from them. Every error has the body [`ErrorBody`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deployment::{Deployment, StepName};
use crate::failure::Failure;
use crate::id::{DeploymentId, EnvironmentName, HostId, ProjectName, ServiceName};
use crate::log::{Dropped, LogLine};
use crate::variable::{Scope, VariableName};

/// Body of every error answer.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ErrorBody {
    /// What happened, why and how to fix it.
    pub error: Failure,
}

/// `POST /v1/projects`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Its name.
    pub name: ProjectName,
}

/// A project with its environments.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ProjectView {
    /// Its name.
    pub name: ProjectName,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether a Git token is stored for it; the token itself is never shown.
    pub has_git_token: bool,
    /// Its environments.
    pub environments: Vec<EnvironmentView>,
    /// Plugins that are switched off for it because they kept failing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins_off: Vec<crate::plugin::account::SwitchedOff>,
}

/// An environment.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EnvironmentView {
    /// Its name.
    pub name: EnvironmentName,
    /// When it was made.
    pub created_at: Timestamp,
    /// The deployment that serves, if one does.
    pub live: Option<DeploymentId>,
    /// Its number.
    pub live_number: Option<u64>,
    /// Addresses it answers under, most useful first.
    pub urls: Vec<String>,
    /// What runs; absent before its first live deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<crate::running::RunningView>,
}

/// `PUT /v1/projects/{project}/git-token`.
#[derive(Debug, Clone, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetGitToken {
    /// HTTPS token for private repositories; stored encrypted, never shown again.
    pub token: String,
}

/// The SSH key of a project.
#[derive(Debug, Clone, Deserialize, Serialize, schemars::JsonSchema)]
pub struct DeployKeyView {
    /// The public part, to be added to the repository's deploy keys; the private part is never shown.
    pub public_key: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// `PUT /v1/projects/{project}/registries`.
#[derive(Debug, Clone, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRegistryLogin {
    /// `ghcr.io`, `docker.io`, `localhost:5000`
    pub registry: String,
    /// Name.
    pub user: String,
    /// Password or token; stored encrypted, never shown again.
    pub password: String,
}

/// A registry that a project has a login for.
#[derive(Debug, Clone, Deserialize, Serialize, schemars::JsonSchema)]
pub struct RegistryView {
    /// Its name.
    pub registry: String,
    /// The login's name; the password is never shown.
    pub user: String,
}

/// `POST /v1/projects/{project}/environments`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEnvironment {
    /// Its name.
    pub name: EnvironmentName,
}

/// One variable of `PUT …/variables`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetVariable {
    /// Its name.
    pub name: VariableName,
    /// Its value.
    pub value: String,
    /// When it is given; absent: as before, or for a new one `run` if it is secret, else `both`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Whether it can never be read again.
    #[serde(default)]
    pub secret: bool,
}

/// `PUT /v1/projects/{project}/environments/{environment}/variables`: all or none are set.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetVariables {
    /// The variables.
    pub variables: Vec<SetVariable>,
}

/// A variable as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct VariableView {
    /// Its name.
    pub name: VariableName,
    /// Its value; absent when it is secret, and for a token that may not change it.
    pub value: Option<String>,
    /// When it is given.
    pub scope: Scope,
    /// Whether it is write-only.
    pub secret: bool,
    /// When it was last set.
    pub updated_at: Timestamp,
}

/// `POST …/domains`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDomain {
    /// Host name, or `*` for every request that no other route takes.
    pub host: String,
}

/// A domain.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DomainView {
    /// Host name, or `*`.
    pub host: String,
    /// Address to open in a browser.
    pub url: String,
    /// When it was added.
    pub created_at: Timestamp,
}

/// `POST …/services`: something that the environment's variables point at.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddService {
    /// Name.
    pub name: ServiceName,
    /// `postgres`, `redis`, ... or empty.
    #[serde(default)]
    pub kind: String,
    /// `host:port` as the application sees it.
    pub address: String,
    /// Variables that point at it.
    #[serde(default)]
    pub variable_names: Vec<VariableName>,
}

/// `POST …/deployments`: from a Git repository or an image. An uploaded archive is the body of
/// `POST …/deployments/archive?name=…` instead.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDeployment {
    /// Address of the repository; the last one of this environment when absent.
    #[serde(default)]
    pub git_url: Option<String>,
    /// Branch, tag or commit; the remote's default branch when absent.
    #[serde(default)]
    pub reference: Option<String>,
    /// An image of a registry instead of a repository: `name:tag` or `name@sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// HTTPS token, stored for the project as with `PUT …/git-token`.
    #[serde(default)]
    pub git_token: Option<String>,
    /// Whether every step of the build is carried out although its result is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_cache: bool,
}

/// `POST …/rollback`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRollback {
    /// Id or number of the deployment to go back to; the one before the live one when absent.
    #[serde(default)]
    pub to: Option<String>,
    /// A commit to go back to, instead of a deployment: it is built, unless its artifact is retained.
    #[serde(default)]
    pub commit: Option<String>,
    /// Build the same version again where its artifact was pruned.
    #[serde(default)]
    pub rebuild: bool,
    /// With the variables that it had, instead of the present ones.
    #[serde(default)]
    pub with_its_env: bool,
}

/// A deployment as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeploymentView {
    /// The record.
    #[serde(flatten)]
    pub deployment: Deployment,
    /// Addresses it answers under; empty unless it is live.
    pub urls: Vec<String>,
    /// While queued: how many run or wait before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u64>,
    /// While queued or paused: why it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Whether it is pinned: never pruned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// In the answer to a request with an idempotency key that was used before: nothing new was made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// The steps of its build that are being carried out now, in the order in which they began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub building: Vec<crate::build::RunningStep>,
    /// What runs of it; only of the live or stopped deployment of its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<crate::running::RunningView>,
    /// Its custom stages, in the order of their hooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<crate::stage::StageRun>,
    /// What plugins noted on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<crate::stage::Annotation>,
    /// Files that plugins attached to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<crate::stage::Attached>,
}

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass as `before` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A log line with where it belongs.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LogEntry {
    /// The step that wrote it; absent for the output of an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepName>,
    /// The instance that wrote it, as `web.0`; absent for the log of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Number of the deployment, where lines of several may be among each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The line.
    #[serde(flatten)]
    pub line: LogLine,
    /// Where something is missing from the log: how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HostStatus {
    /// Version of Windlass.
    pub version: String,
    /// Id of this host.
    pub host: HostId,
    /// Since when `serve` runs.
    pub since: Timestamp,
    /// Where the proxy listens.
    pub proxy: Vec<String>,
    /// Whether everything needed is there; the same as `/readyz`.
    pub ready: bool,
    /// What is not well.
    pub problems: Vec<Failure>,
    /// What was mended by itself and is worth knowing: the state was built anew from its journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// How the backups stand; empty for a token that is limited to projects.
    #[serde(default)]
    pub backup: crate::recovery::BackupStatus,
    /// Deployments waiting, of the projects that the token sees; so are the next two.
    pub queued: usize,
    /// Deployments running.
    pub running: usize,
    /// Environments with a live deployment.
    pub live: usize,
}
