//! Custom stages of a deployment: what they are told, what they answer, and what is kept of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cron::Schedule;
use crate::failure::Failure;
use crate::id::Digest;
use crate::plan::{Detection, KeyValues};
use crate::plugin::Hook;

/// What is known of a deployment at a hook, as a stage is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Where it runs.
    pub hook: Hook,
    /// 1 for the first try.
    pub attempt: u32,
    /// The project's name.
    pub project: String,
    /// The environment's name.
    pub environment: String,
    /// The deployment's id.
    pub deployment: String,
    /// Its number within the project.
    pub number: u64,
    /// Who asked for it.
    pub actor: String,
    /// How it stands.
    pub state: State,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Full commit id.
    pub commit: Option<String>,
    /// First line of the commit's message.
    pub commit_subject: Option<String>,
    /// Its author.
    pub commit_author: Option<String>,
    /// What was detected.
    pub detected: Option<Detection>,
    /// What was built.
    pub outputs: Vec<(String, OutputKind)>,
    /// What runs.
    pub processes: Vec<Process>,
    /// Where visitors reach the environment.
    pub urls: Vec<String>,
    /// Number of the version that was live before.
    pub previous_number: Option<u64>,
    /// Its commit.
    pub previous_commit: Option<String>,
    /// Variables that were granted by name and are not secret.
    pub variables: KeyValues,
}

/// How a deployment stands when a stage runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is on its way.
    Running,
    /// It serves.
    Live,
    /// It failed.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// What an output of a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// Commands can be run in it.
    Image,
    /// Files that the proxy serves.
    StaticTree,
}

/// A process of the new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its name.
    pub name: String,
    /// The output it runs from.
    pub output: String,
    /// Whether it answers requests.
    pub web: bool,
    /// `host:port` of its instances in the environment's network.
    pub addresses: Vec<String>,
}

/// What another stage has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// What it provides.
    pub name: String,
    /// Its plugin.
    pub plugin: String,
    /// Its name.
    pub stage: String,
    /// The outputs.
    pub outputs: Map<String, Value>,
}

/// What a stage answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether there was nothing to do.
    pub skipped: bool,
    /// One line for people.
    pub summary: String,
    /// For stages that need what this one provides.
    pub outputs: Map<String, Value>,
    /// Commands that this version runs at their times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// Files of this version that are not served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
}

/// Files of a static tree that the proxy does not serve, though they are in the artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Withheld {
    /// The output, by its name in the plan.
    pub output: String,
    /// Globs from the tree's root: `*` does not cross a slash, `**` does.
    pub paths: Vec<String>,
}

/// How a stage of a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StageStatus {
    /// Not begun, or to be tried again.
    Pending,
    /// Begun.
    Running,
    /// Done.
    Succeeded,
    /// It had nothing to do.
    Skipped,
    /// It failed, and its setting lets that pass.
    Warned,
    /// It failed.
    Failed,
    /// Not reached, because another one failed.
    Cancelled,
}

impl StageStatus {
    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Skipped => "skipped",
            Self::Warned => "warned",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to it.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

/// A custom stage of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StageRun {
    /// Its plugin.
    pub plugin: String,
    /// The plugin's version; empty before it was begun.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Its name.
    pub stage: String,
    /// Where it runs.
    pub hook: Hook,
    /// How it stands.
    pub status: StageStatus,
    /// Tries so far.
    #[serde(default)]
    pub attempt: u32,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Why it failed, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How an annotation is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// As it is.
    Neutral,
    /// It is well.
    Good,
    /// It should be looked at.
    Warning,
    /// It is not well.
    Bad,
}

/// A short fact that a plugin noted on a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Annotation {
    /// The plugin.
    pub plugin: String,
    /// What the fact is about.
    pub name: String,
    /// The fact.
    pub value: String,
    /// How it is to be taken.
    pub tone: Tone,
    /// Where a person reads more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// How an attached file is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttachedKind {
    /// Text or HTML to be read.
    Report,
    /// CSV or JSON lines.
    Table,
    /// A picture.
    Image,
    /// It is only downloaded.
    File,
}

impl AttachedKind {
    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Table => "table",
            Self::Image => "image",
            Self::File => "file",
        }
    }
}

/// A file that a plugin attached to a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Attached {
    /// The plugin.
    pub plugin: String,
    /// The file's name, unique within the plugin.
    pub name: String,
    /// How it is shown.
    pub kind: AttachedKind,
    /// Its media type, as the plugin says.
    pub media_type: String,
    /// For people.
    pub title: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Digest of its content.
    pub digest: Digest,
    /// When it was attached.
    pub attached_at: Timestamp,
}
