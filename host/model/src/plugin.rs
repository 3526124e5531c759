//! What a plugin says of itself, what it may do, and what a call of it amounted to.
//!
//! Reading order: [`Manifest`], [`Capability`] and [`effective`] (what is allowed), [`lock`] (what is
//! installed), [`index`] and [`discover`] (what could be), [`manage`] (what is said about it over the API), [`account`]
//! (what calls amounted to, and when a plugin is switched off).

pub mod account;
mod capability;
mod choice;
pub mod discover;
mod growth;
pub mod index;
pub mod lock;
pub mod manage;
mod pattern;
mod permission;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::capability::{Capability, Grants, Kind, Request, check};
pub use self::choice::Give;
pub use self::growth::difference;
pub use self::permission::{Effective, effective, missing, narrowed_source};
use crate::id::Digest;

/// A decision point that plugins fill.
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
pub enum Stage {
    /// What is this application?
    Detector,
    /// How is it built?
    Builder,
    /// How is its database migrated?
    Migrator,
    /// When is it healthy?
    Health,
    /// How is traffic moved?
    Rollout,
    /// Anything else, at a hook.
    Custom,
}

impl Stage {
    /// All of them, in the order in which a deployment comes to them.
    pub const ALL: [Self; 6] =
        [Self::Detector, Self::Builder, Self::Migrator, Self::Health, Self::Rollout, Self::Custom];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Builder => "builder",
            Self::Migrator => "migrator",
            Self::Health => "health",
            Self::Rollout => "rollout",
            Self::Custom => "custom",
        }
    }
}

/// The manifest that travels in the component, in the custom section [`Manifest::SECTION`], as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name: same alphabet as a project's.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// SPDX expression.
    pub licence: String,
    /// What it asks for beyond the source; nothing is granted by default.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// JSON Schema of its options, as text; empty when it has none.
    #[serde(default)]
    pub options_schema: String,
    /// The custom stages that it has; exactly those that export the stage `custom` have some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom: Vec<CustomStage>,
    /// The failure codes that are the plugin's own: what they mean, and by which lines of a failed
    /// step's log the host recognises them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<KnownFailure>,
}

impl Manifest {
    /// Name of the custom section.
    pub const SECTION: &'static str = "windlass-manifest";
}

/// A failure that a plugin knows: a refusal of its own, or the cause of a failed command of its
/// ecosystem, with the patterns that show it.
///
/// `title`, `cause` and `fix` may name captures of the patterns, as `{module}` for
/// `(?<module>\S+)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    /// Its code; the first word is the plugin's name.
    pub code: String,
    /// What happened, in a few words.
    pub title: String,
    /// Why it happens.
    pub cause: String,
    /// What the person can do about it.
    pub fix: String,
    /// Regular expressions, tried against each line of a failed step's log. None: only the plugin
    /// itself refuses with this code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    /// Steps in whose logs it is looked for; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<crate::deployment::StepName>,
}

/// A stage of a plugin's own, at one hook of the pipeline or more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomStage {
    /// Name, unique within the plugin: 1 to 40 of `a-z`, `0-9` and hyphen.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// Where it may be run.
    pub hooks: Vec<Hook>,
    /// What other stages must have provided before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// What its outputs are, for stages that need them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provides: Vec<String>,
}

/// A place in the pipeline where custom stages run.
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
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// The source and the settings are known.
    AfterFetch,
    /// There is an artifact.
    AfterBuild,
    /// The new version is healthy and serves nobody yet; a failure fails the deployment.
    BeforeSwitch,
    /// It is over; in the background.
    AfterSwitch,
}

impl Hook {
    /// All of them, in the order in which they come.
    pub const ALL: [Self; 4] =
        [Self::AfterFetch, Self::AfterBuild, Self::BeforeSwitch, Self::AfterSwitch];

    /// As settings write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AfterFetch => "after-fetch",
            Self::AfterBuild => "after-build",
            Self::BeforeSwitch => "before-switch",
            Self::AfterSwitch => "after-switch",
        }
    }
}

/// A plugin that the host has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PluginInfo {
    /// Its manifest.
    pub manifest: Manifest,
    /// Digest of its file.
    pub digest: Digest,
    /// What it exports.
    pub stages: Vec<Stage>,
    /// Whether it came with Windlass.
    pub bundled: bool,
    /// Size of its file in bytes.
    pub bytes: u64,
}

/// How a call ended.
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
#[serde(rename_all = "kebab-case")]
pub enum CallOutcome {
    /// It returned a value.
    Answered,
    /// It returned the contract's error.
    Refused,
    /// It trapped.
    Trapped,
    /// It used more than its wall clock or CPU time.
    TimedOut,
    /// It asked for more memory than it may have.
    OutOfMemory,
    /// It passed more to the host than it may, or held too many handles.
    OverLimit,
    /// It answered something that the contract does not allow.
    InvalidAnswer,
    /// The host could not make the call.
    HostFailed,
}

impl CallOutcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Answered,
        Self::Refused,
        Self::Trapped,
        Self::TimedOut,
        Self::OutOfMemory,
        Self::OverLimit,
        Self::InvalidAnswer,
        Self::HostFailed,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Trapped => "trapped",
            Self::TimedOut => "timed-out",
            Self::OutOfMemory => "out-of-memory",
            Self::OverLimit => "over-limit",
            Self::InvalidAnswer => "invalid-answer",
            Self::HostFailed => "host-failed",
        }
    }

    /// Whether it is the plugin's doing, and none that the contract allows.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Answered | Self::Refused | Self::HostFailed)
    }
}

/// What a call amounted to. There is one for every call, whatever its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CallReport {
    /// The plugin's name.
    pub plugin: String,
    /// The stage that was called.
    pub stage: Stage,
    /// The function: `detect`, `plan`, ...
    pub function: String,
    /// How it ended.
    pub outcome: CallOutcome,
    /// Whether the answer came from the cache.
    pub cached: bool,
    /// Wall clock, in microseconds.
    pub took_us: u64,
    /// CPU time, in milliseconds, as the kernel counts it: without what the host did outside for it.
    #[serde(default)]
    pub cpu_ms: u64,
    /// Most memory held at once, in bytes.
    pub memory_peak_bytes: u64,
    /// Log bytes kept.
    pub log_bytes: u64,
    /// Log bytes dropped.
    pub log_bytes_dropped: u64,
    /// What it asked of the host.
    #[serde(default)]
    pub host_calls: account::HostCalls,
}
