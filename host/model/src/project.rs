//! Projects, environments and what belongs to them, as they are stored.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deployment::Source;
use crate::id::{DeploymentId, EnvironmentName, ProjectName, ServiceName};
use crate::variable::VariableName;

/// One application: where its source comes from, its settings, its environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Project {
    /// Its name, unique on one host.
    pub name: ProjectName,
    /// The repository that was deployed last, or what was deployed first where none was; absent before
    /// the first deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Folder of the application inside the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_dir: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Number that its next deployment gets.
    pub next_number: u64,
}

impl Project {
    /// A new project without a source.
    pub fn new(name: ProjectName) -> Self {
        Self { name, source: None, app_dir: None, created_at: Timestamp::now(), next_number: 1 }
    }
}

/// Production, staging, a preview: own variables, domains, limits, history, live deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Environment {
    /// Its project.
    pub project: ProjectName,
    /// Its name, unique in the project.
    pub name: EnvironmentName,
    /// When it was made.
    pub created_at: Timestamp,
    /// The deployment that serves, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<DeploymentId>,
    /// The fence: it only ever grows, and grows with every change of `live`, so that an older
    /// deployment can never tear down a newer one.
    pub generation: u64,
}

impl Environment {
    /// A new environment in which nothing is live.
    pub fn new(project: ProjectName, name: EnvironmentName) -> Self {
        Self { project, name, created_at: Timestamp::now(), live: None, generation: 0 }
    }
}

/// A host name that leads to an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Domain {
    /// Host name in lower case without a port, or `*` for every request that no other route takes.
    pub host: String,
    /// Project it leads to.
    pub project: ProjectName,
    /// Environment it leads to.
    pub environment: EnvironmentName,
    /// Whether this is the default route: the host is `*`.
    pub is_default: bool,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Something that an environment's variables point at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Service {
    /// Name it resolves under inside the environment.
    pub name: ServiceName,
    /// `postgres`, `redis`, ... or empty.
    #[serde(default)]
    pub kind: String,
    /// `host:port` as the application sees it.
    pub address: String,
    /// Variables that point at it.
    #[serde(default)]
    pub variable_names: Vec<VariableName>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Something that was asked for and that the runner has not acted upon yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Intent {
    /// End a deployment before its switch.
    Cancel {
        /// Which.
        deployment: DeploymentId,
        /// Who asked.
        actor: String,
    },
    /// Halt a deployment before its next step.
    Pause {
        /// Which.
        deployment: DeploymentId,
        /// Who asked.
        actor: String,
    },
    /// Go on with a deployment that was halted.
    Resume {
        /// Which.
        deployment: DeploymentId,
        /// Who asked.
        actor: String,
    },
}

impl Intent {
    /// The deployment that it is about.
    pub const fn deployment(&self) -> &DeploymentId {
        match self {
            Self::Cancel { deployment, .. }
            | Self::Pause { deployment, .. }
            | Self::Resume { deployment, .. } => deployment,
        }
    }
}

/// An intent with its place in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StoredIntent {
    /// Grows from one intent to the next.
    pub id: u64,
    /// When it was stored.
    pub created_at: Timestamp,
    /// What is asked for.
    pub intent: Intent,
}
