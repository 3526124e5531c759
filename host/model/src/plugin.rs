//! What a plugin says of itself, and what a call of it amounted to.

use serde::{Deserialize, Serialize};

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

/// The manifest that travels in the component, in the custom section [`Manifest::SECTION`], as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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

/// Something that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// Which: `exec`, `http`, ...
    pub name: String,
    /// Why it is needed.
    pub reason: String,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// Most memory held at once, in bytes.
    pub memory_peak_bytes: u64,
    /// Log bytes kept.
    pub log_bytes: u64,
    /// Log bytes dropped.
    pub log_bytes_dropped: u64,
}
