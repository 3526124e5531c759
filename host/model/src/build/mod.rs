//! What became of a build's steps: what each one's key was made of, and why a step was carried out.
//!
//! A step whose key was seen before is looked up. Of every other one the record says which part of the key
//! differs from the last build of the environment that had the step. Parts are kept as digests; values of
//! variables as keyed ones, which say nothing to who does not have this host's salt.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

mod compare;

pub use compare::reasons;

/// The record of one build, step by step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BuildRecord {
    /// Steps in the plan's order; those that nothing needs, and those that were not come to, are left out.
    pub steps: Vec<StepRecord>,
}

impl BuildRecord {
    /// The step of this id.
    pub fn step(&self, id: &str) -> Option<&StepRecord> {
        self.steps.iter().find(|step| step.id == id)
    }
}

/// One step of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepRecord {
    /// Place in the plan, of the steps that were needed; from 0.
    pub place: usize,
    /// Id in the plan.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Whether it was looked up only.
    pub cached: bool,
    /// Whether it came to its end.
    pub succeeded: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Why it was not found; empty when it was.
    pub reasons: Vec<Reason>,
    /// What its key was made of.
    pub parts: KeyParts,
}

/// What a step's key is made of, as far as a person can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct KeyParts {
    /// Version of the executor.
    pub executor: u32,
    /// `linux/amd64`
    pub platform: String,
    /// What it starts from.
    pub base: BasePart,
    /// Declared environment, each value as a digest.
    pub env: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: String,
    /// User.
    pub user: String,
    /// Variables of the build, each value as a keyed digest.
    pub variables: BTreeMap<String, String>,
    /// The operations.
    pub ops: Vec<OpPart>,
}

/// What a step starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BasePart {
    /// The name of the step, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Image's reference with its digest; empty for a step and for nothing.
    pub image: String,
    /// Name of the snapshot; empty for nothing.
    pub snapshot: String,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OpPart {
    /// In a few words.
    pub shown: String,
    /// Of all that the plan says of it.
    pub digest: String,
    /// What it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputPart>,
}

/// Something that an operation reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct InputPart {
    /// The name of the other step it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The image it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Of all of it.
    pub digest: String,
    /// The source's files by name, each with a digest. Of very many, their folders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// How a named thing differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Difference {
    /// It is new.
    Added,
    /// It is another.
    Changed,
    /// It is gone.
    Removed,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "is new",
            Self::Changed => "changed",
            Self::Removed => "is gone",
        })
    }
}

/// Why a step was not found in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Reason {
    /// It was asked for without the cache.
    NoCache,
    /// No earlier build of the environment with this step is known.
    NoEarlierBuild,
    /// It was built with the very same key, and its result was removed since.
    Pruned,
    /// The last build with the very same key did not come to the step's end.
    Failed,
    /// The machine stopped before what was built with the very same key was known to be on the disk.
    Unsynced,
    /// Another version of Windlass carries steps out in another way.
    Executor {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// It is for another kind of machine.
    Platform {
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// The image that it starts from, or copies from, is another.
    Base {
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// A step that it starts from, or copies from, has another result.
    Step {
        /// Its name.
        step: String,
    },
    /// An operation is another.
    Command {
        /// What it is now; what it was, when it is gone.
        shown: String,
        /// How.
        how: Difference,
    },
    /// The declared environment.
    Env {
        /// Name.
        name: String,
        /// How.
        how: Difference,
    },
    /// A variable of the build.
    Variable {
        /// Name.
        name: String,
        /// How.
        how: Difference,
    },
    /// The working directory.
    Cwd,
    /// The user.
    User,
    /// A file of the source, or a folder when there are very many files.
    File {
        /// Path.
        path: String,
        /// How.
        how: Difference,
    },
    /// More of the same that are not listed.
    More {
        /// How many.
        count: usize,
    },
    /// Something that the record does not hold.
    Other,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCache => f.write_str("it was asked for without the cache"),
            Self::NoEarlierBuild => f.write_str("no earlier build of it is known"),
            Self::Pruned => f.write_str("nothing changed, but its result was removed since"),
            Self::Failed => f.write_str("nothing changed, but it did not succeed the last time"),
            Self::Unsynced => f.write_str(
                "nothing changed, but the machine stopped before its result was on the disk",
            ),
            Self::Executor { from, to } => {
                write!(f, "Windlass carries steps out in another way (version {from}, now {to})")
            }
            Self::Platform { from, to } => write!(f, "the platform was {from} and is {to}"),
            Self::Base { from, to } => write!(f, "the base changed from {from} to {to}"),
            Self::Step { step } => write!(f, "the step {step:?} has another result"),
            Self::Command { shown, how } => write!(f, "`{shown}` {how}"),
            Self::Env { name, how } => write!(f, "{name} of the step's environment {how}"),
            Self::Variable { name, how } => write!(f, "the variable {name} {how}"),
            Self::Cwd => f.write_str("the working directory changed"),
            Self::User => f.write_str("the user changed"),
            Self::File { path, how } => write!(f, "{path} {how}"),
            Self::More { count } => write!(f, "and {count} more"),
            Self::Other => f.write_str("something changed that the record does not name"),
        }
    }
}

/// A step of a build that is being carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunningStep {
    /// Id in the plan.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Since when.
    pub since: crate::Timestamp,
}

/// Answer to "why was this built": see `windlass why`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BuildWhy {
    /// The deployment.
    pub deployment: crate::DeploymentId,
    /// Its number.
    pub number: u64,
    /// Its steps, in the plan's order.
    pub steps: Vec<StepWhy>,
}

/// Why one step was carried out, or that it was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepWhy {
    /// Id in the plan.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Its key, which is the name of its snapshot.
    pub key: String,
    /// Whether it was looked up only.
    pub cached: bool,
    /// Whether it came to its end.
    pub succeeded: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Why it was carried out; empty when it was not.
    pub reasons: Vec<Reason>,
    /// The same in words.
    pub said: Vec<String>,
}

impl From<StepRecord> for StepWhy {
    fn from(step: StepRecord) -> Self {
        let StepRecord { id, name, key, cached, succeeded, took_ms, reasons, .. } = step;
        let said = reasons.iter().map(Reason::to_string).collect();
        Self { id, name, key, cached, succeeded, took_ms, reasons, said }
    }
}

/// What was removed from the caches of builds.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct CacheCleared {
    /// Results of steps.
    pub steps: usize,
    /// Cache mounts.
    pub mounts: usize,
    /// Bytes of both.
    pub bytes: u64,
    /// Steps and cache mounts that a running build uses, and that were left.
    pub in_use: usize,
}
